"""Water in the soil, and what the soil is made of."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bocage_theia.samples import growth, landscape as ground
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
    """g/kg. Clay, silt and sand are shares of one whole."""
    return _texture(land)[0]


def silt(land: Landscape) -> Floats:
    return _texture(land)[1]


def sand(land: Landscape) -> Floats:
    return _texture(land)[2]


@lru_cache(maxsize=8)
def _texture(land: Landscape) -> tuple[Floats, Floats, Floats]:
    """Shares of one whole, so that they add up to 1000 g/kg; finer in the valleys."""
    low = 1 - land.rank
    weights = [
        np.exp(0.35 * land.smooth(52, 9000) + 0.7 * (low - 0.5) - 0.45),
        np.exp(0.30 * land.smooth(53, 9000)),
        np.exp(0.40 * land.smooth(54, 9000) - 0.6 * (low - 0.5) - 0.1),
    ]
    whole = weights[0] + weights[1] + weights[2]
    soil = ~land.water
    clay_, silt_, sand_ = (np.where(soil, 1000.0 * w / whole, np.nan) for w in weights)
    return clay_, silt_, sand_


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


def depth_cm(land: Landscape) -> Floats:
    low = 1 - land.rank
    return np.where(land.water, np.nan, np.clip(45 + 90 * low + 12 * land.smooth(57, 5000), 10, 200))


def available_water(land: Landscape) -> Floats:
    """mm: what the depth holds, more of it in fine soils."""
    return depth_cm(land) * (0.7 + 0.0012 * silt(land) + 0.0006 * clay(land))
