"""Trees: height, wood, carbon, health, cuts; and what radiometers see through their water."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bocage_theia.samples import growth
from bocage_theia.samples import landscape as ground
from bocage_theia.samples.landscape import Bools, Landscape
from bocage_theia.samples.noise import Floats

CARBON_SHARE = 0.47


@lru_cache(maxsize=16)
def cut(land: Landscape) -> Bools:
    """Parcels of forest that were felled within the last years."""
    return land.forest & (land.by_parcel(71) < 0.11)


@lru_cache(maxsize=16)
def height(land: Landscape) -> Floats:
    """Of the canopy, m: forests by their stands, hedges and orchards lower, fields almost nothing."""
    stand = 7.0 + 21.0 * land.by_parcel(72) ** 0.8 + 1.6 * land.texture
    value = np.where(land.forest, np.clip(stand, 2.5, 38), 0.0)
    value = np.where(cut(land), np.clip(0.8 + 0.4 * land.texture, 0, 2), value)
    value = np.where(land.cover == ground.ORCHARD, 3.5, value)
    value = np.where(land.cover == ground.HEATH, 1.4, value)
    return np.where(hedges(land), 6.5 + land.texture, value).clip(0, 45)


def volume(land: Landscape) -> Floats:
    """Wood, m³/ha."""
    return np.where(land.forest, 0.85 * height(land) ** 1.8, 0.0)


def biomass(land: Landscape) -> Floats:
    """Above the ground, Mg/ha: heavier wood in broadleaved trees."""
    density = np.where(land.cover == ground.BROADLEAVED, 0.72, 0.53)
    return volume(land) * density


def carbon(land: Landscape) -> Floats:
    """Mg of carbon a hectare."""
    return CARBON_SHARE * biomass(land)


def basal_area(land: Landscape) -> Floats:
    """m²/ha; NaN off the forest."""
    return np.where(land.forest, 1.35 * height(land) * np.exp(0.08 * land.smooth(73, 200)), np.nan)


def hedges(land: Landscape) -> Bools:
    """Borders of some parcels, in open country."""
    near = land.border < max(6.0, 0.6 * land.grid.metres)
    open_country = land.crops | land.among(ground.GRASS, ground.ORCHARD, ground.VINE)
    return near & open_country & (land.by_parcel(74) < 0.55)


def poplars(land: Landscape) -> Bools:
    """Planted parcels on damp ground along the water."""
    return (land.shore > 0) & (land.shore < 450) & (land.by_parcel(75) < 0.35) & ~land.built & (land.border > 5)


def wetland(land: Landscape) -> Bools:
    return (land.shore > 0) & (land.shore < 260) & ~land.built & (land.by_parcel(76) < 0.8)


def mangrove(land: Landscape) -> Bools:
    """A belt between the sea and the land, which the tide reaches."""
    belt = 180 + 90 * land.smooth(77, 700)
    return (land.shore > 0) & (land.shore < belt) & ~land.built


def dieback(land: Landscape, evergreen: bool = True) -> Floats:
    """0 healthy, to 1 dead; NaN off the kind of forest that is looked at. It spreads from spots."""
    kind = land.cover == (ground.CONIFER if evergreen else ground.BROADLEAVED)
    spots = 1 / (1 + np.exp(-(3.2 * land.smooth(78, 420) - 4.2 + 0.5 * land.texture)))
    return np.where(kind, spots, np.nan)


def cut_days(land: Landscape, first: float, last: float) -> Floats:
    """Day on which a parcel was felled, between two; NaN where none was."""
    return np.where(cut(land), np.round(land.by_parcel(79, first, last)), np.nan)


def loss(land: Landscape) -> Bools:
    """Forest that has become something else: bays that eat into it."""
    return (land.smooth(80, 600) > 1.25) & ~land.water


def optical_depth(land: Landscape, day: int, band: str) -> Floats:
    """Of the vegetation at microwaves, without unit: leaves and, at long waves, wood. NaN in water."""
    leaves, wood = (0.07, 0.0022) if band == "L" else (0.16, 0.0009)
    value = leaves * growth.lai(land, day) + wood * biomass(land) + 0.02
    return np.where(land.water, np.nan, value * np.exp(0.05 * land.texture))
