"""Reflectance, radar, albedo, elevation."""

from __future__ import annotations

import numpy as np

from bocage_theia.samples import optics, places, stands, waters
from bocage_theia.samples.landscape import DENSE, DIFFUSE, INDUSTRY, Landscape
from bocage_theia.samples.noise import Floats
from bocage_theia.samples.recipe import Layer, Recipe, Shown

FINE, WIDE = ("B2", "B3", "B4", "B8"), ("B5", "B6", "B7", "B8A", "B11", "B12")


def _swath(land: Landscape, value: Floats) -> Floats:
    """What lies beyond the edge of the swath has no value: a corner of the cut."""
    rows, columns = np.mgrid[0 : land.grid.rows, 0 : land.grid.columns] / max(land.grid.shape)
    return np.where(columns + 0.25 * rows > 1.14, np.nan, value)


def _level_2a(band: str, slopes: bool) -> Shown:
    def shown(land: Landscape, day: int) -> Floats:
        value = optics.reflectance(land, band, day) if slopes else optics.slope_reflectance(land, band, day)
        return _swath(land, optics.seen(land, value))

    return shown


def _atmosphere(land: Landscape, _day: int) -> list[Floats]:
    return [optics.water_vapour(land), optics.aerosols(land)]


def _clouds(land: Landscape, _day: int) -> Floats:
    return optics.cloud_bits(land)


def _level_2a_assets() -> dict[str, Layer]:
    assets: dict[str, Layer] = {}
    for kind, slopes in (("SRE", False), ("FRE", True)):
        assets |= {f"{kind}_{band}": Layer(_level_2a(band, slopes), 1) for band in FINE}
        assets |= {f"{kind}_{band}": Layer(_level_2a(band, slopes), 2) for band in WIDE}
    for name, factor in (("R1", 1), ("R2", 2)):
        assets |= {f"ATB_{name}": Layer(_atmosphere, factor), f"CLM_{name}": Layer(_clouds, factor)}
    return assets


def _never_clear(land: Landscape) -> Floats:
    """Cells that were under clouds at each date of a month: few."""
    return (land.smooth(104, 350) > 2.1).astype(float)


def _synthesis(band: str) -> Shown:
    def shown(land: Landscape, day: int) -> Floats:
        cloudy = _never_clear(land) > 0
        return np.where(cloudy, 0.35, optics.reflectance(land, band, day))

    return shown


def _weight(land: Landscape, _day: int) -> Floats:
    return np.where(_never_clear(land) > 0, 0.0, np.clip(3.6 + 0.7 * land.smooth(101, 900), 0.4, 8))


def _dates(land: Landscape, day: int) -> Floats:
    """Weighted mean of the days, counted from the first of the window of 46."""
    return np.rint(np.clip(23 + 3.5 * land.smooth(102, 1200), 0, 46))


def _flags(land: Landscape, _day: int) -> Floats:
    return np.where(_never_clear(land) > 0, 1.0, np.where(land.water, 3.0, 4.0))


def _synthesis_assets() -> dict[str, Layer]:
    return {
        **{f"FRC_{band}": Layer(_synthesis(band), 1) for band in FINE},
        **{f"FRC_{band}": Layer(_synthesis(band), 2) for band in WIDE},
        "WGT_R1": Layer(_weight),
        "DTS_R1": Layer(_dates),
        "FLG_R1": Layer(_flags),
    }


def _of_water(band: str) -> Shown:
    return lambda land, day: waters.remote_sensing_reflectance(land, band)


def _radar(polarisation: str) -> Shown:
    return lambda land, day: optics.sigma0(land, polarisation, day)


def surface_height(land: Landscape) -> Floats:
    """Ground, and what stands on it: crowns, and one roof a parcel."""
    roofs = land.among(DENSE, DIFFUSE, INDUSTRY) & (land.border > 0.8)
    return land.height + np.maximum(stands.height(land), np.where(roofs, land.by_parcel(103, 4, 14), 0.0))


def _shade(land: Landscape, _day: int) -> Floats:
    return optics.shade(surface_height(land), land.grid.metres)


def _colours(land: Landscape, day: int) -> list[Floats]:
    """True colours as numbers of a sensor."""
    lit = _shade(land, day) / 180
    return [np.clip(8000 * optics.reflectance(land, band, day) * lit + 40, 1, 65535) for band in ("B4", "B3", "B2")]


RECIPES = (
    Recipe("sentinel2-l2a-maja", places.LAURAGAIS, "2023-07-08", size=96, assets=_level_2a_assets()),
    Recipe("sentinel2-l3a-wasp", places.LAURAGAIS, "2023-06-22", "2023-08-06", size=120, day=196,
           assets=_synthesis_assets()),
    Recipe("water-reflectance", places.GIRONDE, "2023-07-08", cell=20, size=96,
           assets={f"Rrs_{band}": _of_water(band) for band in ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A")}),
    Recipe("sentinel1-s1tiling", places.LAURAGAIS, "2023-07-06", size=128,
           assets={"vv": _radar("VV"), "vh": _radar("VH")}),
    Recipe("cesbio-s2albedo", places.LAURAGAIS, "2022-06-01", "2022-09-30", day=215,
           assets={"albedo": lambda land, day: optics.albedo(land, day),
                   "uncertainty": lambda land, day: optics.albedo_uncertainty(land, day)}),
    Recipe("mns-pleiades", places.MONTPELLIER, "2023-06-14", cell=1.0, size=144, scale=0.25,
           assets={"dsm": lambda land, day: surface_height(land), "hillshade": _shade, "ortho": _colours}),
)  # fmt: skip
