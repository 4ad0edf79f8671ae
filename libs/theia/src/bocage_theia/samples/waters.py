"""Colour of the waters: what is in them, what light they send back."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bocage_theia.samples.landscape import Landscape
from bocage_theia.samples.noise import Floats

# Shape of the semi-analytic laws: value = A·ρ / (1 − ρ/C), by Nechad and by Dogliotti, for the red band.
SPM_A, SPM_C = 610.94, 0.2324
TURBIDITY_A, TURBIDITY_C = 228.1, 0.1641
BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
_CLEAR = {"B1": 0.020, "B2": 0.021, "B3": 0.015, "B4": 0.003, "B5": 0.0025, "B6": 0.001, "B7": 0.001, "B8": 0.0008,
          "B8A": 0.0006, "B11": 0.0002, "B12": 0.0001}  # fmt: skip
_SEDIMENT = {"B1": 0.35, "B2": 0.55, "B3": 0.95, "B4": 1.0, "B5": 0.98, "B6": 0.45, "B7": 0.43, "B8": 0.35,
             "B8A": 0.26, "B11": 0.02, "B12": 0.01}  # fmt: skip


@lru_cache(maxsize=16)
def spm(land: Landscape) -> Floats:
    """Suspended matter, mg/L; NaN on land. Plumes hang on the shore, and drift."""
    plume = np.exp(-land.depth / 350.0)
    drift = np.exp(0.45 * land.smooth(21, 900))
    value = land.place.turbidity * (4.0 + 22.0 * plume) * drift + 0.5
    return np.where(land.water, np.clip(value, 0.3, 900), np.nan)


def red(land: Landscape) -> Floats:
    """Reflectance of the water in the red band, such that the law for suspended matter gives it back."""
    value = spm(land)
    return value / (SPM_A + value / SPM_C)


def turbidity(land: Landscape) -> Floats:
    """FNU. The law has a pole, which its use for clear and turbid water keeps away from."""
    value = np.minimum(red(land), 0.9 * TURBIDITY_C)
    return TURBIDITY_A * value / (1 - value / TURBIDITY_C)


@lru_cache(maxsize=16)
def bloom(land: Landscape) -> Floats:
    """From 0 to 1: how much the algae thrive, in patches away from the shore."""
    return 1 / (1 + np.exp(-(2.2 * land.smooth(22, 1400) + 0.5 * land.smooth(23, 250) - 1.2)))


def chlorophyll(land: Landscape) -> Floats:
    """mg/m³; NaN on land."""
    return np.where(land.water, 1.2 + 38.0 * bloom(land) ** 1.6, np.nan)


def cdom(land: Landscape) -> Floats:
    """Absorption by dissolved matter at 440 nm, 1/m: from the land, and less of it further out."""
    value = 0.25 + 1.6 * np.exp(-land.depth / 600.0) * np.exp(0.25 * land.smooth(24, 700))
    return np.where(land.water, value, np.nan)


def algae(land: Landscape) -> Floats:
    """1 where a dense bloom is, else 0; NaN on land."""
    return np.where(land.water, (chlorophyll(land) > 20.0).astype(float), np.nan)


def reflectance(land: Landscape, band: str) -> Floats:
    """Of the water itself; NaN on land. Dissolved matter darkens the blue, algae the red and the blue."""
    tint = np.exp(-0.16 * np.nan_to_num(cdom(land))) if band in ("B1", "B2") else 1.0
    green = 1 + (0.25 if band in ("B3", "B5") else -0.08) * np.nan_to_num(chlorophyll(land)) / 40
    if band == "B4":
        return red(land)
    return (_CLEAR[band] + _SEDIMENT[band] * np.maximum(red(land) - 0.003, 0)) * tint * green


def remote_sensing_reflectance(land: Landscape, band: str) -> Floats:
    """1/sr."""
    return reflectance(land, band) / np.pi


def presence(land: Landscape, day: int) -> Floats:
    """1 water, 0 none. In summer the shores fall dry a little."""
    dry = 14.0 * np.sin(np.pi * day / 365.0) if land.water.any() else 0.0
    return (land.water & (land.depth > dry)).astype(float)


def occurrence(land: Landscape) -> Floats:
    """In how many of a hundred looks there is water."""
    wet = 100.0 / (1 + np.exp(-(land.depth - 6.0) / 8.0))
    damp = np.where(land.shore < 60, 18.0 * np.exp(-land.shore / 15.0), 0.0)
    return np.clip(np.where(land.water, wet, damp), 0, 100)


def spm_infrared(land: Landscape) -> Floats:
    """mg/L as told by the infrared, where the water is turbid enough; NaN on land. The two agree but for noise."""
    return spm(land) * np.exp(0.06 * land.speckle(25)) * 1.03
