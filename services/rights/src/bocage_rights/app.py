"""The rights service."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator
from importlib.metadata import version

from bocage_kit import problems
from bocage_kit.access import undeclared_routes
from bocage_kit.database import answers, engine, wait_until_ready
from bocage_kit.peers import Peers
from bocage_kit.problems import Problem
from bocage_kit.service import equip
from bocage_kit.store import LocalStore
from fastapi import FastAPI, Request, Response
from sqlalchemy.exc import DataError, OperationalError

from bocage_rights import uploads
from bocage_rights.actor import ActorMiddleware, tell_actor
from bocage_rights.announcements import Announcements
from bocage_rights.audit import Sealer
from bocage_rights.denials import Denials
from bocage_rights.exchange import Exchange
from bocage_rights.keyring import open_keyring
from bocage_rights.object_stores import open_object_stores
from bocage_rights.periodic import every
from bocage_rights.providers import Providers
from bocage_rights.register import Takings
from bocage_rights.routes import (
    account,
    admin,
    admin_credits,
    admin_quotas,
    assets,
    audit,
    credits,
    derivation,
    fixity,
    identity,
    licence_registry,
    licences,
    people,
    quotas,
    recalls,
    registers,
    sas,
    shares,
    signing,
    tile_tokens,
)
from bocage_rights.settings import RightsSettings
from bocage_rights.state import RightsState


def create_app(settings: RightsSettings) -> FastAPI:
    keyring = open_keyring(settings.home / "secrets", settings.public_keys)
    object_stores = open_object_stores(settings.home)
    database = engine(settings.database, name="rights")
    tell_actor(database)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, object]]:
        await wait_until_ready(settings.database)
        announcements = Announcements(settings.database)
        providers = Providers(settings.oidc_issuers, settings.oidc_audience)
        store = LocalStore(settings.store_root)
        listening = asyncio.create_task(announcements.listen())
        sweeping = asyncio.create_task(asyncio.to_thread(uploads.sweep, store))
        takings, denials = Takings(database), Denials(database)
        periodic = [
            asyncio.create_task(every(1.0, "takings", takings.flush)),
            asyncio.create_task(every(1.0, "denials", denials.flush)),
            asyncio.create_task(every(1.0, "seal", Sealer(database))),
        ]
        _end_streams_on_signal(announcements)
        peers = Peers(settings.sockets)
        try:
            state = RightsState(
                settings,
                database,
                keyring,
                Exchange(database, keyring, providers),
                announcements,
                store,
                takings,
                denials,
                object_stores,
                peers,
            )
            yield {"rights": state}
        finally:
            for task in (listening, *periodic):
                task.cancel()
            await asyncio.gather(listening, sweeping, *periodic, return_exceptions=True)
            await peers.close()
            await database.dispose()

    async def health() -> dict[str, object]:
        return {"status": "ok" if await answers(database) else "failing"}

    app = FastAPI(
        title="Bocage rights",
        version=version("bocage-rights"),
        summary="Accounts, keys, licences, credits, tile tokens and assets.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    for module in (
        identity,
        account,
        licences,
        credits,
        quotas,
        tile_tokens,
        admin,
        admin_credits,
        admin_quotas,
        people,
        assets,
        audit,
        registers,
    ):
        app.include_router(module.router)
    for module in (signing, sas, shares, derivation, licence_registry, recalls, fixity):
        app.include_router(module.router)
    app.include_router(audit.peers)
    app.add_middleware(ActorMiddleware)  # before `equip`, so that it runs within: the identity is verified by then
    equip(
        app,
        name="rights",
        version=version("bocage-rights"),
        public_keys=settings.public_keys,
        health=health,
        tokenless=identity.PATHS,
    )

    @app.exception_handler(OperationalError)
    async def on_database_down(request: Request, _error: OperationalError) -> Response:
        problem = Problem(
            503, "database-unavailable", "The database does not answer; try again.", headers={"Retry-After": "2"}
        )
        return problems.response(problem, request.scope.get("state", {}).get("request_id"))

    @app.exception_handler(DataError)
    async def on_impossible_value(request: Request, _error: DataError) -> Response:
        problem = Problem(422, "invalid-request", "A value can be none of its kind, such as a name that holds a NUL.")
        return problems.response(problem, request.scope.get("state", {}).get("request_id"))

    if undeclared := undeclared_routes(app):
        raise RuntimeError(f"routes that do not say who may call them: {undeclared}")
    return app


def _end_streams_on_signal(announcements: Announcements) -> None:
    """An endless stream would hold up a graceful stop: end them when the stop is asked for."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        previous = signal.getsignal(number)
        if not callable(previous):
            continue

        def handler(received: int, frame: object, then: object = previous) -> None:
            loop.call_soon_threadsafe(announcements.end_streams)
            if callable(then):
                then(received, frame)

        signal.signal(number, handler)
