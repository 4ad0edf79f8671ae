"""GIS clients, given only a tokened URL, read the restricted result; a revoked token reads nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from platforms import Made, Running
from rasterio.enums import Resampling
from rasterio.warp import transform_bounds

pytestmark = [pytest.mark.engine, pytest.mark.slow]

# GDAL keeps what it read of a service in the process: each reading gets a process of its own.
READ = """
import sys, numpy, rasterio
from rasterio.windows import from_bounds
source, west, south, east, north, out = sys.argv[1], *map(float, sys.argv[2:6]), sys.argv[6]
with rasterio.open(source) as raster:
    window = from_bounds(west, south, east, north, raster.transform).round_offsets().round_lengths()
    shape = (raster.count, 512, 512)
    numpy.savez(out, pixels=raster.read(window=window, out_shape=shape), crs=raster.crs.to_epsg())
"""


def read_with_gdal(source: str, bounds: tuple[float, float, float, float], out: Path) -> NDArray[np.uint8]:
    done = subprocess.run(
        [sys.executable, "-c", READ, source, *map(str, bounds), str(out)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    with np.load(out) as saved:
        pixels: NDArray[np.uint8] = saved["pixels"]
        return pixels


@pytest.fixture(scope="module")
def token(running: Running, made: Made) -> dict[str, Any]:
    with running.researcher as researcher:
        answer = researcher.post("/rights/tile_tokens", json={"items": [f"dsm/{made.id}"], "ttl": 3600})
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())


@pytest.fixture(scope="module")
def elevation(running: Running, made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("elevation") / "dsm.tif"
    with running.researcher as researcher:
        path.write_bytes(researcher.get(f"/assets/dsm/{made.id}/dsm").content)
    return path


def inner_bounds(path: Path) -> tuple[float, float, float, float]:
    """A square well inside the model, in Web Mercator."""
    with rasterio.open(path) as raster:
        west, south, east, north = transform_bounds(raster.crs, 3857, *raster.bounds)
    x, y, half = (west + east) / 2, (south + north) / 2, min(east - west, north - south) / 4
    return x - half, y - half, x + half, y + half


def expected_heights(path: Path, bounds: tuple[float, float, float, float]) -> NDArray[np.float32]:
    from rasterio.transform import from_bounds
    from rasterio.vrt import WarpedVRT

    grid = from_bounds(*bounds, 512, 512)
    with rasterio.open(path) as raster, WarpedVRT(
        raster, crs=3857, transform=grid, width=512, height=512, resampling=Resampling.bilinear
    ) as warped:  # fmt: skip
        heights: NDArray[np.float32] = warped.read(1, masked=True).filled(np.nan)
        return heights


def ramp_of(running: Running, heights: NDArray[np.float32], made: Made) -> NDArray[np.float64]:
    """The ramp that the tiles use by default, applied to the heights; the service is asked for it."""
    with running.researcher as researcher:
        colours = researcher.get("/tiles/colorMaps/relief", params={"format": "json"}).json()
        item = researcher.get(f"/stac/collections/dsm/items/{made.id}").json()
    statistics = item["assets"]["dsm"]["bands"][0]["statistics"] if "bands" in item["assets"]["dsm"] else None
    low, high = (
        (statistics["minimum"], statistics["maximum"]) if statistics else (np.nanmin(heights), np.nanmax(heights))
    )
    index = np.clip(np.nan_to_num((heights - low) / (high - low) * 255, nan=0), 0, 255).astype(int)
    table = np.array([colours[str(i)][:3] for i in range(256)], float)
    return np.moveaxis(table[index], 2, 0)


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


@pytest.mark.parametrize("kind", ["wmts", "xyz"])
def test_gdal_reads_the_restricted_result(
    running: Running, made: Made, token: dict[str, Any], elevation: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "wmts":
        source = "WMTS:" + token["wmts"]
    else:
        template = token["xyz"].replace("{z}", "${z}").replace("{x}", "${x}").replace("{y}", "${y}")
        source = str(tmp_path / "xyz.xml")
        Path(source).write_text(
            "<GDAL_WMS><Service name='TMS'><ServerUrl>"
            + template.replace("&", "&amp;")
            + "</ServerUrl></Service><DataWindow>"
            "<UpperLeftX>-20037508.34</UpperLeftX><UpperLeftY>20037508.34</UpperLeftY>"
            "<LowerRightX>20037508.34</LowerRightX><LowerRightY>-20037508.34</LowerRightY><TileLevel>19</TileLevel>"
            "<TileCountX>1</TileCountX><TileCountY>1</TileCountY><YOrigin>top</YOrigin></DataWindow>"
            "<Projection>EPSG:3857</Projection><BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY>"
            "<BandsCount>4</BandsCount><ZeroBlockHttpCodes>404</ZeroBlockHttpCodes></GDAL_WMS>"
        )
    bounds = inner_bounds(elevation)
    pixels = read_with_gdal(source, bounds, tmp_path / "pixels.npz")
    colours = {tuple(c) for c in np.moveaxis(pixels[:3], 0, 2).reshape(-1, 3)}
    assert len(colours) >= 64
    expected = ramp_of(running, expected_heights(elevation, bounds), made)
    here = correlation(pixels[:3], expected)
    assert here >= 0.95
    # Within one pixel: no shift by two pixels fits better than none.
    for axis in (1, 2):
        for shift in (-2, 2):
            assert correlation(np.roll(pixels[:3], shift, axis), expected) <= here


def test_a_revoked_token_reads_nothing(running: Running, made: Made) -> None:
    with running.researcher as researcher, running.anonymous as anonymous:
        token = researcher.post("/rights/tile_tokens", json={"items": [f"dsm/{made.id}"], "ttl": 600}).json()
        assert anonymous.get(token["tilejson"]).status_code == 200
        assert f"token={token['token']}" in anonymous.get(token["tilejson"]).json()["tiles"][0]
        listed = researcher.get("/rights/tile_tokens").json()["tile_tokens"]
        mine = next(entry for entry in listed if token["token"].startswith(entry["id"]))
        assert researcher.delete(f"/rights/tile_tokens/{mine['id']}").status_code in (200, 204)
        for _ in range(40):
            refused = anonymous.get(token["tilejson"])
            if refused.status_code == 401:
                break
        assert refused.status_code == 401
        assert "WWW-Authenticate" in refused.headers


def test_a_tile_token_opens_tiles_only(running: Running, made: Made, token: dict[str, Any]) -> None:
    with running.anonymous as anonymous:
        for path in (f"/assets/dsm/{made.id}/dsm", f"/stac/collections/dsm/items/{made.id}"):
            assert anonymous.get(path, params={"token": token["token"]}).status_code in (400, 401, 404)
        item = made.items[0].split("/")
        other = f"/tiles/collections/{item[0]}/items/{item[1]}/preview.png"
        assert anonymous.get(other, params={"assets": "image", "token": token["token"]}).status_code in (403, 404)


@pytest.mark.parametrize("asset", ["dsm", "hillshade", "ortho", "validity"])
def test_every_raster_has_a_preview_and_a_value(running: Running, made: Made, asset: str) -> None:
    base = f"/tiles/collections/dsm/items/{made.id}"
    with running.researcher as researcher:
        picture = researcher.get(f"{base}/preview.png", params={"assets": asset})
        assert picture.status_code == 200, picture.text
        assert picture.headers["content-type"] == "image/png"
        west, south, east, north = researcher.get(f"/stac/collections/dsm/items/{made.id}").json()["bbox"]
        lon, lat = (west + east) / 2, (south + north) / 2
        value = researcher.get(f"{base}/point/{lon},{lat}", params={"assets": asset})
        assert value.status_code == 200, value.text
        assert value.json()["values"]
