"""Areas that are searched in: boxes and GeoJSON geometries, checked, as arguments of PostGIS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import orjson

from bocage_catalogue.refusals import refused
from bocage_catalogue.sql_arguments import Arguments

Box = tuple[float, float, float, float]

MOST_POSITIONS = 10_000
_DEPTHS = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
KINDS = (*_DEPTHS, "GeometryCollection")
_NESTED = 4


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def box(values: Any, at: str = "bbox") -> Box:
    """West, south, east, north of four or six numbers. Raises Problem 400."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) not in (4, 6):
        raise refused(at, "it must hold four or six numbers")
    if not all(_number(value) for value in values):
        raise refused(at, "it must hold finite numbers")
    half = len(values) // 2
    west, south, east, north = values[0], values[1], values[half], values[half + 1]
    if abs(west) > 180 or abs(east) > 180 or abs(south) > 90 or abs(north) > 90:
        raise refused(at, "it must lie within ±180 degrees of longitude and ±90 of latitude")
    if south > north:
        raise refused(at, f"its south {south} lies north of its north {north}")
    if half == 3 and values[2] > values[5]:
        raise refused(at, "its lowest height is above its highest")
    return float(west), float(south), float(east), float(north)


def boxes(given: Box) -> list[Box]:
    """Two when it crosses the antimeridian."""
    west, south, east, north = given
    if west <= east:
        return [given]
    return [(west, south, 180.0, north), (-180.0, south, east, north)]


def _outline(given: Box) -> dict[str, Any]:
    """A box without width or height is a line or a point: as a polygon it would be none."""
    west, south, east, north = given
    if west == east and south == north:
        return {"type": "Point", "coordinates": [west, south]}
    if west == east or south == north:
        return {"type": "LineString", "coordinates": [[west, south], [east, north]]}
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def outline(given: Box) -> dict[str, Any]:
    """A box as a geometry."""
    parts = [_outline(part) for part in boxes(given)]
    if len(parts) == 1:
        return parts[0]
    if all(part["type"] == "Polygon" for part in parts):
        return {"type": "MultiPolygon", "coordinates": [part["coordinates"] for part in parts]}
    return {"type": "GeometryCollection", "geometries": parts}


def box_sql(given: Box, at: str, arguments: Arguments) -> str:
    """A box that does not cross the antimeridian, in SQL."""
    west, south, east, north = given
    if west < east and south < north:
        return arguments.box(*given)
    return arguments.area(geometry(outline(given), at), at, plain=True)


def geometry(value: Any, at: str) -> str:
    """A GeoJSON geometry as text for the database. Raises Problem 400.

    Whether its rings cross themselves, the database says (`catalogue.area`).
    """
    left = _checked(value, at, MOST_POSITIONS, 0)
    if left < 0:
        raise refused(at, f"it has more than {MOST_POSITIONS} positions; simplify it")
    kept = {name: value[name] for name in ("type", "coordinates", "geometries") if name in value}
    return orjson.dumps(kept).decode()


def is_plain(value: dict[str, Any]) -> bool:
    """Whether a geometry that was checked is valid at a glance: no polygon, or a box."""
    if value["type"] == "Polygon":
        rings = value["coordinates"]
        if len(rings) != 1 or len(rings[0]) != 5:
            return False
        corners = [tuple(position[:2]) for position in rings[0][:4]]
        turned = all(sum(a == b for a, b in zip(corners[n], corners[n - 1], strict=True)) == 1 for n in range(4))
        return len(set(corners)) == 4 and turned and corners[0][0] != corners[2][0] and corners[0][1] != corners[2][1]
    return value["type"] not in ("MultiPolygon", "GeometryCollection")


def _checked(value: Any, at: str, left: int, depth: int) -> int:
    """How many positions are left of those that are allowed."""
    if not isinstance(value, dict) or value.get("type") not in KINDS:
        raise refused(at, f"it must be a GeoJSON geometry: {', '.join(KINDS)}")
    kind = value["type"]
    if kind == "GeometryCollection":
        inner = value.get("geometries")
        if not isinstance(inner, list) or not inner or depth >= _NESTED:
            raise refused(f"{at}.geometries", f"it must be a list of geometries, nested at most {_NESTED} deep")
        for place, one in enumerate(inner):
            left = _checked(one, f"{at}.geometries[{place}]", left, depth + 1)
        return left
    return _positions(value.get("coordinates"), f"{at}.coordinates", _DEPTHS[kind], kind, left)


def _positions(value: Any, at: str, depth: int, kind: str, left: int) -> int:
    if not isinstance(value, list) or not value:
        raise refused(at, "it must be a list that is not empty")
    if left < 0:
        return left
    if depth:
        ring = depth == 1 and kind in ("Polygon", "MultiPolygon")
        if ring and (len(value) < 4 or value[0] != value[-1]):
            raise refused(at, "a ring needs four positions or more, and ends where it begins")
        if depth == 1 and kind in ("LineString", "MultiLineString") and len(value) < 2:
            raise refused(at, "a line needs two positions or more")
        for place, inner in enumerate(value):
            left = _positions(inner, f"{at}[{place}]", depth - 1, kind, left)
            if left < 0:
                break
        return left
    if len(value) not in (2, 3) or not all(_number(part) for part in value):
        raise refused(at, "a position needs two or three finite numbers")
    if abs(value[0]) > 180 or abs(value[1]) > 90:
        raise refused(at, "longitudes lie within ±180 and latitudes within ±90 degrees")
    return left - 1
