"""The gateway as an application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TypedDict

from bocage_kit import problems
from fastapi import FastAPI

from bocage_gateway import __version__
from bocage_gateway.door import Door, Inside, opened
from bocage_gateway.pages import make_router
from bocage_gateway.settings import GatewaySettings


class State(TypedDict):
    inside: Inside


def create_app(settings: GatewaySettings) -> FastAPI:
    """The gateway. It reaches the services' sockets under `settings.home` only when it runs."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with opened(settings, __version__) as inside:
            yield {"inside": inside}

    app = FastAPI(
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
    app.add_middleware(Door, settings=settings)
    return app
