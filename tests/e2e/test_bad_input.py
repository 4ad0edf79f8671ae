"""Bad input: each a clear 4xx or a failed job with the cause, nothing charged, nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
from platforms import COLLECTION, Running

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def put_item(
    running: Running, collection: str, item: str, content: bytes, properties: dict[str, Any] | None = None
) -> str:
    """An item made by hand, as a program would: upload, then POST."""
    with running.researcher as researcher:
        if researcher.get(f"/stac/collections/{collection}").status_code == 404:
            researcher.post(
                "/stac/collections",
                json={
                    "type": "Collection", "stac_version": "1.1.0", "id": collection, "license": "other",
                    "description": "Bad images", "links": [], "bocage:licences": ["CC-BY-4.0"],
                    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
                },
            ).raise_for_status()  # fmt: skip
        uploaded = researcher.put(f"/assets/{collection}/{item}/image", content=content)
        assert uploaded.status_code in (200, 201), uploaded.text
        made = researcher.post(
            f"/stac/collections/{collection}/items",
            json={
                "type": "Feature", "stac_version": "1.1.0", "id": item, "collection": collection, "links": [],
                "geometry": {"type": "Polygon", "coordinates": [[[5, 44], [6, 44], [6, 45], [5, 45], [5, 44]]]},
                "bbox": [5, 44, 6, 45], "properties": {"datetime": "2026-01-01T00:00:00Z", **(properties or {})},
                "assets": {
                    "image": {
                        "href": f"{running.url}/assets/{collection}/{item}/image",
                        "type": "image/tiff; application=geotiff", "roles": ["data"],
                    }
                },
            },
        )  # fmt: skip
        assert made.status_code == 201, made.text
    return f"{collection}/{item}"


def geotiff(path: Path) -> bytes:
    """An image without RPC."""
    pixels = np.random.default_rng(1).integers(1, 4000, (300, 300), dtype="uint16")
    with rasterio.open(
        path, "w", driver="GTiff", width=300, height=300, count=1, dtype="uint16"
    ) as raster:  # fmt: skip
        raster.write(pixels, 1)
    return path.read_bytes()


def refused(running: Running, inputs: dict[str, Any]) -> httpx.Response:
    """Submit, and see that nothing was charged and no folder is left, whatever the answer."""
    with running.researcher as researcher:
        before = running.ledger(researcher)
        answer = researcher.post("/processing/processes/dsm/execution", json={"inputs": inputs})
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        document = answer.json()
        assert document["detail"]
        for leaked in ("Traceback", str(running.platform.home.root), "store:", "/vsi"):
            assert leaked not in answer.text
        assert running.ledger(researcher) == before
    return answer


@pytest.fixture(scope="module")
def images(running: Running, ingested: Any) -> list[str]:
    items: list[str] = ingested[2]
    return items


def test_no_rpc(running: Running, images: list[str], tmp_path: Path) -> None:
    item = put_item(running, "bad-images", "no-rpc", geotiff(tmp_path / "plain.tif"))
    assert "RPC" in refused(running, {"images": [images[0], item]}).json()["detail"]


def test_a_text_file_named_tif(running: Running, images: list[str]) -> None:
    item = put_item(running, "bad-images", "text", b"this is no image\n" * 100)
    refused(running, {"images": [images[0], item]})


def test_a_truncated_tiff(running: Running, images: list[str], ingested: Any) -> None:
    content = (ingested[1] / "fwd.tif").read_bytes()
    item = put_item(running, "bad-images", "truncated", content[: len(content) // 3])
    refused(running, {"images": [images[0], item]})


def test_images_that_do_not_overlap(running: Running, images: list[str], test_data: Path, tmp_path: Path) -> None:
    folder = test_data / "pleiades_ventoux"
    done = running.bocage("ingest", str(folder / "left_image.tif"), "--collection", "elsewhere", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    item = json.loads(done.stdout)["items"][0]
    assert "overlap" in refused(running, {"images": [images[0], item]}).json()["detail"].lower()


def test_the_same_image_twice(running: Running, images: list[str], ingested: Any, tmp_path: Path) -> None:
    refused(running, {"images": [images[0], images[0]]})
    copy = tmp_path / "another_name.tif"
    copy.write_bytes((ingested[1] / "nadir.tif").read_bytes())
    done = running.bocage("ingest", str(copy), "--collection", "copied-scenes", "--json")
    item = json.loads(done.stdout)["items"][0]
    nadir = next(i for i in images if "nadir" in i)
    refused(running, {"images": [nadir, item]})


def test_an_item_that_does_not_exist(running: Running, images: list[str]) -> None:
    assert "nowhere" in refused(running, {"images": [images[0], f"{COLLECTION}/nowhere"]}).json()["detail"]


Bad = Callable[[list[str]], dict[str, Any]]
CASES: dict[str, Bad] = {
    "one image": lambda images: {"images": images[:1]},
    "four images": lambda images: {"images": [*images, images[0]]},
    "no image": lambda images: {},
    "resolution of nothing": lambda images: {"images": images, "resolution": 0},
    "resolution of an atom": lambda images: {"images": images, "resolution": 1e-9},
    "resolution of a country": lambda images: {"images": images, "resolution": 1e6},
    "a text as resolution": lambda images: {"images": images, "resolution": "fine"},
    "an area elsewhere": lambda images: {
        "images": images,
        "aoi": {"type": "Polygon", "coordinates": [[[0, 0], [0.01, 0], [0.01, 0.01], [0, 0.01], [0, 0]]]},
    },
    "an area that is no polygon": lambda images: {"images": images, "aoi": {"type": "Point", "coordinates": [0, 0]}},
    "an unknown parameter": lambda images: {"images": images, "colour": "blue"},
    "a file of the machine": lambda images: {"images": ["file:///etc/passwd", images[0]]},
    "an inner reference": lambda images: {"images": ["../../etc/passwd", images[0]]},
    "a hundred thousand pixels": lambda images: {"images": images, "resolution": 0.003},
}


@pytest.mark.parametrize("case", CASES)
def test_bad_parameters(running: Running, images: list[str], case: str) -> None:
    refused(running, CASES[case](images))


@pytest.mark.parametrize(
    "href", ["file:///etc/passwd", "/etc/passwd", "/vsicurl/http://127.0.0.1/x.tif", "s3://bucket/key", "../x.tif"]
)
def test_an_asset_href_outside_the_collection(running: Running, ingested: Any, href: str) -> None:
    with running.researcher as researcher:
        answer = researcher.post(
            f"/stac/collections/{COLLECTION}/items",
            json={
                "type": "Feature", "stac_version": "1.1.0", "id": "evil", "collection": COLLECTION, "links": [],
                "geometry": {"type": "Point", "coordinates": [5, 44]}, "bbox": [5, 44, 5, 44],
                "properties": {"datetime": "2026-01-01T00:00:00Z"}, "assets": {"image": {"href": href}},
            },
        )  # fmt: skip
        assert answer.status_code == 400, answer.text
        assert researcher.get(f"/stac/collections/{COLLECTION}/items/evil").status_code == 404


def test_nothing_was_left_behind(running: Running, images: list[str]) -> None:
    files = [path for path in running.platform.home.jobs.rglob("*") if path.is_file() and "inputs" in path.parts]
    assert files == []
