"""Plans and quotas, set by administrators."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from bocage_kit.access import Caller
from bocage_kit.identity import Category, Identity
from bocage_kit.problems import Problem, not_found
from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import accounts
from bocage_rights.routes.admin import ADMIN, Text, organisation_for
from bocage_rights.routes.admin_credits import refused
from bocage_rights.routes.quotas import limits_of
from bocage_rights.state import State

router = APIRouter(prefix="/rights/admin", tags=["administration"])

_FORBID = ConfigDict(extra="forbid")
PlanName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")]


class NewPlan(BaseModel):
    model_config = _FORBID
    name: PlanName
    description: Text


class Assignment(BaseModel):
    """The plan of an organisation or of a person."""

    model_config = _FORBID
    organisation: Text | None = None
    person: UUID | None = None
    reason: Text

    @model_validator(mode="after")
    def one_holder(self) -> Assignment:
        if (self.organisation is None) == (self.person is None):
            raise ValueError("name either an organisation or a person")
        return self


class NewQuota(BaseModel):
    """For exactly one of plan, category, organisation and person. Absent amount: no limit, whatever else holds."""

    model_config = _FORBID
    plan: PlanName | None = None
    category: Category | None = None
    organisation: Text | None = None
    person: UUID | None = None
    counted: Literal["person", "organisation"] = "person"
    unit: Literal["credits", "km2", "bytes", "requests"]
    window: Literal["minute", "day", "month", "quarter"]
    amount: Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=4)] | None = None
    valid_from: AwareDatetime | None = None
    valid_to: AwareDatetime | None = None
    reason: Text

    @model_validator(mode="after")
    def fits_together(self) -> NewQuota:
        if sum(x is not None for x in (self.plan, self.category, self.organisation, self.person)) != 1:
            raise ValueError("name exactly one of plan, category, organisation and person")
        if self.window == "minute" and self.unit in ("credits", "km2"):
            raise ValueError("credits and km2 are limited by day, month or quarter")
        if self.person is not None and self.counted == "organisation":
            raise ValueError("what is set for one person is counted for that person")
        if self.unit in ("bytes", "requests") and self.amount is not None and self.amount % 1:
            raise ValueError("bytes and requests are whole numbers")
        return self


@router.get("/plans", dependencies=[Depends(ADMIN)])
async def list_plans(state: State) -> dict[str, Any]:
    """Plans, and who is on which; everybody else is on `standard`."""
    async with state.engine.connect() as connection:
        plans = await connection.execute(text("select name, description from plan order by name"))
        rows = await connection.execute(
            text("select plan, organisation::text, person::text, reason, at from plan_assignment order by at desc")
        )
        return {
            "plans": [{"name": row.name, "description": row.description} for row in plans],
            "assignments": [{**row._mapping, "at": row.at.isoformat()} for row in rows],
        }


@router.post("/plans", status_code=201, dependencies=[Depends(ADMIN)])
async def create_plan(wanted: NewPlan, state: State, response: Response) -> dict[str, Any]:
    """Idempotent by name. Its limits are quotas of the plan."""
    async with state.engine.begin() as connection:
        made = await connection.execute(
            text("insert into plan (name, description) values (:name, :description) on conflict do nothing"),
            wanted.model_dump(),
        )
    if made.rowcount == 0:
        response.status_code = 200
    return wanted.model_dump()


@router.put("/plans/{plan}/assignment", dependencies=[Depends(ADMIN)])
async def assign(plan: PlanName, given: Assignment, caller: Caller, state: State) -> dict[str, Any]:
    """Put an organisation or a person on a plan, instead of the one before; `standard` is for everybody else."""
    async with state.engine.begin() as connection:
        known = await connection.execute(text("select 1 from plan where name = :plan"), {"plan": plan})
        if known.one_or_none() is None:
            raise not_found(f"The plan {plan}")
        holder = await _holder(connection, caller, given.organisation, given.person)
        await connection.execute(
            text("""delete from plan_assignment
                     where organisation = cast(:organisation as uuid) or person = cast(:person as uuid)"""),
            holder,
        )
        await connection.execute(
            text("""insert into plan_assignment (organisation, person, plan, reason, assigned_by)
                    values (cast(:organisation as uuid), cast(:person as uuid), :plan, :reason, :by)"""),
            holder | {"plan": plan, "reason": given.reason, "by": caller.subject},
        )
    return {"plan": plan, **holder, "reason": given.reason}


@router.post("/quotas", status_code=201, dependencies=[Depends(ADMIN)])
async def set_quota(given: NewQuota, caller: Caller, state: State) -> dict[str, Any]:
    """Set a limit; the one that it follows is closed. It holds within a second."""
    async with state.engine.begin() as connection:
        holder = await _holder(connection, caller, given.organisation, given.person)
        if given.plan is not None:
            known = await connection.execute(text("select 1 from plan where name = :plan"), {"plan": given.plan})
            if known.one_or_none() is None:
                raise not_found(f"The plan {given.plan}")
        try:
            made = await connection.execute(
                text("""select quota_set(:plan, :category, cast(:organisation as uuid), cast(:person as uuid), :counted,
                                         :unit, :window, cast(:amount as numeric), cast(:valid_from as timestamptz),
                                         cast(:valid_to as timestamptz), :reason, :by)"""),
                given.model_dump() | holder | {"by": caller.subject},
            )
        except DBAPIError as error:
            raise refused(error) from error
        return {"id": made.scalar_one(), **given.model_dump(mode="json"), **holder}


@router.delete("/quotas/{quota}", status_code=204, dependencies=[Depends(ADMIN)])
async def close_quota(quota: int, state: State) -> Response:
    """End a limit now, or take one back that is still to come; then the less specific one holds."""
    async with state.engine.begin() as connection:
        try:
            changed = await connection.execute(
                text("""update quota set valid_to = greatest(now(), valid_from + interval '1 microsecond')
                         where id = :id and (valid_to is null or valid_to > now())"""),
                {"id": min(quota, 2**62)},
            )
        except DBAPIError as error:
            raise refused(error) from error
    if changed.rowcount == 0:
        raise not_found(f"A quota in force with the id {quota}")
    return Response(status_code=204)


@router.get("/quotas", dependencies=[Depends(ADMIN)])
async def list_quotas(
    caller: Caller,
    state: State,
    organisation: Annotated[str | None, Query(max_length=200)] = None,
    person: Annotated[UUID | None, Query()] = None,
) -> dict[str, Any]:
    """The quotas in force and to come; of an organisation or a person also what holds for it and what is used."""
    async with state.engine.connect() as connection:
        rows = await connection.execute(
            text("""select id, holder, counted, unit, period as window, amount, valid_from, valid_to, reason, set_by
                      from quota where valid_to is null or valid_to > now() order by holder, unit, period, counted""")
        )
        found: dict[str, Any] = {"quotas": [_document(dict(row._mapping)) for row in rows]}
        if organisation is not None or person is not None:
            holder = await _holder(connection, caller, organisation, person)
            owner = holder["organisation"]
            if holder["person"] is not None:
                row = await accounts.person(connection, holder["person"])
                owner = row.organisation if row else None
            found["limits"] = await limits_of(connection, owner or "", holder["person"])
    return found


@router.get("/quota_warnings", dependencies=[Depends(ADMIN)])
async def list_warnings(state: State, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """Who reached 80 or 100 % of a limit by day, month or quarter, newest first."""
    async with state.engine.connect() as connection:
        rows = await connection.execute(
            text("""select counted, holder, unit, period as window, starts, level, amount, used, at
                      from quota_warning order by at desc, level desc limit :limit"""),
            {"limit": limit},
        )
        return {"quota_warnings": [_document(dict(row._mapping)) for row in rows]}


async def _holder(
    connection: AsyncConnection, caller: Identity, organisation: str | None, person: UUID | None
) -> dict[str, str | None]:
    if organisation is not None:
        return {"organisation": str((await organisation_for(connection, caller, organisation)).id), "person": None}
    if person is not None:
        if await accounts.person(connection, str(person)) is None:
            raise Problem(404, "not-found", f"The person {person} does not exist.")
        return {"organisation": None, "person": str(person)}
    return {"organisation": None, "person": None}


def _document(values: dict[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        if hasattr(value, "isoformat"):
            values[name] = value.isoformat()
        elif isinstance(value, Decimal):
            values[name] = float(value)
    return values
