"""Prices, the balance of one's organisation, and what moved it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Annotated, Any

from bocage_kit.access import ACCOUNT, ANYONE, Caller
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem
from bocage_kit.urls import public_url
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import accounts
from bocage_rights.routes.account import person_organisation
from bocage_rights.state import State

router = APIRouter(prefix="/rights", tags=["credits"])

_COLUMNS = ("id", "at", "kind", "job", "amount", "reserved", "reason", "person")
_ENTRIES = text(
    """select t.id, t.at, t.kind, t.job::text, t.amount, t.reason, t.person,
              (select r.amount from ledger_transaction r where r.job = t.job and r.kind = 'reserve') as reserved
         from ledger_transaction t
        where t.organisation = cast(:organisation as uuid)
          and (cast(:before as bigint) is null or t.id < cast(:before as bigint))
          and (cast(:job as uuid) is null or t.job = cast(:job as uuid))
        order by t.id desc limit :limit"""
)


@router.get("/tariffs", dependencies=[Depends(ANYONE)])
async def tariffs(state: State) -> dict[str, Any]:
    """The price list. A price is the sum over the units, rounded up to 0.01; `job` is counted once a job.

    Null is any; of each unit the most specific entry holds (process, then collection, then category). Of several input
    collections the dearest counts. A job keeps the list of the moment at which it was submitted.
    """
    async with state.engine.connect() as connection:
        rows = await connection.execute(
            text("""select process, collection, category, unit, price, valid_from, valid_to from tariff
                     where valid_to is null or valid_to > now()
                     order by process nulls first, collection nulls first, category nulls first, unit, valid_from""")
        )
        return {
            "tariffs": [
                {
                    "process": row.process,
                    "collection": row.collection,
                    "category": row.category,
                    "unit": row.unit,
                    "price": float(row.price),
                    "valid_from": row.valid_from.isoformat(),
                    "valid_to": row.valid_to.isoformat() if row.valid_to else None,
                }
                for row in rows
            ],
            "rounding": 0.01,
        }


@router.get(
    "/ledger",
    dependencies=[Depends(ACCOUNT)],
    responses={200: {"content": {"application/json": {}, "text/csv": {}}}},
)
async def ledger(
    request: Request,
    caller: Caller,
    state: State,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**62, description="entries older than this id")] = None,
    job: Annotated[str | None, Query(pattern="^[0-9a-fA-F-]{36}$")] = None,
    organisation: Annotated[
        str | None, Query(max_length=200, description="another organisation's: for administrators")
    ] = None,
) -> Response:
    """The balance of the caller's organisation and its transactions, newest first."""
    async with state.engine.connect() as connection:
        named = organisation
        organisation = await organisation_read(connection, caller, named)
        balance = (
            await connection.execute(text("select * from balance(cast(:id as uuid))"), {"id": organisation})
        ).one()
        values = {"organisation": organisation, "before": before, "job": job, "limit": limit}
        rows = (await connection.execute(_ENTRIES, values)).all()
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
    links = []
    if len(rows) == limit:
        href = public_url(caller.public_base, "rights", "ledger") + f"?limit={limit}&before={rows[-1].id}"
        href += f"&job={job}" if job else ""
        href += f"&organisation={organisation}" if named else ""
        links.append({"rel": "next", "href": href})
        headers["Link"] = f'<{href}>; rel="next"'
    if "text/csv" in request.headers.get("accept", ""):
        return Response(_csv(rows), media_type="text/csv", headers=headers)
    document = {
        "organisation": organisation,
        "balance": {name: float(getattr(balance, name)) for name in ("available", "reserved", "settled")},
        "entries": [_entry(row) for row in rows],
        "links": links,
    }
    return JSONResponse(document, headers=headers)


async def organisation_read(connection: AsyncConnection, caller: Identity, reference: str | None) -> str:
    """One's own organisation, or for an administrator the one that is named."""
    if reference is None:
        return person_organisation(caller)
    found = await accounts.organisation(connection, reference)
    if found is None or not (caller.has("admin") or found.id == caller.organisation):
        raise Problem(404, "not-found", f"The organisation {reference} does not exist, or you may not see it.")
    return str(found.id)


def _entry(row: Row[Any]) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _COLUMNS}
    return {
        name: value.isoformat()
        if name == "at"
        else float(value)
        if name in ("amount", "reserved") and value is not None
        else value
        for name, value in values.items()
    }


def _csv(rows: Sequence[Row[Any]]) -> str:
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow(_COLUMNS)
    for row in rows:
        writer.writerow([cell(value) for value in _entry(row).values()])
    return sheet.getvalue()


def cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula is kept a text."""
    return "'" + value if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
