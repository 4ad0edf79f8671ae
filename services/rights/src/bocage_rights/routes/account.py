"""What an account may do, and its keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bocage_kit.access import ACCOUNT, ANYONE, Caller
from bocage_kit.identity import Identity, Purpose
from bocage_kit.problems import Problem, invalid_credential, not_found, quota_exceeded
from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bocage_rights import accounts, standing
from bocage_rights.registry import entries_for
from bocage_rights.state import State

router = APIRouter(prefix="/rights", tags=["account"])


class NewKey(BaseModel):
    """A key of one's own: it can do no more than the key that makes it."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=100)
    scopes: list[str] | None = Field(default=None, description="absent: those of the calling key")
    purpose: Purpose | None = Field(default=None, description="that of the calling key, or `undeclared`")
    expires: AwareDatetime | None = None
    project: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f]*$",
        description="what the use of this key is counted under; absent: that of the calling key",
    )


class Key(BaseModel):
    id: str
    name: str
    scopes: list[str]
    purpose: Purpose
    created: datetime | None = None
    expires: datetime | None = None
    revoked: datetime | None = None
    last_used: datetime | None = None
    project: str | None = None
    made_by: str | None = Field(default=None, description="id of the key that made it")
    current: bool = False


class MintedKey(BaseModel):
    """The secret is shown this once."""

    id: str
    key: str = Field(description="what to send as X-API-Key")
    name: str
    scopes: list[str]
    purpose: Purpose
    expires: datetime | None = None
    project: str | None = None


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
        project=row.project,
        made_by=row.made_by,
        current=row.id == current,
    )


@router.get("/me", dependencies=[Depends(ANYONE)])
async def me(caller: Caller, state: State, request: Request, response: Response) -> dict[str, Any]:
    """Who one is here, what this credential may do, what it may not, and the link that mends it."""
    if caller.tiles is not None:
        raise Problem(403, "tile-token", "A tile token is good for tiles only; use an API key here.")
    async with state.engine.connect() as connection:
        known = await entries_for(connection, caller)
        person = None if caller.anonymous or caller.service else await accounts.person(connection, caller.subject)
        owner = await accounts.organisation(connection, caller.organisation) if caller.organisation else None
    language = standing.preferred_language(request.headers.get("accept-language", ""))
    response.headers["Content-Language"], response.headers["Vary"] = language, "Accept-Language"
    verified = owner is not None and owner.verification == "verified"
    return {
        "subject": caller.subject,
        "name": person.name if person else None,
        "kind": person.kind if person else None,
        "role": person.role if person else None,
        "organisation": (
            {"id": owner.id, "name": owner.name, "category": owner.category, "verified": verified} if owner else None
        ),
        "purpose": caller.purpose,
        "project": caller.project,
        "scopes": sorted(caller.scopes),
        "credential": caller.credential,
        "may": standing.may(caller, known, language),
        "missing": standing.missing(caller, known, language, verified=verified),
        "licences": {licence: entry.level.name.lower() for licence, entry in known.items()},
    }


@router.get("/organisation", dependencies=[Depends(ACCOUNT)])
async def own_organisation(caller: Caller, state: State) -> dict[str, Any]:
    """One's own organisation, whether it is verified, and whom to ask there."""
    identifier = person_organisation(caller)
    async with state.engine.connect() as connection:
        owner = await accounts.organisation(connection, identifier)
        if owner is None:
            raise not_found("The organisation")
        people = await accounts.contacts(connection, owner.id)
    return {
        "id": owner.id,
        "name": owner.name,
        "category": owner.category,
        "country": owner.country,
        "representative": owner.representative,
        "verified": owner.verification == "verified",
        "verification": {"state": owner.verification, "reason": owner.verification_reason},
        "managed_by": [{"name": row.name, "role": row.role, "email": row.email} for row in people],
    }


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
        project = wanted.project or caller.project
        try:
            minted = await accounts.make_key(
                connection,
                state.keyring,
                name=wanted.name,
                scopes=scopes,
                owner=caller.subject,
                purpose=purpose,
                expires=expires,
                project=project,
                made_by=caller.credential,
            )
        except accounts.Revoked as error:
            raise invalid_credential() from error
    response.headers["Cache-Control"] = "no-store"
    return MintedKey(
        id=minted.id,
        key=minted.text,
        name=wanted.name,
        scopes=scopes,
        purpose=purpose,
        expires=expires,
        project=project,
    )


@router.delete("/keys/{key_id}", status_code=204, dependencies=[Depends(ACCOUNT)])
async def revoke_key(key_id: str, caller: Caller, state: State, descendants: bool = False) -> Response:
    """At once; with `descendants` also whatever keys it made, and those made with them.

    Those of other people among them only for who may manage these.
    """
    _person(caller)
    async with state.engine.begin() as connection:
        row = await accounts.key(connection, key_id.replace("\0", ""))
        if row is None or row.person != caller.subject:
            raise not_found(f"The key {key_id}")
        if descendants:
            await accounts.revoke_key_and_descendants(connection, row.id, caller)
        else:
            await accounts.revoke_key(connection, row.id)
    return Response(status_code=204)


def _person(caller: Identity) -> None:
    person_organisation(caller)


def person_organisation(caller: Identity) -> str:
    """The organisation of a caller who is a person with a key of its own."""
    if caller.organisation is None or caller.tiles is not None:
        raise Problem(403, "person-required", "Only a person's own key can do this.")
    return caller.organisation
