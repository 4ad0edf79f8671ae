"""Water in the soil, and what the soil is made of."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bocage_theia.samples import growth
from bocage_theia.samples import landscape as ground
from bocage_theia.samples.landscape import Landscape
from bocage_theia.samples.noise import Floats


@lru_cache(maxsize=16)
def moisture(land: Landscape, day: int) -> Floats:
    """Of the first centimetres, vol.%; NaN in water and under roofs. Low ground is wetter, watered fields most."""
    season = 15.0 + 8.0 * np.cos(2 * np.pi * (day - 20) / 365)
    low = 9.0 * (1 - land.rank)
    watered = np.where(growth.irrigated(land) & (150 < day < 260), 9.0, 0.0)
    value = season + low + watered + land.by_parcel(51, -2.5, 2.5) + 0.8 * land.texture
    return np.where(land.water | land.built, np.nan, np.clip(value, 3.0, 42.0))


def _mean_by_parcel(land: Landscape, value: Floats) -> Floats:
    known = np.isfinite(value)
    count = np.bincount(land.parcel.ravel(), known.ravel().astype(float))
    total = np.bincount(land.parcel.ravel(), np.where(known, value, 0.0).ravel())
    return (total / np.maximum(count, 1))[land.parcel]


def moisture_of_parcels(land: Landscape, day: int) -> Floats:
    """One value a field; NaN off the fields and where the leaves hide the soil from the radar."""
    value = _mean_by_parcel(land, np.where(land.crops | (land.cover == ground.GRASS), moisture(land, day), np.nan))
    hidden = _mean_by_parcel(land, growth.fcover(land, day)) > 0.9
    return np.where((land.crops | (land.cover == ground.GRASS)) & ~hidden, value, np.nan)


def clay(land: Landscape) -> Floats:
    """g/kg: a share of the fine earth, beside silt and sand; more of it in the valleys."""
    low = 0.5 - land.rank
    clay_ = np.exp(0.35 * land.smooth(52, 9000) + 0.7 * low - 0.45)
    silt = np.exp(0.30 * land.smooth(53, 9000))
    sand = np.exp(0.40 * land.smooth(54, 9000) - 0.6 * low - 0.1)
    return np.where(land.water, np.nan, 1000.0 * clay_ / (clay_ + silt + sand))


def organic_carbon(land: Landscape) -> Floats:
    """g/kg: forests and meadows hold most, vines least; clay keeps it."""
    table = np.full(ground.CLASSES + 1, 14.0)
    table[[ground.VINE, ground.ORCHARD]] = 9.0
    table[[ground.GRASS, ground.LAWN]] = 26.0
    table[[ground.BROADLEAVED, ground.CONIFER, ground.HEATH]] = 34.0
    return table[land.cover] * (0.7 + 0.001 * clay(land)) * np.exp(0.12 * land.smooth(55, 4000))


def ph(land: Landscape) -> Floats:
    acid = 1.2 if land.place.name == "Bretagne" else 0.0
    return np.where(land.water, np.nan, 7.3 - acid - 0.5 * land.forest + 0.35 * land.smooth(56, 8000))
