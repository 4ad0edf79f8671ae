"""Reading pixels: datasets kept open by each thread, warped onto exactly the grid that is asked for.

rio-tiler's own reader cannot be used here: to find its grid it opens a VRT document, a format that this service
switches off. The warp onto a given grid needs none.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from bocage_kit.problems import Problem
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import from_bounds
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform, transform_bounds
from rasterio.windows import Window

from bocage_tiles.assets import Source

WGS84 = CRS.from_epsg(4326)
Bands = np.ma.MaskedArray[Any, Any]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Grid:
    """Pixels to be filled: (west, south, east, north) in `crs`, cut into width × height."""

    crs: CRS
    bounds: Bounds
    width: int
    height: int

    @property
    def transform(self) -> Affine:
        made: Affine = from_bounds(*self.bounds, self.width, self.height)
        return made


@dataclass(frozen=True)
class Reading:
    """How to read: bands counted from 1, another nodata value, resampling, and whether scale and offset apply."""

    indexes: tuple[int, ...]
    nodata: float | None = None
    resampling: Resampling = Resampling.bilinear
    unscale: bool = False


class Datasets:
    """Open datasets, each thread's own: GDAL's handles are not shared between threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._local = threading.local()

    def open(self, source: Source, level: int | None = None) -> DatasetReader:
        """The dataset, or its overview `level`. Raises a 422 problem when the file is no readable GeoTIFF."""
        kept: OrderedDict[tuple[Source, int | None], DatasetReader]
        kept = self._local.__dict__.setdefault("datasets", OrderedDict())
        key = (source, level)
        if key in kept:
            kept.move_to_end(key)
            return kept[key]
        options = {} if level is None else {"overview_level": level}
        with readable(source):
            # Only this driver is tried, whatever the file holds.
            kept[key] = rasterio.open(source.path, driver="GTiff", **options)
        while len(kept) > self._limit:
            kept.popitem(last=False)[1].close()
        return kept[key]


@contextmanager
def readable(source: Source) -> Iterator[None]:
    """Turn GDAL's errors, which name paths, into a problem that names the asset."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError, SystemError) as error:
        # GDAL keeps a thread's last error, and rasterio would raise it at the next look at any other dataset.
        WGS84.to_wkt()
        raise Problem(
            422, "unreadable-raster", f"The asset {source.name} cannot be read as a GeoTIFF; publish a whole one."
        ) from error


def crs_of(dataset: DatasetReader, source: Source) -> CRS:
    if dataset.crs is None:
        raise Problem(
            422,
            "not-georeferenced",
            f"The asset {source.name} has no map coordinates (a raw image with a camera model, perhaps); "
            "it has a preview, but tiles need an ortho-image or an elevation model.",
        )
    return dataset.crs


def geographic_bounds(dataset: DatasetReader, source: Source) -> Bounds:
    """(west, south, east, north) in degrees."""
    with readable(source):
        west, south, east, north = transform_bounds(crs_of(dataset, source), WGS84, *dataset.bounds)
    if west > east:
        # Across the antimeridian: the whole turn holds it.
        west, east = -180.0, 180.0
    return max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0)


def pixel_size(dataset: DatasetReader, target: CRS, source: Source) -> float:
    """Size of a pixel at the middle of the dataset, in units of `target`."""
    x, y = dataset.transform @ (dataset.width / 2, dataset.height / 2)
    right, below = dataset.transform @ (dataset.width / 2 + 1, dataset.height / 2 + 1)
    with readable(source):
        xs, ys = transform(crs_of(dataset, source), target, [x, right], [y, below])
    return math.hypot(xs[1] - xs[0], ys[1] - ys[0]) / math.sqrt(2)


def warp(datasets: Datasets, source: Source, grid: Grid, reading: Reading) -> Bands:
    """(bands, height, width) on `grid`, masked outside the data."""
    dataset = datasets.open(source)
    crs = crs_of(dataset, source)
    with readable(source):
        level = _overview(dataset, crs, grid)
        dataset = dataset if level is None else datasets.open(source, level)
        options: dict[str, Any] = {}
        nodata = reading.nodata if reading.nodata is not None else dataset.nodata
        if nodata is not None:
            options = {"src_nodata": nodata, "nodata": nodata}
        elif ColorInterp.alpha not in dataset.colorinterp:
            options = {"add_alpha": True}
        with WarpedVRT(
            dataset,
            crs=grid.crs,
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            resampling=reading.resampling,
            **options,
        ) as warped:
            values = warped.read(list(reading.indexes))
            outside = warped.dataset_mask() == 0
    return _finished(values, np.broadcast_to(outside, values.shape), dataset, reading)


def _overview(dataset: DatasetReader, crs: CRS, grid: Grid) -> int | None:
    """The coarsest overview that is still finer than `grid`; GDAL's warp would read full resolution."""
    factors = dataset.overviews(1)
    if not factors:
        return None
    step_x = (grid.bounds[2] - grid.bounds[0]) / grid.width
    step_y = (grid.bounds[3] - grid.bounds[1]) / grid.height
    # Scale where the data are: the middle of a far tile may lie outside the dataset's projection.
    middle = dataset.transform @ (dataset.width / 2, dataset.height / 2)
    (x,), (y,) = transform(crs, grid.crs, [middle[0]], [middle[1]])
    xs, ys = transform(grid.crs, crs, [x, x + step_x, x], [y, y, y + step_y])
    steps = [math.hypot(xs[i] - xs[0], ys[i] - ys[0]) for i in (1, 2)]
    if not all(map(math.isfinite, steps)):
        return None
    ratio = min(steps) / min(abs(dataset.res[0]), abs(dataset.res[1]))
    fitting = [level for level, factor in enumerate(factors) if factor <= ratio * 1.01]
    return fitting[-1] if fitting else None


def shrink(datasets: Datasets, source: Source, width: int, height: int, reading: Reading) -> Bands:
    """(bands, height, width): the whole raster in its own geometry, from its overviews."""
    dataset = datasets.open(source)
    with readable(source):
        shape = (len(reading.indexes), height, width)
        values = dataset.read(list(reading.indexes), out_shape=shape, resampling=reading.resampling)
        masks = dataset.read_masks(list(reading.indexes), out_shape=shape)
    outside = masks == 0
    if reading.nodata is not None:
        outside = values == reading.nodata
    return _finished(values, outside, dataset, reading)


def fitted(dataset: DatasetReader, longest: int) -> tuple[int, int]:
    """(width, height) of the dataset shrunk to `longest`, never enlarged."""
    factor = max(dataset.width, dataset.height, longest) / longest
    return max(1, round(dataset.width / factor)), max(1, round(dataset.height / factor))


def at_point(datasets: Datasets, source: Source, longitude: float, latitude: float, reading: Reading) -> Bands:
    """(bands,) at a place. Raises a 404 problem outside the raster."""
    dataset = datasets.open(source)
    with readable(source):
        xs, ys = transform(WGS84, crs_of(dataset, source), [longitude], [latitude])
        column, row = ~dataset.transform @ (xs[0], ys[0])
        inside = math.isfinite(column) and math.isfinite(row)
        if not inside or not (0 <= column < dataset.width and 0 <= row < dataset.height):
            raise Problem(404, "outside", f"The point lies outside the asset {source.name}.")
        window = Window(int(column), int(row), 1, 1)
        indexes = list(reading.indexes)
        values = dataset.read(indexes, window=window)
        masks = dataset.read_masks(indexes, window=window)
    outside = values == reading.nodata if reading.nodata is not None else masks == 0
    return _finished(values, outside, dataset, reading)[:, 0, 0]


def _finished(values: Any, outside: Any, dataset: DatasetReader, reading: Reading) -> Bands:
    bands: Bands = np.ma.array(values, mask=outside)
    if values.dtype.kind == "f":
        bands = np.ma.masked_where(~np.isfinite(values), bands)
    if reading.unscale:
        scales, offsets = (
            np.array([each[index - 1] for index in reading.indexes], "float64").reshape(-1, 1, 1)
            for each in (dataset.scales, dataset.offsets)
        )
        bands = bands * scales + offsets
    return bands


def checked_indexes(dataset: DatasetReader, source: Source, indexes: Sequence[int]) -> tuple[int, ...]:
    """The bands asked for. Raises a 400 problem for one that is not there."""
    for index in indexes:
        if not 1 <= index <= dataset.count:
            raise Problem(400, "no-such-band", f"The asset {source.name} has bands 1 to {dataset.count}, not {index}.")
    return tuple(indexes)


def stacked(parts: Sequence[Bands]) -> Bands:
    """The bands of several readings, one after the other."""
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([np.ma.getdata(part) for part in parts])
    return np.ma.array(values, mask=np.concatenate([np.ma.getmaskarray(part) for part in parts]))


def check_nodata(dataset: DatasetReader, source: Source, nodata: float | None) -> None:
    """Raises a 400 problem for a value that the raster's type of number cannot hold; GDAL would take the nearest."""
    if nodata is None:
        return
    kind = np.dtype(dataset.dtypes[0])
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        if not math.isfinite(nodata) or nodata != int(nodata) or not limits.min <= nodata <= limits.max:
            raise Problem(400, "invalid-nodata", f"The asset {source.name} holds {kind.name}: it has no such value.")
