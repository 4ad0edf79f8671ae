"""Named styles: what a product's `renders` say is what is drawn."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from bocage_kit.identity import HEADER, Level, sign
from bocage_tiles import ramps
from numpy.typing import NDArray
from owslib.wmts import WebMapTileService
from styled_products import BROKEN, COLLECTION, RENDERS, at, load_product
from test_tile_clients_gdal import NAMES, READ
from tiles_service import CELL, NORTH, WEST, Service

WMTS = "/WebMercatorQuad/WMTSCapabilities.xml"


@pytest.fixture(scope="module", autouse=True)
def product(service: Service) -> None:
    load_product(service)


def preview(service: Service, item: str = "sample", **asked: Any) -> NDArray[np.uint8]:
    """The whole raster, pixel by pixel."""
    asked = {"width": 800, "height": 800, "resampling": "nearest"} | asked
    answer = service.get(at("/preview.png", item), service.anybody, params=asked)
    assert answer.status_code == 200, answer.text
    with rasterio.open(io.BytesIO(answer.content)) as picture:
        found: NDArray[np.uint8] = picture.read()
        return found


def table(name: str) -> NDArray[np.uint8]:
    found = ramps.ramp(name)
    assert isinstance(found, dict)
    return np.array([found[i] for i in range(256)], np.uint8)


def test_a_ramp_is_drawn_over_the_range_that_the_style_says(service: Service) -> None:
    drawn = preview(service, style="albedo")
    column = np.arange(800)
    index = np.clip(column * 10 * (255 / 5000), 0, 255).astype(int)
    assert (drawn[:, 500] == table("viridis")[index].T).all()
    assert not drawn[3, :100, :100].any(), "no data"


def test_classes_bits_and_composites(service: Service) -> None:
    classes = preview(service, style="land-cover")
    colours = [tuple(classes[:, 10, x]) for x in (100, 300, 500, 700)]
    assert colours == [(0, 0, 0, 0), (255, 0, 255, 255), (0x70, 0xA8, 0, 255), (0, 0, 255, 255)]
    towns = preview(service, style="towns")
    assert tuple(towns[:, 10, 300]) == (0x12, 0x34, 0x56, 255) and not towns[3, :, 400:].any()
    clouds = preview(service, style="clouds")
    # Columns hold 0…7: bit 0 is cloud, bits 2 and 3 are shadow (1 is thin); cloud lies on top.
    assert [tuple(clouds[:, 10, x * 100 + 50]) for x in (0, 1, 4, 5)] == [
        (0, 0, 0, 0), (255, 255, 255, 255), (0x33, 0x33, 0x33, 255), (255, 255, 255, 255),
    ]  # fmt: skip
    bit = preview(service, style="bit")
    assert [bool(bit[3, 10, x * 100 + 50]) for x in range(8)] == [False, False, True, True] * 2
    natural = preview(service, style="natural")
    assert [int(x) for x in natural[:3, 10, 600]] == [153, 102, 51]
    steps = preview(service, style="steps")
    assert tuple(steps[:, 10, 10]) == (0, 0, 255, 255) and tuple(steps[:, 10, 700]) == (255, 0, 0, 128)


def test_an_expression_of_a_style_is_read_and_drawn(service: Service) -> None:
    drawn = preview(service, style="ndvi")
    x = np.arange(800, dtype=float)
    ndvi = (4000 - x - 3 * x) / (4000 - x + 3 * x)
    index = np.clip((ndvi + 0.2) / 1.1 * 255, 0, 255).astype(int)
    assert (drawn[:, 400] == table("rdylgn")[index].T).mean() > 0.99


def test_the_first_style_is_drawn_when_nothing_is_said(service: Service) -> None:
    named = preview(service, style="albedo")
    # Sizes are no drawing parameters, resampling is one.
    size = {"width": 800, "height": 800}
    unsaid = service.get(at("/preview.png"), service.anybody, params=size).content
    assert service.get(at("/preview.png"), service.anybody, params=size | {"style": "albedo"}).content == unsaid
    assert service.get(at("/preview.png"), service.anybody, params=size | {"style": "default"}).content == unsaid
    assert named.any()
    grey = service.get(at("/preview.png"), service.anybody, params=size | {"assets": "albedo"}).content
    assert grey != unsaid, "an asset that is asked for has its own drawing, as ever"
    # An item that lacks the asset of the first style has the first that it can have, as they are stored.
    few = service.get(at("/preview.png", "few"), service.anybody, params=size).content
    assert few == service.get(at("/preview.png", "few"), service.anybody, params=size | {"style": "bit"}).content


def test_what_the_request_says_wins(service: Service) -> None:
    assert (
        preview(service, style="albedo", colormap_name="reds")[:, 500] != preview(service, style="albedo")[:, 500]
    ).any()
    narrow = preview(service, style="albedo", rescale="0,10")
    assert tuple(narrow[:, 500, 400]) == tuple(table("viridis")[255])
    single = preview(service, style="natural", bidx=2)
    assert (single[0] == single[2]).all() and int(single[0, 10, 600]) == 102
    other = preview(service, style="albedo", assets="water", rescale="50,550")
    assert tuple(other[:, 10, 799]) == tuple(table("viridis")[254])
    flat = preview(service, style="towns", colormap='{"3": "#010203"}')
    assert tuple(flat[:, 10, 700]) == (1, 2, 3, 255) and not flat[3, :, 200:400].any()


def test_an_items_own_styles_come_first(service: Service) -> None:
    drawn = preview(service, "own", style="reds")
    assert tuple(drawn[:, 500, 799]) == tuple(table("reds")[254])
    answer = service.get(at("/preview.png", "own"), service.anybody, params={"style": "albedo"})
    assert answer.status_code == 400 and answer.json()["styles"] == ["reds"]


@pytest.mark.parametrize("tail", ["/preview.png", "/tiles/WebMercatorQuad/14/8328/5883.png", WMTS,
                                  "/WebMercatorQuad/tilejson.json", "/point/3.001,45.151", "/statistics",
                                  "/legend.png"])  # fmt: skip
def test_an_unknown_style_is_refused_with_those_that_there_are(service: Service, tail: str) -> None:
    answer = service.get(at(tail), service.anybody, params={"style": "albdo"})
    assert (answer.status_code, answer.json()["code"]) == (400, "no-such-style")
    assert "Did you mean albedo?" in answer.json()["detail"]
    assert set(answer.json()["styles"]) == set(RENDERS) and answer.json()["styles"][0] == "albedo"
    plain = service.get(service.path(tail), service.anybody, params={"style": "albedo"})
    assert plain.status_code == 400 and "no styles" in plain.json()["detail"]
    assert service.get(service.path(tail), service.anybody, params={"style": "default"}).status_code in (200, 404)


@pytest.mark.parametrize(
    ("style", "named"),
    list(zip(BROKEN, ("nowhere", "color_formula", "'nothing'", "'fog'", "rescale", "no object"), strict=True)),
)
def test_a_style_that_cannot_be_drawn_says_why(service: Service, style: str, named: str) -> None:
    for tail in ("/preview.png", WMTS, "/legend.json"):
        answer = service.get(at(tail), service.anybody, params={"style": style})
        assert (answer.status_code, answer.json()["code"]) == (400, "style-not-drawable"), answer.text
        assert named in answer.json()["detail"] and style in answer.json()["detail"]


def test_values_are_read_as_a_style_reads_them(service: Service) -> None:
    west, south, east, north = service.bbox
    place = f"/point/{(west + east) / 2},{(south + north) / 2}"
    found = service.get(at(place), service.anybody, params={"style": "ndvi"}).json()
    assert found["band_names"] == ["(b4-b1)/(b4+b1)"]
    assert found["values"][0] == pytest.approx(0.5, abs=0.02)
    found = service.get(at("/statistics"), service.anybody, params={"style": "natural"}).json()
    assert list(found) == ["image_b1", "image_b2", "image_b3"]


def test_tilejson_names_the_style_and_keeps_to_its_zooms(service: Service) -> None:
    def document(**asked: Any) -> dict[str, Any]:
        found: dict[str, Any] = service.get(at("/WebMercatorQuad/tilejson.json"), service.anybody, params=asked).json()
        return found

    assert document()["tiles"][0].endswith("{y}.png?style=albedo")
    assert (document()["minzoom"], document()["maxzoom"]) == (16, 17)
    named = document(style="land-cover", nodata=3)
    assert named["tiles"][0].endswith("?style=land-cover&nodata=3") and named["maxzoom"] == 18
    assert document(assets="water")["tiles"][0].endswith("?assets=water")
    url = named["tiles"][0].replace("{z}/{x}/{y}", "14/8328/5883").removeprefix(service.base)
    assert service.get(url, service.anybody).status_code == 200


def test_wmts_lists_the_styles_that_the_caller_may_draw(service: Service) -> None:
    drawable = [name for name in RENDERS if name not in BROKEN]
    root = ElementTree.fromstring(service.get(at(WMTS), service.researcher, headers={"Accept-Language": "fr"}).content)
    layer = root.find("wmts:Contents/wmts:Layer", NAMES)
    assert layer is not None and layer.findtext("ows:Identifier", "", NAMES) == f"{COLLECTION}_sample"
    assert layer.findtext("ows:Title", "", NAMES) == "Échantillon"
    styles = layer.findall("wmts:Style", NAMES)
    assert styles[0].findtext("ows:Identifier", "", NAMES) == "albedo"
    assert sorted(style.findtext("ows:Identifier", "", NAMES) for style in styles) == sorted(drawable)
    assert [style.get("isDefault") for style in styles] == ["true"] + ["false"] * (len(drawable) - 1)
    assert styles[0].findtext("ows:Title", "", NAMES) == "Albédo de surface"
    assert "albedo-grey" in [style.findtext("ows:Title", "", NAMES) for style in styles]
    template = layer.find("wmts:ResourceURL", NAMES)
    assert template is not None and str(template.get("template")).endswith("{TileRow}.png?style={Style}")
    for style in styles:
        legend = style.find("wmts:LegendURL", NAMES)
        assert legend is not None
        href = str(legend.get("{http://www.w3.org/1999/xlink}href"))
        answer = service.get(href.removeprefix(service.base), service.researcher)
        assert answer.status_code == 200 and answer.headers["content-type"] == legend.get("format")
    # The asset of one style is under a licence that this caller has not.
    text = service.get(at(WMTS), service.anybody).text
    assert ">closed<" not in text and ">natural<" in text
    nobody = service.identity(licences={"CC-BY-NC-4.0": Level.PREVIEW})
    assert service.get(at(WMTS), nobody).status_code == 403


def test_a_chosen_style_is_the_default_of_wmts_and_the_token_stays(service: Service) -> None:
    caller = service.tokened(items=frozenset({f"{COLLECTION}/sample"}))
    text = service.get(at(WMTS), caller, params={"style": "ndvi", "token": "abc.d"}).text
    assert text.count('isDefault="true"') == 1
    assert '<Style isDefault="true"><ows:Title>NDVI</ows:Title><ows:Identifier>ndvi<' in text
    assert "{TileRow}.png?token=abc.d&amp;style={Style}" in text
    assert "legend.png?style=ndvi&amp;token=abc.d" in text
    own = service.get(at(WMTS), caller, params={"style": "ndvi", "rescale": "0,1", "token": "abc.d"}).text
    assert own.count("<Style ") == 1 and "?style=ndvi&amp;rescale=0%2C1&amp;token=abc.d" in own


def test_owslib_reads_the_styles_and_asks_for_a_tile_in_one(service: Service) -> None:
    body = service.get(at(WMTS), service.anybody).content
    client = WebMapTileService(service.base + at(WMTS), xml=body)
    layer = client.contents[f"{COLLECTION}_sample"]
    assert layer.styles["albedo"]["isDefault"] and not layer.styles["land-cover"]["isDefault"]
    assert layer.styles["land-cover"]["title"] == "Land cover"
    assert "legend.png?style=land-cover" in layer.styles["land-cover"]["legend"]
    url = client.buildTileResource(
        layer=layer.name, style="land-cover", format="image/png", tilematrixset="WebMercatorQuad",
        tilematrix="14", row=5883, column=8328,
    )  # fmt: skip
    answer = service.get(url.removeprefix(service.base), service.anybody)
    assert answer.status_code == 200, url
    same = service.get(at("/tiles/WebMercatorQuad/14/8328/5883.png"), service.anybody, params={"style": "land-cover"})
    assert answer.content == same.content


@pytest.mark.parametrize("style", ["", "land-cover"])
def test_gdal_draws_a_style_of_wmts(service: Service, tmp_path: Path, style: str) -> None:
    caller = service.tokened(items=frozenset({f"{COLLECTION}/sample"}))
    source = f"WMTS:{service.base}{at(WMTS)}?token=abc.d,layer={COLLECTION}_sample" + (
        f",style={style}" if style else ""
    )
    headers = tmp_path / "headers"
    headers.write_text(f"{HEADER}: {sign(caller, service.key)}\n")
    environment = dict(os.environ) | {"GDAL_HTTP_HEADER_FILE": str(headers), "HOME": str(tmp_path)}
    corner = [WEST + 210 * CELL, NORTH - 210 * CELL, CELL]
    done = subprocess.run(
        [sys.executable, "-c", READ, source, *map(str, corner), str(tmp_path / "pixels.npz")],
        capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "pixels.npz") as saved:
        pixels = saved["pixels"]
    if style:
        assert tuple(pixels[:, 150, 100]) == (255, 0, 255) and tuple(pixels[:, 150, 290]) == (0x70, 0xA8, 0)
    else:
        expected = table("viridis")[int(3600 / 5000 * 255), :3].astype(int)
        assert np.abs(pixels[:, 150, 150].astype(int) - expected).max() <= 12


def test_a_change_of_a_style_shows_within_seconds(service: Service) -> None:
    path = at("/preview.png", "changing")
    assets = {"albedo": {"href": "store:results/product/sample/1/albedo.tif", "type": "image/tiff"}}
    item = service.item("changing", assets) | {"collection": COLLECTION}

    def with_ramp(name: str) -> None:
        service.load_item(item | {"renders": {"one": {"assets": ["albedo"], "colormap_name": name}}})

    with_ramp("reds")
    first = service.get(path, service.anybody, params={"style": "one"})
    with_ramp("blues")
    deadline = time.monotonic() + 5
    while (now := service.get(path, service.anybody, params={"style": "one"})).content == first.content:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert now.headers["etag"] != first.headers["etag"]
