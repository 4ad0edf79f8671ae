"""The audit chain and counted refusals: for administrators. And the refusals themselves, told by the services."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from bocage_kit.access import ANYONE, Caller
from bocage_kit.identity import Identity, Level
from bocage_kit.urls import public_url
from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import audit, denials
from bocage_rights.registry import entries_for
from bocage_rights.required import required
from bocage_rights.routes.admin import ADMIN
from bocage_rights.state import RightsState, State

router = APIRouter(prefix="/rights/admin", tags=["audit"])
peers = APIRouter(include_in_schema=False)
"""On this service's socket only: the gateway routes no such path, so no caller can write refusals."""

From = Annotated[AwareDatetime | None, Query(alias="from", description="inclusive")]
To = Annotated[AwareDatetime | None, Query(alias="to", description="exclusive")]
Plain = r"^[^\x00]*$"


@router.get("/audit", dependencies=[Depends(ADMIN)])
async def list_audit(
    caller: Caller,
    state: State,
    response: Response,
    since: From = None,
    until: To = None,
    kind: audit.Kind | None = None,
    actor: Annotated[str | None, Query(max_length=200, pattern=Plain)] = None,
    after: Annotated[int, Query(ge=0, le=2**62, description="rows younger than this id")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Oldest first. `seq` and `hash` are null until the row is sealed, a second or so after it was written."""
    async with state.engine.connect() as connection:
        rows = await audit.listed(
            connection, after=after, since=since, until=until, kind=kind, actor=actor, limit=limit
        )
    response.headers["Cache-Control"] = "private, no-store"
    links = []
    if len(rows) == limit:
        href = public_url(caller.public_base, "rights", "admin", "audit") + f"?after={rows[-1].id}&limit={limit}"
        links.append({"rel": "next", "href": href})
    names = ("id", "actor", "kind", "action", "target", "detail", "seq", "hash")
    listed = [{name: getattr(row, name) for name in names} | {"at": row.at.isoformat()} for row in rows]
    return {"audit": listed, "links": links}


@router.get("/audit/verification", dependencies=[Depends(ADMIN)])
async def verify_audit(
    state: State,
    head: Annotated[
        str | None, Query(pattern=r"^\d{1,18}:[0-9a-f]{64}$", description="a head noted earlier, as `seq:hash`")
    ] = None,
) -> dict[str, Any]:
    """Recompute the whole chain and name the first row that does not fit."""
    noted = None
    if head is not None:
        seq, _, value = head.partition(":")
        noted = int(seq), value
    async with state.engine.connect() as connection:
        verdict = await audit.verify(connection, noted)
    return {
        "intact": verdict.broken is None,
        "sealed": verdict.sealed,
        "pending": verdict.pending,
        "head": verdict.head,
        "broken": verdict.broken,
    }


@router.get("/denials", dependencies=[Depends(ADMIN)])
async def list_denials(
    state: State,
    since: From = None,
    until: To = None,
    licence: Annotated[str | None, Query(max_length=80, pattern=Plain)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Refused previews, tiles and files by minute, newest first; of the last day unless told otherwise."""
    until = until or datetime.now(UTC) + timedelta(minutes=1)
    async with state.engine.connect() as connection:
        rows = await denials.listed(connection, since or until - timedelta(days=1), until, licence, limit)
    names = ("level", "licence", "reason", "organisation", "category", "count", "sample")
    return {
        "denials": [{name: getattr(row, name) for name in names} | {"minute": row.minute.isoformat()} for row in rows]
    }


@peers.get("/refusals", dependencies=[Depends(ANYONE)])
async def refused(
    caller: Caller,
    state: State,
    licence: Annotated[list[str], Query(min_length=1, max_length=100)],
    level: Literal["preview", "tile", "asset", "job"],
    target: Annotated[str | None, Query(max_length=500)] = None,
) -> dict[str, Any]:
    """A service has refused this caller: what is missing, for its answer; and the refusal is recorded."""
    async with state.engine.begin() as connection:
        known = await entries_for(connection, caller)
        terms = required(known, licence, Level[level.upper()], caller.public_base)
        await record(connection, state, caller, Level[level.upper()], terms, target)
    return {"required_terms": terms}


async def record(
    connection: AsyncConnection,
    state: RightsState,
    caller: Identity,
    level: Level,
    terms: list[dict[str, Any]],
    target: str | None,
) -> None:
    """A refused job is chained; any other refusal is counted."""
    if level is not Level.JOB:
        state.denials.add(caller, level, terms, target)
    elif terms:
        detail = {
            "organisation": caller.organisation,
            "category": caller.category,
            "purpose": caller.purpose,
            "credential": caller.credential,
            "missing": [{"licence": x["licence"], "version": x["version"], "reason": x["reason"]} for x in terms],
        }
        await audit.note(connection, "job", "job.refused", f"job:{target or ''}", detail, caller.subject)
