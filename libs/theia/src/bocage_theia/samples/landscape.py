"""An invented landscape: relief, waters, parcels, town, forest. Every variable of the samples follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from bocage_theia.samples import noise
from bocage_theia.samples.grids import Grid, around, transformer, utm_of
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


# Wider than any sample, so that samples of all reference systems are cuts of one and the same ground.
_CELLS = 224


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the cells of a grid lie on the ground of a place: rows and columns of its cells, as they come out."""

    shape: tuple[int, int]
    rows: Floats
    columns: Floats

    def take(self, field: NDArray[Any]) -> NDArray[Any]:
        """Of each cell of the grid, what the ground has at its middle."""
        row = np.clip(np.floor(self.rows), 0, self.shape[0] - 1).astype(np.intp)
        column = np.clip(np.floor(self.columns), 0, self.shape[1] - 1).astype(np.intp)
        return field[row, column]

    def blend(self, field: Floats) -> Floats:
        """The same of what changes gently, without steps where the grid and the ground do not lie square."""
        at = np.stack([self.rows - 0.5, self.columns - 0.5])
        blended: Floats = map_coordinates(field, at, order=1, mode="nearest")
        return blended


@dataclass(frozen=True, eq=False)
class Landscape:
    """Grids of one shape. Equal to itself only, so that what is computed from it can be kept by it."""

    place: Place
    grid: Grid
    frame: Frame
    height: Floats
    """Of the bare ground, metres."""
    rank: Floats
    """Of the height, from 0, the lowest, to 1."""
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
    parcels: int

    def among(self, *classes: int) -> Bools:
        found: Bools = np.isin(self.cover, classes)
        return found

    @property
    def water(self) -> Bools:
        found: Bools = self.cover == WATER
        return found

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
        values: Floats = self.rng(topic).uniform(low, high, self.parcels)[self.parcel]
        return values

    def smooth(self, topic: int, wavelength: float) -> Floats:
        """Noise of a wavelength in metres: mean 0, deviation 1."""
        return self.frame.blend(noise.value_noise(self.frame.shape, wavelength / self.grid.metres, self.rng(topic)))

    def speckle(self, topic: int) -> Floats:
        """Noise of each cell alone: mean 0, deviation 1."""
        return self.rng(topic).standard_normal(self.grid.shape)


@lru_cache(maxsize=32)
def landscape(place: Place, grid: Grid, scale: float = 1.0) -> Landscape:
    """The ground of a place, cut to a grid: grids with cells of one size show the same ground, whatever they lie on.

    `scale` widens parcels and forms: cells of a kilometre show regions instead of fields, of 2 cm tufts of grass.
    """
    cell = float(round(grid.metres, -1)) if grid.geographic else grid.cell
    land = _ground(place, cell, scale)
    west, _, _, north = land.grid.bounds
    step_x = grid.left + (np.arange(grid.columns) + 0.5) * grid.cell
    step_y = grid.top - (np.arange(grid.rows) + 0.5) * grid.cell
    x, y = np.meshgrid(step_x, step_y)
    if grid.epsg != land.grid.epsg:
        x, y = transformer(grid.epsg, land.grid.epsg).transform(x, y)
    frame = Frame(land.grid.shape, (north - np.asarray(y)) / cell, (np.asarray(x) - west) / cell)
    cover = frame.take(land.cover)
    # nothing of the land is in the water, whatever lies between two cells
    wet = cover == WATER
    return Landscape(
        place, grid, frame, frame.blend(land.height), frame.blend(land.rank), cover, frame.take(land.parcel),
        frame.blend(land.border),
        shore=np.where(wet, 0.0, np.maximum(frame.blend(land.shore), 0.5 * cell)),
        depth=np.where(wet, np.maximum(frame.blend(land.depth), 0.5 * cell), 0.0),
        texture=frame.blend(land.texture),
        parcels=land.parcels,
    )  # fmt: skip


@lru_cache(maxsize=32)
def _ground(place: Place, cell: float, scale: float) -> Landscape:
    """All of the ground of a place, on cells of the UTM grid."""
    grid = around(utm_of(place.lon, place.lat), place.lon, place.lat, cell, _CELLS)
    step, shape = cell / scale, grid.shape
    rng = noise.source(place.seed, 0)
    relief = noise.value_noise(shape, 1500.0 / step, rng, 6)
    forms = noise.value_noise(shape, 900.0 / step, rng, 5)
    texture = noise.value_noise(shape, 60.0 / step, rng, 3)
    numbers, border = noise.parcels(shape, place.parcel_m / step, rng)
    crops = np.array(place.crops, np.uint8)
    cover = crops[rng.integers(0, len(crops), int(numbers.max()) + 1)][numbers]
    if step < 30:
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
    shore = distance_transform_edt(~wet) * cell if wet.any() else np.full(shape, 1e6)
    depth = distance_transform_edt(wet) * cell
    ground = place.altitude + place.relief * min(scale, 1.0) * (relief - river_fall)
    if wet.any():
        level = float(np.quantile(ground[wet], 0.2))
        ground = level + np.abs(ground - level) * np.clip(shore / (150.0 * scale), 0.02, 1.0)
        ground[wet] = level
    height = gaussian_filter(ground, 1.0)
    whole = Frame(shape, *np.mgrid[0.5 : shape[0], 0.5 : shape[1]])
    return Landscape(
        place, grid, whole, height, noise.quantiles(height), cover, numbers, border * cell, shore, depth, texture,
        parcels=int(numbers.max()) + 1,
    )  # fmt: skip


def _build_town(cover: Bytes, share: float, texture: Floats, border: Floats, rng: np.random.Generator) -> None:
    """Rings around a centre that is not the middle: dense, then diffuse with gardens, works at one side, streets."""
    if share <= 0:
        return
    rows, columns = cover.shape
    # a village lies aside, a city fills the ground
    centre = np.array([rows, columns]) * (rng.uniform(0.4, 0.6, 2) if share > 0.3 else rng.choice((0.25, 0.75), 2))
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


def _waters(place: Place, shape: tuple[int, int], relief: Floats, rng: np.random.Generator) -> tuple[Bools, Floats]:
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
