"""Organisations, people, service accounts and keys in the database; making one that is there gives that one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from bocage_kit.identity import Identity
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights.credentials import Minted, mint
from bocage_rights.keyring import Keyring

PEOPLE_SCOPES = frozenset({"catalogue:write", "catalogue:admin", "jobs:submit", "rights:manage", "admin"})

ROLE_SCOPES = {
    "member": frozenset({"jobs:submit", "catalogue:write"}),
    "referent": frozenset({"jobs:submit", "catalogue:write", "rights:manage"}),
    "representative": frozenset({"jobs:submit", "catalogue:write", "rights:manage"}),
}
"""What a person may do who signs in at a provider; keys say it themselves."""

ORGANISATION = """id::text, name, slug, category, country, state, created_at, representative,
                  verification, verification_by, verification_at, verification_reason,
                  array(select d.domain from email_domain d where d.organisation = organisation.id order by 1)
                      as email_domains"""
PERSON = "p.id::text, p.organisation::text, p.name, p.email, p.kind, p.role, p.state, p.purpose, p.created_at"
KEY = """k.id, k.name, k.person::text, k.service, k.scopes, k.purpose, k.created_at, k.expires_at, k.revoked_at,
         k.last_used_at, k.project, k.made_by"""


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
    connection: AsyncConnection,
    name: str,
    category: str,
    slug: str | None = None,
    country: str | None = None,
    *,
    representative: str | None = None,
    verified: bool = True,
    made_by: str | None = None,
) -> tuple[Row[Any], bool]:
    """The organisation of this name, and whether it is new. Raises IntegrityError when the slug is another one's."""
    made = await connection.execute(
        text("""insert into organisation
                    (name, slug, category, country, representative, verification, verification_by)
                values (:name, :slug, :category, :country, :representative, :verification, :made_by)
                on conflict (name) do nothing"""),
        {
            "name": name,
            "slug": slug or slug_of(name),
            "category": category,
            "country": country,
            "representative": representative,
            "verification": "verified" if verified else "unverified",
            "made_by": made_by,
        },
    )
    query = text(f"select {ORGANISATION} from organisation where name = :name")  # noqa: S608
    return (await connection.execute(query, {"name": name})).one(), made.rowcount == 1


async def set_email_domains(connection: AsyncConnection, organisation: str, domains: Sequence[str]) -> None:
    """These and no others. Raises IntegrityError when one is another organisation's."""
    values = {"id": organisation, "domains": sorted({domain.lower() for domain in domains})}
    await connection.execute(
        text("delete from email_domain where organisation = cast(:id as uuid) and domain <> all (:domains)"), values
    )
    await connection.execute(
        text("""insert into email_domain (domain, organisation)
                select d, cast(:id as uuid) from unnest(cast(:domains as text[])) d
                 where not exists (select from email_domain e
                                    where e.domain = d and e.organisation = cast(:id as uuid))"""),
        values,
    )


async def verify_organisation(connection: AsyncConnection, organisation: str, state: str, reason: str, by: str) -> None:
    await connection.execute(
        text("""update organisation set verification = :state, verification_reason = :reason, verification_by = :by,
                       verification_at = now() where id = cast(:id as uuid)"""),
        {"id": organisation, "state": state, "reason": reason, "by": by},
    )


async def ensure_person(
    connection: AsyncConnection,
    owner: str,
    name: str,
    role: str = "member",
    email: str | None = None,
    *,
    kind: str = "person",
    purpose: str = "undeclared",
    state: str = "active",
) -> tuple[Row[Any], bool]:
    made = await connection.execute(
        text("""insert into person (organisation, name, role, email, kind, purpose, state)
                values (cast(:owner as uuid), :name, :role, :email, :kind, :purpose, :state)
                on conflict (organisation, name) do nothing"""),
        {
            "owner": owner, "name": name, "role": role, "email": email, "kind": kind, "purpose": purpose,
            "state": state,
        },
    )  # fmt: skip
    query = text(f"select {PERSON} from person p where organisation = cast(:owner as uuid) and name = :name")  # noqa: S608
    return (await connection.execute(query, {"owner": owner, "name": name})).one(), made.rowcount == 1


async def person(connection: AsyncConnection, identifier: str) -> Row[Any] | None:
    try:
        identifier = str(UUID(identifier))
    except ValueError:
        return None
    query = text(f"select {PERSON} from person p where id = cast(:id as uuid)")  # noqa: S608
    return (await connection.execute(query, {"id": identifier})).first()


async def erase_person(connection: AsyncConnection, identifier: str) -> None:
    """Deletes the row that says who it was; what the person did stays under an id that names nobody."""
    await connection.execute(text("delete from person where id = cast(:id as uuid)"), {"id": identifier})


async def forget_logins(connection: AsyncConnection, identifier: str) -> None:
    await connection.execute(text("delete from person_login where person = cast(:id as uuid)"), {"id": identifier})


async def contacts(connection: AsyncConnection, organisation: str) -> Sequence[Row[Any]]:
    """Whom the people of an organisation may ask: those who manage it."""
    query = text("""select name, role, email from person where organisation = cast(:id as uuid) and state = 'active'
                       and role in ('representative', 'referent') and kind = 'person' order by role, name limit 50""")
    return (await connection.execute(query, {"id": organisation})).all()


async def ensure_service(connection: AsyncConnection, name: str) -> bool:
    made = await connection.execute(
        text("insert into service_account (name) values (:name) on conflict do nothing"), {"name": name}
    )
    return made.rowcount == 1


class Revoked(Exception):
    """The key that makes a key is no longer good."""


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
    project: str | None = None,
    made_by: str | None = None,
) -> Minted:
    """A key of a person or of a service account; `made_by`: the credential that asks for it.

    Raises Revoked when that is a key which has been revoked meanwhile: it must leave nothing behind.
    """
    maker = await connection.execute(
        text("select id, revoked_at from api_key where id = :id for share"), {"id": made_by}
    )
    made_with = maker.one_or_none()
    if made_with is not None and made_with.revoked_at is not None:
        raise Revoked
    minted = mint(keyring, "bk")
    await connection.execute(
        text("""insert into api_key (id, hmac, name, person, service, scopes, purpose, expires_at, project, made_by)
                values (:id, :hmac, :name, cast(:person as uuid), :service, :scopes, :purpose, :expires, :project,
                        :made_by)"""),
        {
            "id": minted.id,
            "hmac": minted.digest,
            "name": name,
            "person": owner,
            "service": service,
            "scopes": sorted(set(scopes)),
            "purpose": purpose,
            "expires": expires,
            "project": project,
            "made_by": made_with.id if made_with else None,
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


async def revoke_key_and_descendants(connection: AsyncConnection, identifier: str, caller: Identity) -> None:
    """The key and, transitively, what it made: of other people those whom the caller manages."""
    await connection.execute(
        text("select revoke_key_and_descendants(:id, :everybody, cast(:organisation as uuid))"),
        {
            "id": identifier,
            "everybody": caller.has("rights:manage"),
            "organisation": None if caller.has("admin") else caller.organisation,
        },
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
