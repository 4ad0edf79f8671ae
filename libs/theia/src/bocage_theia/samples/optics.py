"""How the ground looks from above: reflectance by band, atmosphere, clouds, albedo, radar."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from bocage_theia.samples import growth, soils, waters
from bocage_theia.samples import landscape as ground
from bocage_theia.samples.landscape import Bools, Landscape, shifted
from bocage_theia.samples.noise import Floats, quantiles

BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
_SOIL = (0.075, 0.105, 0.145, 0.175, 0.195, 0.210, 0.230, 0.240, 0.320, 0.280)
_LEAF = (0.020, 0.048, 0.024, 0.085, 0.310, 0.410, 0.440, 0.455, 0.205, 0.090)
_NEEDLE = (0.014, 0.030, 0.018, 0.050, 0.165, 0.205, 0.225, 0.230, 0.100, 0.045)
_ROOF = (0.120, 0.140, 0.160, 0.170, 0.180, 0.190, 0.205, 0.210, 0.240, 0.220)
_ROCK = (0.180, 0.230, 0.270, 0.290, 0.305, 0.315, 0.330, 0.340, 0.410, 0.370)
_ASH = (0.045, 0.050, 0.055, 0.062, 0.070, 0.078, 0.090, 0.098, 0.200, 0.245)
# Weights of the bands in the albedo of the whole of the sun's spectrum; their sum is 1.
ALBEDO = {"B2": 0.2266, "B3": 0.1236, "B4": 0.1573, "B8": 0.3417, "B11": 0.1170, "B12": 0.0338}
SUN_AZIMUTH, SUN_ZENITH = math.radians(155.0), math.radians(32.0)
_CLOUD_HEIGHT_CELLS = 9.0


def _background(land: Landscape, index: int) -> Floats:
    """What is under the leaves."""
    wet = 1 - 0.011 * (np.nan_to_num(soils.moisture(land, 200), nan=20) - 15)
    bright = (1 + 0.10 * land.by_parcel(31, -1, 1) + 0.04 * land.texture) * np.clip(wet, 0.6, 1.2)
    value = _SOIL[index] * bright
    roofs = _ROOF[index] * (1 + 0.16 * land.smooth(32, 40))
    value = np.where(land.built, np.clip(roofs, 0.03, 0.6), value)
    value = np.where(land.cover == ground.ROAD, 0.75 * _ROOF[index], value)
    return np.where(land.among(ground.MINERAL, ground.BEACH), _ROCK[index] * (1 + 0.05 * land.texture), value)


@lru_cache(maxsize=64)
def reflectance(land: Landscape, band: str, day: int) -> Floats:
    """Of the surface as if it were flat."""
    index = BANDS.index(band)
    cover = growth.fcover(land, day)
    leaf = np.where(land.cover == ground.CONIFER, _NEEDLE[index], _LEAF[index]) * (1 + 0.02 * land.texture)
    value = cover * leaf + (1 - cover) * _background(land, index)
    value = np.where(land.water, np.nan_to_num(waters.reflectance(land, band)), value)
    return np.clip(value * (1 + 0.004 * land.speckle(300 + index)), 0.0005, 1.0)


def ndvi(land: Landscape, day: int) -> Floats:
    red, infrared = reflectance(land, "B4", day), reflectance(land, "B8", day)
    index: Floats = (infrared - red) / (infrared + red)
    return index


def _lit(surface: Floats, cell: float, zenith: float, azimuth: float) -> Floats:
    """Cosine of the angle between the sun and the slope's normal."""
    fall_rows, fall_columns = np.gradient(surface, cell)
    steep = np.arctan(np.hypot(fall_rows, fall_columns))
    aspect = np.arctan2(-fall_columns, fall_rows)
    lit: Floats = np.cos(zenith) * np.cos(steep) + np.sin(zenith) * np.sin(steep) * np.cos(azimuth - aspect)
    return lit


def illumination(land: Landscape) -> Floats:
    """How much more or less sun a slope gets than flat ground."""
    share = _lit(land.height, land.grid.metres, SUN_ZENITH, SUN_AZIMUTH) / math.cos(SUN_ZENITH)
    return np.clip(share, 0.45, 1.5)


def shade(surface: Floats, cell: float) -> Floats:
    """Horn's shade with the sun in the north-west at 45°, 1 to 255: 0 is kept for what has no value."""
    return np.clip(255 * _lit(surface, cell, math.radians(45), math.radians(315)), 1, 255)


def slope_reflectance(land: Landscape, band: str, day: int) -> Floats:
    """Before the slopes are corrected for."""
    return np.clip(reflectance(land, band, day) * (0.25 + 0.75 * illumination(land)), 0.0005, 1.0)


@lru_cache(maxsize=16)
def albedo(land: Landscape, day: int) -> Floats:
    parts = np.stack([weight * reflectance(land, band, day) for band, weight in ALBEDO.items()])
    made: Floats = parts.sum(axis=0)
    return made


def albedo_uncertainty(land: Landscape, day: int) -> Floats:
    """Larger where the albedo is, and on slopes."""
    made: Floats = 0.008 + 0.06 * albedo(land, day) * (1 + np.abs(illumination(land) - 1))
    return made


@lru_cache(maxsize=8)
def clouds(land: Landscape) -> tuple[Bools, Bools, Bools]:
    """Thick clouds, their shadows on the ground beside them, and thin high ones."""
    rank = quantiles(land.smooth(33, 800) + 0.15 * land.texture)
    thick = binary_dilation(rank > 0.955, iterations=1)
    shadow = (shifted(thick, -_CLOUD_HEIGHT_CELLS, -_CLOUD_HEIGHT_CELLS / 2) > 0.5) & ~thick
    thin = quantiles(land.smooth(34, 2500)) > 0.93
    return thick, shadow, thin


def seen(land: Landscape, value: Floats, white: float = 0.62) -> Floats:
    """A reflectance as it is delivered: clouds are in it, bright, and their shadows."""
    thick, shadow, _ = clouds(land)
    body = gaussian_filter(thick.astype(float), 1.2)
    delivered: Floats = value * np.where(shadow, 0.55, 1.0) * (1 - body) + white * body
    return delivered


def cloud_bits(land: Landscape) -> Floats:
    """Bits of the mask, from the lowest: any cloud or shadow; any cloud; by reflectance; by variation; by extension;
    shadow of a cloud inside the image; of one outside; cirrus."""
    thick, shadow, thin = clouds(land)
    core = gaussian_filter(thick.astype(float), 1.5) > 0.75
    cloud = thick | thin
    bits = np.zeros(land.grid.shape, np.int64)
    for place, where in enumerate((cloud | shadow, cloud, core, thick & ~core, thick & ~core, shadow, None, thin)):
        if where is not None:
            bits |= where.astype(np.int64) << place
    return bits.astype(float)


def aerosols(land: Landscape) -> Floats:
    """Optical thickness at 550 nm."""
    return np.clip(0.14 + 0.03 * land.smooth(35, 2500), 0.01, 1.2)


def water_vapour(land: Landscape) -> Floats:
    """g/cm²; less of it above higher ground."""
    return np.clip(2.1 - 0.0012 * land.height + 0.06 * land.smooth(36, 2500), 0.2, 6)


def burned(land: Landscape) -> Bools:
    """One fire that ran through what burns: forest, heath and lawn on one side of the land."""
    rows, columns = np.mgrid[0 : land.grid.rows, 0 : land.grid.columns] / max(land.grid.shape)
    far = np.hypot(rows - 0.42, columns - 0.4) + 0.05 * land.smooth(37, 500)
    reached: Bools = (far < 0.27) & land.among(*ground.FORESTS, ground.HEATH, ground.LAWN, ground.GRASS)
    return reached


def severity(land: Landscape) -> Floats:
    """How much of the green burned, 0 to 1; 0 outside the fire."""
    return np.where(burned(land), np.clip(0.62 + 0.24 * land.smooth(38, 260), 0.12, 0.99), 0.0)


def dnbr(land: Landscape, day: int) -> Floats:
    """Difference of the normalised burn ratio, before less after."""

    def ratio(infrared: Floats, far: Floats) -> Floats:
        return (infrared - far) / (infrared + far)

    near, far, burn = reflectance(land, "B8", day), reflectance(land, "B12", day), severity(land)
    after_near = near * (1 - burn) + _ASH[BANDS.index("B8")] * burn
    after_far = far * (1 - burn) + _ASH[BANDS.index("B12")] * burn
    # Years are never quite alike.
    quiet = 0.012 * land.smooth(39, 120)
    return np.where(land.water, 0.0, ratio(near, far) - ratio(after_near, after_far) + quiet)


def sigma0(land: Landscape, polarisation: str, day: int) -> Floats:
    """Backscatter, linear: the water cloud model over a soil that is brighter when wet, with speckle of many looks."""
    a, b = (0.0950, 0.5513) if polarisation == "VV" else (0.0413, 1.1662)
    angle = np.radians(39.0)
    green = np.clip(ndvi(land, day), 0, 1)
    through = np.exp(-2 * b * green / np.cos(angle))
    offset = -17.0 if polarisation == "VV" else -25.0
    bare = 10 ** ((offset + 0.22 * np.nan_to_num(soils.moisture(land, day), nan=20)) / 10)
    value = a * green**2 * np.cos(angle) * (1 - through) * 0.5 + through * bare
    value = np.where(land.built & (land.cover != ground.ROAD), value * 5, value)
    value = np.where(land.water, 10 ** ((-21.0 if polarisation == "VV" else -28.0) / 10), value)
    # the same speckle for no two polarisations
    looks = land.rng(40 if polarisation == "VV" else 41).gamma(30.0, 1 / 30.0, land.grid.shape)
    return np.clip(value * looks, 1e-4, 10)
