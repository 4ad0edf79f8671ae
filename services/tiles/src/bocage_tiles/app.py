"""The tiles service: pictures and values of the catalogue's rasters, under their licences."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import anyio.to_thread
from bocage_kit import database
from bocage_kit.peers import Peers
from bocage_kit.service import equip
from bocage_kit.store import LocalStore
from fastapi import FastAPI

from bocage_tiles import VERSION, colour_maps, documents, gdal, legend_routes, pictures, readings
from bocage_tiles.admission import Parts
from bocage_tiles.catalogue import Items
from bocage_tiles.drawing import Stretches
from bocage_tiles.raster import Datasets
from bocage_tiles.recalls import Recalls
from bocage_tiles.settings import TilesSettings


class State(TypedDict):
    parts: Parts


def create_app(settings: TilesSettings) -> FastAPI:
    """The application. It refuses to serve in a process whose GDAL could follow references (see `gdal.harden`)."""
    engine = database.engine(settings.database, name="bocage tiles", pool_size=4, statement_timeout_ms=5_000)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        gdal.refuse_unless_hardened()
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.tiles_threads
        await database.wait_until_ready(settings.database)
        datasets = Datasets(settings.tiles_open_datasets)
        peers = Peers(settings.sockets)
        recalls = Recalls(engine)
        await recalls.try_to_read()
        await recalls.read()
        following = asyncio.create_task(recalls.follow())
        yield {
            "parts": Parts(
                items=Items(engine, settings.tiles_item_seconds),
                recalls=recalls,
                store=LocalStore(settings.store_root),
                datasets=datasets,
                stretches=Stretches(datasets),
                peers=peers,
            )
        }
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await peers.close()
        await engine.dispose()

    async def health() -> dict[str, object]:
        reachable = await database.answers(engine)
        return {"status": "ok" if reachable else "failing", "database": "ok" if reachable else "failing"}

    app = FastAPI(
        title="Bocage tiles",
        version=VERSION,
        description="Tiles, maps, legends and values of the catalogue's rasters.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    for module in (pictures, readings, documents, legend_routes, colour_maps):
        app.include_router(module.router())
    equip(app, name="tiles", version=VERSION, public_keys=settings.public_keys, health=health)
    return app
