"""Images: good ones are described, bad ones are refused with the cause."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from bocage_processes.geomodels import geom_text, read_geomodel
from bocage_processes.imagery import open_image, read_image, read_window
from bocage_processes.process import InputRefused, StagedAsset, StagedItem
from bocage_processes.scene import Scene, make_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"), size=200)


def written(path: Path, pixels: np.ndarray, **options: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        count, height, width = pixels.shape
        driver = {"driver": "GTiff", **options}
        with rasterio.open(path, "w", width=width, height=height, count=count, dtype=pixels.dtype, **driver) as dst:
            dst.write(pixels)
    return path


def refusal(path: Path, side_car: Path | None = None) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        read_image(path, side_car, "scenes/one")
    refused = caught.value
    assert refused.detail.startswith("scenes/one: ")
    assert refused.remedy
    assert refused.facts["item"] == "scenes/one"
    assert str(path.parent) not in refused.detail + refused.remedy
    return refused


def test_description(scene: Scene) -> None:
    image = read_image(scene.views["nadir"])
    assert (image.width, image.height, image.bands, image.dtype) == (200, 200, 1, "uint16")
    assert image.reference == "nadir.tif"
    assert image.gsd_m == pytest.approx(0.5, abs=0.001)
    assert len(image.digest) == 64
    window = read_window(image, 190, -5, 20)
    assert window.shape == (15, 10)
    assert read_window(image, 20, 10, 30, 5).shape == (5, 30)
    assert read_window(image, 500, 0, 20).size == 0


def test_a_file_cut_after_it_was_described(tmp_path: Path, scene: Scene) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(scene.views["nadir"].read_bytes())
    image = read_image(path, reference="scenes/one")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputRefused) as caught:
        read_window(image, 150, 150, 50)
    assert caught.value.code == "unreadable-image"
    assert caught.value.detail.startswith("scenes/one: ")


def test_the_digest_is_of_the_pixels(tmp_path: Path, scene: Scene) -> None:
    with rasterio.open(scene.views["nadir"]) as src:
        pixels, rpcs = src.read(), src.rpcs
    first = read_image(scene.views["nadir"]).digest
    copy = written(tmp_path / "other.tif", pixels.astype("float32"), rpcs=rpcs, compress="lzw")
    assert read_image(copy).digest == first
    pixels[0, -1, -1] += 1
    assert read_image(written(tmp_path / "changed.tif", pixels, rpcs=rpcs)).digest != first
    assert read_image(scene.views["fwd"]).digest != first


def test_jpeg_2000_with_a_side_car(tmp_path: Path, scene: Scene) -> None:
    with rasterio.open(scene.views["nadir"]) as src:
        pixels = src.read()
    image = written(tmp_path / "a.jp2", pixels, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    side_car = tmp_path / "a.geom"
    side_car.write_text(geom_text(read_geomodel(scene.views["nadir"])))
    assert read_image(image, side_car).digest == read_image(scene.views["nadir"]).digest


def test_assets_of_an_item(tmp_path: Path, scene: Scene) -> None:
    path = scene.views["nadir"]
    geom = tmp_path / "a.geom"
    geom.write_text(geom_text(read_geomodel(path)))
    notes = tmp_path / "notes.txt"
    notes.write_text("words")

    def item(**assets: StagedAsset) -> StagedItem:
        return StagedItem(reference="scenes/one", assets=assets)

    assert open_image(item(image=StagedAsset(path=path))).reference == "scenes/one"
    assert open_image(item(image=StagedAsset(path=path), geomodel=StagedAsset(path=geom))).side_car == geom
    by_role = item(
        thumbnail=StagedAsset(path=notes, roles=("thumbnail",)),
        notes=StagedAsset(path=notes, roles=("metadata",)),
        camera=StagedAsset(path=geom, roles=("metadata",)),
        pan=StagedAsset(path=path, roles=("data",)),
    )
    assert open_image(by_role).path == path
    assert open_image(by_role).side_car == geom
    with pytest.raises(InputRefused) as caught:
        open_image(item(notes=StagedAsset(path=notes, roles=("metadata",))))
    assert caught.value.code == "no-image"


@pytest.mark.parametrize(
    "content",
    [
        b"these are words\n",
        b"",
        b"II*",
        b"PK\x03\x04 a zip",
        b'<VRTDataset rasterXSize="9" rasterYSize="9"/>',
        os.urandom(4096),
    ],
)
def test_what_is_not_an_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    assert refusal(path).code == "not-an-image"


@pytest.mark.parametrize("kept", [0.02, 0.33, 0.7, 0.98])
@pytest.mark.parametrize("view", ["nadir", "fwd"])
def test_truncated(tmp_path: Path, scene: Scene, kept: float, view: str) -> None:
    path = tmp_path / "cut.tif"
    whole = scene.views[view].read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert refusal(path).code == "unreadable-image"


def test_no_file_at_all(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.tif").code == "unreadable-image"
    assert refusal(tmp_path).code == "unreadable-image"


def test_no_network_nor_other_formats(tmp_path: Path) -> None:
    # GDAL would follow these names; here a path is a path
    for name in ("/vsicurl/http://127.0.0.1:9/a.tif", "/vsizip/a.zip/a.tif", "GTIFF_DIR:1:a.tif"):
        with pytest.raises(InputRefused) as caught:
            read_image(Path(name), reference="scenes/one")
        assert caught.value.code == "unreadable-image"
    png = written(tmp_path / "a.tif", np.arange(150 * 150, dtype=np.uint8).reshape(1, 150, 150), driver="PNG")
    assert refusal(png).code == "not-an-image"


def test_formats(tmp_path: Path, scene: Scene) -> None:
    with rasterio.open(scene.views["nadir"]) as src:
        pixels, rpcs = src.read(), src.rpcs
    assert refusal(written(tmp_path / "a.tif", pixels)).code == "no-rpc"
    many = refusal(written(tmp_path / "b.tif", np.repeat(pixels, 12, axis=0), rpcs=rpcs))
    assert (many.code, many.facts["bands"]) == ("image-format", 12)
    assert refusal(written(tmp_path / "c.tif", pixels.astype("complex64"), rpcs=rpcs)).code == "image-format"
    assert refusal(written(tmp_path / "d.tif", pixels[:, :50], rpcs=rpcs)).code == "image-too-small"
    assert refusal(written(tmp_path / "e.tif", np.full_like(pixels, 7), rpcs=rpcs)).code == "blank-image"


def test_a_huge_image_is_looked_at_quickly(tmp_path: Path, scene: Scene) -> None:
    with rasterio.open(scene.views["nadir"]) as src:
        pixels, rpcs = src.read(1), src.rpcs
    path = tmp_path / "huge.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=100_000, height=100_000, count=1, dtype="uint8", rpcs=rpcs,
        tiled=True, sparse_ok=True, BIGTIFF="YES",
    ) as dst:  # fmt: skip
        dst.write(pixels.astype("uint8"), 1, window=((0, 200), (0, 200)))
    begin = time.process_time()
    assert read_image(path).width == 100_000
    assert time.process_time() - begin < 2
