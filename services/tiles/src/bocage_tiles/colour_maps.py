"""The colour ramps as data and as pictures: the legend is made of the very table that colours the tiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from bocage_kit.access import Caller
from bocage_kit.problems import not_found
from bocage_kit.urls import public_url
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from bocage_tiles import ramps
from bocage_tiles.answers import document
from bocage_tiles.drawing import encode
from bocage_tiles.routing import JSON, new_router, readable

Name = Annotated[str, Path(max_length=64)]
Kind = Annotated[Literal["json", "png"], Query(description="`png`: a legend picture.")]
Side = Annotated[int | None, Query(ge=1, le=2048)]


def colour_maps(request: Request, identity: Caller) -> Response:
    listed = [
        {
            "id": name,
            "title": name,
            "links": [
                {
                    "href": public_url(identity.public_base, "tiles", "colorMaps", name),
                    "rel": "item",
                    "type": "application/json",
                    "title": f"The ramp {name}",
                }
            ],
        }
        for name in ramps.names()
    ]
    return document(request, identity, {"colormaps": listed, "colorMaps": [entry["id"] for entry in listed]})


def colour_map(
    request: Request,
    identity: Caller,
    color_map_id: Name,
    f: Kind = "json",
    orientation: Literal["horizontal", "vertical"] = "horizontal",
    width: Side = None,
    height: Side = None,
) -> Response:
    found = ramps.ramp(color_map_id)
    if found is None:
        raise not_found("The ramp")
    if f == "json":
        content = {str(key): list(value) for key, value in found.items()} if isinstance(found, Mapping) else found
        return document(request, identity, content)
    return document(request, identity, _legend(found, orientation == "vertical", width, height), "image/png")


def _legend(found: ramps.Ramp, vertical: bool, width: int | None, height: int | None) -> bytes:
    colours = list(found.values()) if isinstance(found, Mapping) else [colour for _, colour in found]
    long_side, short_side = (height, width) if vertical else (width, height)
    along = np.linspace(0, len(colours) - 1, long_side or 256).round().astype(int)
    strip = np.array(colours, np.uint8)[along]
    picture = np.repeat(strip[None], short_side or 20, axis=0)
    # A vertical legend has its largest value at the top.
    picture = picture[:, ::-1].transpose(1, 0, 2) if vertical else picture
    return encode(np.ascontiguousarray(np.moveaxis(picture, 2, 0)), "png")


def router() -> APIRouter:
    made = new_router()
    readable(
        made,
        "/colorMaps",
        colour_maps,
        operation="colour-maps",
        summary="The colour ramps",
        tag="Legends",
        content=JSON,
    )
    readable(
        made,
        "/colorMaps/{color_map_id}",
        colour_map,
        operation="colour-map",
        summary="A colour ramp, or its legend",
        tag="Legends",
        content={**JSON, "image/png": {"schema": {"type": "string", "format": "binary"}}},
    )
    return made
