"""GeoJSON geometries as PostGIS takes them: extended well-known binary."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain
from typing import Any

Geometry = dict[str, Any]

_CODES = {
    "Point": 1,
    "LineString": 2,
    "Polygon": 3,
    "MultiPoint": 4,
    "MultiLineString": 5,
    "MultiPolygon": 6,
    "GeometryCollection": 7,
}
# How deep the positions of a geometry lie in its coordinates.
_DEPTHS = {"Point": 0, "LineString": 1, "Polygon": 2, "MultiPoint": 1, "MultiLineString": 2, "MultiPolygon": 3}
_PARTS = {4: "Point", 5: "LineString", 6: "Polygon"}
_HEIGHT, _REFERENCED, _WGS84 = 0x80000000, 0x20000000, 4326


class NotClosed(ValueError):
    """A ring of a polygon does not end where it begins."""


def positions(geometry: Geometry) -> list[list[float]]:
    """All positions of a geometry."""
    if geometry["type"] == "GeometryCollection":
        return [position for inner in geometry["geometries"] for position in positions(inner)]
    level: list[Any] = [geometry["coordinates"]]
    for _ in range(_DEPTHS[geometry["type"]]):
        level = list(chain.from_iterable(level))
    return level


def ewkb(geometry: Geometry) -> bytes:
    """A valid geometry of longitudes and latitudes. It has heights when all its positions do. Raises NotClosed."""
    dimensions = 3 if min(map(len, positions(geometry)), default=3) > 2 else 2
    return b"".join(_pieces(geometry, dimensions, outermost=True))


def _pieces(geometry: Geometry, dimensions: int, *, outermost: bool = False) -> Iterator[bytes]:
    code = _CODES[geometry["type"]]
    flagged = code | (_HEIGHT if dimensions == 3 else 0)
    if outermost:
        yield struct.pack("<BII", 1, flagged | _REFERENCED, _WGS84)
    else:
        yield struct.pack("<BI", 1, flagged)
    if code == 7:
        inner = geometry["geometries"]
    elif code in _PARTS:
        inner = [{"type": _PARTS[code], "coordinates": part} for part in geometry["coordinates"]]
    elif code == 1:
        yield _packed([geometry["coordinates"]], dimensions)
        return
    elif code == 2:
        yield _counted(geometry["coordinates"], dimensions)
        return
    else:
        rings = geometry["coordinates"]
        yield struct.pack("<I", len(rings))
        for ring in rings:
            if ring[0][:2] != ring[-1][:2]:
                raise NotClosed
            yield _counted(ring, dimensions)
        return
    yield struct.pack("<I", len(inner))
    for part in inner:
        yield from _pieces(part, dimensions)


def _counted(line: list[list[float]], dimensions: int) -> bytes:
    return struct.pack("<I", len(line)) + _packed(line, dimensions)


def _packed(line: list[list[float]], dimensions: int) -> bytes:
    values = [value for position in line for value in position[:dimensions]]
    return struct.pack(f"<{len(values)}d", *values)
