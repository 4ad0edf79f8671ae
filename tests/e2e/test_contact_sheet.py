"""The contact sheet of a real platform: what can be drawn is on it, what can't is listed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from bocage_deploy.demo import write_env_file
from platforms import Running
from rasterio.transform import from_origin

pytestmark = pytest.mark.slow

COLLECTION = "contact-sheet"
RENDERS: dict[str, Any] = {
    "heat": {"title": "Heat", "assets": ["field"], "rescale": [[0, 990]], "colormap_name": "inferno"},
    "first": {"title": "First", "assets": ["field"], "rescale": [[0, 9900]], "bocage:default": True},
}


@pytest.fixture(scope="module")
def sample(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = tmp_path_factory.mktemp("sample") / "field.tif"
    values = np.add.outer(np.arange(100), np.arange(100)).astype("uint16") * 5
    with rasterio.open(
        path, "w", driver="GTiff", width=100, height=100, count=1, dtype="uint16", crs="EPSG:2154",
        transform=from_origin(650000, 6860000, 10, 10), tiled=True, blockxsize=128, blockysize=128,
    ) as raster:  # fmt: skip
        raster.write(values, 1)
    box = [2.31, 48.83, 2.34, 48.85]
    ring = [[2.31, 48.83], [2.34, 48.83], [2.34, 48.85], [2.31, 48.85], [2.31, 48.83]]
    with running.admin as admin:
        made = admin.post(
            "/stac/collections",
            json={
                "type": "Collection", "stac_version": "1.1.0", "id": COLLECTION, "license": "etalab-2.0", "links": [],
                "description": "Samples", "bocage:licences": ["etalab-2.0"], "bocage:audience": "public",
                "stac_extensions": ["https://stac-extensions.github.io/render/v2.0.0/schema.json"],
                "item_assets": {"field": {"title": "Field", "unit": "K", "raster:scale": 0.1}}, "renders": RENDERS,
                "extent": {"spatial": {"bbox": [box]}, "temporal": {"interval": [["2026-01-01T00:00:00Z", None]]}},
            },
        )  # fmt: skip
        assert made.status_code == 201, made.text
        href = f"/assets/{COLLECTION}/one/field"
        sent = admin.put(href, content=path.read_bytes())
        assert sent.status_code in (200, 201), sent.text
        item = {
            "type": "Feature", "stac_version": "1.1.0", "id": "one", "collection": COLLECTION, "links": [],
            "geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": box,
            "properties": {"datetime": "2026-01-01T00:00:00Z", "bocage:synthetic": True, "title": "One"},
            "assets": {"field": {"href": running.url + href, "type": "image/tiff; application=geotiff"}},
        }  # fmt: skip
        loaded = admin.post(f"/stac/collections/{COLLECTION}/items", json=item)
        assert loaded.status_code == 201, loaded.text
        yield
        admin.delete(f"/stac/collections/{COLLECTION}/items/one")
        admin.delete(f"/stac/collections/{COLLECTION}")


def contact_sheet(running: Running, folder: Path, output: str) -> subprocess.CompletedProcess[str]:
    write_env_file(folder / "demo.env", running.accounts)
    program = Path(sys.executable).parent / "bocage-platform"
    return subprocess.run(
        [str(program), "contact-sheet", "--env-file", str(folder / "demo.env"), "--output", output],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)}, cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_every_style_of_every_sample_is_on_the_sheet(running: Running, sample: None, tmp_path: Path) -> None:
    done = contact_sheet(running, tmp_path, "sheet.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "sheet.png"
    with rasterio.open(tmp_path / "sheet.png") as picture:
        colours = {tuple(pixel) for pixel in picture.read()[:3].reshape(3, -1).T}
    assert len(colours) > 200, "both ramps"
    page = contact_sheet(running, tmp_path, "sheet.html")
    assert page.returncode == 0, page.stderr
    text = (tmp_path / "sheet.html").read_text()
    assert text.count("<figure>") == 2 and "Preview of contact-sheet/one heat" in text and "http" not in text


def test_what_fails_is_listed_and_ends_with_1(running: Running, sample: None, tmp_path: Path) -> None:
    broken = {
        "absent": {"title": "Absent", "assets": ["nowhere"]},
        "burnt": {"title": "Burnt", "assets": ["field"], "rescale": [[90000, 99000]]},
        "empty": {"title": "Empty", "assets": ["field"], "colormap": {"7": "#ff0000"}},
    }
    path = f"/stac/collections/{COLLECTION}"
    with running.admin as admin:
        assert admin.patch(path, json={"renders": broken}).status_code in (200, 204)
        try:
            done = contact_sheet(running, tmp_path, "sheet.png")
        finally:
            admin.patch(path, json={"renders": dict.fromkeys(broken)})
    assert done.returncode == 1
    failed = sorted(line for line in done.stderr.splitlines() if line.startswith("failed: "))
    assert len(failed) == 3, done.stderr
    assert "one absent" in failed[0] and "nowhere" in failed[0]
    assert "one burnt" in failed[1] and "one colour" in failed[1]
    assert "one empty" in failed[2] and "shows nothing" in failed[2]
    assert (tmp_path / "sheet.png").exists(), "what could be drawn is there"


def test_without_a_platform_it_says_what_to_do(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "bocage-platform"
    done = subprocess.run(
        [str(program), "contact-sheet", "--env-file", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "make up" in done.stderr and "Traceback" not in done.stderr
