"""Tiles and previews of an item's assets."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from bocage_kit.identity import Level
from bocage_kit.problems import Problem
from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from rasterio.crs import CRS

from bocage_tiles.admission import Admitted, AtItem
from bocage_tiles.answers import MEDIA_TYPES, entity_tag, headers_of, not_modified
from bocage_tiles.assets import Source
from bocage_tiles.drawing import draw, encode, plan
from bocage_tiles.maps import MAX_ZOOM, tile_bounds
from bocage_tiles.parameters import DrawParameters, DrawWish, PreviewParameters
from bocage_tiles.raster import Grid, fitted, geographic_bounds
from bocage_tiles.routing import IMAGES, new_router, readable

_TILE_SIZE = 256
_MERCATOR = CRS.from_epsg(3857)
Format = Literal["png", "jpg", "jpeg", "webp"]
Zoom = Annotated[int, Path(ge=0, le=MAX_ZOOM)]
Position = Annotated[int, Path(ge=0, lt=2**MAX_ZOOM)]
Scale = Annotated[int, Path(ge=1, le=4, description="Tiles of 256 × scale pixels.")]


def _format(name: str) -> str:
    return "jpeg" if name in ("jpg", "jpeg") else name


def _draw_tile(
    at: Admitted, sources: tuple[Source, ...], wish: DrawWish, tile: tuple[int, int, int], size: int, kind: str
) -> bytes:
    bounds = tile_bounds(*tile)
    drawing = plan(at.parts.datasets, at.parts.stretches, at.described, sources, wish)
    if not any(_touches(at, source, tile) for source in sources):
        # Clear, not 404: map clients ask again and again for what is missing.
        return encode(np.zeros((4, size, size), np.uint8), kind)
    return encode(draw(at.parts.datasets, drawing, Grid(_MERCATOR, bounds, size, size)), kind)


def _touches(at: Admitted, source: Source, tile: tuple[int, int, int]) -> bool:
    """Whether a tile and an asset overlap, with a pixel to spare."""
    west, south, east, north = geographic_bounds(at.parts.datasets.open(source), source)
    z, x, y = tile
    degrees = 360 / 2**z
    tile_west = x * degrees - 180
    if tile_west > east or tile_west + degrees < west:
        return False
    top, bottom = (np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * (y + down) / 2**z)))) for down in (0, 1))
    return bool(bottom <= north and top >= south)


async def _tile(
    request: Request, at: Admitted, asked: DrawParameters, z: int, x: int, y: int, scale: int, kind: str
) -> Response:
    if x >= 2**z or y >= 2**z:
        raise Problem(404, "outside-matrix", f"At zoom {z}, x and y run from 0 to {2**z - 1}.")
    wish = at.drawn(asked)
    sources = await at.sources(wish.assets, Level.TILE)
    headers = headers_of(at.identity, entity_tag(request, at.found.revision, sources))
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged
    body = await run_in_threadpool(_draw_tile, at, sources, wish, (z, x, y), _TILE_SIZE * scale, _format(kind))
    return Response(body, media_type=MEDIA_TYPES[kind], headers=headers)


def _draw_preview(
    at: Admitted, sources: tuple[Source, ...], wish: DrawWish, asked: PreviewParameters, kind: str
) -> bytes:
    drawing = plan(at.parts.datasets, at.parts.stretches, at.described, sources, wish)
    dataset = at.parts.datasets.open(sources[0])
    width, height = fitted(dataset, asked.max_size)
    if asked.width or asked.height:
        ratio = dataset.width / dataset.height
        width = asked.width or round((asked.height or 1) * ratio)
        height = asked.height or round(width / ratio)
        width, height = (min(max(side, 1), 2048) for side in (width, height))
    return encode(draw(at.parts.datasets, drawing, None, (width, height)), kind)


async def _preview(request: Request, at: Admitted, asked: PreviewParameters, kind: str) -> Response:
    wish = at.drawn(asked)
    sources = await at.sources(wish.assets, Level.PREVIEW)
    headers = headers_of(at.identity, entity_tag(request, at.found.revision, sources))
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged
    body = await run_in_threadpool(_draw_preview, at, sources, wish, asked, _format(kind))
    return Response(body, media_type=MEDIA_TYPES[kind], headers=headers)


Asked = Annotated[DrawParameters, Query()]
AskedPreview = Annotated[PreviewParameters, Query()]


async def tile_scaled_format(
    request: Request, at: AtItem, asked: Asked, z: Zoom, x: Position, y: Position, scale: Scale, format: Format
) -> Response:
    return await _tile(request, at, asked, z, x, y, scale, format)


async def tile_scaled(
    request: Request, at: AtItem, asked: Asked, z: Zoom, x: Position, y: Position, scale: Scale
) -> Response:
    return await _tile(request, at, asked, z, x, y, scale, "png")


async def tile_format(
    request: Request, at: AtItem, asked: Asked, z: Zoom, x: Position, y: Position, format: Format
) -> Response:
    return await _tile(request, at, asked, z, x, y, 1, format)


async def tile(request: Request, at: AtItem, asked: Asked, z: Zoom, x: Position, y: Position) -> Response:
    return await _tile(request, at, asked, z, x, y, 1, "png")


async def preview_format(request: Request, at: AtItem, asked: AskedPreview, format: Format) -> Response:
    return await _preview(request, at, asked, format)


async def preview(request: Request, at: AtItem, asked: AskedPreview) -> Response:
    return await _preview(request, at, asked, "png")


def router() -> APIRouter:
    made = new_router()
    item = "/collections/{collection_id}/items/{item_id}"
    grid = item + "/tiles/WebMercatorQuad/{z}/{x}/"
    for path, endpoint, operation, summary in (
        # The most specific first: `{y}` would swallow what follows it.
        (grid + "{y}@{scale}x.{format}", tile_scaled_format, "tile-scaled-format", "A larger tile in a chosen format"),
        (grid + "{y}@{scale}x", tile_scaled, "tile-scaled", "A larger tile as PNG"),
        (grid + "{y}.{format}", tile_format, "tile-format", "A tile in a chosen format"),
        (grid + "{y}", tile, "tile", "A tile as PNG, clear where the item has no data"),
        (item + "/preview.{format}", preview_format, "preview-format", "A picture of the whole asset, chosen format"),
        (item + "/preview", preview, "preview", "A picture of the whole asset as PNG"),
    ):
        readable(made, path, endpoint, operation=operation, summary=summary, tag="Tiles", content=IMAGES)
    return made
