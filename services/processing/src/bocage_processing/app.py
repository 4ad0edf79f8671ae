"""The processing service: OGC API - Processes over the job table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from bocage_kit import problems
from bocage_kit.database import wait_until_ready
from bocage_kit.peers import Peers
from bocage_kit.problems import Problem
from bocage_kit.service import equip
from bocage_kit.store import LocalStore
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bocage_processing import instances, job_routes, process_routes
from bocage_processing.descriptions import Descriptions
from bocage_processing.patience import DATABASE_AWAY
from bocage_processing.queue import Pool, make_pool, make_queue
from bocage_processing.settings import ProcessingSettings
from bocage_processing.submission import Submissions
from bocage_processing.subprocesses import RunnerFailed

MOST_BODY_BYTES = 1 << 20
_STALE_SECONDS = 5.0


class State(TypedDict):
    """What requests find in `request.state`."""

    pool: Pool
    submissions: Submissions
    descriptions: Descriptions
    settings: ProcessingSettings


class BodyLimit:
    """Refuses bodies that no execute request needs."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                raise HTTPException(413, f"The body is larger than {self.limit} bytes.")
            return message

        await self.app(scope, counted if scope["type"] == "http" else receive, send)


def create_app(settings: ProcessingSettings) -> FastAPI:
    pool = make_pool(settings.database, "bocage-processing")
    descriptions = Descriptions(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        await wait_until_ready(settings.database)
        await pool.open()
        peers = Peers(settings.sockets, settings.secret("processing.key"))
        warming = asyncio.create_task(descriptions.warm())
        submissions = Submissions(settings, pool, make_queue(settings.database), peers, LocalStore(settings.store_root))
        try:
            yield State(pool=pool, submissions=submissions, descriptions=descriptions, settings=settings)
        finally:
            warming.cancel()
            await peers.close()
            await pool.close(2)

    async def health() -> dict[str, object]:
        try:
            async with asyncio.timeout(2), pool.connection() as connection:
                cursor = await connection.execute(
                    "select instance from dispatcher where beat > now() - %s * interval '1 second'", [_STALE_SECONDS]
                )
                beating = [row["instance"] for row in await cursor.fetchall()]
        except (TimeoutError, *DATABASE_AWAY):
            return {"status": "failing", "database": "failing", "dispatcher": "unknown"}
        # A beat is old news: the lock of a dispatcher of this machine tells at once that it died.
        alive = any(not instances.dead(settings.jobs_root, instance) for instance in beating)
        return {"status": "ok" if alive else "failing", "database": "ok", "dispatcher": "ok" if alive else "failing"}

    app = FastAPI(
        title="Bocage: processing", version="1.0.0", lifespan=lifespan, docs_url=None, redoc_url=None,
        openapi_url="/openapi.json", generate_unique_id_function=lambda route: route.name,
    )  # fmt: skip
    app.include_router(process_routes.router)
    app.include_router(job_routes.router)
    app.add_middleware(BodyLimit, limit=MOST_BODY_BYTES)
    equip(
        app, name="processing", version="1.0.0", public_keys=settings.public_keys, health=health, validation_status=400
    )

    async def away(_request: Request, _error: Exception) -> JSONResponse:
        return problems.response(
            Problem(503, "unavailable", "The service is restarting; try again.", headers={"Retry-After": "2"})
        )

    for kind in (*DATABASE_AWAY, RunnerFailed):
        app.add_exception_handler(kind, away)
    return app
