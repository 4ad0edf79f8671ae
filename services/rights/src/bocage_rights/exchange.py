"""A credential for an identity: the one place where keys, tile tokens and logins are looked at."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from typing import Any

from bocage_kit.identity import Identity, TileScope
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bocage_rights import grants
from bocage_rights.bearer import LEEWAY_SECONDS, LONGEST_TOKEN
from bocage_rights.credentials import matches, shown
from bocage_rights.keyring import Keyring
from bocage_rights.providers import Providers
from bocage_rights.registry import levels
from bocage_rights.sign_in import Unknown, admitted, first_login, linked
from bocage_rights.signing import InvalidLink, unseal
from bocage_rights.terms import ANONYMOUS, Holder

_BASE = re.compile(r"^https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~-]+)*$")

_ALIVE = """k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
            and (k.service is not null or (p.state = 'active' and o.state = 'active'))"""
_HOLDER = """k.id as key, k.service, k.scopes, k.purpose, k.project, p.id::text as person,
               o.id::text as organisation, o.category
               from api_key k left join person p on p.id = k.person left join organisation o on o.id = p.organisation"""
_KEY = text(
    f"""select k.id, k.hmac, null::jsonb as scope, extract(epoch from k.expires_at) as ends,
               {_ALIVE} as alive, {_HOLDER} where k.id = :id"""  # noqa: S608
)
_TILE_TOKEN = text(
    f"""select t.id, t.hmac, t.scope, extract(epoch from least(t.expires_at, k.expires_at)) as ends,
               t.revoked_at is null and t.expires_at > now() and {_ALIVE} as alive, {_HOLDER}
          join tile_token t on t.api_key = k.id where t.id = :id"""  # noqa: S608
)
_USED = text(
    """update api_key set last_used_at = now()
        where id = :id and (last_used_at is null or last_used_at < now() - interval '1 minute')"""
)


class InvalidCredential(Exception):
    """Unknown, expired, revoked or of a suspended account: the caller is not told which."""


class Credential(BaseModel):
    """What the gateway sends; all absent for an anonymous caller."""

    model_config = ConfigDict(extra="forbid")

    # Longer ones go the way of all that are malformed: another answer to them would say something of the rest.
    api_key: str | None = Field(default=None, max_length=100_000, repr=False)
    tile_token: str | None = Field(default=None, max_length=100_000, repr=False)
    bearer: str | None = Field(default=None, max_length=LONGEST_TOKEN, repr=False)
    signed_link: str | None = Field(default=None, max_length=4000, repr=False)
    public_base: str | None = Field(default=None, max_length=300)


@dataclass(frozen=True)
class Exchange:
    engine: AsyncEngine
    keyring: Keyring
    providers: Providers = field(default_factory=lambda: Providers((), ""))

    async def identify(self, credential: Credential) -> Identity:
        """Raises InvalidCredential; for a bearer InvalidToken, ProviderUnavailable, or Problem 403.

        `expires` of the identity is when what is behind it ends by itself, or 0; other ends are announced.
        """
        given = (credential.api_key, credential.tile_token, credential.bearer, credential.signed_link)
        if sum(x is not None for x in given) > 1:
            raise InvalidCredential
        base: dict[str, Any] = {}
        if credential.public_base is not None:
            if not _BASE.match(credential.public_base):
                raise InvalidCredential
            base["public_base"] = credential.public_base
        if credential.bearer is not None:
            return await self._signed_in(credential.bearer, base)
        async with self.engine.begin() as connection:
            if credential.api_key is not None:
                row = await self._row(connection, _KEY, credential.api_key)
                await connection.execute(_USED, {"id": row.key})
            elif credential.tile_token is not None:
                row = await self._row(connection, _TILE_TOKEN, credential.tile_token)
            elif credential.signed_link is not None:
                return await self._linked(connection, credential.signed_link, base)
            else:
                return Identity(subject="anonymous", licences=await levels(connection, ANONYMOUS, None, None), **base)
            return await self._identity(connection, row, base)

    async def _linked(self, connection: AsyncConnection, sealed: str, base: dict[str, Any]) -> Identity:
        """The identity of the key that a signed link stands for, as long as both are alive."""
        try:
            link = unseal(sealed, self.keyring.links, time.time())
        except InvalidLink as error:
            raise InvalidCredential from error
        row = (await connection.execute(_KEY, {"id": link.credential})).one_or_none()
        if row is None or not row.alive:
            raise InvalidCredential
        if link.scope.job is not None and not await grants.alive(connection, link.scope.job):
            raise InvalidCredential
        identity = await self._identity(connection, row, base)
        return identity.model_copy(update={"link": link.scope})

    async def _row(self, connection: AsyncConnection, query: Any, credential: str) -> Row[Any]:
        """One path for whatever is shown: HMAC, look-up, comparison. What differs is not told, nor can it be timed."""
        given = shown(self.keyring, credential)
        row = (await connection.execute(query, {"id": given.id})).one_or_none()
        if not matches(given, bytes(row.hmac) if row else None) or row is None or not row.alive:
            raise InvalidCredential
        return row

    async def _signed_in(self, token: str, base: dict[str, Any]) -> Identity:
        claims = await self.providers.claims(token)
        async with self.engine.begin() as connection:
            found: Row[Any] | Unknown | None = await linked(connection, claims)
        if found is None:
            email = claims.email or await self.providers.email_of(token, claims)
            async with self.engine.begin() as connection:
                found = await first_login(connection, claims, email)
        # Refused after the transaction: a pending person is kept.
        login = admitted(found, claims)
        async with self.engine.connect() as connection:
            return Identity(
                subject=login.person,
                organisation=login.organisation,
                category=login.category,
                purpose=login.purpose,
                scopes=login.scopes,
                licences=await levels(
                    connection, Holder(login.category, login.purpose), login.organisation, login.person
                ),
                credential=login.credential,
                expires=int(claims.expires) + LEEWAY_SECONDS,
                **base,
            )

    async def _identity(self, connection: AsyncConnection, row: Row[Any], base: dict[str, Any]) -> Identity:
        if row.ends is not None:
            base = base | {"expires": math.ceil(row.ends)}
        if row.service is not None:
            return Identity(subject=f"service:{row.service}", scopes=frozenset(row.scopes), credential=row.id, **base)
        holder = Holder(row.category, row.purpose)
        return Identity(
            subject=row.person,
            organisation=row.organisation,
            category=row.category,
            purpose=row.purpose,
            # A tile token draws; whatever else its maker may do stays with the maker.
            scopes=frozenset(row.scopes) if row.scope is None else frozenset(),
            licences=await levels(connection, holder, row.organisation, row.person),
            credential=row.id,
            project=row.project,
            tiles=None if row.scope is None else TileScope.model_validate(row.scope),
            **base,
        )
