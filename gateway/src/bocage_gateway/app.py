"""The gateway as an application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypedDict

from bocage_kit import problems
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from bocage_gateway import __version__
from bocage_gateway.door import Door, Inside, opened
from bocage_gateway.pages import make_router
from bocage_gateway.settings import GatewaySettings


class State(TypedDict):
    inside: Inside


class Gateway(FastAPI):
    """The gateway's own pages, behind the door: what is forwarded never comes to the layers of a web framework."""

    def __init__(self, settings: GatewaySettings, **options: Any) -> None:
        super().__init__(**options)
        self._door = Door(super().__call__, settings=settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._door(scope, receive, send)


def create_app(settings: GatewaySettings) -> FastAPI:
    """The gateway. It reaches the services' sockets under `settings.home` only when it runs."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with opened(settings, __version__) as inside:
            yield {"inside": inside}

    app = Gateway(
        settings,
        title="Bocage",
        version=__version__,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(make_router())
    problems.add_handlers(app)
    return app
