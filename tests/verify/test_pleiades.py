"""Real Pléiades pairs, from files on a disk to a tile, held against SRTM and against the bare engine."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from numpy.typing import NDArray
from platforms import Running
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject

pytestmark = [pytest.mark.verify, pytest.mark.engine]


def nmad(errors: NDArray[np.float64]) -> float:
    return float(1.4826 * np.median(np.abs(errors - np.median(errors))))


def on_grid(source: Path, grid: rasterio.DatasetReader, crs: CRS | None = None) -> NDArray[np.float64]:
    """`source` by bilinear interpolation on the cells of `grid`."""
    out = np.full(grid.shape, np.nan, "float32")
    with rasterio.open(source) as raster:
        values = raster.read(1).astype("float32")
        if raster.nodata is not None:
            values[values == raster.nodata] = np.nan
        reproject(
            values, out, src_transform=raster.transform, src_crs=crs or raster.crs, dst_transform=grid.transform,
            dst_crs=grid.crs, src_nodata=np.nan, dst_nodata=np.nan, resampling=Resampling.bilinear,
        )  # fmt: skip
    return out.astype(float)


def make(running: Running, images: list[Path], collection: str, folder: Path, *options: str) -> dict[str, Any]:
    """Ingest, run `dsm`, fetch what came of it, and look at one tile."""
    ingested = running.bocage("ingest", *map(str, images), "--collection", collection, "--json")
    assert ingested.returncode == 0, ingested.stdout + ingested.stderr
    items = json.loads(ingested.stdout)["items"]
    done = running.bocage(
        "submit", "dsm", "-i", "images=" + ",".join(items), *options, "--wait", "--json", timeout=1500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    job = json.loads(done.stdout)
    with running.researcher as researcher:
        for asset in ("dsm", "validity", "report"):
            answer = researcher.get(f"/assets/dsm/{job['jobID']}/{asset}")
            assert answer.status_code == 200
            (folder / asset).write_bytes(answer.content)
        picture = researcher.get(f"/tiles/collections/dsm/items/{job['jobID']}/preview.png", params={"assets": "dsm"})
        assert picture.status_code == 200
        (folder / "preview.png").write_bytes(picture.content)
        ledger = running.ledger(researcher)
        assert float(ledger["balance"]["reserved"]) == 0
        quoted = float(job["credits"]["quoted"])
        settled = float(job["credits"]["charged"])
        assert 0 < settled <= quoted <= 2 * settled
    return dict(json.loads((folder / "report").read_text()))


def test_gizeh(running: Running, test_data: Path, tmp_path: Path) -> None:
    source = test_data / "pleiades_gizeh"
    images = [source / "img1.tif", source / "img2.tif"]
    report = make(running, images, "gizeh", tmp_path, "-i", "height_reference=geoid", "-i", "resolution=0.5")
    assert report["valid_fraction"] >= 0.95
    assert report["filled_fraction"] <= 0.05
    bare = run_bare_engine(images, [i.with_suffix(".geom") for i in images], tmp_path / "bare", 32636)
    with rasterio.open(tmp_path / "dsm") as dsm, rasterio.open(tmp_path / "validity") as validity:
        heights = dsm.read(1, masked=True).filled(np.nan).astype(float)
        measured = (validity.read(1) == 1) & np.isfinite(heights)
        to_srtm = (heights - on_grid(source / "srtm" / "N29E031_KHEOPS.tif", dsm))[measured]
        to_bare = (heights - on_grid(bare, dsm, crs=CRS.from_epsg(32636)))[measured]
    to_srtm, to_bare = to_srtm[np.isfinite(to_srtm)], to_bare[np.isfinite(to_bare)]
    assert abs(np.median(to_srtm)) <= 5
    assert nmad(to_srtm) <= 10
    assert to_bare.size > 0.9 * measured.sum()
    assert nmad(to_bare) <= 0.3
    assert 190 <= np.nanmax(np.where(measured, heights, np.nan)) <= 215


def run_bare_engine(images: list[Path], geomodels: list[Path], folder: Path, epsg: int) -> Path:
    """The engine alone, as its own manual says, at our resolution and in our system."""
    folder.mkdir()
    sensors = {
        name: {"image": str(image), "geomodel": str(model)}
        for name, image, model in zip("ab", images, geomodels, strict=True)
    }
    configuration = {
        "input": {"sensors": sensors, "pairing": [["a", "b"]]},
        "output": {"directory": str(folder / "out"), "resolution": 0.5, "epsg": epsg, "geoid": True},
        "orchestrator": {"mode": "multiprocessing", "nb_workers": 2},
    }
    (folder / "bare.yaml").write_text(yaml.safe_dump(configuration))
    subprocess.run(
        [os.environ["BOCAGE_CARS"], "--logtype", "plain", str(folder / "bare.yaml")],
        check=True, capture_output=True, timeout=1500, cwd=folder,
    )  # fmt: skip
    return folder / "out" / "dsm" / "dsm.tif"


def test_ventoux(running: Running, test_data: Path, tmp_path: Path) -> None:
    source = test_data / "pleiades_ventoux"
    images = [source / "left_image.tif", source / "right_image.tif"]
    make(running, images, "ventoux", tmp_path, "-i", "height_reference=geoid")
    with rasterio.open(tmp_path / "dsm") as dsm, rasterio.open(tmp_path / "validity") as validity:
        heights = dsm.read(1, masked=True).filled(np.nan).astype(float)
        errors = (heights - on_grid(source / "srtm" / "N44E005.hgt", dsm))[validity.read(1) == 1]
    assert abs(np.nanmedian(errors)) < 10


def test_one_real_image_under_two_names_makes_no_product(running: Running, test_data: Path, tmp_path: Path) -> None:
    source = test_data / "pleiades_gizeh"
    for name in ("one", "other"):
        (tmp_path / f"{name}.tif").write_bytes((source / "img1.tif").read_bytes())
        (tmp_path / f"{name}.geom").write_bytes((source / "img1.geom").read_bytes())
    files = [str(tmp_path / "one.tif"), str(tmp_path / "other.tif")]
    items = json.loads(running.bocage("ingest", *files, "--collection", "twice", "--json").stdout)["items"]
    done = running.bocage("submit", "dsm", "-i", "images=" + ",".join(items), "--wait", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
