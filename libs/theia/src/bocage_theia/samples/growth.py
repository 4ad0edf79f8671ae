"""What grows: cover, leaf area, its course through the year, and what is derived from it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bocage_theia.samples import landscape as ground
from bocage_theia.samples.landscape import Bools, Landscape
from bocage_theia.samples.noise import Floats

# By class: day of green-up, day of browning, greatest and least cover of the ground.
_COURSE: dict[int, tuple[float, float, float, float]] = {
    ground.DENSE: (90, 300, 0.07, 0.04),
    ground.DIFFUSE: (90, 300, 0.38, 0.22),
    ground.INDUSTRY: (90, 300, 0.06, 0.04),
    ground.ROAD: (90, 300, 0.10, 0.06),
    ground.RAPE: (75, 165, 0.92, 0.10),
    ground.CEREAL: (82, 172, 0.90, 0.08),
    ground.PROTEIN: (95, 178, 0.84, 0.06),
    ground.SOYA: (165, 265, 0.90, 0.05),
    ground.SUNFLOWER: (160, 238, 0.86, 0.05),
    ground.MAIZE: (160, 262, 0.93, 0.05),
    ground.RICE: (165, 258, 0.88, 0.05),
    ground.ROOTS: (150, 262, 0.88, 0.06),
    ground.GRASS: (72, 305, 0.84, 0.42),
    ground.ORCHARD: (98, 300, 0.62, 0.24),
    ground.VINE: (118, 286, 0.46, 0.10),
    ground.BROADLEAVED: (105, 298, 0.94, 0.22),
    ground.CONIFER: (95, 310, 0.86, 0.74),
    ground.LAWN: (80, 210, 0.60, 0.26),
    ground.HEATH: (88, 305, 0.66, 0.42),
    ground.MINERAL: (90, 300, 0.10, 0.05),
    ground.BEACH: (90, 300, 0.03, 0.01),
    ground.SNOW: (180, 250, 0.0, 0.0),
    ground.WATER: (180, 250, 0.0, 0.0),
}
EXTINCTION = 0.55
_EARLY_DAYS, _LATE_DAYS = 9.0, 11.0


def _of_class(land: Landscape, column: int) -> Floats:
    table = np.zeros(ground.CLASSES + 1)
    for number, course in _COURSE.items():
        table[number] = course[column]
    return table[land.cover]


def start_of_season(land: Landscape) -> Floats:
    """Day of the year; NaN where nothing grows. Higher ground is later: four days each hundred metres."""
    late = (land.height - land.place.altitude) / 100.0 * 4.0
    day = _of_class(land, 0) + land.by_parcel(11, -7, 7) + late + 1.5 * land.texture
    return np.where(_of_class(land, 2) > 0.2, day, np.nan)


def end_of_season(land: Landscape) -> Floats:
    day = _of_class(land, 1) + land.by_parcel(12, -8, 8) + 1.5 * land.texture
    return np.where(_of_class(land, 2) > 0.2, day, np.nan)


def peak_of_season(land: Landscape) -> Floats:
    return (start_of_season(land) + end_of_season(land)) / 2


@lru_cache(maxsize=32)
def fcover(land: Landscape, day: int) -> Floats:
    """Share of the ground that green leaves cover, 0 to 1."""
    most, least = _of_class(land, 2), _of_class(land, 3)
    start, end = np.nan_to_num(start_of_season(land), nan=90), np.nan_to_num(end_of_season(land), nan=300)
    up = 1 / (1 + np.exp(-(day - start) / _EARLY_DAYS))
    down = 1 / (1 + np.exp((day - end) / _LATE_DAYS))
    vigour = 1 + 0.10 * land.by_parcel(13, -1, 1) + 0.035 * land.texture
    return np.clip((least + (most - least) * up * down) * vigour, 0, 0.985) * ~land.water


def lai(land: Landscape, day: int) -> Floats:
    """Leaf area index by the law of Beer and Lambert from the cover."""
    return -np.log(1 - fcover(land, day)) / EXTINCTION


def fapar(land: Landscape, day: int) -> Floats:
    return 0.96 * (1 - np.exp(-0.62 * lai(land, day)))


def chlorophyll(land: Landscape, day: int) -> Floats:
    """Of the canopy, g/m²: leaf area by a content of the leaves."""
    return lai(land, day) * np.clip(0.42 + 0.04 * land.texture, 0.25, 0.6)


@lru_cache(maxsize=4)
def year(land: Landscape) -> Floats:
    """Absorbed radiation through the year: twelve grids, one each month."""
    return np.stack([fapar(land, day) for day in range(15, 361, 30)])


def dhi_cumulative(land: Landscape) -> Floats:
    """Sum over the days of a year."""
    total: Floats = year(land).mean(axis=0) * 365
    return total


def dhi_minimum(land: Landscape) -> Floats:
    least: Floats = year(land).min(axis=0)
    return least


def dhi_variation(land: Landscape) -> Floats:
    """Deviation over the mean; 0 where nothing ever grows."""
    mean = year(land).mean(axis=0)
    share: Floats = np.divide(year(land).std(axis=0), mean, out=np.zeros_like(mean), where=mean > 1e-6)
    return share


def irrigated(land: Landscape) -> Bools:
    """Fields of summer crops that get water: most of maize and rice, some of soya."""
    chance = land.by_parcel(14)
    wanted = np.zeros(land.grid.shape)
    for crop, share in ((ground.MAIZE, 0.75), (ground.RICE, 1.0), (ground.SOYA, 0.5), (ground.ORCHARD, 0.4)):
        wanted[land.cover == crop] = share
    watered: Bools = chance < wanted
    return watered


def crop_biomass(land: Landscape) -> Floats:
    """Dry matter above the ground at harvest, t/ha; NaN off the fields. It follows the light taken up over the year."""
    grown = year(land).sum(axis=0)
    return np.where(land.crops, np.clip(3.1 * grown + 1.2 * land.by_parcel(15, -1, 1) + 1.5, 1.5, 24), np.nan)


def crop_yield(land: Landscape) -> Floats:
    """Grain, t/ha: a harvest index of each crop times its dry matter."""
    index = np.full(land.grid.shape, 0.45)
    for crop, share in ((ground.RAPE, 0.28), (ground.SUNFLOWER, 0.32), (ground.MAIZE, 0.52), (ground.CEREAL, 0.47)):
        index[land.cover == crop] = share
    return crop_biomass(land) * (index + 0.03 * land.by_parcel(16, -1, 1))


def co2_flux(land: Landscape) -> Floats:
    """Net carbon over a year, gC/m²; negative is taken up. Of what grows some 48 % is carbon, and soils breathe."""
    taken = crop_biomass(land) * 100 * 0.48
    breathed = 290 + 40 * land.by_parcel(17, -1, 1)
    return breathed - taken
