"""Random fields that look like a landscape's: the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def source(*seeds: int) -> np.random.Generator:
    return np.random.default_rng(list(seeds))


def value_noise(shape: tuple[int, int], wavelength: float, rng: np.random.Generator, octaves: int = 4) -> Floats:
    """Mean 0, deviation 1; the longest waves are `wavelength` cells long, each further octave half as long and high."""
    total = np.zeros(shape)
    for octave in range(octaves):
        length = max(wavelength / 2**octave, 1.0)
        knots = rng.standard_normal([int(np.ceil(n / length)) + 4 for n in shape])
        # from anywhere within the first wave, so that a knot is not always in the corner
        start = 1.0 + rng.random(2)
        rows = start[0] + np.arange(shape[0]) / length
        columns = start[1] + np.arange(shape[1]) / length
        total += _spline(_spline(knots, rows).T, columns).T / 2**octave
    standard: Floats = (total - total.mean()) / (total.std() or 1.0)
    return standard


def _spline(knots: Floats, positions: Floats) -> Floats:
    """Rows of knots blended at positions between them by the cubic B-spline, which is smooth and never overshoots."""
    first = np.floor(positions).astype(np.intp)
    part = (positions - first)[:, None]
    weights = {-1: (1 - part) ** 3 / 6, 0: 2 / 3 - part**2 + part**3 / 2, 2: part**3 / 6}
    blended: Floats = knots[first + 1] * (1.0 - sum(weights.values()))
    for shift, weight in weights.items():
        blended += weight * knots[first + shift]
    return blended


def quantiles(field: Floats) -> Floats:
    """Rank of each cell, from 0 to 1: makes shares of ground exact whatever the field's distribution."""
    order = np.empty(field.size)
    order[np.argsort(field, axis=None, kind="stable")] = np.linspace(0.0, 1.0, field.size)
    return order.reshape(field.shape)


def parcels(shape: tuple[int, int], size: float, rng: np.random.Generator, slant: float = 0.35) -> tuple[Ints, Floats]:
    """Number of the parcel that each cell is in, and the distance to its border in cells, about.

    Parcels are the nearest of jittered points by the larger of two slanted co-ordinates, which makes their sides
    straight and mostly square to one another, as fields are.
    """
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(float)
    along = np.cos(slant) * columns + np.sin(slant) * rows
    across = (-np.sin(slant) * columns + np.cos(slant) * rows) * 1.6
    reach = float(max(shape)) * 1.8
    ticks = np.arange(-reach, reach, size)
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    points += rng.uniform(-0.35, 0.35, points.shape) * size
    cells = np.stack([along.ravel(), across.ravel()], axis=-1)
    found: tuple[Any, Any] = cKDTree(points).query(cells, k=2, p=np.inf)
    distance, nearest = found
    numbers, parcel = np.unique(nearest[:, 0], return_inverse=True)
    # numbers in random order, so that a table of properties by number has no pattern on the ground
    shuffled = rng.permutation(len(numbers))
    border = (distance[:, 1] - distance[:, 0]) / 2
    return shuffled[parcel].reshape(shape).astype(np.int64), border.reshape(shape)
