"""What an account may do, and its keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bocage_kit.access import ACCOUNT, ANYONE, Caller
from bocage_kit.identity import Identity, Level, Purpose
from bocage_kit.problems import Problem, not_found, quota_exceeded
from bocage_kit.urls import public_url
from fastapi import APIRouter, Depends, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bocage_rights import accounts
from bocage_rights.registry import Entry, entries_for
from bocage_rights.required import term
from bocage_rights.state import State

router = APIRouter(prefix="/rights", tags=["account"])

_SENTENCES = {
    "catalogue:write": "Write collections and items of your organisation, and upload their files.",
    "catalogue:admin": "Administer the whole catalogue.",
    "jobs:submit": "Submit jobs, paid with your organisation's credits.",
    "rights:manage": "Manage the people, keys and licences of your organisation.",
    "admin": "Administer the platform.",
}
_LEVELS = {
    Level.PREVIEW: "see previews",
    Level.TILE: "see tiles",
    Level.ASSET: "download",
    Level.JOB: "see tiles, download and run jobs",
}
_WHY = {
    "missing": "its terms are not accepted yet",
    "outdated": "its terms have changed and must be accepted anew",
    "purpose": "the declared purpose of this credential is not among those that it allows",
    "category": "it is not open to this category of organisation",
    "embargo": "it is under embargo",
}


class NewKey(BaseModel):
    """A key of one's own: it can do no more than the key that makes it."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=100)
    scopes: list[str] | None = Field(default=None, description="absent: those of the calling key")
    purpose: Purpose | None = Field(default=None, description="that of the calling key, or `undeclared`")
    expires: AwareDatetime | None = None


class Key(BaseModel):
    id: str
    name: str
    scopes: list[str]
    purpose: Purpose
    created: datetime | None = None
    expires: datetime | None = None
    revoked: datetime | None = None
    last_used: datetime | None = None
    current: bool = False


class MintedKey(BaseModel):
    """The secret is shown this once."""

    id: str
    key: str = Field(description="what to send as X-API-Key")
    name: str
    scopes: list[str]
    purpose: Purpose
    expires: datetime | None = None


def key_document(row: Any, current: str | None = None) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        scopes=row.scopes,
        purpose=row.purpose,
        created=row.created_at,
        expires=row.expires_at,
        revoked=row.revoked_at,
        last_used=row.last_used_at,
        current=row.id == current,
    )


@router.get("/me", dependencies=[Depends(ANYONE)])
async def me(caller: Caller, state: State) -> dict[str, Any]:
    """Who one is here, what this credential may do, what it may not, and the link that mends it."""
    if caller.tiles is not None:
        raise Problem(403, "tile-token", "A tile token is good for tiles only; use an API key here.")
    async with state.engine.connect() as connection:
        known = await entries_for(connection, caller)
        person = None if caller.anonymous or caller.service else await accounts.person(connection, caller.subject)
        owner = await accounts.organisation(connection, caller.organisation) if caller.organisation else None
    return {
        "subject": caller.subject,
        "name": person.name if person else None,
        "organisation": {"id": owner.id, "name": owner.name, "category": owner.category} if owner else None,
        "purpose": caller.purpose,
        "scopes": sorted(caller.scopes),
        "credential": caller.credential,
        "may": _may(caller, known),
        "missing": _missing(caller, known),
        "licences": {licence: entry.level.name.lower() for licence, entry in known.items()},
    }


def _may(caller: Identity, known: dict[str, Entry]) -> list[str]:
    sentences = ["Search the catalogue and read the descriptions of everything that is shown to you."]
    for level, sentence in _LEVELS.items():
        names = [entry.titles["en"] for entry in known.values() if entry.level is level]
        if names:
            verb = sentence if not caller.anonymous else sentence.replace(" and run jobs", "")
            sentences.append(f"Of what is under {'; '.join(sorted(names))}: {verb}.")
    return sentences + [_SENTENCES[scope] for scope in sorted(caller.scopes) if scope in _SENTENCES]


def _missing(caller: Identity, known: dict[str, Entry]) -> list[dict[str, Any]]:
    found = []
    for entry in known.values():
        if entry.level is Level.JOB or entry.reason is None:
            continue
        stated = term(entry, entry.terms.licence, caller.public_base)
        why = f"{entry.titles['en']}: {_WHY[entry.reason]}."
        link = stated["accept_url"] if stated["acceptance_mends"] else stated["url"]
        found.append({"what": entry.terms.licence, "why": why, "link": link})
    if caller.anonymous:
        link = public_url(caller.public_base, "rights", "licences")
        found.append({"what": "account", "why": "No credential was sent: send a key as X-API-Key.", "link": link})
    return found


@router.get("/keys", dependencies=[Depends(ACCOUNT)])
async def list_keys(caller: Caller, state: State) -> dict[str, list[Key]]:
    _person(caller)
    async with state.engine.connect() as connection:
        rows = await accounts.keys(connection, owner=caller.subject)
    return {"keys": [key_document(row, caller.credential) for row in rows]}


@router.post("/keys", status_code=201, dependencies=[Depends(ACCOUNT)])
async def create_key(wanted: NewKey, caller: Caller, state: State, response: Response) -> MintedKey:
    _person(caller)
    scopes = sorted(caller.scopes) if wanted.scopes is None else sorted(set(wanted.scopes))
    if unknown := set(scopes) - accounts.PEOPLE_SCOPES:
        raise Problem(422, "unknown-scope", f"There is no scope {', '.join(sorted(unknown))}.")
    if beyond := [scope for scope in scopes if not caller.has(scope)]:
        raise Problem(
            403, "scope-required", f"A key can give no scope that its maker lacks: {', '.join(beyond)}.",
            required_scope=beyond[0],
        )  # fmt: skip
    purpose = wanted.purpose or caller.purpose
    if purpose not in (caller.purpose, "undeclared"):
        raise Problem(
            403,
            "purpose-fixed",
            f"A key of one's own keeps the declared purpose ({caller.purpose}) or declares none; "
            "another one is given by those who manage your organisation.",
        )
    async with state.engine.begin() as connection:
        rows = await accounts.keys(connection, owner=caller.subject)
        if sum(row.revoked_at is None for row in rows) >= state.settings.max_keys_per_person:
            limit = state.settings.max_keys_per_person
            raise quota_exceeded(f"You have {limit} keys already; revoke one.", ["keys"], 60)
        # A key that ends makes none that outlives it.
        ends = [end for row in rows if row.id == caller.credential and (end := row.expires_at) is not None]
        expires = min([*ends, *([wanted.expires] if wanted.expires else [])], default=None)
        minted = await accounts.make_key(
            connection,
            state.keyring,
            name=wanted.name,
            scopes=scopes,
            owner=caller.subject,
            purpose=purpose,
            expires=expires,
        )
    response.headers["Cache-Control"] = "no-store"
    return MintedKey(id=minted.id, key=minted.text, name=wanted.name, scopes=scopes, purpose=purpose, expires=expires)


@router.delete("/keys/{key_id}", status_code=204, dependencies=[Depends(ACCOUNT)])
async def revoke_key(key_id: str, caller: Caller, state: State) -> Response:
    _person(caller)
    async with state.engine.begin() as connection:
        row = await accounts.key(connection, key_id)
        if row is None or row.person != caller.subject:
            raise not_found(f"The key {key_id}")
        await accounts.revoke_key(connection, key_id)
    return Response(status_code=204)


def _person(caller: Identity) -> None:
    person_organisation(caller)


def person_organisation(caller: Identity) -> str:
    """The organisation of a caller who is a person with a key of its own."""
    if caller.organisation is None or caller.tiles is not None:
        raise Problem(403, "person-required", "Only a person's own key can do this.")
    return caller.organisation
