"""Water in the soil, its colour, its levels and surfaces; what lives on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bocage_theia.samples import growth, places, soils, stands, waters
from bocage_theia.samples.landscape import Landscape
from bocage_theia.samples.noise import Floats
from bocage_theia.samples.recipe import DEGREES, LAMBERT, Recipe
from bocage_theia.samples.tables import Columns, outlines, series

_DEGREE_10M = 0.0001
_YEAR = 2 * np.pi / 365


def _kilometres(land: Landscape, day: int) -> Floats:
    """Cells of a kilometre: towns and lakes are parts of them only."""
    return soils.moisture(land, day)


def _river(land: Landscape, days: Floats) -> tuple[Floats, Floats]:
    """Level above the geoid in m, and discharge in m³/s by a rating curve; high in late winter."""
    flood = np.cumsum(land.rng(111).standard_normal(len(days))) * 0.02
    level = 1.9 + 1.1 * np.cos(_YEAR * (days - 45)) + flood - flood.mean()
    discharge = 92.0 * np.maximum(level + 0.4, 0.15) ** 1.6
    return land.place.altitude + level, discharge


def _suspended(discharge: Floats) -> Floats:
    """mg/L: rivers carry more when they run high."""
    return 6.0 + 0.11 * discharge


def _flux(share: float) -> Callable[[Landscape, Floats], Columns]:
    """kg/s: discharge (m³/s) times what a litre carries (mg), or a share of that."""

    def columns(land: Landscape, days: Floats) -> Columns:
        _, discharge = _river(land, days)
        return {"flux_kg_s": share * discharge * _suspended(discharge) / 1000}

    return columns


def _heights(land: Landscape, days: Floats) -> Columns:
    level, _ = _river(land, days)
    noise = 0.06 * land.rng(112).standard_normal(len(days))
    return {"height_m": np.round(level + noise, 3), "uncertainty_m": np.round(0.08 + np.abs(noise) / 2, 3)}


def _lake_level(land: Landscape, days: Floats) -> Floats:
    level: Floats = land.place.altitude + 2.6 * np.cos(_YEAR * (days - 130)) - 0.004 * (days - days[0])
    return level


def _lake_heights(land: Landscape, days: Floats) -> Columns:
    noise = 0.03 * land.rng(113).standard_normal(len(days))
    level = _lake_level(land, days)
    return {"height_m": np.round(level + noise, 3), "uncertainty_m": np.round(0.04 + np.abs(noise) / 2, 3)}


def _volumes(land: Landscape, days: Floats) -> Columns:
    """A bowl: the surface grows with the level, and the volume is its sum over the depth."""
    depth = np.maximum(_lake_level(land, days) - (land.place.altitude - 28.0), 0)
    surface = 0.35 * depth
    return {"surface_km2": np.round(surface, 4), "volume_hm3": np.round(surface * depth / 2, 4)}


RECIPES = (
    Recipe("s2mp-rpg-fr", places.LAURAGAIS, "2025-05-14", epsg=DEGREES, cell=_DEGREE_10M,
           assets={"soil_moisture": soils.moisture_of_parcels}),
    Recipe("soil-moisture-hrs", places.GARONNE, "2025-05-14", epsg=LAMBERT, cell=1000, size=96, scale=40.0,
           assets={"soil_moisture": _kilometres}),
    Recipe("water-spm", places.GIRONDE, "2023-07-08", cell=20,
           assets={"SPM_B4": lambda land, day: waters.spm(land),
                   "SPM_B8": lambda land, day: waters.spm_infrared(land)}),
    Recipe("water-turbidity", places.GIRONDE, "2023-07-08", cell=20,
           assets={"turbidity": lambda land, day: waters.turbidity(land)}),
    Recipe("water-chlorophyll-a", places.BERRE, "2023-06-20", cell=20,
           assets={"chlorophyll_a": lambda land, day: waters.chlorophyll(land)}),
    Recipe("water-cdom", places.BERRE, "2023-06-20", cell=20, assets={"acdom": lambda land, day: waters.cdom(land)}),
    Recipe("water-toxic-algae", places.BERRE, "2023-06-20", cell=20,
           assets={"presence": lambda land, day: waters.algae(land)}),
    Recipe("surfwater", places.NAUSSAC, "2022-08-01", "2022-08-31", day=228,
           assets={"water": waters.presence, "occurrence": lambda land, day: np.rint(waters.occurrence(land))}),
    Recipe("irrigated-plots", places.CATALOGNE, "2018-01-01", "2018-12-31", epsg=3043, day=200,
           assets={"irrigated": lambda land, day: np.where(
               land.crops | (land.cover == 14), growth.irrigated(land).astype(float), np.nan)},
           tables={"plots": outlines(
               lambda land, day: (land.crops | (land.cover == 14)) & (land.border > 3),
               lambda land, day, cells: {"irrigated": int(growth.irrigated(land)[cells].mean() > 0.5)})}),
    Recipe("mangrove", places.MAYOTTE, "2022-01-01", "2022-12-31", day=200,
           assets={"mangrove": lambda land, day: stands.mangrove(land).astype(float)}),
    Recipe("wetlands", places.CAMARGUE, "2022-01-01", "2022-12-31", day=120,
           assets={"wetland": lambda land, day: stands.wetland(land).astype(float)}),
    Recipe("sediment-flux", places.GARONNE, "2022-01-01", "2023-12-31",
           tables={"series": series("2022-01-01", "2023-12-31", 5, _flux(1.0))}),
    # Organic carbon on the particles: 2.5 % of them.
    Recipe("element-flux", places.GARONNE, "2022-01-01", "2023-12-31",
           tables={"series": series("2022-01-01", "2023-12-31", 5, _flux(0.025))}),
    Recipe("hydroweb-rivers", places.GARONNE, "2022-01-01", "2023-12-31",
           tables={"series": series("2022-01-01", "2023-12-31", 10, _heights)}),
    Recipe("hydroweb-lakes", places.NAUSSAC, "2022-01-01", "2023-12-31",
           tables={"series": series("2022-01-01", "2023-12-31", 10, _lake_heights)}),
    Recipe("water-volumes", places.NAUSSAC, "2022-01-01", "2023-12-31",
           tables={"series": series("2022-01-01", "2023-12-31", 5, _volumes)}),
)  # fmt: skip
