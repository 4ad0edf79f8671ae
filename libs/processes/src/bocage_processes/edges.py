"""Walls made upright again: stereo matching leaves ramps and thickened roofs where heights jump.

What is hidden behind a wall depends on where its foot and its top are. Only the ortho-image is made on these heights;
the elevation delivered is the engine's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, maximum_filter, minimum_filter, percentile_filter

Floats = NDArray[np.float32]

_LEAST_JUMP_M = 3.0
_WINDOW = 9
_LEVELS = 10, 90
"""Percentiles of the window for the ground and for the roof: deaf to single wrong heights."""
_STEEP_SHARE = 0.6
"""Of the jump, what must happen within 3 × 3 cells: an even slope gives a quarter, a ramp over three cells two thirds.
"""


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
