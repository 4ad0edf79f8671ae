"""Walls made upright again: stereo matching leaves ramps and thickened roofs where heights jump.

What is hidden behind a wall depends on where its foot and its top are. Only the ortho-image is made on these heights;
the elevation delivered is the engine's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, maximum_filter, minimum_filter, percentile_filter

Floats = NDArray[np.float32]

Bools = NDArray[np.bool_]

_LEAST_JUMP_M = 3.0
_WINDOW = 9
_LEVELS = 10, 90
"""Percentiles of the window for the ground and for the roof: deaf to single wrong heights."""
_STEEP_SHARE = 0.5
"""Of the jump, what must happen within 3 × 3 cells: an even slope gives a quarter, a ramp over three cells two thirds.
"""
_RAY_STEP_M = 0.5
_MOST_RAY_STEPS = 400


def upright_walls(heights: Floats) -> Floats:
    """Heights in metres, (rows, cols), NaN = none; near a jump each cell goes to its foot or its top, the nearer one.

    Slopes, however steep, stay as they are.
    """
    missing = ~np.isfinite(heights)
    if missing.all():
        return heights.copy()
    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    filled = heights[tuple(nearest)]
    reach = maximum_filter(filled, _WINDOW) - minimum_filter(filled, _WINDOW)
    if not (reach > _LEAST_JUMP_M).any():
        return heights.copy()
    low, high = (percentile_filter(filled, level, _WINDOW) for level in _LEVELS)
    jump = high - low
    steepest = maximum_filter(maximum_filter(filled, 3) - minimum_filter(filled, 3), 5)
    wall = ~missing & (jump > _LEAST_JUMP_M) & (steepest > _STEEP_SHARE * jump)
    upright: Floats = np.where(wall, np.where(filled > (low + high) / 2, high, low), heights).astype(np.float32)
    return upright


def at_wall_foot(heights: Floats) -> Bools:
    """True for cells beside one at least `_LEAST_JUMP_M` higher."""
    foot: Bools = maximum_filter(np.where(np.isfinite(heights), heights, -np.inf), 3) - heights > _LEAST_JUMP_M
    return foot


def centre_seen(
    heights: Floats, wanted: Bools, lean: tuple[float, float], *, margin: float = 0.0, tolerance_m: float = 0.5
) -> Bools:
    """Of the cells wanted, those whose very centre is seen, cells being level squares.

    lean: (rows, columns) by which the ray to the camera moves over the grid per metre that it rises. margin: cells by
    which the ray must clear what is above it. Finer than a z-buffer of whole pixels, which hides a cell whose edge
    alone is hidden.
    """
    slope = float(np.hypot(*lean))
    ahead = (lean[0] / slope * margin, lean[1] / slope * margin) if slope else (0.0, 0.0)
    seen = wanted & np.isfinite(heights)
    row, col = np.nonzero(seen)
    if row.size == 0:
        return seen
    top = float(np.nanmax(heights))
    step = max(_RAY_STEP_M, (top - float(heights[seen].min())) / _MOST_RAY_STEPS)
    start = heights[row, col]
    rise = 0.0
    while row.size:
        rise += step
        at_row, at_col = (
            np.rint(index + move + rise * by).astype(np.intp)
            for index, move, by in zip((row, col), ahead, lean, strict=True)
        )
        on_grid = (at_row >= 0) & (at_col >= 0) & (at_row < heights.shape[0]) & (at_col < heights.shape[1])
        under = np.zeros(row.size, np.bool_)
        # the ray counts as stopped where it entered the square, up to a step before
        stop = start + max(rise - step, tolerance_m)
        under[on_grid] = heights[at_row[on_grid], at_col[on_grid]] > stop[on_grid]
        seen[row[under], col[under]] = False
        going = on_grid & ~under & (start + rise < top)
        row, col, start = row[going], col[going], start[going]
    return seen
