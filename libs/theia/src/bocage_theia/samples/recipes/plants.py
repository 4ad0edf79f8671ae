"""Forests, leaves, carbon, soils."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import numpy as np

from bocage_theia.samples import growth, optics, places, soils, stands
from bocage_theia.samples import landscape as ground
from bocage_theia.samples.landscape import Landscape
from bocage_theia.samples.noise import Floats
from bocage_theia.samples.recipe import LAMBERT, Layer, Recipe, Shown


def _still(variable: Callable[[Landscape], Floats]) -> Shown:
    """What does not depend on the day."""
    return lambda land, day: variable(land)


def _land(variable: Shown) -> Shown:
    """On land only."""
    return lambda land, day: np.where(land.water, np.nan, variable(land, day))


def _harmonics(land: Landscape, _day: int) -> list[Floats]:
    """Mean and first harmonic of an index of the water in needles, through the years; conifers only."""
    needles = land.cover == ground.CONIFER
    mean = 0.42 + 0.05 * land.by_parcel(131, -1, 1) + 0.01 * land.texture
    swing = 0.05 + 0.015 * land.by_parcel(132, -1, 1)
    phase = 1.1 + 0.1 * land.texture
    return [np.where(needles, value, np.nan) for value in (mean, swing * np.sin(phase), swing * np.cos(phase))]


def _spruce_dieback(land: Landscape, _day: int) -> Floats:
    sick = stands.dieback(land, evergreen=True)
    return np.where(np.isnan(sick), np.nan, (sick > 0.5).astype(float))


def _declining(land: Landscape) -> Floats:
    """Share of declining trees; oak forest only."""
    return stands.dieback(land, evergreen=False)


def _oak_classes(land: Landscape, _day: int) -> Floats:
    share = _declining(land)
    return np.where(np.isnan(share), np.nan, 1.0 + (share > 0.2) + (share > 0.5))


def _days_since(first: str, last: str, epoch: str) -> tuple[float, float]:
    start = datetime.date.fromisoformat(epoch)
    begin, end = ((datetime.date.fromisoformat(x) - start).days for x in (first, last))
    return float(begin), float(end)


def _cuts(land: Landscape, _day: int) -> Floats:
    return stands.cut_days(land, *_days_since("2021-01-04", "2022-12-28", "2018-01-01"))


def _deforested(land: Landscape, _day: int) -> Floats:
    return np.where(land.water, np.nan, stands.loss(land).astype(float))


def _forest(variable: Callable[[Landscape], Floats]) -> Shown:
    return lambda land, day: np.where(land.water, np.nan, variable(land))


def _uncertain(variable: Callable[[Landscape], Floats], share: float, least: float) -> Shown:
    def shown(land: Landscape, _day: int) -> Floats:
        return least + share * np.abs(variable(land)) * np.clip(1 + 0.2 * land.texture, 0.4, 1.8)

    return shown


_SOILS = {"clay": _still(soils.clay), "organic_carbon": _still(soils.organic_carbon), "ph": _still(soils.ph)}

RECIPES = (
    Recipe("forest-basal-area", places.VOSGES, "2022-01-01", "2022-12-31", epsg=LAMBERT, cell=20, size=128,
           assets={"basal_area": _still(stands.basal_area)}),
    Recipe("fordead-fit", places.VOSGES, "2016-01-01", "2020-12-31", size=100, assets={"coefficients": _harmonics}),
    Recipe("fordead-predict", places.VOSGES, "2023-01-01", "2023-12-31", assets={"dieback": _spruce_dieback}),
    Recipe("reconfort-chene", places.SOLOGNE, "2023-01-01", "2023-12-31", epsg=LAMBERT,
           assets={"health": _oak_classes, "score": _still(_declining)}),
    Recipe("deforestation", places.GUYANE, "2022-01-01", "2022-12-31", assets={"deforested": _deforested}),
    Recipe("sufosat", places.LANDES, "2021-01-01", "2022-12-31", epsg=LAMBERT, assets={"clear_cut_date": _cuts}),
    Recipe("biophy-sentinel2-l2b", places.LAURAGAIS, "2024-07-07", size=96,
           assets={"FCOVER": _land(growth.fcover), "LAI": _land(growth.lai), "FAPAR": _land(growth.fapar),
                   "CCC": _land(growth.chlorophyll), "NDVI": optics.ndvi}),
    Recipe("forms-t", places.CHAMPENOUX, "2022-01-01", "2022-12-31", epsg=LAMBERT,
           assets={"height": _still(stands.height), "volume": Layer(_still(stands.volume), 3),
                   "biomass": Layer(_still(stands.biomass), 3)}),
    Recipe("carbon-stock", places.CHAMPENOUX, "2022-01-01", "2022-12-31", epsg=LAMBERT, cell=30, size=128, scale=2.0,
           assets={"carbon": _forest(stands.carbon)}),
    Recipe("vod-smos", places.LANDES, "2022-06-01", "2022-06-30", epsg=4326, cell=0.25, size=64, scale=2000.0, day=166,
           assets={"vod": lambda land, day: stands.optical_depth(land, day, "L")}),
    Recipe("vod-s1", places.LANDES, "2022-06-01", "2022-06-30", epsg=LAMBERT, cell=1000, size=96, scale=60.0, day=166,
           assets={"vod": lambda land, day: stands.optical_depth(land, day, "C")}),
    Recipe("phenology", places.BEAUCE, "2022-01-01", "2022-12-31", epsg=LAMBERT,
           assets={"start": _still(growth.start_of_season), "peak": _still(growth.peak_of_season),
                   "end": _still(growth.end_of_season)}),
    Recipe("dynamic-habitat-index", places.BOURGOGNE, "2022-01-01", "2022-12-31", epsg=LAMBERT, cell=30, size=96,
           scale=2.0, assets={"cumulative": _still(growth.dhi_cumulative), "minimum": _still(growth.dhi_minimum),
                              "variation": _still(growth.dhi_variation)}),
    Recipe("agricarbon-co2-flux", places.LAURAGAIS, "2022-01-01", "2022-12-31", size=128,
           assets={"flux": _still(growth.co2_flux), "uncertainty": _uncertain(growth.co2_flux, 0.12, 20.0)}),
    Recipe("agricarbon-biomass", places.LAURAGAIS, "2022-01-01", "2022-12-31", size=128,
           assets={"biomass": _still(growth.crop_biomass), "uncertainty": _uncertain(growth.crop_biomass, 0.10, 0.3)}),
    Recipe("agricarbon-yield", places.LAURAGAIS, "2022-01-01", "2022-12-31", size=128,
           assets={"yield": _still(growth.crop_yield), "uncertainty": _uncertain(growth.crop_yield, 0.11, 0.2)}),
    Recipe("soil-properties-languedoc-roussillon", places.LANGUEDOC, "2015-01-01", "2015-12-31", epsg=LAMBERT,
           cell=90, size=96, scale=6.0, assets=_SOILS),
    Recipe("soil-properties-bretagne", places.BRETAGNE, "2015-01-01", "2015-12-31", epsg=LAMBERT, cell=90, size=96,
           scale=6.0, assets=_SOILS),
)  # fmt: skip
