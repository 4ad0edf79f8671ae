"""The altitude of the ground, told by the images themselves.

Patches of one image are looked for in the other along the line of sight: the altitude at which a patch correlates best
is that of its ground. A few dozen patches, coarsely: enough to start an engine without an elevation model.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from bocage_processes.imagery import SensorImage, read_window
from bocage_processes.rpc import Floats

_PATCH = 16
"""Samples across a patch, each of some pixels."""
_LEAST_CORRELATION = 0.5
_LEAST_LEAD = 0.08
"""By which the best altitude must beat those that are not its neighbours."""
_MOST_PIXELS = 16_000_000
_MOST_STEPS = 1500


def ground_altitude(
    reference: SensorImage, other: SensorImage, altitudes: tuple[float, float], base_to_height: float
) -> float | None:
    """Median altitude of the ground that two images show, ellipsoidal metres; None if the images do not tell.

    altitudes: where to look. Good to some pixels of parallax; reads some windows only.
    """
    low, high = altitudes
    small = min(reference.width, reference.height) < 1500
    # slopes look the less alike, the wider the base: then larger patches, more blurred, are surer
    coarse = 2 if small and base_to_height < 0.2 else 4
    step = coarse * max(reference.gsd_m, other.gsd_m) / base_to_height
    steps = min(_MOST_STEPS, math.ceil((high - low) / step) + 1)
    if steps < 5:
        return None
    heights = np.linspace(low, high, steps)
    places = np.linspace(0.05, 0.95, 8 if small else 4)
    found = [
        altitude
        for across in places
        for down in places
        if (altitude := _patch_altitude(reference, other, heights, (across, down), coarse)) is not None
    ]
    return _agreed(np.array(found), window=max(40.0, 3 * step), scatter=0.1 * (high - low))


def _agreed(found: Floats, *, window: float, scatter: float) -> float | None:
    """The altitude on which half of the patches agree, or around which they lie close; wrong ones lie anywhere."""
    if len(found) < 5:
        return None
    near = np.abs(found[:, None] - found) <= window
    most = found[near[int(np.argmax(near.sum(axis=1)))]]
    if len(most) >= max(5, 0.5 * len(found)):
        return float(np.median(most))
    middle = float(np.median(found))
    return middle if len(found) >= 8 and float(np.median(np.abs(found - middle))) <= scatter else None


def _patch_altitude(
    reference: SensorImage, other: SensorImage, heights: Floats, place: tuple[float, float], coarse: int
) -> float | None:
    side = _PATCH * coarse
    col = round(place[0] * (reference.width - side))
    row = round(place[1] * (reference.height - side))
    patch = read_window(reference, col, row, side)
    if patch.shape != (side, side) or not np.isfinite(patch).all() or patch.std() == 0:
        return None
    corners = np.array([[col, row], [col + side - 1, row], [col, row + side - 1], [col + side - 1, row + side - 1]])
    lon, lat = reference.model.localise(corners[:, 0], corners[:, 1], heights[:, None])
    cols, rows = other.model.project(lon, lat, heights[:, None])
    inside = ((cols >= 0) & (cols < other.width) & (rows >= 0) & (rows < other.height)).all(axis=1)
    if inside.sum() < 5:
        return None
    cols, rows, heights = cols[inside], rows[inside], heights[inside]
    left, top = int(cols.min()), int(rows.min())
    width, height = int(cols.max()) - left + 2, int(rows.max()) - top + 2
    if width * height > _MOST_PIXELS:
        return None
    searched = gaussian_filter(np.nan_to_num(read_window(other, left, top, width, height)), coarse / 2)

    t = (np.arange(_PATCH) + 0.5) / _PATCH
    u, v = (axis.ravel() for axis in np.meshgrid(t, t))
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v])
    at = np.stack([(rows - top) @ weights, (cols - left) @ weights])
    seen = map_coordinates(searched, at.reshape(2, -1), order=1, mode="nearest").reshape(len(heights), -1)
    wanted = map_coordinates(
        gaussian_filter(patch, coarse / 2), [v * (side - 1), u * (side - 1)], order=1, mode="nearest"
    )
    score = _correlations(seen, wanted)
    best = int(np.argmax(score))
    rest = np.delete(score, slice(max(0, best - 4), best + 5))
    if score[best] < _LEAST_CORRELATION or (rest.size and score[best] - rest.max() < _LEAST_LEAD):
        return None
    return float(heights[best])


def _correlations(rows: Floats, wanted: Floats) -> Floats:
    """Correlation coefficient of each row with `wanted`; 0 where a row is flat."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    wanted = wanted - wanted.mean()
    norm = np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted)
    score: Floats = np.divide(rows @ wanted, norm, out=np.zeros(len(rows)), where=norm > 0)
    return score
