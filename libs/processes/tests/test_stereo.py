"""The pre-check: what it finds on good pairs, and how it refuses the others."""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from bocage_processes.geomodels import geom_text, read_geomodel
from bocage_processes.imagery import SensorImage, read_image
from bocage_processes.process import InputRefused, Limits
from bocage_processes.rpc import RpcModel
from bocage_processes.scene import VIEWS, Scene, make_scene
from bocage_processes.stereo import StereoPlan, plan_stereo
from shapely.geometry import box, mapping, shape

DATA = Path(os.environ.get("BOCAGE_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"), size=300)


@pytest.fixture(scope="module")
def trio(scene: Scene) -> list[SensorImage]:
    return [read_image(scene.views[name], reference=f"scenes/{name}") for name in ("fwd", "nadir", "bwd")]


def refusal(images: list[SensorImage], **options: Any) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        plan_stereo(images, **options)
    refused = caught.value
    assert refused.detail
    assert refused.remedy
    for image in images:
        assert str(image.path.parent) not in refused.detail + refused.remedy
    return refused


def test_the_middle_view_of_three_is_the_reference(trio: list[SensorImage]) -> None:
    plan = plan_stereo(trio)
    assert plan.reference == 1
    assert [(pair.left, pair.right) for pair in plan.pairs] == [(1, 0), (1, 2)]
    for pair, other in zip(plan.pairs, ("fwd", "bwd"), strict=True):
        across, along = np.subtract(VIEWS[other], VIEWS["nadir"])
        assert pair.convergence_deg == pytest.approx(math.degrees(math.atan(math.hypot(across, along))), abs=0.15)
        assert pair.base_to_height == pytest.approx(math.hypot(across, along), abs=0.001)
        assert pair.overlap_fraction > 0.98
    assert plan_stereo([trio[1], trio[0], trio[2]]).reference == 0


def test_a_wider_base_promises_more(trio: list[SensorImage]) -> None:
    narrow, wide = plan_stereo(trio[:2]), plan_stereo([trio[0], trio[2]])
    bases = [math.dist(VIEWS["fwd"], VIEWS[other]) for other in ("nadir", "bwd")]
    for plan, base in zip((narrow, wide), bases, strict=True):
        assert plan.base_to_height == pytest.approx(base, rel=0.01)
        assert plan.expected_precision_m == pytest.approx(0.25 * 0.5 / base, rel=0.01)


def test_defaults(trio: list[SensorImage]) -> None:
    plan = plan_stereo(trio)
    assert (plan.crs, plan.epsg, plan.resolution) == ("EPSG:32631", 32631, 0.5)
    assert all(edge / plan.resolution == pytest.approx(round(edge / plan.resolution)) for edge in plan.bounds)
    left, bottom, right, top = plan.bounds
    assert left <= 570_000 - 74
    assert right >= 570_000 + 74
    assert bottom <= 4_830_000 - 74
    assert top >= 4_830_000 + 74
    assert plan.altitude_range[0] < 120 < plan.altitude_range[1]
    assert plan.initial_altitude == pytest.approx(120, abs=20)
    assert not plan.warnings
    assert min(plan.seconds, plan.cpu_seconds, plan.memory_bytes, plan.disk_bytes, plan.output_bytes) > 0


def test_findings_are_json(trio: list[SensorImage]) -> None:
    findings = json.loads(json.dumps(plan_stereo(trio).findings(), allow_nan=False))
    assert findings["reference"] == "scenes/nadir"
    assert len(findings["pairs"]) == 2
    for name in ("convergence_deg", "base_to_height", "expected_precision_m", "megapixels", "initial_altitude"):
        assert findings[name] > 0
    assert shape(findings["area"]).is_valid


def actual_megapixels(scene: Scene, images: list[SensorImage], resolution: float) -> float:
    """Cells of the true ground that the reference and at least one other image see, times pairs."""
    from pyproj import Transformer

    with rasterio.open(scene.truth_dsm) as src:
        height, transform = src.read(1).astype(float), src.transform
    row, col = np.indices(height.shape)
    x, y = transform.c + (col + 0.5) * transform.a, transform.f + (row + 0.5) * transform.e
    lon, lat = Transformer.from_crs(scene.epsg, 4326, always_xy=True).transform(x, y)
    seen = []
    for image in images:
        c, r = image.model.project(lon, lat, height)
        seen.append((c > -0.5) & (c < image.width - 0.5) & (r > -0.5) & (r < image.height - 0.5))
    plan = plan_stereo(images, resolution=resolution)
    stereo = seen[plan.reference] & np.any([s for i, s in enumerate(seen) if i != plan.reference], axis=0)
    return float(stereo.sum()) * (scene.gsd_m / resolution) ** 2 * len(plan.pairs) / 1e6


@pytest.mark.parametrize("resolution", [0.5, 1.0])
def test_the_quote_bounds_what_is_computed(scene: Scene, trio: list[SensorImage], resolution: float) -> None:
    for images in (trio, trio[:2]):
        actual = actual_megapixels(scene, images, resolution)
        assert actual <= plan_stereo(images, resolution=resolution).megapixels <= 1.6 * actual


@pytest.mark.parametrize("count", [0, 1, 4])
def test_number_of_images(trio: list[SensorImage], count: int) -> None:
    refused = refusal([*trio, trio[0]][:count])
    assert (refused.code, refused.facts["count"]) == ("image-count", count)


def test_the_same_image_twice(tmp_path: Path, scene: Scene, trio: list[SensorImage]) -> None:
    assert refusal([trio[0], trio[0]]).code == "same-image"
    # under another name, and re-encoded
    with rasterio.open(scene.views["fwd"]) as src:
        pixels, rpcs = src.read(), src.rpcs
    other = tmp_path / "other.tif"
    with rasterio.open(
        other, "w", driver="GTiff", width=300, height=300, count=1, dtype="float32", rpcs=rpcs, compress="lzw"
    ) as dst:
        dst.write(pixels.astype("float32"))
    assert refusal([trio[0], read_image(other)]).code == "same-image"
    # touched up, so that no checksum helps
    noisy = pixels + np.random.default_rng(0).integers(-3, 4, pixels.shape)
    with rasterio.open(other, "w", driver="GTiff", width=300, height=300, count=1, dtype="uint16", rpcs=rpcs) as dst:
        dst.write(noisy.astype("uint16"))
    copy = read_image(other)
    assert refusal([trio[0], copy]).code == "same-image"
    # with the camera of another view
    assert refusal([trio[0], replace(copy, model=trio[2].model)]).code == "same-image"
    # cropped, the camera told so
    with rasterio.open(other, "w", driver="GTiff", width=280, height=260, count=1, dtype="uint16", rpcs=rpcs) as dst:
        dst.write(noisy.astype("uint16")[:, 40:, 20:])
    from affine import Affine

    crop = read_image(other)
    crop = replace(crop, model=crop.model.with_crop(Affine(1, 0, 20, 0, 1, 40)))
    assert refusal([trio[0], crop]).code == "same-image"


def moved(image: SensorImage, **fields: float) -> SensorImage:
    return replace(image, model=replace(image.model, **fields))  # type: ignore[arg-type]


def test_images_of_different_places(trio: list[SensorImage]) -> None:
    for degrees in (0.01, 1.0, 60.0, 150.0):
        elsewhere = moved(trio[1], lon_offset=trio[1].model.lon_offset + degrees)
        refused = refusal([trio[0], elsewhere])
        assert refused.code == "no-overlap"
        assert refused.facts["items"]
    antipode = moved(trio[1], lon_offset=trio[1].model.lon_offset - 180, lat_offset=-trio[1].model.lat_offset)
    assert refusal([trio[0], antipode]).code == "no-overlap"
    # the third of three
    assert refusal([trio[0], trio[1], moved(trio[2], lat_offset=trio[2].model.lat_offset + 0.1)]).code == "no-overlap"


def aslant(
    image: SensorImage, north: float, *, middle: float = 120.0, reach: float = 150.0, at: float = 120.0
) -> SensorImage:
    """A camera over a 150 m square, seen under a tangent; its heights are said to be `middle` +- `reach` although the
    square that it shows lies at the height `at`."""
    metre = 1 / 111_000
    lat_scale = 300.0 * metre
    one = (1.0, *[0.0] * 19)
    # rows (0.5 m) = 149.5 - 2 * (north_m + tangent * (height - at))
    line = [0.0] * 20
    line[0] = -2 * north * (middle - at) / 600
    line[2], line[3] = -2 * 300 / 600, -2 * north * reach / 600
    sample = [0.0] * 20
    sample[1] = 1.0
    model = RpcModel(
        line_num=tuple(line),
        line_den=one,
        sample_num=tuple(sample),
        sample_den=one,
        line_offset=149.5,
        line_scale=600.0,
        sample_offset=149.5,
        sample_scale=600.0,
        lon_offset=3.87,
        lon_scale=300.0 * metre / math.cos(math.radians(43.6)),
        lat_offset=43.6,
        lat_scale=lat_scale,
        height_offset=middle,
        height_scale=reach,
    )
    return replace(image, model=model)


@pytest.mark.parametrize("ground", [-200.0, 10.0, 4_800.0, 8_700.0])
def test_islands_and_mountains_are_found_without_an_elevation_model(
    tmp_path: Path, trio: list[SensorImage], ground: float
) -> None:
    """Cameras made for -500 to 8850 m: at their middle height the two squares lie a kilometre or more apart."""
    options = {"middle": 4_175.0, "reach": 4_675.0, "at": ground}
    pair = [aslant(trio[0], -0.2, **options), aslant(trio[1], 0.2, **options)]
    footprints = [image.model.footprint(300, 300, 4_175.0) for image in pair]
    if abs(ground - 4_175) > 1_000:
        assert not footprints[0].intersects(footprints[1]), "the case must be the hard one"
    plan = plan_stereo(pair)
    assert plan.initial_altitude == pytest.approx(ground, abs=60)
    assert plan.altitude_range[0] <= ground <= plan.altitude_range[1]
    assert plan.altitude_range[1] - plan.altitude_range[0] < 1_000
    assert plan.pairs[0].overlap_fraction > 0.85
    middle = plan.area.centroid
    assert (middle.x, middle.y) == pytest.approx((3.87, 43.6), abs=0.0003)

    # the same cameras over images that have nothing in common: the footprints alone must do
    mute = plan_stereo([noise(image, tmp_path / f"{index}.tif") for index, image in enumerate(pair)])
    assert (plan.altitude_from, mute.altitude_from) == ("images", "cameras")
    assert mute.initial_altitude == pytest.approx(ground, abs=60)
    assert mute.megapixels >= plan.megapixels


def noise(image: SensorImage, path: Path) -> SensorImage:
    pixels = np.random.default_rng(len(str(path)) + ord(path.stem[-1])).integers(0, 4000, (1, 300, 300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", driver="GTiff", width=300, height=300, count=1, dtype="uint16") as dst:
            dst.write(pixels.astype("uint16"))
    return replace(image, path=path, digest=path.stem)


def test_convergence(trio: list[SensorImage]) -> None:
    low = refusal([aslant(trio[0], 0.0), aslant(trio[1], 0.02)])
    assert (low.code, round(low.facts["convergence_deg"], 1)) == ("convergence", 1.1)
    assert refusal([aslant(trio[0], -0.6), aslant(trio[1], 0.6)]).code == "convergence"
    wide = plan_stereo([aslant(trio[0], -0.25), aslant(trio[1], 0.25)])
    assert wide.convergence_deg == pytest.approx(28.1, abs=0.2)
    assert "convergence" in wide.warnings[0]
    assert plan_stereo([aslant(trio[0], 0.0), aslant(trio[1], 0.05)]).warnings


def test_band_counts(trio: list[SensorImage]) -> None:
    assert refusal([trio[0], replace(trio[1], bands=4)]).code == "band-count"


@pytest.mark.parametrize("resolution", [0.0, -1.0, 0.1, 11.0, 100_000.0, math.nan, math.inf])
def test_absurd_resolutions(trio: list[SensorImage], resolution: float) -> None:
    assert refusal(trio, resolution=resolution).code == "absurd-resolution"


@pytest.mark.parametrize("resolution", [0.25, 0.5, 10.0])
def test_sensible_resolutions(trio: list[SensorImage], resolution: float) -> None:
    if resolution == 10.0:
        assert refusal(trio, resolution=resolution).code == "area-too-small"
    else:
        assert plan_stereo(trio, resolution=resolution).resolution == resolution


@pytest.mark.parametrize(
    "crs", ["EPSG:4326", "EPSG:3857", "EPSG:32611", "EPSG:999999", "nonsense", "EPSG:5773", "/x.prj"]
)
def test_unsuitable_crs(trio: list[SensorImage], crs: str) -> None:
    assert refusal(trio, crs=crs).code == "crs-unsuitable"


@pytest.mark.parametrize("crs", ["EPSG:2154", "epsg:32631", "http://www.opengis.net/def/crs/EPSG/0/2154"])
def test_other_crs(trio: list[SensorImage], crs: str) -> None:
    plan = plan_stereo(trio, crs=crs)
    assert plan.epsg in {2154, 32631}
    assert plan.megapixels == pytest.approx(plan_stereo(trio).megapixels, rel=0.1)


def part(trio: list[SensorImage], scale: float, shift: float = 0.0) -> dict[str, Any]:
    west, south, east, north = plan_stereo(trio).area.bounds
    x, y, w, h = (west + east) / 2 + shift, (south + north) / 2, (east - west) / 2, (north - south) / 2
    return dict(mapping(box(x - w * scale, y - h * scale, x + w * scale, y + h * scale)))


def test_area_of_interest(trio: list[SensorImage]) -> None:
    whole = plan_stereo(trio)
    half = plan_stereo(trio, aoi=part(trio, 0.5))
    assert half.megapixels == pytest.approx(whole.megapixels / 4, rel=0.1)
    assert half.cpu_seconds < whole.cpu_seconds
    assert not half.warnings
    assert half.aoi is not None
    assert plan_stereo(trio, aoi={"type": "Feature", "properties": {}, "geometry": part(trio, 0.5)}).area.equals(
        half.area
    )
    shifted = plan_stereo(trio, aoi=part(trio, 0.5, shift=0.0009))
    assert "outside the stereo overlap" in shifted.warnings[0]
    assert shape(shifted.findings()["area"]).within(whole.overlap.buffer(1e-9))
    assert refusal(trio, aoi=part(trio, 0.5, shift=0.5)).code == "aoi-outside"
    assert refusal(trio, aoi=part(trio, 0.05)).code == "area-too-small"


@pytest.mark.parametrize(
    "aoi",
    [
        {},
        {"type": "Point", "coordinates": [3.87, 43.6]},
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[3.87, 43.6], [3.88, 43.6]]]},
        {"type": "Polygon", "coordinates": "everywhere"},
        {"type": "Polygon", "coordinates": [[[3, 43], [4, 44], [4, 43], [3, 44], [3, 43]]]},
        {"type": "Polygon", "coordinates": [[[570000, 4e6], [570100, 4e6], [570100, 5e6], [570000, 4e6]]]},
        {"type": "Polygon", "coordinates": [[[math.nan, 43], [4, 44], [4, 43], [3, 43]]]},
        {"type": "Feature", "geometry": None},
        {"type": "FeatureCollection", "features": []},
    ],
)
def test_areas_that_are_none(trio: list[SensorImage], aoi: Mapping[str, Any]) -> None:
    assert refusal(trio, aoi=aoi).code == "aoi-invalid"


def test_too_large_an_area_comes_with_one_that_fits(trio: list[SensorImage]) -> None:
    limits = Limits(max_megapixels=0.05)
    refused = refusal(trio, limits=limits)
    assert refused.code == "area-too-large"
    assert refused.facts["limit"] == 0.05
    assert "0.05" in refused.detail
    proposed = json.loads(json.dumps(refused.facts["proposed_aoi"]))
    plan = plan_stereo(trio, aoi=proposed, limits=limits)
    assert 0.6 * 0.05 < plan.megapixels <= 0.05
    assert plan_stereo(trio, resolution=refused.facts["proposed_resolution"], limits=limits).megapixels <= 0.05


def test_a_request_of_100_000_pixels_is_refused_at_once(trio: list[SensorImage]) -> None:
    begin = time.process_time()
    huge = [
        replace(image, width=100_000, height=100_000, model=replace(image.model, line_offset=5e4, sample_offset=5e4))
        for image in (aslant(trio[0], -0.1), aslant(trio[1], 0.1))
    ]
    refused = refusal(huge)
    assert refused.code == "area-too-large"
    assert refused.facts["megapixels"] > 5_000
    assert time.process_time() - begin < 2


def test_too_little_memory(trio: list[SensorImage]) -> None:
    assert refusal(trio, limits=Limits(max_memory_bytes=10**9)).code == "memory-too-small"


def real(name: str, *files: str) -> StereoPlan:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"no {name}: BOCAGE_TEST_DATA points to no folder with it")
    images = [read_image(folder / f"{file}.tif", folder / f"{file}.geom") for file in files]
    begin = time.process_time()
    plan = plan_stereo(images)
    assert time.process_time() - begin < 2
    return plan


def test_gizeh() -> None:
    plan = real("pleiades_gizeh", "img1", "img2")
    assert plan.convergence_deg == pytest.approx(4.6, abs=0.1)
    assert plan.epsg == 32636
    # 61 m above the geoid, which is 15 m above the ellipsoid there
    assert plan.altitude_from == "images"
    assert plan.initial_altitude == pytest.approx(76, abs=15)
    assert plan.gsd_m == pytest.approx(0.54, abs=0.02)
    # the engine's own elevation model covers 473 600 cells of 0.6 m
    actual = 473_600 * 0.36 / plan.resolution**2 / 1e6
    assert actual <= plan.megapixels <= 1.6 * actual


def test_ventoux() -> None:
    plan = real("pleiades_ventoux", "left_image", "right_image")
    assert plan.convergence_deg == pytest.approx(20.1, abs=0.2)
    assert plan.epsg == 32631
    # 489 m above the geoid, which is 51 m above the ellipsoid there
    assert plan.altitude_from == "images"
    assert plan.initial_altitude == pytest.approx(540, abs=30)
    # 41 % of 206 x 426 cells of 0.5 m in the engine's elevation model
    assert 0.036 <= plan.megapixels <= 0.2


def test_cameras_through_a_geom_file_give_the_same_plan(tmp_path: Path, scene: Scene, trio: list[SensorImage]) -> None:
    images = []
    for name in ("fwd", "nadir"):
        side_car = tmp_path / f"{name}.geom"
        side_car.write_text(geom_text(read_geomodel(scene.views[name])))
        images.append(read_image(scene.views[name], side_car))
    assert plan_stereo(images).megapixels == plan_stereo(trio[:2]).megapixels
