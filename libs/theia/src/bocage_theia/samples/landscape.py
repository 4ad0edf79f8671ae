"""An invented landscape: relief, waters, parcels, town, forest. Every variable of the samples follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from bocage_theia.samples import noise
from bocage_theia.samples.grids import Grid
from bocage_theia.samples.noise import Floats, Ints
from bocage_theia.samples.places import Place, Water

Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

# Classes of the land cover map OSO, as its nomenclature numbers them.
DENSE, DIFFUSE, INDUSTRY, ROAD = 1, 2, 3, 4
RAPE, CEREAL, PROTEIN, SOYA, SUNFLOWER, MAIZE, RICE, ROOTS = range(5, 13)
GRASS, ORCHARD, VINE = 13, 14, 15
BROADLEAVED, CONIFER, LAWN, HEATH = 16, 17, 18, 19
MINERAL, BEACH, SNOW, WATER = 20, 21, 22, 23
CLASSES = 23
BUILT = (DENSE, DIFFUSE, INDUSTRY, ROAD)
CROPS = (RAPE, CEREAL, PROTEIN, SOYA, SUNFLOWER, MAIZE, RICE, ROOTS)
SUMMER_CROPS = (SOYA, SUNFLOWER, MAIZE, RICE)
FORESTS = (BROADLEAVED, CONIFER)


@dataclass(frozen=True, eq=False)
class Landscape:
    """Grids of one shape. Equal to itself only, so that what is computed from it can be kept by it."""

    place: Place
    grid: Grid
    height: Floats
    """Of the bare ground, metres."""
    cover: Bytes
    parcel: Ints
    """Number of the parcel, also where no field is."""
    border: Floats
    """Distance to the border of the parcel, metres."""
    shore: Floats
    """Distance to the water, metres; 0 in it."""
    depth: Floats
    """Distance to the land, metres; 0 on it."""
    texture: Floats
    """Mean 0, deviation 1: what differs within a parcel."""

    def among(self, *classes: int) -> Bools:
        return np.isin(self.cover, classes)

    @property
    def water(self) -> Bools:
        return self.cover == WATER

    @property
    def forest(self) -> Bools:
        return self.among(*FORESTS)

    @property
    def crops(self) -> Bools:
        return self.among(*CROPS)

    @property
    def built(self) -> Bools:
        return self.among(*BUILT)

    def rng(self, topic: int) -> np.random.Generator:
        """Chances of a topic of their own: a new variable leaves the others as they are."""
        return noise.source(self.place.seed, topic)

    def by_parcel(self, topic: int, low: float = 0.0, high: float = 1.0) -> Floats:
        """A chance for each parcel, uniform from `low` to `high`."""
        values: Floats = self.rng(topic).uniform(low, high, int(self.parcel.max()) + 1)[self.parcel]
        return values

    def smooth(self, topic: int, wavelength: float) -> Floats:
        """Noise of a wavelength in metres: mean 0, deviation 1."""
        return noise.value_noise(self.grid.shape, wavelength / self.grid.metres, self.rng(topic))

    def speckle(self, topic: int) -> Floats:
        """Noise of each cell alone: mean 0, deviation 1."""
        return self.rng(topic).standard_normal(self.grid.shape)


@lru_cache(maxsize=8)
def landscape(place: Place, grid: Grid, scale: float = 1.0) -> Landscape:
    """`scale` widens parcels and forms: cells of a kilometre show regions instead of fields, of 2 cm tufts of grass."""
    step, shape = grid.metres / scale, grid.shape
    rng = noise.source(place.seed, 0)
    relief = noise.value_noise(shape, 1500.0 / step, rng, 6)
    forms = noise.value_noise(shape, 900.0 / step, rng, 5)
    texture = noise.value_noise(shape, 60.0 / step, rng, 3)
    numbers, border = noise.parcels(shape, place.parcel_m / step, rng)
    crops = np.array(place.crops, np.uint8)
    cover = crops[rng.integers(0, len(crops), int(numbers.max()) + 1)][numbers]
    cover[border * step < 3.0] = GRASS

    wooded = noise.quantiles(forms + 0.25 * relief) > 1.0 - place.forest
    kinds = noise.quantiles(noise.value_noise(shape, 700.0 / step, rng)) < place.conifers
    cover[wooded] = np.where(kinds, CONIFER, BROADLEAVED)[wooded]
    edge = wooded & (distance_transform_edt(wooded) < 2)
    cover[edge & (texture > 1.2)] = HEATH
    _build_town(cover, place.town, texture, border * step, rng)
    cover[(noise.quantiles(relief) > 0.985) & ~wooded] = MINERAL

    wet, river_fall = _waters(place, shape, relief, rng)
    strand = (distance_transform_edt(~wet) < 2.5) & ~wet & (place.water is Water.COAST) & (texture > -0.3)
    cover[strand & np.isin(cover, place.crops)] = BEACH
    cover[wet] = WATER
    shore = distance_transform_edt(~wet) * grid.metres if wet.any() else np.full(shape, 1e4)
    depth = distance_transform_edt(wet) * grid.metres
    ground = place.altitude + place.relief * min(scale, 1.0) * (relief - river_fall)
    if wet.any():
        level = float(np.quantile(ground[wet], 0.2))
        ground = level + np.abs(ground - level) * np.clip(shore / (150.0 * scale), 0.02, 1.0)
        ground[wet] = level
    height = gaussian_filter(ground, 1.0)
    return Landscape(place, grid, height, cover, numbers, border * grid.metres, shore, depth, texture)


def _build_town(cover: Bytes, share: float, texture: Floats, border: Floats, rng: np.random.Generator) -> None:
    """Rings around a centre that is not the middle: dense, then diffuse with gardens, works at one side, streets."""
    if share <= 0:
        return
    rows, columns = cover.shape
    centre = np.array([rows, columns]) * rng.uniform(0.35, 0.65, 2)
    row, column = np.mgrid[0:rows, 0:columns]
    angle = np.arctan2(row - centre[0], column - centre[1])
    far = np.hypot(row - centre[0], column - centre[1]) / np.sqrt(rows * columns)
    rank = noise.quantiles(far * (1 + 0.25 * np.sin(3 * angle)) + 0.05 * texture)
    town = rank < share
    cover[town] = DIFFUSE
    cover[rank < share * 0.4] = DENSE
    cover[town & (rank > share * 0.45) & (np.cos(angle - rng.uniform(0, 6.3)) > 0.75)] = INDUSTRY
    cover[town & (rank > share * 0.3) & (texture > 1.45)] = GRASS
    cover[town & (border < 7.0)] = ROAD


def _waters(
    place: Place, shape: tuple[int, int], relief: Floats, rng: np.random.Generator
) -> tuple[Bools, Floats]:
    """Where water stands, and how far the ground falls towards it, in units of the relief."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    none = np.zeros(shape)
    if place.water is None or place.water_share <= 0:
        return none.astype(bool), none
    if place.water is Water.COAST:
        line = columns + 0.045 * noise.value_noise(shape, shape[0] / 2.5, rng)
        return noise.quantiles(-line) > 1 - place.water_share, 1.5 * np.clip(0.6 - line, 0, 1)
    if place.water is Water.LAKE:
        far = np.hypot(rows - 0.5, columns - 0.52) + 0.07 * noise.value_noise(shape, shape[0] / 3, rng)
        return noise.quantiles(-far) > 1 - place.water_share, 1.5 * np.clip(0.45 - far, 0, 1)
    bend = 0.5 + 0.10 * np.sin(5.5 * rows + rng.uniform(0, 6)) + 0.04 * np.sin(13 * rows + rng.uniform(0, 6))
    away = np.abs(columns - bend)
    return away < place.water_share / 2, 2.0 * np.exp(-((away / 0.12) ** 2))


def shifted(field: NDArray[np.generic], rows: float, columns: float) -> Floats:
    """The field as seen from elsewhere: what falls in from outside repeats the border."""
    at = np.mgrid[0 : field.shape[0], 0 : field.shape[1]].astype(float)
    at[0] -= rows
    at[1] -= columns
    moved: Floats = map_coordinates(field.astype(float), at, order=1, mode="nearest")
    return moved
