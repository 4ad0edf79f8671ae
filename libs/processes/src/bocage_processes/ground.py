"""The ground of a computation: its projected CRS, and areas of interest brought into it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError
from shapely.geometry.base import BaseGeometry

from bocage_processes.process import InputRefused
from bocage_processes.rpc import Floats

_MOST_DISTORTION = 0.02
_CRS_REMEDY = "Give a projected CRS in metres made for the place, as EPSG:n, or leave it out for the local UTM zone."
_AOI_REMEDY = "Give a GeoJSON Polygon or MultiPolygon in longitude and latitude (degrees, WGS 84)."


@dataclass(frozen=True)
class Ground:
    """A projected CRS, and the way there and back."""

    epsg: int
    forward: Transformer
    back: Transformer

    def x_y(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
        x, y = self.forward.transform(lon, lat)
        return np.asarray(x), np.asarray(y)

    def lon_lat(self, x: float, y: float) -> tuple[float, float]:
        lon, lat = self.back.transform(x, y)
        return float(lon), float(lat)

    def project(self, geometry: BaseGeometry) -> BaseGeometry:
        # a straight side in degrees is a curve in metres
        fine = shapely.segmentize(geometry, 0.01)
        projected: BaseGeometry = shapely.transform(fine, self.forward.transform, interleaved=False)
        return projected

    def unproject(self, geometry: BaseGeometry) -> BaseGeometry:
        back: BaseGeometry = shapely.transform(geometry, self.back.transform, interleaved=False)
        return back

    def check_distortion(self, area: BaseGeometry) -> None:
        """Refuse a CRS in which a square metre is not one (Web Mercator, a zone far away)."""
        outline = shapely.convex_hull(area)
        true = abs(Geod(ellps="WGS84").geometry_area_perimeter(self.unproject(outline))[0])
        if not abs(outline.area / true - 1) <= _MOST_DISTORTION:
            raise InputRefused(
                "crs-unsuitable",
                f"EPSG:{self.epsg} distorts areas by {abs(outline.area / true - 1):.0%} there.",
                _CRS_REMEDY,
            )


def ground_for(lon: float, lat: float, crs: str | None = None) -> Ground:
    """The CRS asked for, or the UTM zone of a place. Raises `InputRefused`: `crs-unsuitable`."""
    if crs is None:
        if not -80 <= lat <= 84:
            raise InputRefused(
                "crs-unsuitable", "There is no UTM zone so near the pole.", "Give a polar CRS, as EPSG:n."
            )
        epsg = (32600 if lat >= 0 else 32700) + min(60, int((lon + 180) % 360 // 6) + 1)
    else:
        found = re.fullmatch(
            r"(?:EPSG:|http://www\.opengis\.net/def/crs/EPSG/[\w.]+/)(\d{4,6})", crs.strip(), re.IGNORECASE
        )
        if found is None:
            raise InputRefused("crs-unsuitable", "The CRS is not written as EPSG:n.", _CRS_REMEDY)
        epsg = int(found.group(1))
    try:
        target = CRS.from_epsg(epsg)
    except CRSError as error:
        raise InputRefused("crs-unsuitable", f"EPSG:{epsg} is not known.", _CRS_REMEDY) from error
    if (
        not target.is_projected
        or target.is_compound
        or any(axis.unit_conversion_factor != 1 for axis in target.axis_info)
    ):
        raise InputRefused("crs-unsuitable", f"EPSG:{epsg} is not a horizontal CRS in metres.", _CRS_REMEDY)
    return Ground(
        epsg,
        Transformer.from_crs(4326, target, always_xy=True),
        Transformer.from_crs(target, 4326, always_xy=True),
    )


def area_of_interest(aoi: Mapping[str, Any] | None) -> BaseGeometry | None:
    """A GeoJSON polygon, checked; lon, lat. Raises `InputRefused`: `aoi-invalid`."""
    if aoi is None:
        return None
    geometry = aoi.get("geometry") if aoi.get("type") == "Feature" else aoi
    if not isinstance(geometry, Mapping) or geometry.get("type") not in {"Polygon", "MultiPolygon"}:
        raise InputRefused("aoi-invalid", "The area of interest is not a polygon.", _AOI_REMEDY)
    try:
        polygon: BaseGeometry | None = shapely.from_geojson(json.dumps(dict(geometry)), on_invalid="ignore")
    except (TypeError, ValueError):
        polygon = None
    if polygon is None:
        raise InputRefused("aoi-invalid", "The area of interest is not sound GeoJSON.", _AOI_REMEDY)
    polygon = shapely.force_2d(polygon)
    west, south, east, north = polygon.bounds if not polygon.is_empty else (np.nan,) * 4
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise InputRefused("aoi-invalid", "The area of interest is not in longitude and latitude.", _AOI_REMEDY)
    if not polygon.is_valid or polygon.area <= 0:
        raise InputRefused(
            "aoi-invalid", "The outline of the area of interest crosses itself or is empty.", _AOI_REMEDY
        )
    return polygon
