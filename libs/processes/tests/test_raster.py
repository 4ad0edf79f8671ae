import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from bocage_processes.process import EngineFailed, InputRefused, Provenance
from bocage_processes.raster import Band, Raster, provenance_tags, read_band, stac_fields, write_cog

GRID = Affine(0.5, 0, 500_000, 0, -0.5, 4_800_000)


def elevation(nodata: float = -32768.0) -> Raster:
    values = np.arange(1200 * 1100, dtype=np.float32).reshape(1, 1200, 1100) / 1e4
    values[0, :100] = nodata
    return Raster(values, GRID, "EPSG:32631", [Band("elevation", "Height", "m")], nodata, {"JOB": "j1"})


def test_it_is_cloud_optimised_and_tells_its_origin(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_cog(path, elevation())
    with rasterio.open(path) as src:
        structure = src.tags(ns="IMAGE_STRUCTURE")
        assert structure["LAYOUT"] == "COG"
        assert structure["COMPRESSION"] == "DEFLATE"
        assert structure["PREDICTOR"] == "3"
        assert src.overviews(1)
        assert src.tags()["JOB"] == "j1"
        assert src.descriptions == ("elevation",)
        assert src.units == ("m",)
        assert np.array_equal(src.read(), elevation().values)
    values, valid, transform, crs = read_band(path)
    assert crs == "EPSG:32631"
    assert transform == GRID
    assert not valid[:100].any()
    assert valid[100:].all()
    assert values.dtype == np.float32


def test_averaged_overviews_ignore_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_cog(path, elevation())
    with rasterio.open(path, overview_level=0) as src:
        found = src.read(1, masked=True)
        assert found.min() > 10


def test_classes_are_not_averaged(tmp_path: Path) -> None:
    values = (np.indices((1030, 1030)).sum(0) % 2 * 3).astype(np.uint8)[None]
    classes = [(0, "outside", "outside"), (3, "rejected", "rejected")]
    write_cog(tmp_path / "a.tif", Raster(values, GRID, "EPSG:32631", [Band("validity", classes=classes)]))
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as src:
        assert set(np.unique(src.read(1))) <= {0, 3}


def test_fields_describe_grid_and_statistics() -> None:
    fields = stac_fields(elevation())
    json.dumps(fields, allow_nan=False)
    assert fields["proj:code"] == "EPSG:32631"
    assert fields["proj:shape"] == [1200, 1100]
    assert fields["proj:transform"][:6] == [0.5, 0, 500_000, 0, -0.5, 4_800_000]
    assert fields["proj:bbox"] == [500_000, 4_799_400, 500_550, 4_800_000]
    assert fields["nodata"] == -32768
    statistics = fields["bands"][0]["statistics"]
    assert statistics["minimum"] == pytest.approx(11.0)
    assert statistics["valid_percent"] == pytest.approx(100 * 1100 / 1200, abs=0.1)


def test_fields_of_classes_and_of_nan() -> None:
    classes = [(0, "outside", "outside"), (1, "measured", "measured")]
    raster = Raster(np.ones((1, 4, 4), np.uint8), GRID, "EPSG:32631", [Band("validity", classes=classes)])
    assert [c["value"] for c in stac_fields(raster)["classification:classes"]] == [0, 1]
    missing = Raster(np.full((1, 4, 4), np.nan, np.float32), GRID, "EPSG:32631", [Band("a")], float("nan"))
    fields = stac_fields(missing)
    assert fields["nodata"] == "nan"
    assert fields["bands"][0]["statistics"] == {"valid_percent": 0}


def test_tags_leave_out_what_is_not_known() -> None:
    provenance = Provenance(job="j", inputs=("c/a", "c/b"), licences={"dsm": "etalab-2.0"})
    assert provenance_tags(provenance, "dsm", "dsm") == {
        "LICENSE": "etalab-2.0",
        "INPUTS": "c/a c/b",
        "JOB": "j",
        "PROCESS": "dsm",
    }
    assert "LICENSE" not in provenance_tags(provenance, "dsm", "ortho")


def test_a_folder_that_is_not_there_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed) as failure:
        write_cog(tmp_path / "no" / "a.tif", elevation())
    assert str(tmp_path) not in failure.value.detail


@pytest.mark.parametrize("content", [b"", b"just text", b"<VRTDataset/>"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(InputRefused) as refusal:
        read_band(path, "c/a")
    assert refusal.value.code == "unreadable-raster"
