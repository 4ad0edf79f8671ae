"""From the engine's layers to an elevation model: what was seen, measured, filled, rejected; and the ortho on it."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import geometry_mask, shapes
from rasterio.warp import transform_geom
from rasterio.windows import Window
from scipy.ndimage import distance_transform_edt
from shapely.geometry import mapping, shape
from shapely.geometry.polygon import orient
from shapely.ops import unary_union

from bocage_processes.cars import EngineResult
from bocage_processes.edges import upright_walls
from bocage_processes.ortho import Floats, Ortho, project_cells, true_ortho
from bocage_processes.process import EngineFailed, InputRefused
from bocage_processes.stereo import StereoPlan

Bools = NDArray[np.bool_]
OUTSIDE, MEASURED, FILLED, REJECTED = 0, 1, 2, 3
_ENGINE_MEASURED = 1
MIN_VALID_FRACTION = 0.10
MATCHING_MARGIN_PX = 10.0
"""Nearer to an image's edge the matching window (11 pixels) and the filters after it do not fit: not processed."""
_ALTITUDE_SLACK_M = 200.0
_OUTLINE_CELLS = 400
_IMAGES_FOR_WALLS = 3


@dataclass(frozen=True)
class Surface:
    """An elevation model on its grid; all arrays (rows, cols)."""

    heights: Floats
    """Metres above the ellipsoid; NaN = none."""
    validity: NDArray[np.uint8]
    """0 outside, 1 measured, 2 filled, 3 rejected."""
    transform: Affine
    crs: str
    quality: Mapping[str, NDArray[Any]]
    """`performance_map` (uint8 class, 255 none), `ambiguity` (float32, NaN none), where the engine gave them."""
    precision_classes: Mapping[int, tuple[float, float]]
    """Metres, by class of the performance map."""

    @property
    def footprint_cells(self) -> int:
        return int((self.validity != OUTSIDE).sum())

    def fraction(self, kind: int) -> float:
        return float((self.validity == kind).sum() / max(self.footprint_cells, 1))


def read_surface(result: EngineResult, plan: StereoPlan) -> Surface:
    """The engine's elevation, cut to what was asked for and can be seen in stereo.

    Raises `EngineFailed` (`empty-result`), `InputRefused` (`too-few-heights`, `inconsistent-cameras`).
    """
    heights, transform = _heights(result.layers["dsm"])
    filling = _layer(result, "filling", heights.shape)
    measured = np.isfinite(heights) & ((filling == _ENGINE_MEASURED) if filling is not None else True)
    if not measured.any():
        raise EngineFailed("empty-result", "The engine found no height at all.", "Try again, or with other images.")
    wanted = _area_asked(plan, heights.shape, transform)
    footprint = wanted & (seen_in_stereo(heights, transform, plan) | measured)
    validity = np.zeros(heights.shape, np.uint8)
    validity[footprint] = REJECTED
    validity[footprint & np.isfinite(heights)] = FILLED
    validity[footprint & measured] = MEASURED
    if not footprint.any():
        raise InputRefused("aoi-outside", "Nothing was computed in the area of interest.", "Ask for a larger area.")
    heights[~footprint] = np.nan
    rows, cols = np.nonzero(footprint.any(1))[0], np.nonzero(footprint.any(0))[0]
    part = np.s_[int(rows[0]) : int(rows[-1]) + 1, int(cols[0]) : int(cols[-1]) + 1]
    quality, classes = _quality(result, heights.shape, footprint & np.isfinite(heights))
    surface = Surface(
        heights=np.ascontiguousarray(heights[part]),
        validity=np.ascontiguousarray(validity[part]),
        transform=transform @ Affine.translation(float(cols[0]), float(rows[0])),
        crs=plan.crs,
        quality={name: np.ascontiguousarray(values[part]) for name, values in quality.items()},
        precision_classes=classes,
    )
    _check_plausible(surface, plan)
    return surface


def make_ortho(surface: Surface, plan: StereoPlan, *, naive: bool = False) -> tuple[Ortho, list[int]]:
    """True ortho, and the images' indices in the order of its source band: the reference, then the steepest view."""
    others = [index for index in range(len(plan.images)) if index != plan.reference]
    order = [plan.reference, *sorted(others, key=lambda index: plan.views[index].incidence_deg)]
    # two noisy views would make walls of rough ground
    heights = upright_walls(surface.heights) if len(order) >= _IMAGES_FOR_WALLS else surface.heights
    ortho = true_ortho(
        heights,
        np.isfinite(surface.heights),
        surface.transform,
        surface.crs,
        [plan.images[index] for index in order],
        noise_m=plan.expected_precision_m,
        naive=naive,
    )
    return ortho, order


def seen_in_stereo(heights: Floats, transform: Affine, plan: StereoPlan) -> Bools:
    """Cells well within the reference image and another; without a height, at the height of the nearest cell."""
    missing = ~np.isfinite(heights)
    if missing.all():
        return np.zeros(heights.shape, np.bool_)
    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    everywhere = heights[tuple(nearest)]
    inside = {
        index: project_cells(everywhere, transform, plan.crs, plan.images[index]).inside(
            plan.images[index], MATCHING_MARGIN_PX
        )
        for index in {i for pair in plan.pairs for i in (pair.left, pair.right)}
    }
    seen = np.zeros(heights.shape, np.bool_)
    for pair in plan.pairs:
        seen |= inside[pair.left] & inside[pair.right]
    return seen


def lon_lat(surface: Surface) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of all cells' centres, degrees; (rows, cols)."""
    rows, cols = np.indices(surface.heights.shape)
    a, b, left, d, e, top = tuple(surface.transform)[:6]
    x, y = a * (cols + 0.5) + b * (rows + 0.5) + left, d * (cols + 0.5) + e * (rows + 0.5) + top
    lon, lat = Transformer.from_crs(surface.crs, "EPSG:4326", always_xy=True).transform(x, y)
    return lon, lat


def outline(surface: Surface) -> dict[str, Any]:
    """Footprint of the cells that have a height, simplified, without small holes; GeoJSON, EPSG:4326."""
    step = max(1, math.ceil(max(surface.heights.shape) / _OUTLINE_CELLS))
    rows, cols = (-(-n // step) * step for n in surface.heights.shape)
    has = np.zeros((rows, cols), np.bool_)
    has[: surface.heights.shape[0], : surface.heights.shape[1]] = np.isfinite(surface.heights)
    coarse = has.reshape(rows // step, step, cols // step, step).any(axis=(1, 3)).astype(np.uint8)
    transform = surface.transform @ Affine.scale(step)
    cell = abs(surface.transform.a) * step
    parts = [shape(geometry) for geometry, value in shapes(coarse, mask=coarse > 0, transform=transform) if value]
    whole = unary_union(parts).buffer(2 * cell).buffer(-2 * cell)
    largest = max(getattr(whole, "geoms", [whole]), key=lambda part: part.area)
    solid = shape({"type": "Polygon", "coordinates": [mapping(largest)["coordinates"][0]]}).simplify(2 * cell)
    to_geographic = Transformer.from_crs(surface.crs, "EPSG:4326", always_xy=True).transform
    polygon = orient(shapely.transform(solid, to_geographic, interleaved=False))
    return {
        "type": "Polygon",
        "coordinates": [[[round(x, 7), round(y, 7)] for x, y, *_ in polygon.exterior.coords]],
    }


def _heights(path: Path) -> tuple[Floats, Affine]:
    try:
        with rasterio.open(path, driver="GTiff") as src:
            values = src.read(1).astype(np.float32)
            transform, nodata = src.transform, src.nodata
    except (OSError, rasterio.errors.RasterioError) as error:
        raise EngineFailed("empty-result", "The engine's result cannot be read.", "Try again.") from error
    if nodata is not None:
        values[values == np.float32(nodata)] = np.nan
    values[~np.isfinite(values)] = np.nan
    return values, transform


def _layer(result: EngineResult, name: str, wanted: tuple[int, ...]) -> NDArray[Any] | None:
    path = result.layers.get(name)
    if path is None:
        return None
    with rasterio.open(path, driver="GTiff") as src:
        if (src.height, src.width) != wanted:
            return None
        values: NDArray[Any] = src.read(1, window=Window(0, 0, src.width, src.height))
    return values


def _quality(
    result: EngineResult, wanted: tuple[int, ...], known: Bools
) -> tuple[dict[str, NDArray[Any]], dict[int, tuple[float, float]]]:
    layers: dict[str, NDArray[Any]] = {}
    classes: dict[int, tuple[float, float]] = {}
    performance = _layer(result, "performance_map", wanted)
    if performance is not None:
        layers["performance_map"] = np.where(known, performance, 255).astype(np.uint8)
        with rasterio.open(result.layers["performance_map"]) as src:
            classes = _classes(src.tags().get("CLASSES", "{}"))
    ambiguity = _layer(result, "ambiguity", wanted)
    if ambiguity is not None:
        layers["ambiguity"] = np.where(known & (ambiguity != 255), ambiguity, np.nan).astype(np.float32)
    return layers, classes


def _classes(text: str) -> dict[int, tuple[float, float]]:
    """The engine writes `{0: (0, 0.9), …, 6: (3.4, inf)}`."""
    try:
        found = ast.literal_eval(text.replace("inf", "1e999"))
        return {int(key): (float(low), float(high)) for key, (low, high) in found.items()}
    except (ValueError, SyntaxError, TypeError, AttributeError):
        return {}


def _area_asked(plan: StereoPlan, size: tuple[int, ...], transform: Affine) -> Bools:
    if plan.aoi is None:
        return np.ones(size, np.bool_)
    geometry = transform_geom("EPSG:4326", plan.crs, plan.aoi)
    inside: Bools = geometry_mask([geometry], out_shape=size, transform=transform, invert=True)
    return inside


def _check_plausible(surface: Surface, plan: StereoPlan) -> None:
    valid = surface.fraction(MEASURED)
    if valid < MIN_VALID_FRACTION:
        raise InputRefused(
            "too-few-heights",
            f"Only {valid:.1%} of the area could be measured; at least {MIN_VALID_FRACTION:.0%} are needed.",
            "Choose images with less cloud, water, snow or change between them.",
            valid_fraction=valid,
        )
    low, high = plan.altitude_range
    found = surface.heights[surface.validity == MEASURED]
    strange = float(((found < low - _ALTITUDE_SLACK_M) | (found > high + _ALTITUDE_SLACK_M)).mean())
    if strange > 0.5:
        raise InputRefused(
            "inconsistent-cameras",
            "Most heights lie outside the altitudes at which the images overlap: images and RPC models do not match.",
            "Check that each RPC file belongs to its image, and that the images are not copies of one another.",
        )
