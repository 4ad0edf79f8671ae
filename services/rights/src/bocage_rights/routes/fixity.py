"""Whether what is stored is still what was stored: for administrators, told while it is found out."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import anyio
from bocage_kit.access import Caller
from bocage_kit.problems import Problem
from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import Receive, Send
from starlette.types import Scope as Scope_

from bocage_rights import audit
from bocage_rights.fixity_run import Run, Scope
from bocage_rights.routes.admin import ADMIN
from bocage_rights.state import RightsState, State

router = APIRouter(prefix="/rights/admin", tags=["fixity"])
_log = logging.getLogger("bocage.rights.fixity")
NDJSON = "application/x-ndjson"
_MEGABYTE = 1_000_000
_LOCK = "hashtextextended('fixity', 9)"
CollectionId = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_.:-]+$")]


class FixityReading(BaseModel):
    """What is to be read."""

    model_config = ConfigDict(extra="forbid")

    collections: list[CollectionId] | None = Field(None, max_length=1000, description="All, without it.")
    since: AwareDatetime | None = Field(None, description="What was found well since then is passed over.")
    rate: float = Field(50, gt=0, le=100_000, description="Megabytes a second at most.")


@router.post(
    "/fixity",
    dependencies=[Depends(ADMIN)],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Lines of JSON: `started`, `finding`, `progress`, and at last `finished` or `failed`.",
            "content": {NDJSON: {"schema": {"type": "string"}}},
        },
        409: {"description": "Another reading goes on."},
    },
)
async def check(body: FixityReading, caller: Caller, state: State) -> StreamingResponse:
    """Read every stored object again, and tell which are not what they were; one reading at a time."""
    connection = await state.engine.connect()
    try:
        held = (await connection.execute(text(f"select pg_try_advisory_lock({_LOCK})"))).scalar_one()
        await connection.commit()
    except BaseException:
        await connection.close()
        raise
    if not held:
        await connection.close()
        raise Problem(409, "fixity-running", "Another reading of the store goes on; wait until it has ended.")
    run = Run(state, Scope(body.collections, body.since, body.rate * _MEGABYTE))
    return _Told(_lines(state, run, caller.subject), connection)


class _Told(StreamingResponse):
    """Lines, after which the lock is let go: also when the client left before the first."""

    def __init__(self, lines: AsyncGenerator[bytes, None], connection: AsyncConnection) -> None:
        super().__init__(lines, media_type=NDJSON, headers={"Cache-Control": "no-store"})
        self._lines, self._connection = lines, connection

    async def __call__(self, scope: Scope_, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._lines.aclose()
                await self._connection.execute(text(f"select pg_advisory_unlock({_LOCK})"))
                await self._connection.commit()
                await self._connection.close()


async def _lines(state: RightsState, run: Run, actor: str) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(run.events()) as events:
            async for event in events:
                yield _line(event)
        detail = {"wrong": run.tally.wrong(), "outcomes": run.tally.outcomes, "bytes": run.tally.bytes}
        async with state.engine.begin() as noted:
            await audit.note(noted, "administration", "fixity.read", "store", detail, actor)
    except Exception as error:
        _log.exception("fixity")
        yield _line({"event": "failed", "reason": type(error).__name__, **run.tally.document()})


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"
