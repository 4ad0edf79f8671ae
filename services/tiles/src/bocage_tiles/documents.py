"""TileJSON and WMTS of an item."""

from __future__ import annotations

from typing import Annotated, Literal

from bocage_kit.identity import Level
from bocage_kit.urls import public_url
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import Field

from bocage_tiles.admission import AtItem
from bocage_tiles.answers import document
from bocage_tiles.drawing import plan
from bocage_tiles.maps import MATRIX_SET, capabilities, extent, item_url, repeated, tilejson, with_query
from bocage_tiles.parameters import DrawParameters
from bocage_tiles.routing import JSON, XML, new_router, readable


class TileJsonParameters(DrawParameters):
    """How the tiles are drawn, and how they are sent."""

    tile_format: Literal["png", "jpg", "jpeg", "webp"] = "png"
    tile_scale: int = Field(default=1, ge=1, le=4)


async def tile_json(request: Request, at: AtItem, asked: Annotated[TileJsonParameters, Query()]) -> Response:
    sources = await at.sources(asked.assets, Level.TILE)
    await run_in_threadpool(plan, at.parts.datasets, at.parts.stretches, at.assets, sources, asked)
    found = await run_in_threadpool(extent, at.parts.datasets, sources)
    query = repeated(request.query_params.multi_items(), sources, at.token)
    return document(request, at.identity, tilejson(at, found, query, asked.tile_format, asked.tile_scale))


async def wmts_capabilities(request: Request, at: AtItem, asked: Annotated[DrawParameters, Query()]) -> Response:
    sources = await at.sources(asked.assets, Level.TILE)
    drawing = await run_in_threadpool(plan, at.parts.datasets, at.parts.stretches, at.assets, sources, asked)
    found = await run_in_threadpool(extent, at.parts.datasets, sources)
    query = repeated(request.query_params.multi_items(), sources, at.token)
    here = with_query(item_url(at, MATRIX_SET, "WMTSCapabilities.xml"), query)
    legend = None
    if drawing.ramp is not None:
        colours = public_url(at.identity.public_base, "tiles", "colorMaps", drawing.ramp)
        legend = with_query(colours, [("f", "png"), *([("token", at.token)] if at.token else [])])
    return document(request, at.identity, capabilities(at, found, query, here, legend), "application/xml")


def router() -> APIRouter:
    made = new_router()
    item = "/collections/{collection_id}/items/{item_id}"
    readable(
        made,
        f"{item}/{MATRIX_SET}/tilejson.json",
        tile_json,
        operation="tilejson",
        summary="TileJSON 3.0.0 of the item's tiles",
        tag="Maps",
        content=JSON,
    )
    for path, operation in ((f"/{MATRIX_SET}/WMTSCapabilities.xml", "wmts"), ("/WMTSCapabilities.xml", "wmts-item")):
        readable(
            made,
            item + path,
            wmts_capabilities,
            operation=operation,
            summary="WMTS 1.0.0 capabilities of the item's tiles",
            tag="Maps",
            content=XML,
        )
    return made
