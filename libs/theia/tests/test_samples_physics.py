"""The samples against what holds on the ground: leaves, light, heat and water agree with one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rasterio
from bocage_theia.samples import energy, grids, landscape, places, soils, stands, waters
from made_samples import Made
from rasterio.warp import Resampling, reproject

Array = np.ndarray[Any, Any]
WATER = 23


def together(*fields: Array) -> list[Array]:
    """Where all have a value."""
    known = np.logical_and.reduce([np.isfinite(field) for field in fields])
    assert known.sum() > 100
    return [field[known] for field in fields]


def correlation(first: Array, second: Array) -> float:
    return float(np.corrcoef(*together(first, second))[0, 1])


def test_leaves_and_light(made: Made) -> None:
    """Both samples show the same ground on the same day of the year."""
    red, infrared = (made.value("sentinel2-l2a-maja", f"FRE_{band}") for band in ("B4", "B8"))
    index = made.value("biophy-sentinel2-l2b", "NDVI")
    clear = made.value("sentinel2-l2a-maja", "CLM_R1") == 0
    seen, told = together(np.where(clear, (infrared - red) / (infrared + red), np.nan), index)
    assert np.median(np.abs(seen - told)) < 0.01
    cover, leaves, absorbed = (made.value("biophy-sentinel2-l2b", name) for name in ("FCOVER", "LAI", "FAPAR"))
    assert correlation(cover, index) > 0.9
    order = np.argsort(cover[np.isfinite(cover)])
    assert np.all(np.diff(leaves[np.isfinite(cover)][order]) >= -0.01)
    assert np.all(np.diff(absorbed[np.isfinite(cover)][order]) >= -0.001)


def test_needles_are_darker_than_broad_leaves() -> None:
    from bocage_theia.samples import optics

    land = landscape.landscape(places.VOSGES, grids.around(32632, 7.02, 48.05, 10, 128))
    infrared = optics.reflectance(land, "B8", 200)
    assert infrared[land.among(landscape.CONIFER)].mean() < 0.7 * infrared[land.among(landscape.BROADLEAVED)].mean()


def test_clouds(made: Made) -> None:
    bits = made.value("sentinel2-l2a-maja", "CLM_R1").astype(int)
    assert np.array_equal(bits & 1 > 0, bits & ~1 > 0), "bit 0 is set where any other is, and nowhere else"
    assert np.array_equal(bits >> 1 & 1 > 0, bits >> 2 & 0b100111 > 0), "bit 1: any kind of cloud"
    assert 0.01 < (bits & 1).mean() < 0.4
    blue = made.value("sentinel2-l2a-maja", "FRE_B2")
    assert np.nanmedian(blue[bits >> 2 & 1 > 0]) > 4 * np.nanmedian(blue[bits == 0])
    assert np.nanmedian(blue[bits >> 5 & 1 > 0]) < np.nanmedian(blue[bits == 0])


def test_slopes_are_in_one_reflectance_and_not_in_the_other(made: Made) -> None:
    """The correction of slopes changes the light, by a factor that is the same in all bands."""
    clear = made.value("sentinel2-l2a-maja", "CLM_R1") == 0
    factors = [
        np.where(
            clear, made.value("sentinel2-l2a-maja", f"SRE_{b}") / made.value("sentinel2-l2a-maja", f"FRE_{b}"), np.nan
        )
        for b in ("B3", "B8")
    ]
    assert np.nanstd(factors[0]) > 0.005
    assert correlation(*factors) > 0.8


def test_the_edge_of_the_swath_has_no_value_in_any_band(made: Made) -> None:
    missing = np.isnan(made.value("sentinel2-l2a-maja", "FRE_B2"))
    assert 0.005 < missing.mean() < 0.2
    for name in ("SRE_B2", "FRE_B4", "FRE_B8"):
        assert np.array_equal(np.isnan(made.value("sentinel2-l2a-maja", name)), missing)


def test_synthesis_has_a_weight_where_it_saw_the_ground(made: Made) -> None:
    flag, weight = made.value("sentinel2-l3a-wasp", "FLG_R1"), made.value("sentinel2-l3a-wasp", "WGT_R1")
    assert (flag == 1).any() and (flag == 3).any() and (flag == 4).any()
    assert np.array_equal(weight == 0, flag == 1)
    days = made.value("sentinel2-l3a-wasp", "DTS_R1")
    assert days.min() >= 0 and days.max() <= 46


def test_albedo_of_water_is_low(made: Made) -> None:
    albedo, uncertainty = made.value("cesbio-s2albedo", "albedo"), made.value("cesbio-s2albedo", "uncertainty")
    water = on_the_grid_of(made, "oso-raster", "oso", "lauragais", "cesbio-s2albedo", "albedo") == WATER
    assert np.median(albedo[water]) < 0.08 < 0.13 < np.median(albedo[~water])
    assert np.all(uncertainty > 0) and np.median(uncertainty) < 0.03


def on_the_grid_of(made: Made, collection: str, asset: str, place: str, other: str, other_asset: str) -> Array:
    """Numbers of a sample as they lie on the cells of another one, in another reference system."""
    target = made.of(other)
    with (
        rasterio.open(made.of(collection, place).files[asset]) as file,
        rasterio.open(target.files[other_asset]) as grid,
    ):
        moved = np.zeros(grid.shape, file.dtypes[0])
        reproject(
            file.read(1), moved, src_transform=file.transform, src_crs=file.crs, dst_transform=grid.transform,
            dst_crs=grid.crs, resampling=Resampling.nearest,
        )  # fmt: skip
    return moved


@pytest.mark.parametrize("place", ["strasbourg", "toulouse"])
def test_by_day_water_is_cooler_than_what_is_around_it(made: Made, place: str) -> None:
    temperature, emissivity = (made.value("thermocity-lst", name, place=place) for name in ("lst", "emissivity"))
    water = temperature < np.quantile(temperature, 0.02)
    assert np.median(emissivity[water]) > 0.98, "the coolest cells are water"
    assert 5 < np.median(temperature) - np.median(temperature[water]) < 30
    assert temperature.min() > 285 and temperature.max() < 335


def test_by_night_water_is_warmer_than_the_fields() -> None:
    land = landscape.landscape(places.LAURAGAIS, grids.around(32631, 1.72, 43.46, 10, 128))
    night, day = energy.temperature(land, 200, night=True), energy.temperature(land, 200)
    assert np.median(night[land.water]) > np.median(night[land.crops])
    assert np.median(day[land.water]) < np.median(day[land.crops])
    assert np.median(night) < np.median(day) - 8


def test_higher_ground_is_colder() -> None:
    land = landscape.landscape(places.VOSGES, grids.around(32632, 7.02, 48.05, 10, 128))
    temperature = energy.temperature(land, 200)
    low, high = np.quantile(land.height, (0.25, 0.75))
    conifers = land.cover == landscape.CONIFER
    fall = temperature[conifers & (land.height < low)].mean() - temperature[conifers & (land.height > high)].mean()
    assert 0.3 < fall / (high - low) * 100 < 1.5, "some 0.65 K each hundred metres"


def test_the_balance_of_energy_closes(made: Made) -> None:
    net = made.value("et-net-radiation", "net_radiation")
    parts = [made.value("et-heat-fluxes", name) for name in ("sensible_heat", "latent_heat", "ground_heat")]
    assert np.abs(net - sum(parts)).max() < 0.5


def test_evapotranspiration_and_stress(made: Made) -> None:
    daily, stress = made.value("et-daily", "evapotranspiration"), made.value("et-stress-index", "stress_index")
    assert correlation(daily, stress) < -0.9
    ten = made.value("et-ten-day", "evapotranspiration") / daily
    assert ten.min() > 7 and ten.max() <= 10, "ten days, none sunnier than the one"


def test_fields_that_get_water_are_wetter_and_cooler() -> None:
    from bocage_theia.samples import growth

    land = landscape.landscape(places.GARONNE, grids.around(32631, 1.05, 44.02, 10, 160))
    watered = growth.irrigated(land)
    dry = land.crops & ~watered
    assert watered.mean() > 0.05
    assert np.median(soils.moisture(land, 200)[watered]) > np.median(soils.moisture(land, 200)[dry]) + 4
    assert np.median(energy.temperature(land, 200)[watered]) < np.median(energy.temperature(land, 200)[dry]) - 2


def test_soil_moisture_is_one_value_a_field(made: Made) -> None:
    moisture = made.value("s2mp-rpg-fr", "soil_moisture")
    assert 0.05 < np.isnan(moisture).mean() < 0.7
    assert np.nanmin(moisture) > 3 and np.nanmax(moisture) <= 40
    values, counts = np.unique(moisture[np.isfinite(moisture)], return_counts=True)
    assert len(values) < 120 and np.median(counts) > 50


def test_colour_of_the_water(made: Made) -> None:
    """The law that turns the red band into suspended matter gives back what the sample of it says."""
    matter = made.value("water-spm", "SPM_B4")
    turbidity = made.value("water-turbidity", "turbidity")
    assert np.array_equal(np.isnan(matter), np.isnan(turbidity))
    order = np.argsort(matter[np.isfinite(matter)])
    assert np.all(np.diff(turbidity[np.isfinite(matter)][order]) >= -0.05)
    red = np.pi * made.value("water-reflectance", "Rrs_B4")
    again = waters.SPM_A * red / (1 - red / waters.SPM_C)
    assert np.nanmin(again) > 0 and np.nanmax(again) < 2000
    assert 0.1 < np.isnan(red).mean() < 0.7, "land has no colour of water"
    infrared = made.value("water-spm", "SPM_B8")
    assert correlation(matter, infrared) > 0.95


def test_algae(made: Made) -> None:
    green, presence = made.value("water-chlorophyll-a", "chlorophyll_a"), made.value("water-toxic-algae", "presence")
    assert np.nanmin(green[presence == 1]) >= 19.9 and np.nanmax(green[presence == 0]) <= 20.1


def test_radar(made: Made) -> None:
    both = made.value("sentinel1-s1tiling", "vv")
    crossed = made.value("sentinel1-s1tiling", "vh")
    water = on_the_grid_of(made, "oso-raster", "oso", "lauragais", "sentinel1-s1tiling", "vv") == WATER
    assert np.mean(crossed < both) > 0.99
    assert np.median(both[water]) < 0.5 * np.median(both[~water])


def test_fire(made: Made) -> None:
    burned, severity = made.value("burned-areas", "burned"), made.value("fire-severity", "dnbr")
    assert 0.02 < np.nanmean(burned) < 0.4
    assert np.median(severity[burned == 1]) > 0.44
    assert np.abs(np.median(severity[burned == 0])) < 0.03 and np.quantile(severity[burned == 0], 0.99) < 0.1


def test_seasons_come_in_order(made: Made) -> None:
    start, peak, end = (made.value("phenology", name) for name in ("start", "peak", "end"))
    start, peak, end = together(start, peak, end)
    assert np.all(start < peak) and np.all(peak < end)


def test_habitats(made: Made) -> None:
    total, least, spread = (made.value("dynamic-habitat-index", n) for n in ("cumulative", "minimum", "variation"))
    assert np.all(total / 365 >= least - 1e-3), "a mean is not below the minimum"
    assert np.all(spread >= 0)


def test_wood(made: Made) -> None:
    height = made.value("forms-t", "height")
    volume, biomass = made.value("forms-t", "volume"), made.value("forms-t", "biomass")
    wide = height.reshape(64, 3, 64, 3).mean(axis=(1, 3))
    assert np.corrcoef(wide.ravel(), volume.ravel())[0, 1] > 0.8
    wood = volume > 1
    assert (
        0.5 < np.quantile(biomass[wood] / volume[wood], 0.02) < np.quantile(biomass[wood] / volume[wood], 0.98) < 0.75
    )
    land = landscape.landscape(places.CHAMPENOUX, grids.around(2154, 6.35, 48.74, 10, 96))
    assert np.allclose(stands.carbon(land), 0.47 * stands.biomass(land))


def test_oaks(made: Made) -> None:
    kind, score = made.value("reconfort-chene", "health"), made.value("reconfort-chene", "score")
    assert np.array_equal(np.isnan(kind), np.isnan(score))
    for number, low, high in ((1, 0.0, 0.2), (2, 0.2, 0.5), (3, 0.5, 1.0)):
        of_kind = score[kind == number]
        assert len(of_kind) and of_kind.min() >= low - 1e-4 and of_kind.max() <= high + 1e-4


def test_cuts_are_dated_by_parcel(made: Made) -> None:
    days = made.value("sufosat", "clear_cut_date")
    dates = np.unique(days[np.isfinite(days)])
    # From 1 January 2018 to the days of 2021 and 2022 that the item names.
    assert 1 <= len(dates) < 40 and dates.min() >= 1096 and dates.max() < 1826


def test_carbon_of_crops(made: Made) -> None:
    flux, grown = made.value("agricarbon-co2-flux", "flux"), made.value("agricarbon-biomass", "biomass")
    assert correlation(flux, grown) < -0.9, "what grows takes up"
    harvest = made.value("agricarbon-yield", "yield")
    share = together(harvest, grown)[0] / together(harvest, grown)[1]
    assert share.min() > 0.2 and share.max() < 0.6
    for name, asset in (("co2-flux", "flux"), ("biomass", "biomass"), ("yield", "yield")):
        doubt = made.value(f"agricarbon-{name}", "uncertainty")
        assert np.array_equal(np.isnan(doubt), np.isnan(made.value(f"agricarbon-{name}", asset)))
        assert np.nanmin(doubt) > 0


def test_water_that_is_always_there(made: Made) -> None:
    water, often = made.value("surfwater", "water"), made.value("surfwater", "occurrence")
    assert often[water == 1].min() >= 50 and np.median(often[water == 1]) > 90
    assert np.median(often[water == 0]) < 1


def test_town(made: Made) -> None:
    built, fabric = made.value("urban-artificialised", "artificialised"), made.value("urban-fabric", "fabric")
    assert np.array_equal(built == 1, fabric > 0)
    change = made.value("urban-change", "change")
    assert np.all(built[change == 1] == 1) and 0.001 < np.nanmean(change) < 0.1


def test_one_ground_under_two_grids(made: Made) -> None:
    """Irrigable crops of the land cover and crops of the carbon product are the same fields, on other cells."""
    crops = np.isin(
        on_the_grid_of(made, "oso-raster", "oso", "lauragais", "agricarbon-biomass", "biomass"), range(5, 13)
    )
    agreed = crops == np.isfinite(made.value("agricarbon-biomass", "biomass"))
    assert agreed.mean() > 0.93, "only the borders of fields differ"
