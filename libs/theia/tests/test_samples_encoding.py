"""Numbers from quantities and back, grids, and the small tables."""

from __future__ import annotations

import csv
import datetime
import itertools
import json

import numpy as np
import pytest
from bocage_theia.samples import encoding, grids, noise
from bocage_theia.samples.encoding import NotEncodable
from hypothesis import given
from hypothesis import strategies as st
from made_samples import Made
from shapely.geometry import shape

PACKED = {"data_type": "int16", "raster:scale": 0.0001, "raster:offset": 0, "nodata": -10000}


@given(st.lists(st.floats(-0.9, 3.2) | st.just(float("nan")), min_size=1, max_size=40))
def test_packed_and_back(values: list[float]) -> None:
    given_ = np.array([values])
    back = encoding.decoded(encoding.encoded(given_, PACKED, "x"), PACKED)
    assert np.array_equal(np.isnan(back), np.isnan(given_))
    assert np.all(np.abs(back - given_)[np.isfinite(given_)] <= 0.00005 + 1e-12)


@given(st.lists(st.floats(-1e5, 1e5) | st.just(float("nan")), min_size=1, max_size=40))
def test_real_numbers_keep_their_size(values: list[float]) -> None:
    band = {"data_type": "float32", "nodata": -9999999}
    given_ = np.array([values])
    back = encoding.decoded(encoding.encoded(given_, band, "x"), band)
    assert np.array_equal(np.isnan(back), np.isnan(given_))
    known = np.isfinite(given_)
    assert np.all(np.abs(back - given_)[known] <= np.abs(given_)[known] * 2**-14 + 1e-30)


@pytest.mark.parametrize(
    ("value", "band", "why"),
    [
        (4.0, PACKED, "does not fit"),
        (-1.0, PACKED, "read as nodata"),
        (float("nan"), {"data_type": "uint8"}, "no nodata"),
        (1.0, {"data_type": "uint8", "nodata": -1}, "nodata -1"),
        (1.0, {"unit": "m"}, "data_type"),
    ],
)
def test_what_has_no_number_is_refused(value: float, band: dict[str, object], why: str) -> None:
    with pytest.raises(NotEncodable, match=f"x.*{why}"):
        encoding.encoded(np.array([[value]]), band, "x")


def test_wider_cells_are_means_and_classes_stay_classes() -> None:
    field = np.arange(16.0).reshape(4, 4)
    field[0, 0] = np.nan
    assert encoding.coarser(field, 2, classes=False)[0, 0] == pytest.approx((1 + 4 + 5) / 3)
    assert set(encoding.coarser(field, 2, classes=True).ravel()) <= set(field.ravel())
    field[:2, :2] = np.nan
    assert np.isnan(encoding.coarser(field, 2, classes=False)[0, 0])


@pytest.mark.parametrize(
    ("lon", "lat", "tile"),
    [
        (1.44, 43.60, "31TCJ"),
        (2.35, 48.85, "31UDQ"),
        (7.75, 48.58, "32UMU"),
        (-1.68, 48.11, "30UWU"),
        (45.2, -12.9, "38LNL"),
    ],
)
def test_names_of_tiles(lon: float, lat: float, tile: str) -> None:
    assert grids.mgrs_tile(grids.around(grids.utm_of(lon, lat), lon, lat, 10, 96)) == tile


@given(st.floats(-4, 8), st.floats(42.5, 50.5), st.sampled_from([10.0, 20.0]), st.integers(2, 100))
def test_grids_lie_on_the_tiles_cells_and_around_the_place(lon: float, lat: float, cell: float, size: int) -> None:
    grid = grids.around(grids.utm_of(lon, lat), lon, lat, cell, size)
    assert grid.left % 60 == 0 and grid.top % 60 == 0
    left, bottom, right, top = grid.bounds
    x, y = grids.transformer(4326, grid.epsg).transform(lon, lat)
    assert left - 1 <= x <= right + 61 and bottom - 61 <= y <= top + 1
    assert grid.footprint().is_valid


@given(st.integers(0, 2**31), st.integers(8, 60), st.integers(8, 60), st.floats(1.5, 500))
def test_noise_is_standard_and_repeatable(seed: int, rows: int, columns: int, wavelength: float) -> None:
    made = [noise.value_noise((rows, columns), wavelength, noise.source(seed)) for _ in range(2)]
    assert np.array_equal(*made)
    assert made[0].shape == (rows, columns)
    assert abs(made[0].mean()) < 1e-6 and made[0].std() == pytest.approx(1)


def test_series_have_the_columns_of_their_record(made: Made) -> None:
    seen = 0
    for sample in made.samples:
        for name, path in sample.files.items():
            if path.suffix != ".csv":
                continue
            columns = [
                each["name"] for each in made.records[sample.item["collection"]]["item_assets"][name]["table:columns"]
            ]
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            assert list(rows[0]) == columns, sample.item["collection"]
            moments = [datetime.datetime.fromisoformat(row["datetime"]) for row in rows]
            assert moments == sorted(set(moments)) and len(rows) > 50
            for column in columns[1:]:
                values = [float(row[column]) for row in rows]
                assert max(values) > min(values)
                assert min(values) > 0
            seen += 1
    assert seen >= 4


def test_volume_grows_with_the_surface(made: Made) -> None:
    with made.of("water-volumes").files["series"].open(newline="") as file:
        rows = sorted((float(row["surface_km2"]), float(row["volume_hm3"])) for row in csv.DictReader(file))
    assert all(a[1] <= b[1] for a, b in itertools.pairwise(rows))


def test_outlines_have_the_columns_of_their_record(made: Made) -> None:
    seen = 0
    for sample in made.samples:
        for name, path in sample.files.items():
            if path.suffix != ".geojson":
                continue
            record = made.records[sample.item["collection"]]["item_assets"][name]
            columns = {each["name"] for each in record["table:columns"]} - {"geometry"}
            features = json.loads(path.read_text())["features"]
            ground = shape(sample.item["geometry"]).buffer(1e-4)
            assert features, sample.item["collection"]
            for feature in features:
                assert set(feature["properties"]) == columns, sample.item["collection"]
                outline = shape(feature["geometry"])
                assert outline.is_valid and not outline.is_empty and outline.within(ground)
            seen += 1
    assert seen >= 4
