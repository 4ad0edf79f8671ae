"""Where images see the same ground, at every altitude for which their cameras were made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from bocage_processes.ground import Ground
from bocage_processes.imagery import SensorImage
from bocage_processes.process import InputRefused
from bocage_processes.rpc import Floats, Viewing

SMALLEST_OVERLAP_PX = 10_000
ALMOST_BEST = 0.9
PLAUSIBLE = 0.1
RELIEF_M = 100.0
"""The ground is taken to lie this near its known middle altitude."""
_EMPTY = shapely.from_wkt("POLYGON EMPTY")

Geometries = NDArray[np.object_]


@dataclass(frozen=True)
class Overlaps:
    """Ground seen in stereo at a series of altitudes, in the projected CRS."""

    altitudes: Floats
    by_pair: tuple[Geometries, ...]
    fractions: Floats
    """Overlap / smaller footprint, (pairs, altitudes)."""
    quality: Floats
    """Smallest overlap of a pair / the best that this pair reaches; by altitude."""

    def at(self, index: int) -> BaseGeometry:
        union: BaseGeometry = shapely.union_all([pair[index] for pair in self.by_pair])
        return union

    def initial(self, middle: float) -> int:
        """Where overlap is nearly the best it gets: at `middle` if that is so there, else half-way."""
        good = np.flatnonzero(self.quality >= ALMOST_BEST * self.quality.max())
        low, high = self.altitudes[good[0]], self.altitudes[good[-1]]
        wanted = middle if low <= middle <= high else (low + high) / 2
        return int(good[np.argmin(np.abs(self.altitudes[good] - wanted))])

    def nearest(self, altitude: float) -> int:
        """Where the altitude is nearest, of those with an overlap."""
        met = np.flatnonzero(self.quality > 0)
        return int(met[np.argmin(np.abs(self.altitudes[met] - altitude))])

    def plausible(self, altitude: float | None = None) -> Geometries:
        """What is seen in stereo, by each altitude near the known one, or by each that is not far-fetched."""
        if altitude is None:
            good = np.flatnonzero(self.quality >= PLAUSIBLE * self.quality.max())
        else:
            near = max(RELIEF_M, 0.05 * float(np.ptp(self.altitudes)))
            good = np.flatnonzero((np.abs(self.altitudes - altitude) <= near) & (self.quality > 0))
            good = good if good.size else np.array([self.nearest(altitude)])
        return np.array([self.at(int(index)) for index in good], dtype=object)

    @property
    def altitude_range(self) -> tuple[float, float]:
        met = self.altitudes[self.quality > 0]
        return float(met[0]), float(met[-1])


def centre(image: SensorImage) -> tuple[float, float]:
    lon, lat = image.model.localise((image.width - 1) / 2, (image.height - 1) / 2, image.model.height_offset)
    return float(lon), float(lat)


def central_view(image: SensorImage) -> Viewing:
    return image.model.viewing(*centre(image), image.model.height_offset)


def angle_between(first: Viewing, second: Viewing) -> float:
    a, b = np.array(first.unit), np.array(second.unit)
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(a, b))), float(a @ b)))


def base_to_height(first: Viewing, second: Viewing) -> float:
    (e1, n1, u1), (e2, n2, u2) = first.unit, second.unit
    return math.hypot(e1 / u1 - e2 / u2, n1 / u1 - n2 / u2)


def find_overlaps(images: Sequence[SensorImage], reference: int, others: Sequence[int], ground: Ground) -> Overlaps:
    ranges = np.array([image.model.height_range for image in images])
    low, high = float(ranges[:, 0].max()), float(ranges[:, 1].min())
    if low >= high:
        low, high = float(ranges[:, 0].min()), float(ranges[:, 1].max())
    # the footprints slide over one another by B/H metres per metre: some steps per footprint
    views = [central_view(image) for image in images]
    slide = max(base_to_height(views[reference], views[other]) for other in others) * (high - low)
    across = min(min(image.width, image.height) * image.gsd_m for image in images)
    altitudes = np.linspace(low, high, int(np.clip(16 * slide / across, 21, 401)))

    prints = [_footprints(image, altitudes, ground) for image in images]
    sizes = [shapely.area(polygons) for polygons in prints]
    by_pair: list[Geometries] = []
    fractions: list[Floats] = []
    for other in others:
        common = shapely.intersection(prints[reference], prints[other])
        by_pair.append(common)
        smaller = np.minimum(sizes[reference], sizes[other])
        fractions.append(np.divide(shapely.area(common), smaller, out=np.zeros_like(smaller), where=smaller > 0))
        enough = SMALLEST_OVERLAP_PX * max(images[reference].gsd_m, images[other].gsd_m) ** 2
        if shapely.area(common).max() < enough:
            raise _no_overlap(images[reference], images[other], (low, high))
    best = np.array([fraction / fraction.max() for fraction in fractions])
    quality = best.min(axis=0)
    if quality.max() < 0.05:
        raise _no_overlap(images[others[0]], images[others[-1]], (low, high))
    return Overlaps(altitudes, tuple(by_pair), np.array(fractions), quality)


def _no_overlap(first: SensorImage, second: SensorImage, altitudes: tuple[float, float]) -> InputRefused:
    return InputRefused(
        "no-overlap",
        f"{first.reference} and {second.reference} do not overlap: they show no common ground at any altitude "
        f"from {altitudes[0]:.0f} to {altitudes[1]:.0f} m.",
        "Give images of the same place; check that each RPC file belongs to its image.",
        items=[first.reference, second.reference],
    )


def _footprints(image: SensorImage, altitudes: Floats, ground: Ground) -> Geometries:
    lon, lat = image.model.border(image.width, image.height, altitudes)
    x, y = ground.x_y(lon, lat)
    known = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    polygons: Geometries = np.full(len(altitudes), _EMPTY, dtype=object)
    polygons[known] = shapely.polygons(np.stack([x[known], y[known]], axis=-1))
    polygons[~shapely.is_valid(polygons)] = _EMPTY
    return polygons
