"""Organisations, licences accepted on paper, credits and service accounts: for administrators."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from bocage_kit.access import Caller, scope
from bocage_kit.identity import Category, Identity, Purpose
from bocage_kit.problems import Problem, not_found
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import acceptances, accounts
from bocage_rights.registry import entries
from bocage_rights.routes.licences import acceptance_document
from bocage_rights.state import State
from bocage_rights.terms import Holder

router = APIRouter(prefix="/rights/admin", tags=["administration"])

ADMIN = scope("admin")
MANAGER = scope("rights:manage")
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")]
Domain = Annotated[str, StringConstraints(to_lower=True, max_length=253, pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")]
Domains = Annotated[list[Domain], Field(max_length=50)]
_FORBID = ConfigDict(extra="forbid")


class NewOrganisation(BaseModel):
    model_config = _FORBID
    name: Text
    category: Category
    slug: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] | None = None
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None
    representative: Text | None = Field(default=None, description="name of its legal representative")
    verified: bool = Field(default=True, description="false: nothing that needs acceptance until it is verified")
    email_domains: Domains | None = Field(default=None, description="whose holders may sign in as its people")


class OrganisationChange(BaseModel):
    """`email_domains` replaces those that are there."""

    model_config = _FORBID
    state: Literal["active", "suspended"] | None = None
    category: Category | None = None
    representative: Text | None = None
    email_domains: Domains | None = None


class Verification(BaseModel):
    model_config = _FORBID
    state: Literal["verified", "unverified", "refused"]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f]*$")]


class PaperAcceptance(BaseModel):
    """A licence accepted for an organisation on a signed paper."""

    model_config = _FORBID
    organisation: Text
    licence: Text
    purpose: Purpose = "undeclared"
    evidence: Text = Field(description="where the signed paper is")


class Credits(BaseModel):
    """Positive: granted; negative: taken back, which is an adjustment. Repeated with the same key and amount it counts
    once."""

    model_config = _FORBID
    organisation: Text
    amount: Decimal = Field(max_digits=18, decimal_places=4)
    kind: Literal["grant", "adjust"] | None = Field(default=None, description="absent: by the sign of the amount")
    reason: Text
    idempotency_key: Text | None = None


class NewService(BaseModel):
    model_config = _FORBID
    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]


async def organisation_for(connection: AsyncConnection, caller: Identity, reference: str | None) -> Row[Any]:
    """The organisation named, if the caller manages it; without a name the caller's own."""
    found = await accounts.organisation(connection, reference or caller.organisation or "")
    if found is None or not (caller.has("admin") or found.id == caller.organisation):
        raise not_found(f"The organisation {reference}")
    return found


def organisation_document(row: Row[Any]) -> dict[str, Any]:
    names = ("id", "name", "slug", "category", "country", "state", "representative", "email_domains")
    verification = {
        "state": row.verification,
        "by": row.verification_by,
        "at": row.verification_at.isoformat(),
        "reason": row.verification_reason,
    }
    return {name: getattr(row, name) for name in names} | {
        "created": row.created_at.isoformat(),
        "verified": row.verification == "verified",
        "verification": verification,
    }


@router.post("/organisations", status_code=201, dependencies=[Depends(ADMIN)])
async def create_organisation(
    wanted: NewOrganisation, caller: Caller, state: State, response: Response
) -> dict[str, Any]:
    """Idempotent by name: 200 when it is there, 409 when it is there and differs.

    An organisation is verified by being made, unless `verified` is false.
    """
    async with state.engine.begin() as connection:
        try:
            row, new = await accounts.ensure_organisation(
                connection,
                wanted.name,
                wanted.category,
                wanted.slug,
                wanted.country,
                representative=wanted.representative,
                verified=wanted.verified,
                made_by=caller.subject,
            )
        except IntegrityError as error:
            raise Problem(409, "slug-taken", "Another organisation has this slug; send another one.") from error
        if not new:
            response.status_code = 200
            check_same(wanted, row)
        elif wanted.email_domains:
            await _set_email_domains(connection, row.id, wanted.email_domains)
            row = await organisation_for(connection, caller, row.id)
    return organisation_document(row)


def check_same(wanted: NewOrganisation, row: Row[Any]) -> None:
    """Raises a 409 when the organisation that is there is not the one that is wanted."""
    for field in ("category", "slug", "country", "representative"):
        if getattr(wanted, field) not in (None, getattr(row, field)):
            raise Problem(409, "exists-otherwise", f"The organisation is there with another {field}.")
    if wanted.email_domains is not None and set(wanted.email_domains) != set(row.email_domains):
        raise Problem(409, "exists-otherwise", "The organisation is there with other email_domains.")
    if "verified" in wanted.model_fields_set and wanted.verified != (row.verification == "verified"):
        raise Problem(
            409, "exists-otherwise", f"The organisation is there, {row.verification}: change that by its verification."
        )


async def _set_email_domains(connection: AsyncConnection, organisation: str, domains: list[str]) -> None:
    try:
        await accounts.set_email_domains(connection, organisation, domains)
    except IntegrityError as error:
        raise Problem(
            409, "domain-taken", "One of these domains is another organisation's, or can be no domain of e-mail."
        ) from error


@router.get("/organisations", dependencies=[Depends(MANAGER)])
async def list_organisations(caller: Caller, state: State) -> dict[str, Any]:
    """All of them for an administrator, one's own for others."""
    async with state.engine.connect() as connection:
        rows = await connection.execute(
            text(f"""select {accounts.ORGANISATION} from organisation
                      where :all or id = cast(:own as uuid) order by name"""),  # noqa: S608
            {"all": caller.has("admin"), "own": caller.organisation},
        )
        return {"organisations": [organisation_document(row) for row in rows]}


@router.get("/organisations/{organisation}", dependencies=[Depends(MANAGER)])
async def one_organisation(organisation: str, caller: Caller, state: State) -> dict[str, Any]:
    """An organisation with its balance."""
    async with state.engine.connect() as connection:
        row = await organisation_for(connection, caller, organisation)
        balance = (await connection.execute(text("select * from balance(cast(:id as uuid))"), {"id": row.id})).one()
    credits = {name: float(getattr(balance, name)) for name in ("available", "reserved", "settled")}
    return organisation_document(row) | {"balance": credits}


@router.patch("/organisations/{organisation}", dependencies=[Depends(ADMIN)])
async def change_organisation(
    organisation: str, change: OrganisationChange, caller: Caller, state: State
) -> dict[str, Any]:
    """Suspend (all its keys stop at once), reactivate, or put into another category."""
    async with state.engine.begin() as connection:
        row = await organisation_for(connection, caller, organisation)
        await connection.execute(
            text("""update organisation set state = coalesce(:state, state), category = coalesce(:category, category),
                           representative = coalesce(:representative, representative)
                     where id = cast(:id as uuid)"""),
            {
                "id": row.id, "state": change.state, "category": change.category,
                "representative": change.representative,
            },
        )  # fmt: skip
        if change.email_domains is not None:
            await _set_email_domains(connection, row.id, change.email_domains)
        return organisation_document(await organisation_for(connection, caller, row.id))


@router.post("/organisations/{organisation}/verification", dependencies=[Depends(ADMIN)])
async def verify_organisation(organisation: str, given: Verification, caller: Caller, state: State) -> dict[str, Any]:
    """Say whether an organisation is what it says. It takes effect at once."""
    async with state.engine.begin() as connection:
        row = await organisation_for(connection, caller, organisation)
        await accounts.verify_organisation(connection, row.id, given.state, given.reason, caller.subject)
        return organisation_document(await organisation_for(connection, caller, row.id))


@router.post("/acceptances", status_code=201, dependencies=[Depends(ADMIN)])
async def accept_on_paper(given: PaperAcceptance, caller: Caller, state: State, response: Response) -> dict[str, Any]:
    """Record that an organisation accepted the version in force on paper. Again: 200, nothing new."""
    async with state.engine.begin() as connection:
        owner = await organisation_for(connection, caller, given.organisation)
        entry = (await entries(connection, Holder(owner.category, given.purpose), owner.id, None)).get(given.licence)
        if entry is None:
            raise not_found(f"The licence {given.licence}")
        if entry.standing == "accepted":
            response.status_code = 200
        else:
            await acceptances.record(
                connection,
                licence=given.licence,
                version=entry.terms.version,
                organisation=owner.id,
                recorded_by=caller.subject,
                text_sha256=entry.sha256["fr"],
                purpose=given.purpose,
                evidence={"paper": given.evidence},
            )
        row = await acceptances.newest(connection, given.licence, owner.id, None, "organisation")
    return acceptance_document(row)


@router.get("/acceptances", dependencies=[Depends(MANAGER)])
async def list_acceptances(
    caller: Caller, state: State, organisation: Annotated[str | None, Query()] = None
) -> dict[str, Any]:
    """What an organisation accepted and withdrew, newest first."""
    async with state.engine.connect() as connection:
        owner = await organisation_for(connection, caller, organisation)
        rows = await acceptances.of_organisation(connection, owner.id)
    return {"acceptances": [acceptance_document(row) for row in rows]}


@router.delete("/acceptances/{organisation}/{licence}", status_code=204, dependencies=[Depends(MANAGER)])
async def withdraw(organisation: str, licence: str, caller: Caller, state: State) -> Response:
    """Withdraw an organisation's acceptance; it takes effect at once."""
    async with state.engine.begin() as connection:
        owner = await organisation_for(connection, caller, organisation)
        if not await acceptances.withdraw(
            connection, licence=licence, organisation=owner.id, recorded_by=caller.subject
        ):
            raise not_found("This acceptance")
    return Response(status_code=204)


@router.post("/credits", status_code=201, dependencies=[Depends(ADMIN)])
async def move_credits(given: Credits, caller: Caller, state: State) -> dict[str, Any]:
    """Grant credits to an organisation, or take some back."""
    if given.amount == 0:
        raise Problem(422, "invalid-amount", "Send an amount above zero to grant, below zero to take back.")
    if given.amount < 0 and given.kind == "grant":
        raise Problem(422, "invalid-amount", "A grant is more than zero; send kind=adjust to take back.")
    function = "credit_grant" if given.amount > 0 and given.kind != "adjust" else "credit_adjust"
    async with state.engine.begin() as connection:
        owner = await organisation_for(connection, caller, given.organisation)
        values = {
            "owner": owner.id,
            "amount": given.amount,
            "reason": given.reason,
            "key": given.idempotency_key,
            "person": caller.subject,
        }
        query = text(f"select {function}(cast(:owner as uuid), :amount, :reason, :key, :person)")
        try:
            outcome = (await connection.execute(query, values)).scalar_one()
        except DBAPIError as error:
            raise _refused(error) from error
        balance = (await connection.execute(text("select * from balance(cast(:id as uuid))"), {"id": owner.id})).one()
    credits = {name: float(getattr(balance, name)) for name in ("available", "reserved", "settled")}
    return {"organisation": owner.id, "outcome": outcome, "balance": credits}


def _refused(error: DBAPIError) -> Exception:
    match getattr(error.orig, "sqlstate", None):
        case "P0402":
            return Problem(402, "insufficient-credits", "The organisation has less than this available.")
        case "P0409":
            return Problem(409, "idempotency-conflict", "This idempotency key was used for another amount.")
        case "P0422":
            return Problem(422, "invalid-amount", "This is no amount that can be moved.")
        case _:
            return error


@router.post("/service_accounts", status_code=201, dependencies=[Depends(ADMIN)])
async def create_service(wanted: NewService, state: State, response: Response) -> dict[str, Any]:
    """Idempotent by name. Its keys are made as those of people are."""
    async with state.engine.begin() as connection:
        if not await accounts.ensure_service(connection, wanted.name):
            response.status_code = 200
    return {"name": wanted.name}


@router.get("/service_accounts", dependencies=[Depends(ADMIN)])
async def list_services(state: State) -> dict[str, Any]:
    async with state.engine.connect() as connection:
        rows = await connection.execute(text("select name, created_at from service_account order by name"))
        return {"service_accounts": [{"name": row.name, "created": row.created_at.isoformat()} for row in rows]}
