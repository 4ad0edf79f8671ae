"""Who acts in a transaction: told to the database, whose triggers write it into the audit chain."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from bocage_kit.identity import Identity
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Receive, Scope, Send

_acting: ContextVar[str | None] = ContextVar("bocage_actor", default=None)
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class ActorMiddleware:
    """Remembers the caller's subject during a request that may change something. Reading costs nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity: Any = scope.get("state", {}).get("identity")
        if scope["type"] != "http" or scope["method"] in _READING or not isinstance(identity, Identity):
            await self.app(scope, receive, send)
            return
        token = _acting.set(identity.subject)
        try:
            await self.app(scope, receive, send)
        finally:
            _acting.reset(token)


def tell_actor(engine: AsyncEngine) -> None:
    """From now on every transaction of `engine` that is begun on behalf of a caller names that caller."""

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:
        if (actor := _acting.get()) is not None:
            connection.exec_driver_sql("select set_config('bocage.actor', %s, true)", (actor,))
