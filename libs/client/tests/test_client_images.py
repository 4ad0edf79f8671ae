"""TIFF headers, cameras and footprints, against GDAL's own and against a real Pléiades pair."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from bocage_client import geomodel
from bocage_client.errors import BocageError, Exit
from bocage_client.scene_item import read_scene
from bocage_client.tiff import read_header
from rasterio.transform import RPCTransformer, from_origin

Write = Callable[..., Path]


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    east = (a[0] - b[0]) * math.cos(math.radians(a[1]))
    return 111_320 * math.hypot(east, a[1] - b[1])


def test_footprint_agrees_with_gdal(write_image: Write) -> None:
    path = write_image()
    scene = read_scene(path, None)
    with rasterio.open(path) as raster, RPCTransformer(raster.rpcs, rpc_height=300.0) as gdal:
        corners = [gdal.xy(row, col, offset="ul") for row, col in ((0, 0), (0, 120), (120, 120), (120, 0))]
    ring = scene.ground.ring
    for corner in corners:
        assert min(metres(corner, point) for point in ring) < 0.5
    assert scene.ground.gsd_m == pytest.approx(0.5, rel=0.02)
    x, y = np.array(ring).T
    assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0, "counter-clockwise"
    assert ring[0] == ring[-1]


def test_viewing_angle_follows_the_lean(write_image: Write) -> None:
    # 0.1 × 400 columns of 0.5 m a 200 m of height: the sensor looks from the west
    ground = read_scene(write_image(), None).ground
    assert ground.off_nadir_deg == pytest.approx(math.degrees(math.atan(20 / 200)), abs=0.2)
    assert ground.azimuth_deg == pytest.approx(270, abs=1)


def test_a_crop_lies_where_its_offset_says(write_image: Write, crop: Any) -> None:
    whole = read_scene(write_image("whole.tif", size=400), None).ground
    part = read_scene(write_image("part.tif", transform=crop(100, 200)), None).ground
    span = whole.bbox[2] - whole.bbox[0]
    assert part.bbox[0] == pytest.approx(whole.bbox[0] + span * 100 / 400, abs=1e-8)
    assert part.bbox[3] == pytest.approx(whole.bbox[3] - (whole.bbox[3] - whole.bbox[1]) * 200 / 400, abs=1e-8)


def test_all_three_carriers_of_a_model_agree(write_image: Write, tmp_path: Path) -> None:
    path = write_image()
    with rasterio.open(path) as raster:
        rpc = raster.rpcs
    expected = geomodel.from_tag(read_header(path).rpc or ())
    pairs = {
        "line_off": rpc.line_off, "samp_off": rpc.samp_off, "lat_off": rpc.lat_off, "long_off": rpc.long_off,
        "height_off": rpc.height_off, "line_scale": rpc.line_scale, "samp_scale": rpc.samp_scale,
        "lat_scale": rpc.lat_scale, "long_scale": rpc.long_scale, "height_scale": rpc.height_scale,
    }  # fmt: skip
    polynomials = {
        "line_num_coeff": rpc.line_num_coeff, "line_den_coeff": rpc.line_den_coeff,
        "samp_num_coeff": rpc.samp_num_coeff, "samp_den_coeff": rpc.samp_den_coeff,
    }  # fmt: skip
    geom = [f"{k}:  {v!r}" for k, v in pairs.items()]
    geom += [f"{k}_{i:02d}:  {v!r}" for k, values in polynomials.items() for i, v in enumerate(values)]
    (tmp_path / "view.geom").write_text("\n".join([*geom, "polynomial_format:  B", ""]))
    assert geomodel.from_file(tmp_path / "view.geom") == expected
    for version, first in (("2.15", 1.0), ("3.0", 0.5)):
        values = {k.upper(): v + (first if k in ("line_off", "samp_off") else 0) for k, v in pairs.items()}
        inverse = "".join(
            f"<{k.upper()}_{i}>{v!r}</{k.upper()}_{i}>" for k, vs in polynomials.items() for i, v in enumerate(vs, 1)
        )
        name = "GroundtoImage_Values" if version.startswith("3") else "Inverse_Model"
        (tmp_path / "RPC_view.XML").write_text(
            f'<Dimap_Document><Metadata_Identification><METADATA_FORMAT version="{version}">DIMAP</METADATA_FORMAT>'
            f"</Metadata_Identification><Rational_Function_Model><Global_RFM><{name}>{inverse}</{name}><RFM_Validity>"
            + "".join(f"<{k}>{v!r}</{k}>" for k, v in values.items())
            + "</RFM_Validity></Global_RFM></Rational_Function_Model></Dimap_Document>"
        )
        assert geomodel.from_file(tmp_path / "RPC_view.XML") == expected


def test_side_cars_by_pleiades_naming(tmp_path: Path) -> None:
    image = tmp_path / "IMG_PHR1A_P_201301010101010_SEN_1_R1C1.TIF"
    beside = tmp_path / "RPC_PHR1A_P_201301010101010_SEN_1.XML"
    for path in (image, beside):
        path.write_text("")
    assert geomodel.side_car_of(image) == beside
    own = tmp_path / (image.stem + ".geom")
    own.write_text("")
    assert geomodel.side_car_of(image) == own


def test_an_xml_with_entities_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "RPC_x.XML"
    path.write_text('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>')
    with pytest.raises(BocageError, match="sound XML"):
        geomodel.from_file(path)


@pytest.mark.parametrize("name", ["img1", "img2"])
def test_real_pair_lies_at_gizeh(test_data: Path, name: str) -> None:
    scene = read_scene(test_data / "pleiades_gizeh" / f"{name}.tif", None)
    west, south, east, north = scene.ground.bbox
    assert metres(((west + east) / 2, (south + north) / 2), (31.1349, 29.9789)) < 50
    assert 0.5 < scene.ground.gsd_m < 0.58
    assert scene.taken.isoformat().startswith("2013-02-08T08:36:0")
    assert scene.header.platform == "pleiades-1b"
    assert [upload.asset for upload in scene.uploads] == ["image", "geomodel"]


def test_real_crop_of_ventoux(test_data: Path) -> None:
    ground = read_scene(test_data / "pleiades_ventoux" / "left_image.tif", None).ground
    west, south, east, north = ground.bbox
    assert metres(((west + east) / 2, (south + north) / 2), (5.1953, 44.2076)) < 100


def refusal(path: Path, side_car: Path | None = None) -> BocageError:
    with pytest.raises(BocageError) as caught:
        read_scene(path, side_car)
    return caught.value


def test_bad_files_are_refused_with_the_cause(write_image: Write, tmp_path: Path) -> None:
    text = tmp_path / "text.tif"
    text.write_text("this is no image\n" * 100)
    assert (refusal(text).code, refusal(text).exit_code) == ("not-an-image", Exit.INPUT)
    assert refusal(tmp_path / "nothing.tif").exit_code is Exit.USAGE
    plain = refusal(write_image("plain.tif", rpcs=None))
    assert (plain.code, plain.exit_code) == ("no-rpc", Exit.INPUT)
    assert ".geom" in plain.detail
    ortho = write_image("ortho.tif", rpcs=None, crs="EPSG:32631", transform=from_origin(5e5, 4.9e6, 0.5, 0.5))
    assert refusal(ortho).code == "already-projected"
    lost = write_image("lost.tif", transform=from_origin(1e9, 1e9, 1, 1))
    assert refusal(lost).code == "bad-rpc"
    (tmp_path / "empty.geom").write_text("nothing: here\n")
    assert refusal(write_image("other.tif"), tmp_path / "empty.geom").code == "no-rpc"


@pytest.mark.parametrize("share", [0.01, 0.34, 0.9, 0.999])
def test_a_truncated_tiff_is_refused(write_image: Write, share: float) -> None:
    path = write_image()
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert refusal(path).code == "unreadable-image"
