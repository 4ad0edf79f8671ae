"""Who a verified token is here: the person linked with it, or at a first login the one that it is linked with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bocage_kit.identity import Category, Purpose
from bocage_kit.problems import Problem
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights.accounts import PEOPLE_SCOPES, ROLE_SCOPES, ensure_person
from bocage_rights.bearer import Claims

_PERSON = """select p.id::text as person, p.name, p.role, p.state, p.purpose, o.id::text as organisation,
                    o.name as organisation_name, o.category, o.state as organisation_state
               from person p join organisation o on o.id = p.organisation"""
_LINKED = text(f"{_PERSON} join person_login l on l.person = p.id where l.issuer = :issuer and l.subject = :subject")
_USED = text(
    """update person_login set last_used_at = now() where issuer = :issuer and subject = :subject
          and (last_used_at is null or last_used_at < now() - interval '1 minute')"""
)
# A domain's own organisation alone says who its people are: another one can't claim their addresses. And an address
# that a provider gives to somebody else later does not bring the account of whoever had it before.
_BY_EMAIL = text(
    f"""{_PERSON} where lower(p.email) = lower(:email) and p.kind = 'person'
           and not exists (select from email_domain d
                            where d.domain = :domain and d.organisation <> p.organisation)
           and not exists (select from person_login l where l.person = p.id and l.issuer = :issuer) limit 2"""  # noqa: S608
)
_DOMAIN = text("select organisation::text from email_domain where domain = :domain")


async def linked(connection: AsyncConnection, claims: Claims) -> Row[Any] | None:
    values = {"issuer": claims.issuer, "subject": claims.subject}
    row = (await connection.execute(_LINKED, values)).one_or_none()
    if row is not None:
        await connection.execute(_USED, values)
    return row


Unknown = Literal["account-unknown", "account-ambiguous"]


async def first_login(connection: AsyncConnection, claims: Claims, email: str | None) -> Row[Any] | Unknown:
    """Link the bearer with the person of this verified e-mail, or make a pending one of the domain's organisation."""
    # First logins are rare and wait for each other: two at once must not make two people.
    await connection.execute(text("select pg_advisory_xact_lock(hashtextextended('rights first login', 0))"))
    if (row := await linked(connection, claims)) is not None:
        return row
    if email is None:
        return "account-unknown"
    domain = email.rpartition("@")[2].lower()
    people = (await connection.execute(_BY_EMAIL, {"email": email, "domain": domain, "issuer": claims.issuer})).all()
    if len(people) > 1:
        return "account-ambiguous"
    person = people[0].person if people else await _pending(connection, claims, email, domain)
    if person is None:
        return "account-unknown"
    await connection.execute(
        text("insert into person_login (issuer, subject, person) values (:issuer, :subject, cast(:person as uuid))"),
        {"issuer": claims.issuer, "subject": claims.subject, "person": person},
    )
    return await linked(connection, claims) or "account-unknown"


async def _pending(connection: AsyncConnection, claims: Claims, email: str, domain: str) -> str | None:
    organisation = (await connection.execute(_DOMAIN, {"domain": domain})).scalar_one_or_none()
    if organisation is None:
        return None
    for name in (claims.name or email, email, f"{email} ({claims.subject})"[:200]):
        row, new = await ensure_person(connection, organisation, name, email=email, state="pending")
        if new:
            return str(row.id)
    return None


@dataclass(frozen=True)
class Login:
    """What a signed-in person is to the exchange."""

    person: str
    organisation: str
    category: Category
    purpose: Purpose
    scopes: frozenset[str]
    credential: str


def admitted(row: Row[Any] | Unknown, claims: Claims) -> Login:
    """Raises Problem 403 while the account may do nothing; it says why, and who mends it."""
    if not isinstance(row, Row):
        raise Problem(403, row, _WHY[row])
    if row.state == "pending":
        raise Problem(
            403,
            "account-pending",
            f"Your account waits to be activated: ask the referent of {row.organisation_name}, "
            "or whoever manages its people.",
        )
    if row.state != "active" or row.organisation_state != "active":
        raise Problem(
            403,
            "account-suspended",
            f"Your account at {row.organisation_name} is suspended: ask those who manage its people, "
            "or the operator of this platform.",
        )
    return Login(
        row.person,
        row.organisation,
        row.category,
        row.purpose,
        narrowed(ROLE_SCOPES[row.role], claims.scopes),
        f"login-{row.person}",
    )


def narrowed(own: frozenset[str], asked: frozenset[str]) -> frozenset[str]:
    """The scopes of the role, and of these only those that the token asks for when it asks for any of ours."""
    ours = asked & PEOPLE_SCOPES
    return own & ours if ours else own


_WHY: dict[Unknown, str] = {
    "account-unknown": "You are known to your provider, not to this platform: ask those who manage your organisation "
    "to add you with your e-mail address, or to have its e-mail domain entered by the operator. "
    "The provider must tell the address and that it is verified.",
    "account-ambiguous": "Several people here have your e-mail address: ask those who manage your organisation to "
    "leave it to one of them.",
}
