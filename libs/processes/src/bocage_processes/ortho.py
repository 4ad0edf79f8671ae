"""True ortho-image: each map cell takes its value from an image in which it is truly seen.

A cell is hidden where another cell, higher up, lies on the same pixel of the image (z-buffer in image space). Hidden
cells are taken from the other views, brought to the radiometry of the first. What none of them sees well, such as the
foot of a wall, comes from one that sees the cell's centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window
from scipy.ndimage import binary_dilation, map_coordinates, maximum_filter, spline_filter

from bocage_processes.edges import at_wall_foot, centre_seen
from bocage_processes.geomodels import open_raster
from bocage_processes.imagery import SensorImage

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Sources = NDArray[np.uint8]

_STRIP_CELLS = 1 << 20
_OBLIQUE_DEG = 4.0
"""Stereo matching thickens buildings by about a cell. Seen obliquely, what hides behind them is many cells wide, and
taking a cell too many from another image costs little: a strict tolerance and a thicker splat then bring hidden cells
closest to the truth. In near-vertical views the strips are narrower than a cell, and it would cost more than it gains.
"""
_MIN_TOLERANCE_M = 0.5
_SAMPLE_MARGIN_PX = 16
_MIN_COMMON_CELLS = 100
_LEAN_BASE_M = 50.0
_CLEAR_CELLS = 0.25


@dataclass(frozen=True)
class Ortho:
    """On the elevation grid."""

    values: Floats
    """(bands, rows, cols); NaN where no image sees the cell."""
    source: Sources
    """0 none, else 1 + index of the image, as given to `true_ortho`."""
    hidden: Bools
    """Inside the first image, but not seen by it."""
    naive: Floats | None
    """First image without visibility; (bands, rows, cols)."""


@dataclass(frozen=True)
class _View:
    """A DSM's cells in an image: NaN where the cell has no height; file pixels, integer = centre."""

    col: Floats
    row: Floats

    def inside(self, image: SensorImage, margin: float = 0.0) -> Bools:
        """True for cells in the image, `margin` pixels off its edge or more."""
        right, bottom = image.width - 1 - margin, image.height - 1 - margin
        with np.errstate(invalid="ignore"):
            seen: Bools = (self.col >= margin) & (self.row >= margin) & (self.col <= right) & (self.row <= bottom)
        return seen


def true_ortho(
    elevation: NDArray[Any],
    valid: Bools,
    transform: Affine,
    crs: str,
    images: Sequence[SensorImage],
    *,
    noise_m: float,
    naive: bool = False,
) -> Ortho:
    """Ortho-image of the first image, its hidden cells filled from the others in order.

    elevation: metres above the ELLIPSOID, (rows, cols); valid: same shape. crs: of the grid, projected, metres.
    images: all with as many bands, the preferred one first. noise_m: spread of the heights, which sets with the slope
    how far under another cell one must lie to be hidden.
    """
    if not images:
        raise ValueError("no image")
    heights = np.where(valid, elevation, np.nan).astype(np.float32)
    rise = _rise(heights, valid)
    foot = at_wall_foot(heights)
    values = np.full((images[0].bands, *heights.shape), np.nan, np.float32)
    source = np.zeros(heights.shape, np.uint8)
    rank = np.zeros(heights.shape, np.uint8)
    hidden = np.zeros(heights.shape, np.bool_)
    plain: Floats | None = None
    first_seen: Bools | None = None
    first: Floats | None = None
    for index, image in enumerate(images):
        view = project_cells(heights, transform, crs, image)
        inside = view.inside(image)
        oblique = _incidence(image) > _OBLIQUE_DEG
        tolerance = np.maximum((1.0 if oblique else 3.0) * noise_m + rise, _MIN_TOLERANCE_M)
        seen = inside & visible_cells(heights, view, image, abs(transform.a), tolerance, thicken=oblique)
        if index == 0:
            hidden = inside & ~seen
        ranks = _ranks(heights, seen, inside & ~seen if index else np.zeros_like(seen), foot, image, transform, crs)
        wanted = inside if index == 0 else ranks > rank
        wanted |= seen
        if not wanted.any():
            continue
        sampled = _sample(image, view, wanted)
        known = np.isfinite(sampled[0])
        if index == 0:
            plain = sampled if naive else None
            first_seen = seen & known
            first = np.where(first_seen, sampled, np.nan).astype(np.float32)
        elif first is not None and first_seen is not None:
            _match_radiometry(sampled, first, first_seen & seen & known)
        take = known & (ranks > rank)
        values[:, take] = sampled[:, take]
        source[take] = index + 1
        rank[take] = ranks[take]
    return Ortho(values=values, source=source, hidden=hidden, naive=plain)


def _ranks(
    heights: Floats, seen: Bools, behind: Bools, foot: Bools, image: SensorImage, transform: Affine, crs: str
) -> Sources:
    """How well an image sees each cell: 4 wholly, 3 centre clear of walls, 2 at a wall, 1 centre only, 0 not at all."""
    lean = _lean(image, transform, crs)
    ranks = np.where(seen, 4, 0).astype(np.uint8)
    centre = centre_seen(heights, behind, lean)
    ranks[centre] = 1
    close = (seen & foot) | centre
    clear = centre_seen(heights, close, lean, margin=_CLEAR_CELLS)
    ranks[centre & clear] = 3
    ranks[seen & close & ~clear] = 2
    return ranks


def project_cells(heights: Floats, transform: Affine, crs: str, image: SensorImage) -> _View:
    """Where the cells of a grid are in an image; computed strip by strip."""
    to_geographic = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    rows, cols = heights.shape
    view = _View(np.full(heights.shape, np.nan, np.float32), np.full(heights.shape, np.nan, np.float32))
    strip = max(1, _STRIP_CELLS // max(cols, 1))
    for start in range(0, rows, strip):
        part = heights[start : start + strip]
        r, c = np.nonzero(np.isfinite(part))
        if r.size == 0:
            continue
        a, b, left, d, e, top = tuple(transform)[:6]
        x, y = a * (c + 0.5) + b * (r + start + 0.5) + left, d * (c + 0.5) + e * (r + start + 0.5) + top
        lon, lat = to_geographic.transform(x, y)
        view.col[start + r, c], view.row[start + r, c] = image.model.project(lon, lat, part[r, c].astype(np.float64))
    return view


def visible_cells(
    heights: Floats, view: _View, image: SensorImage, step: float, tolerance: Floats, *, thicken: bool = False
) -> Bools:
    """True where no higher cell covers the same place of the image.

    Each cell is splatted over the pixels that it covers: its step over the image's pixel size, both in metres. What
    lies less than `tolerance` metres under the highest cell there still counts as seen. `thicken` takes a pixel more
    around each cell for covered.
    """
    inside = view.inside(image)
    r, c = np.nonzero(inside)
    seen = np.zeros(heights.shape, np.bool_)
    if r.size == 0:
        return seen
    col, row, height = view.col[r, c], view.row[r, c], heights[r, c]
    near_col, near_row = np.rint(col).astype(np.int64), np.rint(row).astype(np.int64)
    left, above = near_col.min(), near_row.min()
    near_col -= left
    near_row -= above
    width, rows = int(near_col.max()) + 1, int(near_row.max()) + 1
    top = np.full((rows, width), -np.inf, np.float32)
    # a cell is a square of its own in the image: points over it, at most half a pixel apart, leave no gap
    # through which a far cell is seen, and do not make walls thicker
    along_row, along_col = _cell_in_image(view, inside)
    count = max(1, int(np.ceil(2 * step / image.gsd_m)))
    for part_row in (np.arange(count) + 0.5) / count - 0.5:
        for part_col in (np.arange(count) + 0.5) / count - 0.5:
            shift = part_row * along_row + part_col * along_col
            at_col, at_row = np.rint(col + shift[0]).astype(np.int64), np.rint(row + shift[1]).astype(np.int64)
            at_col -= left
            at_row -= above
            ok = (at_row >= 0) & (at_col >= 0) & (at_row < rows) & (at_col < width)
            np.maximum.at(top, (at_row[ok], at_col[ok]), height[ok])
    if thicken:
        top = maximum_filter(top, 3)
    seen[r, c] = top[near_row, near_col] - height <= tolerance[r, c]
    return seen


def _cell_in_image(view: _View, inside: Bools) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far one goes in the image, (columns, rows), by going one cell down and one cell to the right on level ground.

    Medians over the grid: relief between neighbours hardly moves them.
    """
    steps = []
    for axis in (0, 1):
        both = inside[1:] & inside[:-1] if axis == 0 else inside[:, 1:] & inside[:, :-1]
        moves = [
            float(np.median(np.diff(part, axis=axis)[both])) if both.any() else 1.0 for part in (view.col, view.row)
        ]
        steps.append(np.array(moves))
    return steps[0], steps[1]


def _lean(image: SensorImage, transform: Affine, crs: str) -> tuple[float, float]:
    """(rows, columns) of the grid by which a ray to the camera moves per metre that it rises, mid-image."""
    base = image.model.height_offset
    at = (image.width - 1) / 2, (image.height - 1) / 2
    to_grid = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    ends: list[tuple[float, float]] = []
    for up in (0.0, _LEAN_BASE_M):
        lon, lat = image.model.localise(*at, base + up)
        x, y = to_grid.transform(float(lon), float(lat))
        ends.append(~transform @ (float(x), float(y)))
    (col, row), (upper_col, upper_row) = ends
    return (upper_row - row) / _LEAN_BASE_M, (upper_col - col) / _LEAN_BASE_M


def _incidence(image: SensorImage) -> float:
    """Of the view, degrees from the vertical, in the middle of the image."""
    height = image.model.height_offset
    lon, lat = image.model.localise((image.width - 1) / 2, (image.height - 1) / 2, height)
    return image.model.viewing(float(lon), float(lat), height).incidence_deg


def _rise(heights: Floats, valid: Bools) -> Floats:
    """Metres within a cell and a half; by axis the gentler of the two slopes counts, at a wall's foot the ground's."""
    filled = np.where(valid, heights, np.nan)
    slopes = []
    for axis in (0, 1):
        up = np.abs(np.diff(filled, axis=axis))
        pad = [(0, 0), (0, 0)]
        pad[axis] = (1, 0)
        before = np.pad(up, pad, constant_values=np.nan)
        pad[axis] = (0, 1)
        after = np.pad(up, pad, constant_values=np.nan)
        slopes.append(np.nan_to_num(np.fmin(before, after)))
    rise: Floats = (np.hypot(*slopes) * 1.5).astype(np.float32)
    return rise


def _sample(image: SensorImage, view: _View, wanted: Bools) -> Floats:
    """Values by cubic splines where wanted, NaN elsewhere and where the image has none; (bands, rows, cols)."""
    col, row = view.col[wanted].astype(np.float64), view.row[wanted].astype(np.float64)
    left = max(int(col.min()) - _SAMPLE_MARGIN_PX, 0)
    above = max(int(row.min()) - _SAMPLE_MARGIN_PX, 0)
    right = min(int(col.max()) + _SAMPLE_MARGIN_PX + 1, image.width)
    below = min(int(row.max()) + _SAMPLE_MARGIN_PX + 1, image.height)
    out = np.full((image.bands, *wanted.shape), np.nan, np.float32)
    at = [row - above, col - left]
    with open_raster(image.path) as src, rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        for band in range(1, image.bands + 1):
            pixels = src.read(band, window=Window(left, above, right - left, below - above)).astype(np.float32)
            missing = ~np.isfinite(pixels)
            missing |= pixels == (image.nodata if image.nodata is not None else 0)
            low, high = (pixels[~missing].min(), pixels[~missing].max()) if not missing.all() else (0.0, 0.0)
            pixels[missing] = low
            coefficients = spline_filter(pixels, order=3, output=np.float32, mode="mirror")
            value = map_coordinates(coefficients, at, order=3, mode="mirror", prefilter=False)
            # splines overshoot at sharp edges
            value = np.clip(value, low, high).astype(np.float32)
            if missing.any():
                near = binary_dilation(missing, np.ones((3, 3), np.bool_))
                value[map_coordinates(near.astype(np.uint8), at, order=0, mode="nearest") > 0] = np.nan
            out[band - 1][wanted] = value
    return out


def _match_radiometry(values: Floats, reference: Floats, common: Bools) -> None:
    """Bring `values` to the mean and spread of `reference` over the common cells, band by band, in place."""
    if common.sum() < _MIN_COMMON_CELLS:
        return
    for band in range(values.shape[0]):
        mine, theirs = values[band][common].astype(np.float64), reference[band][common].astype(np.float64)
        spread = float(mine.std())
        gain = float(theirs.std()) / spread if spread > 0 else 1.0
        values[band] = (values[band] - mine.mean()) * gain + theirs.mean()
