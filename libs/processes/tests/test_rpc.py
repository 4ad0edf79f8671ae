"""The camera: its two directions undo each other, and it sees what the geometry says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from bocage_processes.geomodels import read_geomodel
from bocage_processes.rpc import RpcModel, Viewing
from bocage_processes.scene import make_scene
from hypothesis import given, settings
from hypothesis import strategies as st

ONE = (1.0, *[0.0] * 19)


def camera(
    seed: int = 0,
    *,
    lon: float = 3.9,
    lat: float = 43.6,
    wildness: float = 1e-3,
    height: float = 500.0,
    scale: float = 400.0,
) -> RpcModel:
    """A believable camera: turned, seen aslant, with small higher terms."""
    rng = np.random.default_rng(seed)
    turn, east, north = rng.uniform(0, 2 * math.pi), *rng.uniform(-0.1, 0.1, 2)

    def numerator(x: float, y: float, z: float) -> tuple[float, ...]:
        higher = rng.uniform(-wildness, wildness, 20)
        higher[:4] = rng.uniform(-wildness, wildness), x, y, z
        return tuple(float(value) for value in higher)

    def denominator() -> tuple[float, ...]:
        return (1.0, *(float(value) for value in rng.uniform(-wildness, wildness, 19)))

    return RpcModel(
        line_num=numerator(math.sin(turn), -math.cos(turn), north),
        line_den=denominator(),
        sample_num=numerator(math.cos(turn), math.sin(turn), east),
        sample_den=denominator(),
        line_offset=10_000.0,
        line_scale=10_000.0,
        sample_offset=20_000.0,
        sample_scale=20_000.0,
        lon_offset=lon,
        lon_scale=0.12,
        lat_offset=lat,
        lat_scale=0.05,
        height_offset=height,
        height_scale=scale,
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    lon=st.floats(-179.99, 179.99),
    lat=st.floats(-80, 80),
    across=st.floats(0, 1),
    down=st.floats(0, 1),
    up=st.floats(-1, 1),
)
def test_localise_is_undone_by_project(
    seed: int, lon: float, lat: float, across: float, down: float, up: float
) -> None:
    model = camera(seed, lon=lon, lat=lat)
    col, row, height = across * 40_000, down * 20_000, 500 + up * 400
    ground = model.localise(col, row, height)
    back = model.project(*ground, height)
    assert back[0] == pytest.approx(col, abs=1e-3)
    assert back[1] == pytest.approx(row, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), east=st.floats(-1, 1), north=st.floats(-1, 1), up=st.floats(-1, 1))
def test_project_is_undone_by_localise(seed: int, east: float, north: float, up: float) -> None:
    model = camera(seed)
    lon, lat, height = 3.9 + 0.12 * east, 43.6 + 0.05 * north, 500 + 400 * up
    back = model.localise(*model.project(lon, lat, height), height)
    assert back[0] == pytest.approx(lon, abs=1e-9)
    assert back[1] == pytest.approx(lat, abs=1e-9)


def test_shapes_follow_the_inputs() -> None:
    model = camera()
    assert model.project(3.9, 43.6, 500.0)[0].shape == ()
    lon, lat = model.localise(np.arange(3.0)[None, :], np.arange(2.0)[:, None], np.zeros((4, 1, 1)))
    assert lon.shape == lat.shape == (4, 2, 3)
    many = model.project(np.full(200_000, 3.9), 43.6, 500.0)
    assert np.ptp(many[0]) == 0, "every part of a long series is computed alike"


def test_a_crop_has_its_own_pixels() -> None:
    whole = camera()
    crop = whole.with_crop(Affine(1, 0, 20_500, 0, 1, 5_000))
    col, row = whole.project(3.91, 43.61, 300.0)
    assert crop.project(3.91, 43.61, 300.0) == pytest.approx((col - 20_500, row - 5_000))
    np.testing.assert_allclose(crop.localise(12.0, 34.0, 300.0), whole.localise(20_512.0, 5_034.0, 300.0))


def test_a_resampled_file_keeps_corners_not_centres() -> None:
    whole = camera()
    coarse = whole.with_crop(Affine(4, 0, 0, 0, 4, 0))
    # the centre of a pixel of 4 x 4 lies between the centres of the four it was made of
    np.testing.assert_allclose(coarse.localise(0.0, 0.0, 300.0), whole.localise(1.5, 1.5, 300.0), rtol=1e-12)


def test_across_the_antimeridian() -> None:
    model = camera(lon=179.99)
    col, row = model.project(-179.99, 43.6, 500.0)
    same_col, same_row = model.project(180.01, 43.6, 500.0)
    assert float(col) == pytest.approx(float(same_col), abs=1e-6)
    assert float(row) == pytest.approx(float(same_row), abs=1e-6)


def test_not_a_number_where_there_is_no_answer() -> None:
    model = camera()
    assert np.isnan(model.project(np.nan, 43.6, 0.0)[0])
    assert np.isnan(model.localise(np.nan, 5.0, 0.0)[0])
    # a camera whose two coordinates are the same cannot be undone
    flat = replace(model, sample_num=model.line_num, sample_den=model.line_den)
    assert np.isnan(flat.localise(3.0, 5_000.0, 500.0)).all()
    assert flat.footprint(100, 100, 500.0).is_empty


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("line_num", (1.0,) * 19),
        ("sample_den", (0.0,) * 20),
        ("line_den", (math.nan, *[0.0] * 19)),
        ("height_scale", 0.0),
        ("lon_scale", -1.0),
        ("lat_offset", math.inf),
        ("crop", (0.0, 0.0, 0.0, 0.0, 1.0, 0.0)),
    ],
)
def test_unusable_models_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field.removesuffix("_num") if field != "sample_den" else "denominator"):
        replace(camera(), **{field: value})  # type: ignore[arg-type]


def test_height_range_and_footprint() -> None:
    model = camera()
    assert model.height_range == (100.0, 900.0)
    outline = model.footprint(40_000, 20_000, 500.0)
    lon, lat = (np.array(axis) for axis in outline.exterior.coords.xy)
    col, row = model.project(lon, lat, 500.0)
    on_edge = np.isclose(col, -0.5) | np.isclose(col, 39_999.5) | np.isclose(row, -0.5) | np.isclose(row, 19_999.5)
    assert on_edge.all()
    assert outline.contains(outline.centroid)


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Viewing]:
    scene = make_scene(tmp_path_factory.mktemp("scene"), size=150)
    found: dict[str, Viewing] = {}
    for name, path in scene.views.items():
        model = read_geomodel(Path(path))
        lon, lat = model.localise(75.0, 75.0, 120.0)
        found[name] = model.viewing(float(lon), float(lat), 120.0)
    return found


def test_line_of_sight(views: dict[str, Viewing]) -> None:
    # tangents (-0.01, -0.13): what is higher is seen farther south, so the sensor stands to the north
    assert views["fwd"].incidence_deg == pytest.approx(math.degrees(math.atan(math.hypot(0.01, 0.13))), abs=0.05)
    assert views["fwd"].azimuth_deg == pytest.approx(5, abs=1)
    # tangents (-0.02, 0.13): it slides west and north, so the sensor stands to the south-south-east
    assert views["bwd"].azimuth_deg == pytest.approx(171.9, abs=1)
    assert views["nadir"].incidence_deg == pytest.approx(math.degrees(math.atan(0.06)), abs=0.05)
    for view in views.values():
        assert np.linalg.norm(view.unit) == pytest.approx(1)
        assert view.unit[2] > 0.9
