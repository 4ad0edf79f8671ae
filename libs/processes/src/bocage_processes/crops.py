"""Cuts images down to the ground that an area of interest needs.

CARS 1.3 has a setting for a region of interest, which fails whenever a resolution is given; and it reads whole images
before it looks at it. A cut image keeps its place in the full one as a geotransform without CRS, as crops delivered by
data providers do, so its camera model stays that of the full image.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import rasterio
from pyproj import Transformer
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window
from rasterio.windows import transform as transform_of

from bocage_processes.geomodels import open_raster
from bocage_processes.imagery import SensorImage
from bocage_processes.stereo import StereoPlan

_MARGIN_PX = 128
"""For the epipolar grids, the matching window and the coarse level of the pyramid."""
_LEAST_PX = 400
_WORTH_IT = 0.9
_STRIP_ROWS = 1024
_EDGE_POINTS = 9


def window_for(image: SensorImage, plan: StereoPlan) -> Window:
    """Part of the image that may show the plan's area, at any altitude of its range; all of it without an area."""
    whole = Window(0, 0, image.width, image.height)
    if plan.aoi is None:
        return whole
    west, south, east, north = plan.bounds
    x, y = np.meshgrid(np.linspace(west, east, _EDGE_POINTS), np.linspace(south, north, _EDGE_POINTS))
    lon, lat = Transformer.from_crs(plan.crs, "EPSG:4326", always_xy=True).transform(x, y)
    low, high = plan.altitude_range
    col, row = image.model.project(lon[None], lat[None], np.array([low, high])[:, None, None])
    if not (np.isfinite(col).all() and np.isfinite(row).all()):
        return whole
    left, width = _span(float(col.min()), float(col.max()), image.width)
    top, height = _span(float(row.min()), float(row.max()), image.height)
    if width * height > _WORTH_IT * image.width * image.height:
        return whole
    return Window(left, top, width, height)


def write_crop(image: SensorImage, window: Window, path: Path) -> None:
    """All bands of a window, as a GeoTIFF placed in the full image; strip by strip."""
    with warnings.catch_warnings(), open_raster(image.path) as src:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", width=window.width, height=window.height, count=src.count,
            dtype=src.dtypes[0], nodata=src.nodata, transform=transform_of(window, src.transform), tiled=True,
        ) as dst:  # fmt: skip
            for start in range(0, window.height, _STRIP_ROWS):
                rows = min(_STRIP_ROWS, window.height - start)
                strip = src.read(window=Window(window.col_off, window.row_off + start, window.width, rows))
                dst.write(strip, window=Window(0, start, window.width, rows))


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    """First pixel and count: the range with its margin, no smaller than what matching needs, within the image."""
    grow = max(_MARGIN_PX, (_LEAST_PX - (high - low)) / 2)
    first = int(np.clip(np.floor(low - grow), 0, size - 1))
    last = int(np.clip(np.ceil(high + grow), first, size - 1))
    return first, last - first + 1
