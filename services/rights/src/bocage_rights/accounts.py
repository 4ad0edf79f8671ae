"""Organisations, people, service accounts and keys in the database; making one that is there gives that one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights.credentials import Minted, mint
from bocage_rights.keyring import Keyring

PEOPLE_SCOPES = frozenset({"catalogue:write", "catalogue:admin", "jobs:submit", "rights:manage", "admin"})

ORGANISATION = "id::text, name, slug, category, country, state, created_at"
PERSON = "p.id::text, p.organisation::text, p.name, p.email, p.role, p.state, p.created_at"
KEY = """k.id, k.name, k.person::text, k.service, k.scopes, k.purpose, k.created_at, k.expires_at, k.revoked_at,
         k.last_used_at"""


def slug_of(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "organisation"


async def organisation(connection: AsyncConnection, reference: str) -> Row[Any] | None:
    """By id, by slug or by name."""
    try:
        clause, value = "id = cast(:value as uuid)", str(UUID(reference))
    except ValueError:
        clause, value = "slug = :value or name = :value", reference
    query = text(f"select {ORGANISATION} from organisation where {clause}")  # noqa: S608
    return (await connection.execute(query, {"value": value})).first()


async def ensure_organisation(
    connection: AsyncConnection, name: str, category: str, slug: str | None = None, country: str | None = None
) -> tuple[Row[Any], bool]:
    """The organisation of this name, and whether it is new. Raises IntegrityError when the slug is another one's."""
    made = await connection.execute(
        text("""insert into organisation (name, slug, category, country) values (:name, :slug, :category, :country)
                on conflict (name) do nothing"""),
        {"name": name, "slug": slug or slug_of(name), "category": category, "country": country},
    )
    query = text(f"select {ORGANISATION} from organisation where name = :name")  # noqa: S608
    return (await connection.execute(query, {"name": name})).one(), made.rowcount == 1


async def ensure_person(
    connection: AsyncConnection, owner: str, name: str, role: str = "member", email: str | None = None
) -> tuple[Row[Any], bool]:
    made = await connection.execute(
        text("""insert into person (organisation, name, role, email) values (cast(:owner as uuid), :name, :role, :email)
                on conflict (organisation, name) do nothing"""),
        {"owner": owner, "name": name, "role": role, "email": email},
    )
    query = text(f"select {PERSON} from person p where organisation = cast(:owner as uuid) and name = :name")  # noqa: S608
    return (await connection.execute(query, {"owner": owner, "name": name})).one(), made.rowcount == 1


async def person(connection: AsyncConnection, identifier: str) -> Row[Any] | None:
    try:
        identifier = str(UUID(identifier))
    except ValueError:
        return None
    query = text(f"select {PERSON} from person p where id = cast(:id as uuid)")  # noqa: S608
    return (await connection.execute(query, {"id": identifier})).first()


async def ensure_service(connection: AsyncConnection, name: str) -> bool:
    made = await connection.execute(
        text("insert into service_account (name) values (:name) on conflict do nothing"), {"name": name}
    )
    return made.rowcount == 1


async def make_key(
    connection: AsyncConnection,
    keyring: Keyring,
    *,
    name: str,
    scopes: Sequence[str],
    owner: str | None = None,
    service: str | None = None,
    purpose: str = "undeclared",
    expires: datetime | None = None,
) -> Minted:
    """A key of a person or of a service account."""
    minted = mint(keyring, "bk")
    await connection.execute(
        text("""insert into api_key (id, hmac, name, person, service, scopes, purpose, expires_at)
                values (:id, :hmac, :name, cast(:person as uuid), :service, :scopes, :purpose, :expires)"""),
        {
            "id": minted.id,
            "hmac": minted.digest,
            "name": name,
            "person": owner,
            "service": service,
            "scopes": sorted(set(scopes)),
            "purpose": purpose,
            "expires": expires,
        },
    )
    return minted


async def keys(
    connection: AsyncConnection, *, owner: str | None = None, of_organisation: str | None = None
) -> Sequence[Row[Any]]:
    """Keys of a person, of an organisation's people, or all."""
    query = text(
        f"""select {KEY}, p.name as person_name, p.organisation::text as organisation
              from api_key k left join person p on p.id = k.person
             where (cast(:owner as uuid) is null or k.person = cast(:owner as uuid))
               and (cast(:organisation as uuid) is null or p.organisation = cast(:organisation as uuid))
             order by k.created_at desc limit 1000"""  # noqa: S608
    )
    return (await connection.execute(query, {"owner": owner, "organisation": of_organisation})).all()


async def key(connection: AsyncConnection, identifier: str) -> Row[Any] | None:
    query = text(
        f"""select {KEY}, p.organisation::text as organisation
              from api_key k left join person p on p.id = k.person where k.id = :id"""  # noqa: S608
    )
    return (await connection.execute(query, {"id": identifier})).first()


async def revoke_key(connection: AsyncConnection, identifier: str) -> None:
    await connection.execute(
        text("update api_key set revoked_at = now() where id = :id and revoked_at is null"), {"id": identifier}
    )


async def revoke_keys_named(
    connection: AsyncConnection, name: str, *, owner: str | None = None, service: str | None = None, but: str = ""
) -> None:
    await connection.execute(
        text("""update api_key set revoked_at = now()
                 where name = :name and revoked_at is null and id <> :but
                   and (person = cast(:person as uuid) or service = :service)"""),
        {"name": name, "person": owner, "service": service, "but": but},
    )
