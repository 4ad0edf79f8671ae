"""GeoJSON geometries as PostGIS takes them: extended well-known binary."""

from __future__ import annotations

import struct
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
_PARTS = {"MultiPoint": "Point", "MultiLineString": "LineString", "MultiPolygon": "Polygon"}
_HEIGHT, _REFERENCED, _WGS84 = 0x80000000, 0x20000000, 4326
_OUTERMOST, _WITHIN, _COUNT = struct.Struct("<BII"), struct.Struct("<BI"), struct.Struct("<I")


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
    if geometry["type"] == "Polygon" and len(geometry["coordinates"]) == 1:  # as nearly all are
        [ring] = geometry["coordinates"]
        values = list(chain.from_iterable(ring))
        if len(values) == 2 * len(ring):
            if ring[0] != ring[-1]:
                raise NotClosed
            head = (1, _CODES["Polygon"] | _REFERENCED, _WGS84, 1, len(ring))
            return struct.pack(f"<BIIII{len(values)}d", *head, *values)
    dimensions = 3 if min(map(len, positions(geometry)), default=3) > 2 else 2
    code = _code(geometry, dimensions)
    return _OUTERMOST.pack(1, code | _REFERENCED, _WGS84) + _inside(geometry, dimensions)


def _code(geometry: Geometry, dimensions: int) -> int:
    return _CODES[geometry["type"]] | (_HEIGHT if dimensions == 3 else 0)


def _inside(geometry: Geometry, dimensions: int) -> bytes:
    """What follows the head of a geometry."""
    kind = geometry["type"]
    if kind == "GeometryCollection":
        return _parts(geometry["geometries"], dimensions)
    coordinates = geometry["coordinates"]
    if kind in _PARTS:
        return _parts([{"type": _PARTS[kind], "coordinates": part} for part in coordinates], dimensions)
    if kind == "Point":
        return _packed([coordinates], dimensions)
    if kind == "LineString":
        return _counted(coordinates, dimensions)
    made = _COUNT.pack(len(coordinates))
    for ring in coordinates:
        if ring[0][:2] != ring[-1][:2]:
            raise NotClosed
        made += _counted(ring, dimensions)
    return made


def _parts(parts: list[Geometry], dimensions: int) -> bytes:
    made = [_WITHIN.pack(1, _code(part, dimensions)) + _inside(part, dimensions) for part in parts]
    return _COUNT.pack(len(parts)) + b"".join(made)


def _counted(line: list[list[float]], dimensions: int) -> bytes:
    return _COUNT.pack(len(line)) + _packed(line, dimensions)


def _packed(line: list[list[float]], dimensions: int) -> bytes:
    values = [value for position in line for value in position[:dimensions]]
    return struct.pack(f"<{len(values)}d", *values)
