"""People and their keys, for administrators and for those who manage an organisation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from bocage_kit.access import Caller
from bocage_kit.identity import Identity, Purpose
from bocage_kit.problems import Problem, invalid_credential, not_found
from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import accounts
from bocage_rights.routes.account import MintedKey, key_document
from bocage_rights.routes.admin import MANAGER, Text, organisation_for
from bocage_rights.state import State

router = APIRouter(prefix="/rights/admin", tags=["administration"])

_FORBID = ConfigDict(extra="forbid")
_OF_THE_PLATFORM = frozenset({"admin", "catalogue:admin"})
Role = Literal["representative", "referent", "member"]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=200)]


class NewPerson(BaseModel):
    model_config = _FORBID
    name: Text
    organisation: Text | None = Field(default=None, description="id, slug or name; absent: one's own")
    role: Role = "member"
    email: Email | None = Field(default=None, description="whoever signs in with it is this person")
    kind: Literal["person", "service"] = Field(
        default="person", description="`service`: an account for machines, such as CI: keys only"
    )
    purpose: Purpose = Field(default="undeclared", description="of whoever signs in; keys have their own")


class PersonChange(BaseModel):
    model_config = _FORBID
    state: Literal["active", "suspended"] | None = None
    role: Role | None = None
    email: Email | None = None
    purpose: Purpose | None = None


class NewKeyFor(BaseModel):
    """A key of a person (id) or of a service account (name)."""

    model_config = _FORBID
    person: Text | None = None
    service: Text | None = None
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    scopes: list[str] = Field(default=[], max_length=20)
    purpose: Purpose = "undeclared"
    expires: AwareDatetime | None = None
    project: Text | None = Field(default=None, description="what the use of this key is counted under")


def person_document(row: Row[Any]) -> dict[str, Any]:
    names = ("id", "organisation", "name", "email", "kind", "role", "state", "purpose")
    return {name: getattr(row, name) for name in names} | {"created": row.created_at.isoformat()}


@router.post("/people", status_code=201, dependencies=[Depends(MANAGER)])
async def create_person(wanted: NewPerson, caller: Caller, state: State, response: Response) -> dict[str, Any]:
    """Idempotent by name within the organisation: 200 when the person is there."""
    if wanted.kind == "service" and (wanted.email is not None or wanted.role != "member"):
        raise Problem(422, "invalid-request", "A service account has no e-mail address, and is a member.")
    async with state.engine.begin() as connection:
        owner = await organisation_for(connection, caller, wanted.organisation)
        row, new = await accounts.ensure_person(
            connection, owner.id, wanted.name, wanted.role, wanted.email, kind=wanted.kind, purpose=wanted.purpose
        )
        if not new and row.kind != wanted.kind:
            raise Problem(409, "exists-otherwise", f"This name is that of a {row.kind}; send another one.")
    if not new:
        response.status_code = 200
    return person_document(row)


@router.get("/people", dependencies=[Depends(MANAGER)])
async def list_people(
    caller: Caller, state: State, organisation: Annotated[str | None, Query()] = None
) -> dict[str, Any]:
    async with state.engine.connect() as connection:
        everyone = organisation is None and caller.has("admin")
        owner = None if everyone else (await organisation_for(connection, caller, organisation)).id
        rows = await connection.execute(
            text(f"""select {accounts.PERSON} from person p
                      where cast(:owner as uuid) is null or organisation = cast(:owner as uuid)
                      order by p.name limit 1000"""),  # noqa: S608
            {"owner": owner},
        )
        return {"people": [person_document(row) for row in rows]}


@router.patch("/people/{person}", dependencies=[Depends(MANAGER)])
async def change_person(person: str, change: PersonChange, caller: Caller, state: State) -> dict[str, Any]:
    """Activate, suspend (keys, tile tokens and logins stop at once), or change role, e-mail or default purpose.

    With an e-mail address, the same one too, logins are forgotten: whoever signs in with it next is this person.
    """
    async with state.engine.begin() as connection:
        row = await accounts.person(connection, person)
        if row is None or not _manages(caller, row.organisation):
            raise not_found(f"The person {person}")
        await _check_not_above(connection, caller, row.id)
        try:
            await connection.execute(
                text("""update person set state = coalesce(:state, state), role = coalesce(:role, role),
                               email = coalesce(:email, email), purpose = coalesce(:purpose, purpose)
                         where id = cast(:id as uuid)"""),
                {"id": row.id, **change.model_dump()},
            )
        except IntegrityError as error:
            raise Problem(
                422, "invalid-request", "A service account has no e-mail address, and is a member."
            ) from error
        if change.email is not None:
            await accounts.forget_logins(connection, row.id)
        changed = await accounts.person(connection, row.id)
        assert changed is not None
    return person_document(changed)


@router.delete("/people/{person}", status_code=204, dependencies=[Depends(MANAGER)])
async def erase_person(person: str, caller: Caller, state: State) -> Response:
    """Forget who a person is: the row with name and e-mail address goes, and with it keys, tile tokens and logins stop.

    What the person did stays, under an id that names nobody any more.
    """
    async with state.engine.begin() as connection:
        row = await accounts.person(connection, person)
        if row is None or not _manages(caller, row.organisation):
            raise not_found(f"The person {person}")
        await _check_not_above(connection, caller, row.id)
        await accounts.erase_person(connection, row.id)
    return Response(status_code=204)


@router.post("/keys", status_code=201, dependencies=[Depends(MANAGER)])
async def create_key(wanted: NewKeyFor, caller: Caller, state: State, response: Response) -> MintedKey:
    """The secret is in this answer and nowhere else."""
    async with state.engine.begin() as connection:
        if (wanted.person is None) == (wanted.service is None):
            raise Problem(422, "invalid-request", "Send either person or service.")
        if wanted.person is not None:
            row = await accounts.person(connection, wanted.person)
            if row is None or not _manages(caller, row.organisation):
                raise not_found(f"The person {wanted.person}")
            await _check_not_above(connection, caller, row.id)
            _check_scopes(caller, wanted.scopes)
        else:
            await _check_service(connection, caller, wanted)
        try:
            minted = await accounts.make_key(
                connection,
                state.keyring,
                name=wanted.name,
                scopes=wanted.scopes,
                owner=wanted.person,
                service=wanted.service,
                purpose=wanted.purpose,
                expires=wanted.expires,
                project=wanted.project,
                made_by=caller.credential,
            )
        except accounts.Revoked as error:
            raise invalid_credential() from error
    response.headers["Cache-Control"] = "no-store"
    return MintedKey(
        id=minted.id,
        key=minted.text,
        name=wanted.name,
        scopes=sorted(set(wanted.scopes)),
        purpose=wanted.purpose,
        expires=wanted.expires,
        project=wanted.project,
    )


@router.get("/keys", dependencies=[Depends(MANAGER)])
async def list_keys(
    caller: Caller, state: State, organisation: Annotated[str | None, Query()] = None
) -> dict[str, Any]:
    async with state.engine.connect() as connection:
        everything = organisation is None and caller.has("admin")
        owner = None if everything else (await organisation_for(connection, caller, organisation)).id
        rows = await accounts.keys(connection, of_organisation=owner)
    return {
        "keys": [
            key_document(row, caller.credential).model_dump(mode="json")
            | {"person": row.person, "person_name": row.person_name, "service": row.service}
            | {"organisation": row.organisation}
            for row in rows
        ]
    }


@router.delete("/keys/{key_id}", status_code=204, dependencies=[Depends(MANAGER)])
async def revoke_key(key_id: str, caller: Caller, state: State, descendants: bool = False) -> Response:
    """At once; with `descendants` also whatever keys it made, and those made with them."""
    async with state.engine.begin() as connection:
        row = await accounts.key(connection, key_id.replace("\0", ""))
        if row is None or not _manages(caller, row.organisation):
            raise not_found(f"The key {key_id}")
        await _check_not_above(connection, caller, row.person)
        if descendants:
            await accounts.revoke_key_and_descendants(connection, row.id, caller)
        else:
            await accounts.revoke_key(connection, row.id)
    return Response(status_code=204)


def _manages(caller: Identity, organisation: str | None) -> bool:
    return caller.has("admin") or (organisation is not None and organisation == caller.organisation)


async def _check_not_above(connection: AsyncConnection, caller: Identity, person: str | None) -> None:
    """Raises Problem 403 when the person holds a scope over the whole platform that the caller lacks.

    A key of an administrator, even one without scopes, would act in the administrator's name.
    """
    if person is None or caller.has("admin"):
        return
    held = {x for row in await accounts.keys(connection, owner=person) if row.revoked_at is None for x in row.scopes}
    if beyond := sorted(x for x in held & _OF_THE_PLATFORM if not caller.has(x)):
        raise Problem(
            403,
            "scope-required",
            f"The person holds {', '.join(beyond)}: only the platform's administrators manage this account.",
            required_scope="admin",
        )


def _check_scopes(caller: Identity, scopes: list[str]) -> None:
    if unknown := sorted(set(scopes) - accounts.PEOPLE_SCOPES):
        known = ", ".join(sorted(accounts.PEOPLE_SCOPES))
        raise Problem(422, "unknown-scope", f"There is no scope {', '.join(unknown)}; there are {known}.")
    if beyond := sorted(x for x in set(scopes) if not caller.has(x)):
        raise Problem(
            403,
            "scope-required",
            f"Nobody gives a scope that they lack: {', '.join(beyond)}.",
            required_scope=beyond[0],
        )


async def _check_service(connection: Any, caller: Identity, wanted: NewKeyFor) -> None:
    if not caller.has("admin"):
        raise not_found(f"The service account {wanted.service}")
    known = await connection.execute(text("select 1 from service_account where name = :name"), {"name": wanted.service})
    if known.first() is None:
        raise not_found(f"The service account {wanted.service}")
    if not all(x.startswith("service:") for x in wanted.scopes):
        raise Problem(422, "unknown-scope", "A service account has scopes service:… only.")
