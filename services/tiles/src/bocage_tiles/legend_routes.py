"""Legends of an item as it would be drawn, and of a collection's styles."""

from __future__ import annotations

from typing import Annotated, Literal

from bocage_kit import language
from bocage_kit.access import Caller
from bocage_kit.audience import item_visible
from bocage_kit.identity import Level
from bocage_kit.problems import Problem, not_found
from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field

from bocage_tiles.admission import Admitted, AtItem, CollectionId, parts
from bocage_tiles.answers import document, entity_tag, headers_of, not_modified
from bocage_tiles.assets import Source
from bocage_tiles.catalogue import Found
from bocage_tiles.drawing import bands_of, paint_with, plan
from bocage_tiles.legend_pictures import as_png, as_svg, lay_out
from bocage_tiles.legends import Legend, as_document, legend_of
from bocage_tiles.parameters import DrawParameters, DrawWish
from bocage_tiles.routing import JSON, new_router, readable
from bocage_tiles.styles import DEFAULT, Style, choose_style, styled, unknown_style

Format = Literal["png", "svg", "json"]
_TYPES = {"png": "image/png", "svg": "image/svg+xml", "json": "application/json"}
_PICTURES = {
    **JSON,
    "image/png": {"schema": {"type": "string", "format": "binary"}},
    "image/svg+xml": {"schema": {"type": "string"}},
}


class Sheet(BaseModel):
    """How large the picture is."""

    width: int = Field(default=280, ge=120, le=1024, description="In pixels, before `scale`; the height follows.")
    scale: int = Field(default=1, ge=1, le=3, description="For screens with several points a pixel.")
    language: str | None = Field(
        default=None, max_length=100, description="`en` or `fr`, in the place of the header Accept-Language."
    )


class ItemSheet(DrawParameters, Sheet):
    """The legend of a drawing, and how large its picture is."""


def rendered(legend: Legend, kind: str, tongue: str, sheet: Sheet) -> bytes:
    layout = lay_out(legend, tongue, sheet.width)
    return as_svg(layout, sheet.scale) if kind == "svg" else as_png(layout, sheet.scale)


def _item_legend(at: Admitted, sources: tuple[Source, ...], wish: DrawWish, style: Style | None) -> Legend:
    """The legend of the very drawing that the tiles are made by."""
    drawing = plan(at.parts.datasets, at.parts.stretches, at.described, sources, wish)
    bands = [(layer.source.name, index) for layer in drawing.layers for index in layer.reading.indexes]
    return legend_of(drawing.painting, bands, wish, at.described, style, language.own_language(at.found.collection))


def collection_legend(found: Found, style: Style) -> Legend:
    """The legend of a style by what the collection says, without any file."""
    asked = DrawParameters(style=style.name)
    wish = styled(style, asked, ())
    assets, first = found.described, style.assets[0]
    asset = assets.get(first, {})
    if style.bidx:
        bands = [(first, index) for index in style.bidx]
    elif len(style.assets) > 1:
        bands = [(name, 1) for name in style.assets]
    else:
        bands = [(first, index) for index in ((1, 2, 3) if len(bands_of(asset)) >= 3 else (1,))]
    count = len(style.expression.rstrip("; ").split(";")) if style.expression else len(bands)
    plain = style.expression is None and len(style.assets) == 1 and not style.unscale
    painting = paint_with(wish, count, first if plain else None, asset)
    return legend_of(painting, bands, wish, assets, style, language.own_language(found.collection))


async def item_legend(request: Request, at: AtItem, asked: Annotated[ItemSheet, Query()], format: Format) -> Response:
    style, wish = at.style(asked), at.drawn(asked)
    sources = await at.sources(wish.assets, Level.PREVIEW)
    tongue = language.of_scope(request.scope)
    headers = headers_of(at.identity, entity_tag(request, at.found.revision, sources, tongue), by_language=True)
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged
    legend = await run_in_threadpool(_item_legend, at, sources, wish, style)
    name = DEFAULT if style is None else style.name
    if format == "json":
        return document(request, at.identity, as_document(legend, name, tongue), by_language=True)
    body = await run_in_threadpool(rendered, legend, format, tongue, asked)
    return Response(body, media_type=_TYPES[format], headers=headers)


async def style_legend(
    request: Request,
    collection_id: CollectionId,
    style: Annotated[str, Path(min_length=1, max_length=128)],
    format: Format,
    identity: Caller,
    asked: Annotated[Sheet, Query()],
) -> Response:
    absent = not_found("The collection")
    found = None if "\x00" in collection_id else await parts(request).items.get(collection_id, None, style)
    if found is None or not item_visible(identity, found.collection, {}):
        raise absent
    scope = identity.tiles
    if scope is not None and not (
        collection_id in scope.collections or any(item.startswith(f"{collection_id}/") for item in scope.items)
    ):
        raise Problem(403, "token-scope", "The tile token does not cover this collection; ask for one that names it.")
    if style not in found.styles:
        raise unknown_style(style, found.styles, status=404)
    chosen = choose_style(found.styles, style, ("style",))
    assert chosen is not None
    tongue = language.of_scope(request.scope)
    headers = headers_of(identity, entity_tag(request, found.revision, (), tongue), by_language=True)
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged
    legend = collection_legend(found, chosen)
    if format == "json":
        return document(request, identity, as_document(legend, style, tongue), by_language=True)
    body = await run_in_threadpool(rendered, legend, format, tongue, asked)
    return Response(body, media_type=_TYPES[format], headers=headers)


def router() -> APIRouter:
    made = new_router()
    for path, endpoint, operation, summary in (
        (
            "/collections/{collection_id}/items/{item_id}/legend.{format}",
            item_legend,
            "item-legend",
            "The legend of the item as it is drawn with the same parameters",
        ),
        (
            "/collections/{collection_id}/legends/{style}.{format}",
            style_legend,
            "style-legend",
            "The legend of one of the collection's styles",
        ),
    ):
        readable(made, path, endpoint, operation=operation, summary=summary, tag="Legends", content=_PICTURES)
    return made
