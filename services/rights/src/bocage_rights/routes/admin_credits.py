"""Credits moved by administrators: transfers and refunds, and the price list."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from bocage_kit.access import Caller
from bocage_kit.identity import Category
from bocage_kit.problems import Problem, not_found
from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights.routes.admin import ADMIN, Text, organisation_for
from bocage_rights.state import State

router = APIRouter(prefix="/rights/admin", tags=["administration"])

_FORBID = ConfigDict(extra="forbid")
Amount = Annotated[Decimal, Field(gt=0, max_digits=16, decimal_places=4)]
JobId = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]


class Transfer(BaseModel):
    """Between two organisations; repeated with the same key it counts once."""

    model_config = _FORBID
    source: Text
    target: Text
    amount: Amount
    reason: Text
    idempotency_key: Text | None = None


class Refund(BaseModel):
    """Of a settled job, after a fault of the platform: at most what was settled, refunds before included."""

    model_config = _FORBID
    job: JobId
    amount: Amount
    reason: Text
    idempotency_key: Text | None = None


class NewTariff(BaseModel):
    """A price from a moment on. Absent process, category or collection: any. Absent price: the more general holds."""

    model_config = _FORBID
    process: Name | None = None
    unit: Literal["job", "megapixels", "area_km2", "cpu_seconds", "output_bytes"]
    category: Category | None = None
    collection: Name | None = None
    price: Annotated[Decimal, Field(ge=0, max_digits=16, decimal_places=4)] | None = None
    valid_from: AwareDatetime | None = None


@router.post("/credits/transfers", status_code=201, dependencies=[Depends(ADMIN)])
async def transfer(given: Transfer, caller: Caller, state: State) -> dict[str, Any]:
    """Move credits from one organisation to another."""
    async with state.engine.begin() as connection:
        source = await organisation_for(connection, caller, given.source)
        target = await organisation_for(connection, caller, given.target)
        values = {"source": source.id, "target": target.id, "amount": given.amount, "reason": given.reason}
        outcome = await _called(
            connection,
            "select credit_transfer(cast(:source as uuid), cast(:target as uuid), :amount, :reason, :key, :person)",
            values | {"key": given.idempotency_key, "person": caller.subject},
        )
        return {
            "outcome": outcome,
            "source": {"organisation": source.id, "balance": await balance(connection, source.id)},
            "target": {"organisation": target.id, "balance": await balance(connection, target.id)},
        }


@router.post("/credits/refunds", status_code=201, dependencies=[Depends(ADMIN)])
async def refund(given: Refund, caller: Caller, state: State) -> dict[str, Any]:
    """Give back what a job cost, or a part of it."""
    async with state.engine.begin() as connection:
        outcome = await _called(
            connection,
            "select credit_refund(cast(:job as uuid), :amount, :reason, :key, :person)",
            {
                "job": given.job, "amount": given.amount, "reason": given.reason, "key": given.idempotency_key,
                "person": caller.subject,
            },
        )  # fmt: skip
        found = await connection.execute(
            text("""select organisation::text from ledger_transaction
                     where job = cast(:job as uuid) and kind = 'settle'"""),
            {"job": given.job},
        )
        owner = found.scalar_one()
        return {
            "outcome": outcome, "job": given.job, "organisation": owner, "balance": await balance(connection, owner)
        }  # fmt: skip


@router.post("/tariffs", status_code=201, dependencies=[Depends(ADMIN)])
async def set_tariff(given: NewTariff, state: State) -> dict[str, Any]:
    """Closes the entry that it follows. Jobs keep the price list of the moment at which they were submitted."""
    async with state.engine.begin() as connection:
        made = await _called(
            connection,
            """select tariff_set(:process, :unit, :category, :collection, cast(:price as numeric),
                                 cast(:valid_from as timestamptz))""",
            given.model_dump(),
        )
    return {"id": made, **given.model_dump(mode="json")}


async def balance(connection: AsyncConnection, organisation: str) -> dict[str, float]:
    row = (await connection.execute(text("select * from balance(cast(:id as uuid))"), {"id": organisation})).one()
    return {name: float(getattr(row, name)) for name in ("available", "reserved", "settled")}


async def _called(connection: AsyncConnection, query: str, values: dict[str, Any]) -> Any:
    try:
        return (await connection.execute(text(query), values)).scalar_one()
    except DBAPIError as error:
        raise refused(error) from error


def refused(error: DBAPIError) -> Exception:
    """What an administrator is told of a move or a limit that the database refuses."""
    match getattr(error.orig, "sqlstate", None):
        case "P0402":
            return Problem(402, "insufficient-credits", "The organisation has less than this available.")
        case "P0404":
            return not_found("What this is to be done to, such as a settled job or an organisation,")
        case "P0409":
            return Problem(409, "idempotency-conflict", "This idempotency key was used for another move.")
        case "P0422":
            return Problem(
                422, "invalid-move", "This cannot be: an amount above what there is, or a date that has passed."
            )
        case "23P01":
            return Problem(409, "exists-already", "There is an entry for exactly this from that moment on.")
        case "23514":
            return Problem(422, "invalid-combination", "These values do not go together; the manual says which do.")
        case _:
            return error
