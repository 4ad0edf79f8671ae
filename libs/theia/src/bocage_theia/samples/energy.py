"""Heat: emissivity, temperature of the surface, and the fluxes, whose sum closes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bocage_theia.samples import growth, optics, soils
from bocage_theia.samples import landscape as ground
from bocage_theia.samples.landscape import Landscape
from bocage_theia.samples.noise import Floats

STEFAN_BOLTZMANN = 5.670374e-8
_SUN, _SKY = 860.0, 345.0
_DAY_SHARE = 0.31
"""Of the net radiation at noon, on the mean of the day."""
_VAPOUR_J_KG = 2.45e6


def emissivity(land: Landscape, day: int) -> Floats:
    bare = np.where(land.built, 0.945, 0.966)
    bare = np.where(land.among(ground.MINERAL, ground.BEACH), 0.952, bare)
    cover = growth.fcover(land, day)
    value = cover * 0.990 + (1 - cover) * bare + 0.0012 * land.texture
    return np.clip(np.where(land.water, 0.988, value), 0.9, 0.998)


@lru_cache(maxsize=16)
def evaporative_fraction(land: Landscape, day: int) -> Floats:
    """Of the available energy, what goes into vapour: leaves, and the water that they find."""
    wet = np.clip((np.nan_to_num(soils.moisture(land, day), nan=6.0) - 4) / 26, 0.05, 1)
    value = 0.10 + 0.55 * growth.fcover(land, day) * (0.45 + 0.55 * wet) + 0.22 * wet
    return np.clip(np.where(land.water, 0.93, np.where(land.built, 0.6 * value, value)), 0.03, 0.97)


@lru_cache(maxsize=16)
def temperature(land: Landscape, day: int, night: bool = False) -> Floats:
    """Of the surface, K. By day what evaporates is cool; by night walls and water are warm."""
    air = land.place.air_k - 0.0065 * (land.height - land.place.altitude)
    if night:
        stored = np.where(land.water, 2.5, np.where(land.built, 1.8, -3.0 + 1.5 * growth.fcover(land, day)))
        return air - 8.0 + stored + 0.3 * land.texture
    heated = 21.0 * (1 - evaporative_fraction(land, day)) - 4.0
    dark = 22.0 * (0.2 - optics.albedo(land, day))
    value = air + heated + np.where(land.water, 0.0, dark) + np.where(land.built, 2.0, 0.0) + 0.35 * land.texture
    return np.where(land.water, air - 3.5 + 0.1 * land.texture, value)


def net_radiation(land: Landscape, day: int) -> Floats:
    """At noon, W/m²."""
    shone = (1 - optics.albedo(land, day)) * _SUN
    return shone + emissivity(land, day) * (_SKY - STEFAN_BOLTZMANN * temperature(land, day) ** 4)


def ground_heat(land: Landscape, day: int) -> Floats:
    share = np.where(land.water, 0.30, 0.32 * (1 - 0.85 * growth.fcover(land, day)))
    return share * net_radiation(land, day)


def latent_heat(land: Landscape, day: int) -> Floats:
    return evaporative_fraction(land, day) * (net_radiation(land, day) - ground_heat(land, day))


def sensible_heat(land: Landscape, day: int) -> Floats:
    return net_radiation(land, day) - ground_heat(land, day) - latent_heat(land, day)


def net_radiation_of_day(land: Landscape, day: int) -> Floats:
    return _DAY_SHARE * net_radiation(land, day)


def potential_evapotranspiration(land: Landscape, day: int) -> Floats:
    """mm in a day, if nothing lacked water."""
    return 0.97 * net_radiation_of_day(land, day) * 86400 / _VAPOUR_J_KG


def evapotranspiration(land: Landscape, day: int) -> Floats:
    """mm in a day."""
    return evaporative_fraction(land, day) * net_radiation_of_day(land, day) * 86400 / _VAPOUR_J_KG


def evapotranspiration_of_ten_days(land: Landscape, day: int) -> Floats:
    """mm: the sum of ten days, of which some are dull."""
    sunny = 0.80 + 0.15 * land.rng(61).random(10)
    return evapotranspiration(land, day) * float(sunny.sum())


def stress(land: Landscape, day: int) -> Floats:
    """1 − actual / potential."""
    return 1 - evapotranspiration(land, day) / potential_evapotranspiration(land, day)
