"""What map clients read: TileJSON, WMTS, and GDAL's own drivers, each in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
from bocage_kit.access import undeclared_routes
from bocage_kit.identity import HEADER, sign
from bocage_tiles import ramps
from bocage_tiles.app import create_app
from bocage_tiles.settings import TilesSettings
from openapi_spec_validator import validate
from tiles_service import CELL, NORTH, WEST, Service

READ = """
import sys, numpy, rasterio
from rasterio.vrt import WarpedVRT
from rasterio.transform import from_origin
source, west, north, cell, out = sys.argv[1], *map(float, sys.argv[2:5]), sys.argv[5]
with rasterio.open(source) as raster:
    grid = from_origin(west, north, cell, cell)
    with WarpedVRT(raster, crs="EPSG:32631", transform=grid, width=300, height=300) as warped:
        numpy.savez(out, pixels=warped.read([1, 2, 3]), count=raster.count, bounds=raster.bounds)
"""
NAMES = {"ows": "http://www.opengis.net/ows/1.1", "wmts": "http://www.opengis.net/wmts/1.0"}


def test_tilejson_tells_where_and_how(service: Service) -> None:
    answer = service.get(service.path("/WebMercatorQuad/tilejson.json"), service.anybody, params={"tile_scale": 2})
    found = answer.json()
    assert found["tilejson"] == "3.0.0"
    assert found["bounds"] == pytest.approx(list(service.bbox), abs=1e-6)
    assert (found["minzoom"], found["maxzoom"]) == (16, 18)
    assert found["attribution"] == "Théia &amp; friends"
    start = service.base + "/tiles/collections/dsm/items/result/tiles/WebMercatorQuad/{z}/{x}/{y}@2x.png"
    assert found["tiles"] == [start + "?assets=dsm"]
    repeated = service.get(
        service.path("/WebMercatorQuad/tilejson.json"),
        service.anybody,
        params={"assets": "rgb", "rescale": "0,9", "tile_format": "webp", "unknown": "x"},
    ).json()["tiles"][0]
    assert repeated.endswith("{y}.webp?assets=rgb&rescale=0%2C9")


def test_links_stand_under_the_public_base(service: Service) -> None:
    caller = service.anybody.model_copy(update={"public_base": "https://example.org/land"})
    found = service.get(service.path("/WebMercatorQuad/tilejson.json"), caller).json()
    assert found["tiles"][0].startswith("https://example.org/land/tiles/collections/dsm/items/result/tiles/")
    xml = service.get(service.path("/WMTSCapabilities.xml"), caller).text
    assert "127.0.0.1" not in xml and 'template="https://example.org/land/tiles/' in xml
    listed = service.get("/tiles/colorMaps", caller).json()["colormaps"][0]
    assert listed["links"][0]["href"].startswith("https://example.org/land/tiles/colorMaps/")


def test_wmts_names_one_layer_with_its_extent(service: Service) -> None:
    answer = service.get(service.path("/WebMercatorQuad/WMTSCapabilities.xml"), service.anybody)
    assert answer.headers["content-type"].startswith("application/xml")
    root = ElementTree.fromstring(answer.content)
    layers = root.findall("wmts:Contents/wmts:Layer", NAMES)
    assert len(layers) == 1
    assert layers[0].findtext("ows:Identifier", "", NAMES) == "dsm_result_dsm"
    lower = layers[0].findtext("ows:WGS84BoundingBox/ows:LowerCorner", "", NAMES).split()
    assert [float(x) for x in lower] == pytest.approx(service.bbox[:2], abs=1e-6)
    limits = layers[0].findall("wmts:TileMatrixSetLink/wmts:TileMatrixSetLimits/wmts:TileMatrixLimits", NAMES)
    matrices = root.findall("wmts:Contents/wmts:TileMatrixSet/wmts:TileMatrix", NAMES)
    assert len(limits) == len(matrices) == 19
    assert all(element.text for element in root.iter("{http://www.opengis.net/ows/1.1}Identifier"))


@pytest.mark.parametrize("kind", ["wmts", "xyz"])
def test_gdal_reads_the_tiles_in_their_place(service: Service, tmp_path: Path, kind: str) -> None:
    caller = service.tokened(items=frozenset({"dsm/result"}))
    if kind == "wmts":
        source = "WMTS:" + service.base + service.path("/WebMercatorQuad/WMTSCapabilities.xml?assets=dsm&token=abc.d")
    else:
        document = service.get(service.path("/WebMercatorQuad/tilejson.json?token=abc.d"), caller).json()
        template = document["tiles"][0].replace("{", "${").replace("&", "&amp;")
        source = str(tmp_path / "xyz.xml")
        Path(source).write_text(
            f"<GDAL_WMS><Service name='TMS'><ServerUrl>{template}</ServerUrl></Service><DataWindow>"
            "<UpperLeftX>-20037508.34</UpperLeftX><UpperLeftY>20037508.34</UpperLeftY><LowerRightX>20037508.34</LowerRightX>"
            f"<LowerRightY>-20037508.34</LowerRightY><TileLevel>{document['maxzoom']}</TileLevel><TileCountX>1</TileCountX>"
            "<TileCountY>1</TileCountY><YOrigin>top</YOrigin></DataWindow><Projection>EPSG:3857</Projection>"
            "<BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY><BandsCount>4</BandsCount></GDAL_WMS>"
        )
    first = 200
    corner = [WEST + first * CELL, NORTH - first * CELL, CELL]
    # The identity that the gateway would have added.
    headers = tmp_path / "headers"
    headers.write_text(f"{HEADER}: {sign(caller, service.key)}\n")
    environment = dict(os.environ) | {"GDAL_HTTP_HEADER_FILE": str(headers), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", READ, source, *map(str, corner), str(tmp_path / "pixels.npz")],
        capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "pixels.npz") as saved:
        pixels = saved["pixels"].astype(float)
    heights = service.heights[first : first + 300, first : first + 300]
    known = service.heights[service.heights > -9999]
    index = ((heights - known.min()) / (known.max() - known.min()) * 255).clip(0, 255).astype(int)
    expected = np.moveaxis(np.array(list(ramps.relief().values()))[:, :3][index], 2, 0).astype(float)

    def likeness(down: int, right: int) -> float:
        moved = np.roll(pixels, (down, right), (1, 2))[:, 4:-4, 4:-4]
        return float(np.corrcoef(moved.ravel(), expected[:, 4:-4, 4:-4].ravel())[0, 1])

    assert len({tuple(c) for c in np.moveaxis(pixels, 0, 2).reshape(-1, 3)}) >= 64
    assert likeness(0, 0) >= 0.95
    for down, right in ((-2, 0), (2, 0), (0, -2), (0, 2)):
        assert likeness(down, right) < likeness(0, 0)


def test_the_program_serves_on_its_socket_and_stops(service: Service, module_database: Any, tmp_path: Path) -> None:
    shutil.copytree(service.home / "identity", tmp_path / "identity")
    environment = dict(os.environ) | {"BOCAGE_HOME": str(tmp_path), "BOCAGE_DATABASE": module_database.url("tiles")}
    process = subprocess.Popen([sys.executable, "-m", "bocage_tiles"], env=environment)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "run" / "tiles.sock"))) as client:
            for _ in range(200):
                try:
                    answer = client.get("http://tiles/healthz")
                    break
                except httpx.TransportError:
                    assert process.poll() is None
                    time.sleep(0.1)
            assert answer.status_code == 200 and answer.json()["database"] == "ok"
    finally:
        process.terminate()
    assert process.wait(20) in (0, -15)


def test_every_route_says_who_may_call_it_and_is_described(tmp_path: Path) -> None:
    app = create_app(TilesSettings(home=tmp_path, database="postgresql://127.0.0.1:1/none"))
    assert undeclared_routes(app) == []
    document = app.openapi()
    validate(document)
    operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == len(set(operations)) >= 14
    names = {
        parameter["name"].lower()
        for path in document["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", ())
    }
    assert not names & {"url", "src_path", "dataset", "href"}
