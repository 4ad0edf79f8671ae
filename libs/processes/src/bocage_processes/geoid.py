"""Heights of the EGM96 geoid, from the grid that ships with the stereo engine: no download, no other data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates


def geoid_file(executable: Path) -> Path | None:
    """The EGM96 grid that ships with CARS, found from its executable."""
    found = sorted(executable.absolute().parent.parent.glob("lib/python3*/site-packages/cars/conf/geoid/egm96.grd"))
    return found[0] if found else None


def undulation(grid: Path, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
    """EGM96 geoid height above the ellipsoid, metres, bilinear in a grid of a quarter of a degree; degrees in.

    The grid is an ENVI file: 24 bytes, then 721 rows from 90° N, 1441 columns from 0° E, big-endian float32.
    """
    heights = np.fromfile(grid, ">f4", offset=24).reshape(721, 1441).astype(np.float64)
    lon_, lat_ = np.broadcast_arrays(np.atleast_1d(lon), np.atleast_1d(lat))
    at = np.stack([(90.0 - lat_) * 4, np.remainder(lon_, 360.0) * 4])
    found: NDArray[np.float64] = map_coordinates(heights, at, order=1, mode="nearest")
    return found.reshape(np.broadcast_shapes(np.shape(lon), np.shape(lat)))
