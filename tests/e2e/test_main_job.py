"""The main job: images in, elevation model out, in the catalogue, as tiles, in the ledger, under its licences.

All that looks at its result stands here, for it takes minutes to make: GIS clients too, given only a tokened URL.
"""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pystac_client
import pytest
import rasterio
from bocage_processes.accuracy import compare_elevation
from numpy.typing import NDArray
from platforms import LICENCE, Made, Running
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


def download(running: Running, made: Made, asset: str, folder: Path) -> Path:
    with running.researcher as researcher:
        answer = researcher.get(f"/assets/dsm/{made.id}/{asset}")
        assert answer.status_code == 200, answer.text
    path = folder / asset
    path.write_bytes(answer.content)
    return path


def truth_on_grid(truth: Path, grid: Path) -> NDArray[np.float64]:
    with rasterio.open(grid) as result, rasterio.open(truth) as source:
        assert source.crs.to_epsg() == result.crs.to_epsg()
        window = source.window(*result.bounds)
        return np.asarray(source.read(1, window=window, boundless=True, fill_value=np.nan), np.float64)


def test_the_result_is_near_the_truth(running: Running, made: Made, tmp_path: Path) -> None:
    """As delivered over HTTP; the science's own tests look closer."""
    files = {asset: download(running, made, asset, tmp_path) for asset in ("dsm", "validity", "ortho")}
    with rasterio.open(files["dsm"]) as raster:
        heights = raster.read(1, masked=True).filled(np.nan).astype(np.float64)
    with rasterio.open(files["validity"]) as raster:
        validity = raster.read(1)
    truth = truth_on_grid(made.scene.truth_dsm, files["dsm"])
    found = compare_elevation(heights, validity == 1, truth, validity > 0)
    assert abs(found.median) <= 0.3
    assert found.nmad <= 1.0
    assert found.rmse <= 1.7
    assert found.rmse_flat <= 0.9
    assert found.measured_fraction >= 0.97
    with rasterio.open(files["ortho"]) as raster:
        ortho = raster.read(1).astype(np.float64)
        source = raster.read(raster.count)
    texture = truth_on_grid(made.scene.truth_ortho, files["ortho"])
    seen = (source > 0) & np.isfinite(texture)
    assert np.corrcoef(ortho[seen], texture[seen])[0, 1] >= 0.90


def test_the_ledger_is_settled_to_the_price_list(running: Running, made: Made) -> None:
    with running.researcher as researcher:
        after = running.ledger(researcher)
        status = researcher.get(f"/processing/jobs/{made.id}").json()
    assert Decimal(str(after["balance"]["reserved"])) == 0
    settled = Decimal(str(after["balance"]["settled"])) - Decimal(str(made.ledger_before["balance"]["settled"]))
    quoted = Decimal(str(made.quote["credits"]))
    usage = status["usage"]
    expected = Decimal("2") + Decimal("10") * Decimal(str(usage["megapixels"]))
    assert settled > 0
    assert abs(settled - expected) <= Decimal("0.01")
    assert settled <= quoted <= 2 * settled
    endings = [e for e in after["entries"] if e.get("job") == made.id and e["kind"] in ("settle", "release")]
    assert len([e for e in endings if e["kind"] == "settle"]) == 1


def test_nobody_else_sees_a_result_of_its_owner(running: Running, made: Made) -> None:
    for client in (running.anonymous, running.company):
        with client:
            assert client.get(f"/stac/collections/dsm/items/{made.id}").status_code == 404
            assert client.get("/stac/search", params={"ids": made.id}).json()["features"] == []
            found = client.post("/stac/search", json={"collections": ["dsm"], "limit": 100}).json()
            assert made.id not in json.dumps(found)
            assert found.get("numberMatched", 0) == 0
            assert client.get(f"/assets/dsm/{made.id}/dsm").status_code == 404
            tile = f"/tiles/collections/dsm/items/{made.id}/WebMercatorQuad/tilejson.json"
            assert client.get(tile, params={"assets": "dsm"}).status_code == 404
    with running.company as company:
        assert company.get(f"/processing/jobs/{made.id}").status_code == 404
        assert made.id not in company.get("/processing/jobs").text


def test_the_company_is_refused_the_restricted_scene(running: Running, made: Made) -> None:
    item = made.items[0]
    collection, name = item.split("/")
    before = running.ledger(running.company)
    with running.company as company:
        assert company.get(f"/stac/collections/{collection}/items/{name}").status_code == 200
        refused = [
            company.get(f"/assets/{collection}/{name}/image"),
            company.get(f"/tiles/collections/{collection}/items/{name}/preview.png", params={"assets": "image"}),
            company.post("/processing/processes/dsm/execution", json={"inputs": {"images": made.items}}),
        ]
    for answer in refused:
        assert answer.status_code == 403, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        terms = answer.json()["required_terms"]
        assert terms[0]["licence"] == LICENCE
        assert {"version", "title", "url", "reason", "accept_url"} <= set(terms[0])
    assert running.ledger(running.company) == before


def test_budget_below_the_quote_changes_nothing(running: Running, made: Made) -> None:
    budget = str(Decimal(str(made.quote["credits"])) - 1)
    with running.researcher as researcher:
        before = running.ledger(researcher)
        done = running.bocage(
            "submit", "dsm", "-i", "images=" + ",".join(made.items), "--budget", budget, "--wait", "--json"
        )
        assert done.returncode == 4, done.stdout + done.stderr
        assert json.loads(done.stdout)["status"] == 402
        assert running.ledger(researcher) == before


def test_pystac_client_finds_and_validates_the_result(running: Running, made: Made) -> None:
    client = pystac_client.Client.open(f"{running.url}/stac", headers={"X-API-Key": running.accounts.researcher})
    found = list(client.search(collections=["dsm"], ids=[made.id]).items())
    assert [item.id for item in found] == [made.id]
    assets = found[0].assets
    assert {"dsm", "hillshade", "ortho", "validity", "report", "quicklook"} <= set(assets)
    assert all(asset.href.startswith(f"{running.url}/assets/dsm/{made.id}/") for asset in assets.values())
    derived = [link.href for link in found[0].get_links("derived_from")]
    assert len(derived) == 3
    assert found[0].get_links("license")


def test_every_raster_tells_its_own_licence(running: Running, made: Made, tmp_path: Path) -> None:
    for asset in ("dsm", "hillshade", "ortho", "validity"):
        with rasterio.open(download(running, made, asset, tmp_path)) as raster:
            tags = {name.upper(): value for name, value in raster.tags().items()}
        assert made.id in tags["JOB"]
        assert all(item in tags["INPUTS"] for item in made.items)
        assert "CC-BY-NC-4.0" in tags["LICENSE"]
        if asset == "ortho":
            assert LICENCE in tags["LICENSE"]


def test_rasterio_reads_an_asset_over_http_with_a_key(running: Running, made: Made) -> None:
    href = f"/vsicurl/{running.url}/assets/dsm/{made.id}/dsm"
    with rasterio.Env(GDAL_HTTP_HEADERS=f"X-API-Key: {running.accounts.researcher}"), rasterio.open(href) as raster:
        values = raster.read(1, masked=True)
        assert raster.crs.to_epsg() == 32631
        assert values.count() > 0.5 * values.size
        assert raster.overviews(1) or max(raster.shape) <= 512


def test_the_report_holds_what_it_promises(running: Running, made: Made) -> None:
    with running.researcher as researcher:
        report = researcher.get(f"/assets/dsm/{made.id}/report").json()
    promised = {
        "valid_fraction", "filled_fraction", "convergence_deg", "base_to_height", "expected_precision_m",
        "failed_tiles", "engine", "cpu_seconds", "peak_bytes",
    }  # fmt: skip
    assert promised <= set(report)
    assert report["valid_fraction"] >= 0.97
    assert 5 < report["convergence_deg"] < 20


def test_a_published_result_is_seen_and_hidden_again(running: Running, made: Made) -> None:
    path = f"/stac/collections/dsm/items/{made.id}"
    with running.researcher as researcher, running.anonymous as anonymous:
        item = researcher.get(path).json()
        for audience, expected in (("public", 200), ("owner", 404)):
            item["properties"]["bocage:audience"] = audience
            assert researcher.put(path, json=item).status_code in (200, 204)
            assert anonymous.get(path).status_code == expected


def test_job_folders_hold_no_input_afterwards(running: Running, made: Made) -> None:
    left = [p for p in running.platform.home.jobs.rglob("*") if p.is_file() and "inputs" in p.parts]
    assert left == []
    for folder in running.platform.home.jobs.iterdir():
        assert folder.stat().st_mode & 0o077 == 0


def test_quicklook_is_a_picture(running: Running, made: Made, tmp_path: Path) -> None:
    with rasterio.open(download(running, made, "quicklook", tmp_path)) as picture:
        assert np.unique(picture.read(1)).size > 32


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
