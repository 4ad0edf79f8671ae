"""Emissivity, temperature at its five scales, evapotranspiration."""

from __future__ import annotations

from collections.abc import Callable

from bocage_theia.samples import energy, places
from bocage_theia.samples.landscape import Landscape
from bocage_theia.samples.noise import Floats
from bocage_theia.samples.recipe import LAMBERT, Recipe, Shown


def _day(variable: Callable[[Landscape, int], Floats]) -> dict[str, Shown]:
    return {"lst": variable}


_LST = _day(energy.temperature)

RECIPES = (
    Recipe("surface-emissivity", places.LAURAGAIS, "2023-07-08", assets={"emissivity": energy.emissivity}),
    Recipe("thermocity-lst", places.STRASBOURG, "2019-07-24", cell=90, size=96, scale=6.0,
           assets={"lst": energy.temperature, "emissivity": energy.emissivity}),
    Recipe("thermocity-lst", places.TOULOUSE, "2018-08-04", cell=90, size=96, scale=6.0,
           assets={"lst": energy.temperature, "emissivity": energy.emissivity}),
    Recipe("thermocity-lst", places.MONTPELLIER, "2019-06-28", cell=90, size=96, scale=6.0,
           assets={"lst": lambda land, day: energy.temperature(land, day, night=True),
                   "emissivity": energy.emissivity}),
    Recipe("lst-modis-1km", places.REGION, "2019-07-24", epsg=LAMBERT, cell=1000, size=96, scale=60.0, assets=_LST),
    Recipe("lst-aster-90m", places.STRASBOURG, "2019-07-24", cell=90, size=128, scale=6.0, assets=_LST),
    Recipe("lst-desirex-4m", places.STRASBOURG, "2019-07-24", cell=4, size=160, scale=0.4, assets=_LST),
    Recipe("lst-solene-50cm", places.STREET, "2019-07-24", cell=0.5, size=160, scale=0.12, assets=_LST),
    Recipe("lst-ground-2cm", places.PATCH, "2019-07-24", cell=0.02, size=128, scale=0.002, assets=_LST),
    Recipe("et-heat-fluxes", places.LAURAGAIS, "2023-07-08", size=120,
           assets={"sensible_heat": energy.sensible_heat, "latent_heat": energy.latent_heat,
                   "ground_heat": energy.ground_heat}),
    Recipe("et-net-radiation", places.LAURAGAIS, "2023-07-08", size=120,
           assets={"net_radiation": energy.net_radiation}),
    Recipe("et-daily", places.LAURAGAIS, "2023-07-08", size=120,
           assets={"evapotranspiration": energy.evapotranspiration}),
    Recipe("et-ten-day", places.LAURAGAIS, "2023-07-01", "2023-07-10", size=120, day=189,
           assets={"evapotranspiration": energy.evapotranspiration_of_ten_days}),
    Recipe("et-stress-index", places.LAURAGAIS, "2023-07-08", size=120, assets={"stress_index": energy.stress}),
)  # fmt: skip
