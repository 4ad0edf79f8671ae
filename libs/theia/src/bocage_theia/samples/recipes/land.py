"""Land cover, (semi-)natural spaces, towns."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter, median_filter

from bocage_theia.samples import growth, optics, places, stands
from bocage_theia.samples import landscape as ground
from bocage_theia.samples.landscape import Bools, Landscape
from bocage_theia.samples.noise import Floats, Ints
from bocage_theia.samples.recipe import LAMBERT, Recipe
from bocage_theia.samples.tables import outlines


def _is(chosen: Bools, land: Landscape, *, on_water: bool = True) -> Floats:
    """1 where it is, 0 where it is not, nothing on water if water is not looked at."""
    value = chosen.astype(float)
    return value if on_water else np.where(land.water, np.nan, value)


def _confidence(land: Landscape) -> Floats:
    """Per cent: the classifier doubts at borders."""
    return np.rint(np.clip(88 - 38 * np.exp(-land.border / 12) + 5 * land.texture, 15, 100))


def _clear_dates(land: Landscape) -> Floats:
    return np.rint(np.clip(34 + 4 * land.smooth(121, 3000), 8, 70))


def _oso(land: Landscape, _day: int) -> list[Floats]:
    return [land.cover.astype(float), _confidence(land), _clear_dates(land)]


def _regular(land: Landscape, _day: int) -> Ints:
    """The land cover without its crumbs."""
    return median_filter(land.cover, 3, mode="nearest").astype(np.int64)


def _oso_attributes(land: Landscape, day: int, cells: Bools) -> dict[str, Any]:
    dates = _clear_dates(land)[cells]
    return {
        "majority_class": int(np.bincount(_regular(land, day)[cells]).argmax()),
        "validmean": round(float(dates.mean()), 2),
        "validstd": round(float(dates.std()), 2),
        "confidence": round(float(_confidence(land)[cells].mean()), 2),
        "area": round(float(cells.sum()) * land.grid.metres**2, 1),
    }


def _intermediate(land: Landscape, _day: int) -> Floats:
    """Fields that carry a summer crop next are sown in the autumn before, most of them."""
    sown = land.among(*ground.SUMMER_CROPS) & (land.by_parcel(122) < 0.65)
    return np.where(land.crops, sown.astype(float), np.nan)


def _landscapes(land: Landscape, _day: int) -> Floats:
    """Five kinds, by what prevails around: water, towns, forest, meadow, fields."""
    shares = [
        gaussian_filter(part.astype(float), 6.0) * weight
        for part, weight in (
            (land.water, 1.5),
            (land.built, 1.6),
            (land.forest, 1.0),
            (land.among(ground.GRASS, ground.LAWN, ground.HEATH), 1.0),
            (land.crops | land.among(ground.VINE, ground.ORCHARD), 0.9),
        )
    ]
    kinds: Floats = np.argmax(np.stack(shares), axis=0) + 1.0
    return kinds


def _fire_attributes(land: Landscape, _day: int, cells: Bools) -> dict[str, Any]:
    return {"date": "2022-08-11", "area_ha": round(float(cells.sum()) * land.grid.metres**2 / 1e4, 2)}


def _one_fire(land: Landscape, _day: int) -> Ints:
    return np.ones(land.grid.shape, np.int64)


def _scorched(land: Landscape, _day: int) -> Bools:
    """The fire with what it enclosed."""
    return gaussian_filter(optics.burned(land).astype(float), 2.0) > 0.4


def _fabric(land: Landscape, _day: int) -> Floats:
    """Old centre, rows, houses with gardens, works."""
    row = land.among(ground.DENSE) & (land.smooth(123, 500) > 0)
    kinds = ((ground.DENSE, 1.0), (ground.DIFFUSE, 3.0), (ground.INDUSTRY, 4.0), (ground.ROAD, 2.0))
    value = np.zeros(land.grid.shape)
    for kind, number in kinds:
        value[land.cover == kind] = number
    value[row] = 2.0
    return value


def _urban_change(land: Landscape, _day: int) -> Floats:
    """Parcels that were built on lately: at the edge of the town."""
    edge = land.built & (gaussian_filter(land.built.astype(float), 8.0) <= 0.85)
    return _is(edge & (land.by_parcel(124) < 0.22), land, on_water=False)


def _urban_green(land: Landscape, day: int) -> Floats:
    near = binary_dilation(land.built, iterations=3)
    return np.where(near, ((growth.fcover(land, day) > 0.33) & ~land.crops).astype(float), 0.0)


def _roofs(land: Landscape, _day: int) -> Bools:
    houses = land.among(ground.DENSE, ground.DIFFUSE, ground.INDUSTRY)
    return houses & (land.border > 2.0) & (land.by_parcel(125) < 0.75)


def _dnbr(land: Landscape, day: int) -> Floats:
    return optics.dnbr(land, day)


def _is_poplar(land: Landscape, _day: int) -> Floats:
    return _is(stands.poplars(land), land)


def _hedged(land: Landscape, _day: int) -> Bools:
    return (land.crops | land.among(ground.GRASS)) & (land.by_parcel(74) < 0.55)


RECIPES = (
    Recipe("oso-raster", places.LAURAGAIS, "2023-01-01", "2023-12-31", epsg=LAMBERT, day=190, assets={"oso": _oso}),
    Recipe("oso-raster", places.LANGUEDOC, "2023-01-01", "2023-12-31", epsg=LAMBERT, day=190, assets={"oso": _oso}),
    Recipe("oso-vector", places.LAURAGAIS, "2023-01-01", "2023-12-31", epsg=LAMBERT, day=190,
           tables={"polygons": outlines(lambda land, day: np.ones(land.grid.shape, bool), _oso_attributes, _regular)}),
    Recipe("oso-intercultures", places.LAURAGAIS, "2022-09-01", "2023-03-31", epsg=LAMBERT, day=320,
           assets={"cover": _intermediate}),
    Recipe("poplar-groves", places.GARONNE, "2022-01-01", "2022-12-31", epsg=LAMBERT,
           assets={"poplar": _is_poplar}),
    Recipe("hedgerows", places.BRETAGNE, "2022-01-01", "2022-12-31", epsg=LAMBERT, cell=5,
           tables={"hedgerows": outlines(_hedged, lambda land, day, cells: {}, lines=True)}),
    Recipe("burned-areas", places.CORBIERES, "2022-08-01", "2022-08-31", epsg=LAMBERT,
           assets={"burned": lambda land, day: _is(optics.burned(land), land, on_water=False)}),
    Recipe("fire-contours", places.CORBIERES, "2022-08-01", "2022-08-31", epsg=LAMBERT,
           tables={"contours": outlines(_scorched, _fire_attributes, _one_fire)}),
    Recipe("fire-severity", places.CORBIERES, "2022-08-01", "2022-08-31", epsg=LAMBERT, day=210,
           assets={"dnbr": _dnbr}),
    Recipe("grassland", places.BOURGOGNE, "2022-01-01", "2022-12-31", epsg=LAMBERT,
           assets={"grassland": lambda land, day: _is(land.among(ground.GRASS, ground.LAWN), land)}),
    Recipe("landscape-classes", places.LANGUEDOC, "2022-01-01", "2022-12-31", epsg=LAMBERT, cell=50, scale=3.0,
           assets={"classes": _landscapes}),
    Recipe("urban-artificialised", places.STRASBOURG, "2022-01-01", "2022-12-31",
           assets={"artificialised": lambda land, day: _is(land.built, land)}),
    Recipe("urban-fabric", places.STRASBOURG, "2022-01-01", "2022-12-31", assets={"fabric": _fabric}),
    Recipe("urban-change", places.STRASBOURG, "2018-01-01", "2022-12-31", assets={"change": _urban_change}),
    Recipe("urban-vegetation", places.STRASBOURG, "2022-06-01", "2022-08-31", day=200,
           assets={"vegetation": _urban_green}),
    Recipe("spot-6-7-buildings-footprint", places.MONTPELLIER, "2021-01-01", "2021-12-31", epsg=LAMBERT, cell=1.5,
           scale=0.12, tables={"buildings": outlines(
               _roofs, lambda land, day, cells: {"area_m2": round(float(cells.sum()) * land.grid.metres**2, 1)})}),
)  # fmt: skip
