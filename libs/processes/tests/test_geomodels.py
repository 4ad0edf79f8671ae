"""Cameras read from every kind of file agree with each other, and with shareloc."""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from bocage_processes.geomodels import geom_text, read_geomodel, read_side_car
from bocage_processes.process import InputRefused
from bocage_processes.rpc import RpcModel
from bocage_processes.scene import Scene, make_scene

DATA = Path(os.environ.get("BOCAGE_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
REAL = {
    "gizeh-1": ("pleiades_gizeh/img1.tif", "pleiades_gizeh/img1.geom"),
    "gizeh-2": ("pleiades_gizeh/img2.tif", "pleiades_gizeh/img2.geom"),
    "ventoux-left": ("pleiades_ventoux/left_image.tif", "pleiades_ventoux/left_image.geom"),
    "ventoux-right": ("pleiades_ventoux/right_image.tif", "pleiades_ventoux/right_image.geom"),
}
ALL_BUT_CROP = [field.name for field in fields(RpcModel) if field.name != "crop"]


def dimap(model: RpcModel, version: str = "2.0") -> str:
    """A Pléiades RPC file; the model from image to ground is there too, with other numbers, as in real ones."""
    newer = version.startswith("3")
    first = 0.5 if newer else 1.0
    polynomials = {"SAMP_NUM": "sample_num", "SAMP_DEN": "sample_den", "LINE_NUM": "line_num", "LINE_DEN": "line_den"}

    def coefficients(names: dict[str, str], factor: float) -> str:
        return "\n".join(
            f"<{tag}_COEFF_{i}>{factor * value!r}</{tag}_COEFF_{i}>"
            for tag, name in names.items()
            for i, value in enumerate(getattr(model, name), 1)
        )

    direct, inverse = ("ImagetoGround_Values", "GroundtoImage_Values") if newer else ("Direct_Model", "Inverse_Model")
    other = {"LON_NUM": "sample_num", "LON_DEN": "sample_den", "LAT_NUM": "line_num", "LAT_DEN": "line_den"}
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Dimap_Document>
  <Metadata_Identification><METADATA_FORMAT version="{version}">DIMAP</METADATA_FORMAT></Metadata_Identification>
  <Rational_Function_Model><Global_RFM>
    <{direct}>{coefficients(other if newer else polynomials, 3.0)}</{direct}>
    <{inverse}>{coefficients(polynomials, 1.0)}</{inverse}>
    <RFM_Validity>
      <LONG_SCALE>{model.lon_scale!r}</LONG_SCALE><LONG_OFF>{model.lon_offset!r}</LONG_OFF>
      <LAT_SCALE>{model.lat_scale!r}</LAT_SCALE><LAT_OFF>{model.lat_offset!r}</LAT_OFF>
      <HEIGHT_SCALE>{model.height_scale!r}</HEIGHT_SCALE><HEIGHT_OFF>{model.height_offset!r}</HEIGHT_OFF>
      <SAMP_SCALE>{model.sample_scale!r}</SAMP_SCALE><SAMP_OFF>{model.sample_offset + first!r}</SAMP_OFF>
      <LINE_SCALE>{model.line_scale!r}</LINE_SCALE><LINE_OFF>{model.line_offset + first!r}</LINE_OFF>
    </RFM_Validity>
  </Global_RFM></Rational_Function_Model>
</Dimap_Document>
"""


def plain_tiff(path: Path, transform: Affine | None = None, crs: str | None = None) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path, "w", driver="GTiff", width=120, height=110, count=1, dtype="uint8", transform=transform, crs=crs
        ) as dst:
            dst.write(np.arange(120 * 110, dtype=np.uint8).reshape(1, 110, 120))
    return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"), size=200)


@pytest.fixture
def model(scene: Scene) -> RpcModel:
    return read_geomodel(scene.views["fwd"])


def same(first: RpcModel, second: RpcModel) -> None:
    for name in ALL_BUT_CROP:
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-14, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("version", ["2.0", "2.15", "3.0"])
def test_dimap_round_trip(tmp_path: Path, model: RpcModel, version: str) -> None:
    side_car = tmp_path / "RPC_PHR1A.XML"
    side_car.write_text(dimap(model, version))
    same(read_side_car(side_car), model)


def test_geom_round_trip_and_the_tags_say_the_same(tmp_path: Path, scene: Scene, model: RpcModel) -> None:
    side_car = tmp_path / "fwd.geom"
    side_car.write_text(geom_text(model))
    assert read_side_car(side_car) == replace(model, crop=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    lon, lat = model.localise(10.0, 20.0, 100.0)
    with rasterio.open(scene.views["fwd"]) as src:
        # what GDAL itself makes of the tags, in its corner-based pixels
        from rasterio.transform import RPCTransformer

        with RPCTransformer(src.rpcs) as gdal:
            row, col = gdal.rowcol([float(lon)], [float(lat)], zs=[100.0], op=lambda value: value)
    assert (float(col[0]), float(row[0])) == pytest.approx((10.5, 20.5), abs=1e-3)


def test_the_side_car_is_told_apart_by_content_not_by_name(tmp_path: Path, model: RpcModel) -> None:
    side_car = tmp_path / "camera.txt"
    side_car.write_text("\ufeff" + dimap(model))
    same(read_side_car(side_car), model)


def test_the_offset_of_a_crop_is_applied(tmp_path: Path, model: RpcModel) -> None:
    side_car = tmp_path / "x.geom"
    side_car.write_text(geom_text(model))
    image = plain_tiff(tmp_path / "crop.tif", Affine(1, 0, 40, 0, 1, 30))
    crop = read_geomodel(image, side_car)
    np.testing.assert_allclose(crop.localise(0.0, 0.0, 100.0), model.localise(40.0, 30.0, 100.0), rtol=1e-13)
    whole = read_geomodel(plain_tiff(tmp_path / "whole.tif"), side_car)
    np.testing.assert_allclose(whole.localise(0.0, 0.0, 100.0), model.localise(0.0, 0.0, 100.0), rtol=1e-13)


def refusal(image: Path, side_car: Path | None = None) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        read_geomodel(image, side_car)
    assert caught.value.detail
    assert caught.value.remedy
    assert str(image.parent) not in caught.value.detail + caught.value.remedy
    return caught.value


def test_without_rpc(tmp_path: Path) -> None:
    assert refusal(plain_tiff(tmp_path / "a.tif")).code == "no-rpc"


def test_an_ortho_image_is_refused(tmp_path: Path, model: RpcModel) -> None:
    image = plain_tiff(tmp_path / "a.tif", Affine(0.5, 0, 570_000, 0, -0.5, 4_830_000), "EPSG:32631")
    side_car = tmp_path / "a.geom"
    side_car.write_text(geom_text(model))
    assert refusal(image, side_car).code == "already-projected"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "no-rpc"),
        ("just some words\n", "no-rpc"),
        ("<Dimap_Document/>", "no-rpc"),
        ("<Dimap_Document>", "no-rpc"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "no-rpc"),
        ('<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;&x;">]><a>&z;</a>', "no-rpc"),
    ],
)
def test_side_cars_that_hold_no_model(tmp_path: Path, content: str, code: str) -> None:
    side_car = tmp_path / "a.xml"
    side_car.write_text(content)
    assert refusal(plain_tiff(tmp_path / "a.tif"), side_car).code == code


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("geom", "samp_num_coeff_07", "elsewhere_07"),
        ("geom", "height_scale:  ", "height_scale:  -"),
        ("geom", "line_off:  ", "line_off:  nan "),
        ("geom", "format:  B", "format:  A"),
        ("xml", "LINE_DEN_COEFF_20>", "GONE>"),
        ("xml", "<LAT_OFF>", "<LAT_OFF>forty "),
    ],
)
def test_broken_models_are_refused(tmp_path: Path, model: RpcModel, kind: str, old: str, new: str) -> None:
    text = geom_text(model) if kind == "geom" else dimap(model)
    assert old in text
    side_car = tmp_path / f"a.{kind}"
    side_car.write_text(text.replace(old, new))
    assert refusal(plain_tiff(tmp_path / "a.tif"), side_car).code == "bad-rpc"


def test_a_missing_side_car(tmp_path: Path) -> None:
    assert refusal(plain_tiff(tmp_path / "a.tif"), tmp_path / "none.geom").code == "no-rpc"


SHARELOC = """
import json, sys
import numpy as np
from shareloc.geomodels import GeoModel
from shareloc.image import Image
from shareloc.proj_utils import transform_index_to_physical_point, transform_physical_point_to_index
out = []
for image, geomodel, points in json.load(sys.stdin):
    col, row, height = (np.array(values) for values in points)
    model, picture = GeoModel(geomodel, "RPC"), Image(image)
    full_row, full_col = transform_index_to_physical_point(picture.transform, row, col)
    ground = model.direct_loc_h(full_row, full_col, height)
    back = model.inverse_loc(ground[:, 0], ground[:, 1], height)
    file_row, file_col = transform_physical_point_to_index(picture.trans_inv, back[0], back[1])
    out.append([ground[:, 0].tolist(), ground[:, 1].tolist(), file_col.tolist(), file_row.tolist()])
json.dump(out, sys.stdout)
"""


@pytest.mark.engine
@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_agrees_with_shareloc(tmp_path: Path, scene: Scene, version: str) -> None:
    """To a thousandth of a pixel, both ways, over the whole height range; shareloc works by itself in its process."""
    cars = os.environ.get("BOCAGE_CARS")
    if not cars:
        pytest.skip("BOCAGE_CARS, the path of the `cars` executable, is not set")
    cases = [(path, path) for path in scene.views.values()]
    xml = tmp_path / "RPC.XML"
    xml.write_text(dimap(read_geomodel(scene.views["bwd"]), version))
    cases.append((plain_tiff(tmp_path / "crop.tif", Affine(1, 0, 40, 0, 1, 30)), xml))
    geom = tmp_path / "written.geom"
    geom.write_text(geom_text(read_geomodel(scene.views["bwd"])))
    cases.append((plain_tiff(tmp_path / "crop2.tif", Affine(1, 0, 25, 0, 1, 35)), geom))
    if DATA.is_dir():
        cases += [(DATA / image, DATA / side_car) for image, side_car in REAL.values()]

    rng = np.random.default_rng(1)
    questions = []
    for image, geomodel in cases:
        model = read_geomodel(image, None if geomodel == image else geomodel)
        low, high = model.height_range
        with rasterio.open(image) as src:
            col, row = rng.uniform(-0.5, src.width - 0.5, 300), rng.uniform(-0.5, src.height - 0.5, 300)
        questions.append(
            (str(image), str(geomodel), [col.tolist(), row.tolist(), rng.uniform(low, high, 300).tolist()])
        )
    run = subprocess.run(
        [str(Path(cars).parent / "python"), "-W", "ignore", "-c", SHARELOC],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    for (image, geomodel), (_, _, points), answer in zip(cases, questions, json.loads(run.stdout), strict=True):
        model = read_geomodel(image, None if geomodel == image else geomodel)
        col, row, height = (np.array(values) for values in points)
        lon, lat, their_col, their_row = (np.array(values) for values in answer)
        mine = model.project(lon, lat, height)
        assert np.hypot(mine[0] - their_col, mine[1] - their_row).max() < 1e-3, image.name
        assert np.hypot(mine[0] - col, mine[1] - row).max() < 1e-2, image.name
        my_lon, my_lat = model.localise(their_col, their_row, height)
        metres = np.hypot((my_lon - lon) * np.cos(np.radians(lat)), my_lat - lat) * 111_320
        assert metres.max() < 1e-3 * 0.4, image.name


@pytest.mark.parametrize("name", sorted(REAL))
def test_real_crops_lie_where_they_should(name: str) -> None:
    image, side_car = (DATA / part for part in REAL[name])
    if not image.exists():
        pytest.skip(f"no {image.name}: BOCAGE_TEST_DATA points to no folder with it")
    lon, lat = read_geomodel(image, side_car).localise(400.0, 400.0, 100.0)
    place = (31.1349, 29.9789) if "gizeh" in name else (5.1953, 44.2076)
    # without the offset of the crop it would be 10 km off
    assert (float(lon), float(lat)) == pytest.approx(place, abs=0.006)
