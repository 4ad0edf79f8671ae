"""The limits of an account, what is used of them, and statements of use."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from bocage_kit.access import ACCOUNT, Caller
from bocage_kit.problems import Problem
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import metering, uploads
from bocage_rights.routes.account import person_organisation
from bocage_rights.routes.credits import cell, organisation_read
from bocage_rights.state import State

router = APIRouter(prefix="/rights", tags=["quotas"])

Group = Literal["day", "service", "collection", "project", "person"]
OfOrganisation = Annotated[str | None, Query(max_length=200, description="another organisation's: for administrators")]
_COLUMNS = ("requests", "bytes", "jobs", "credits", "km2")
_EXPRESSIONS = {
    "day": "day",
    "service": "service",
    "collection": "collection",
    "project": "project",
    "person": "person",
}
_USED = """
    select day, service, collection, project, person, requests, bytes, 0 as jobs, 0::numeric as credits,
           0::numeric as km2
      from usage_count
     where organisation = cast(:organisation as uuid) and day between :since and :until
    union all
    select (at at time zone 'UTC')::date, 'processing', nullif(array_to_string(collections, ' '), ''), project, person,
           0, 0, 1, credits, km2
      from counted_job
     where organisation = cast(:organisation as uuid) and state = 'settled'
       and at >= cast(:since as date)::timestamp at time zone 'UTC'
       and at < (cast(:until as date) + 1)::timestamp at time zone 'UTC'
"""


@router.get("/quotas", dependencies=[Depends(ACCOUNT)])
async def quotas(caller: Caller, state: State) -> dict[str, Any]:
    """The limits of the account and what is used of them; `state` is `warning` from 80 % on."""
    organisation = person_organisation(caller)
    async with state.engine.connect() as connection:
        stored = await uploads.stored_bytes(connection, organisation)
        row = (
            await connection.execute(
                text("""select (select count(*) from api_key where person::text = :person
                                   and revoked_at is null) as keys,
                               (select count(*) from tile_token where api_key = :key and revoked_at is null
                                   and expires_at > now()) as tokens"""),
                {"person": caller.subject, "key": caller.credential},
            )
        ).one()
        limits = await limits_of(connection, organisation, caller.subject)
    settings = state.settings
    return {
        "quotas": [
            *limits,
            _fixed("stored bytes", settings.max_organisation_bytes, stored, "organisation"),
            _fixed("bytes in one object", settings.max_object_bytes, None, "object"),
            _fixed("keys", settings.max_keys_per_person, row.keys, "person"),
            _fixed("tile tokens", settings.max_tile_tokens_per_key, row.tokens, "key"),
        ]
    }


async def limits_of(connection: AsyncConnection, organisation: str, person: str | None) -> list[dict[str, Any]]:
    rows = await connection.execute(metering.STATE, {"organisation": organisation, "person": person})
    return [
        {
            "name": row.name,
            "limit": float(row.amount),
            "used": float(row.used),
            "left": float(max(row.amount - row.used, 0)),
            "of": row.counted,
            "unit": row.unit,
            "window": row.period,
            "until": row.ends.isoformat(),
            "set_for": row.holder,
            "state": standing(float(row.used), float(row.amount)),
        }
        for row in rows
    ]


def standing(used: float, limit: float) -> Literal["ok", "warning", "exceeded"]:
    """How near a limit is: a warning from 80 % on."""
    if used >= limit:
        return "exceeded"
    return "warning" if used >= 0.8 * limit else "ok"


def _fixed(name: str, limit: int, used: int | None, of: str) -> dict[str, Any]:
    return {"name": name, "limit": limit, "used": used, "of": of, "state": standing(used or 0, limit)}


@router.get(
    "/usage",
    dependencies=[Depends(ACCOUNT)],
    responses={200: {"content": {"application/json": {}, "text/csv": {}}}},
)
async def usage(
    request: Request,
    caller: Caller,
    state: State,
    since: Annotated[date | None, Query(alias="from", description="first day, UTC; 30 days ago by default")] = None,
    until: Annotated[date | None, Query(alias="to", description="last day, UTC; today by default")] = None,
    by: Annotated[list[Group] | None, Query(max_length=5, description="what to group by; `day` by default")] = None,
    organisation: OfOrganisation = None,
) -> Response:
    """What one's organisation used: requests, bytes, and settled jobs on the day of their submission."""
    last = until or datetime.now(UTC).date()
    first = since or last - timedelta(days=30)
    if first > last or (last - first).days > 3660:
        raise Problem(422, "invalid-period", "`from` is at most `to`, and at most ten years before it.")
    groups = list(dict.fromkeys(by or ["day"]))
    columns = ", ".join(_EXPRESSIONS[group] for group in groups)
    async with state.engine.connect() as connection:
        owner = await organisation_read(connection, caller, organisation)
        rows = await connection.execute(
            text(f"""select {columns}, sum(requests) as requests, sum(bytes) as bytes, sum(jobs) as jobs,
                            sum(credits) as credits, sum(km2) as km2
                       from ({_USED}) used group by {columns} order by {columns} limit 10000"""),  # noqa: S608
            {"organisation": owner, "since": first, "until": last},
        )
        used = [_row(dict(row._mapping)) for row in rows]
        months = await connection.execute(
            text("""select to_char(at at time zone 'UTC', 'YYYY-MM') as month, sum(amount) as credits, count(*) as jobs
                      from ledger_transaction
                     where organisation = cast(:id as uuid) and kind in ('settle', 'release')
                     group by 1 order by 1 desc limit 24"""),
            {"id": owner},
        )
        by_month = [{"month": m.month, "credits": float(m.credits), "jobs": m.jobs} for m in months]
        stored = await uploads.stored_bytes(connection, owner)
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
    if "text/csv" in request.headers.get("accept", ""):
        return Response(_sheet(groups, used), media_type="text/csv", headers=headers)
    document = {
        "organisation": owner,
        "from": first.isoformat(),
        "to": last.isoformat(),
        "by": groups,
        "usage": used,
        "months": by_month,
        "stored_bytes": stored,
    }
    return JSONResponse(document, headers=headers)


def _row(values: dict[str, Any]) -> dict[str, Any]:
    if isinstance(values.get("day"), date):
        values["day"] = values["day"].isoformat()
    numbers = {name: int(values[name]) for name in ("requests", "bytes", "jobs")}
    return values | numbers | {name: float(values[name]) for name in ("credits", "km2")}


def _sheet(groups: Sequence[str], rows: list[dict[str, Any]]) -> str:
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow([*groups, *_COLUMNS])
    writer.writerows([cell(row[name]) for name in (*groups, *_COLUMNS)] for row in rows)
    return sheet.getvalue()
