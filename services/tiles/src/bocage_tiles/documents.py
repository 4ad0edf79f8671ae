"""TileJSON and WMTS of an item."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from bocage_kit import language
from bocage_kit.identity import Level
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import Field

from bocage_tiles.admission import Admitted, AtItem
from bocage_tiles.answers import document
from bocage_tiles.assets import Source
from bocage_tiles.drawing import plan
from bocage_tiles.maps import MATRIX_SET, Extent, Listed, capabilities, extent, item_url, repeated, tilejson, with_query
from bocage_tiles.parameters import DrawParameters
from bocage_tiles.routing import JSON, XML, new_router, readable
from bocage_tiles.styles import DEFAULT, DRAWING, Style


class TileJsonParameters(DrawParameters):
    """How the tiles are drawn, and how they are sent."""

    tile_format: Literal["png", "jpg", "jpeg", "webp"] = "png"
    tile_scale: int = Field(default=1, ge=1, le=4)


async def _settled(at: Admitted, asked: DrawParameters) -> tuple[Style | None, tuple[Source, ...]]:
    """The style and the files of what is asked; what can't be drawn is refused here, and not tile by tile."""
    wish = at.drawn(asked)
    sources = await at.sources(wish.assets, Level.TILE)
    await run_in_threadpool(plan, at.parts.datasets, at.parts.stretches, at.described, sources, wish)
    return at.style(asked), sources


def _within(found: Extent, style: Style | None) -> Extent:
    """The zooms that the style is meant for, where it says so."""
    if style is None or style.zooms is None:
        return found
    least, most = max(found.minzoom, style.zooms[0]), min(found.maxzoom, style.zooms[1])
    return replace(found, minzoom=least, maxzoom=most) if least <= most else found


async def tile_json(request: Request, at: AtItem, asked: Annotated[TileJsonParameters, Query()]) -> Response:
    style, sources = await _settled(at, asked)
    found = _within(await run_in_threadpool(extent, at.parts.datasets, sources), style)
    name = None if style is None else style.name
    query = repeated(at, request.query_params.multi_items(), name, [source.name for source in sources])
    return document(request, at.identity, tilejson(at, found, query, asked.tile_format, asked.tile_scale))


async def wmts_capabilities(request: Request, at: AtItem, asked: Annotated[DrawParameters, Query()]) -> Response:
    style, sources = await _settled(at, asked)
    pairs = request.query_params.multi_items()
    tongue = language.of_scope(request.scope)
    names = [source.name for source in sources]
    query = repeated(at, pairs, None if style is None else style.name, names)
    if style is None or not DRAWING.isdisjoint(at.explicit):
        # What the client made up itself is one style, whatever else there is.
        legend = with_query(item_url(at, "legend.png"), query)
        chosen = [Listed(style.name if style else DEFAULT, _title(at, style, tongue), legend, True)]
        layer, template = "+".join(names), with_query(_tile_template(at), query)
    else:
        usable = {other.name: at.usable(other, Level.TILE) for other in at.found.styles.values()}
        sources = tuple({each: None for name in (style.name, *usable) for each in usable.get(name, ())} or sources)
        rest = [pair for pair in query if pair[0] != "style"]
        chosen = [
            Listed(
                name,
                _title(at, at.found.styles[name], tongue),
                with_query(item_url(at, "legend.png"), [("style", name), *rest]),
                name == style.name,
            )
            for name, found in usable.items()
            if found or name == style.name
        ]
        template = with_query(_tile_template(at), rest)
        layer, template = "", template + ("&" if rest else "?") + "style={Style}"
    found = await run_in_threadpool(extent, at.parts.datasets, sources)
    here = with_query(item_url(at, MATRIX_SET, "WMTSCapabilities.xml"), query)
    body = capabilities(at, found, _item_title(at, tongue), layer, chosen, template, here)
    return document(request, at.identity, body, "application/xml", by_language=True)


def _tile_template(at: Admitted) -> str:
    return item_url(at, "tiles", MATRIX_SET) + "/{TileMatrix}/{TileCol}/{TileRow}.png"


def _item_title(at: Admitted, tongue: str) -> str:
    properties = at.found.item.get("properties") or {}
    titles = language.texts(properties, "title", language.own_language(properties))
    return language.best(titles, tongue) or at.item_id


def _title(at: Admitted, style: Style | None, tongue: str) -> str:
    if style is None:
        return DEFAULT
    titles = language.texts(style.about, "title", language.own_language(at.found.collection))
    return language.best(titles, tongue) or style.name


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
