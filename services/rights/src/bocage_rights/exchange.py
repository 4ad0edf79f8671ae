"""A credential for an identity: the one place where keys and tile tokens are looked at."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from bocage_kit.identity import Identity, TileScope
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bocage_rights import grants
from bocage_rights.credentials import matches, split
from bocage_rights.keyring import Keyring
from bocage_rights.registry import levels
from bocage_rights.signing import InvalidLink, unseal
from bocage_rights.terms import ANONYMOUS, Holder

_BASE = re.compile(r"^https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~-]+)*$")

_ALIVE = """k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
            and (k.service is not null or (p.state = 'active' and o.state = 'active'))"""
_HOLDER = """k.id as key, k.service, k.scopes, k.purpose, p.id::text as person, o.id::text as organisation, o.category
               from api_key k left join person p on p.id = k.person left join organisation o on o.id = p.organisation"""
_KEY = text(f"select k.id, k.hmac, null::jsonb as scope, {_ALIVE} as alive, {_HOLDER} where k.id = :id")
_TILE_TOKEN = text(
    f"""select t.id, t.hmac, t.scope,
               t.revoked_at is null and t.expires_at > now() and {_ALIVE} as alive, {_HOLDER}
          join tile_token t on t.api_key = k.id where t.id = :id"""
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

    api_key: str | None = Field(default=None, max_length=300, repr=False)
    tile_token: str | None = Field(default=None, max_length=300, repr=False)
    signed_link: str | None = Field(default=None, max_length=4000, repr=False)
    public_base: str | None = Field(default=None, max_length=300)


@dataclass(frozen=True)
class Exchange:
    engine: AsyncEngine
    keyring: Keyring

    async def identify(self, credential: Credential) -> Identity:
        """Raises InvalidCredential."""
        if sum(x is not None for x in (credential.api_key, credential.tile_token, credential.signed_link)) > 1:
            raise InvalidCredential
        base: dict[str, Any] = {}
        if credential.public_base is not None:
            if not _BASE.match(credential.public_base):
                raise InvalidCredential
            base["public_base"] = credential.public_base
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
        identifier, secret = split(credential)
        # A NUL can be in no stored id, and the database refuses to be asked for it.
        row = (await connection.execute(query, {"id": identifier.replace("\0", "")})).one_or_none()
        if not matches(self.keyring, secret, bytes(row.hmac) if row else None) or row is None or not row.alive:
            raise InvalidCredential
        return row

    async def _identity(self, connection: AsyncConnection, row: Row[Any], base: dict[str, Any]) -> Identity:
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
            tiles=None if row.scope is None else TileScope.model_validate(row.scope),
            **base,
        )
