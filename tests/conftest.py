"""One platform for all end-to-end tests, with a home and a port of its own."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bocage_deploy.home import Home
from bocage_deploy.platform import Platform
from bocage_processes.scene import Scene, make_scene
from platforms import COLLECTION, LICENCE, Made, Running, free_port


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    root = Path(tempfile.mkdtemp(prefix="bocage-e2e-", dir="/tmp"))
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("BOCAGE_") or k == "BOCAGE_ENGINES"},
        "BOCAGE_PORT": str(free_port()),
    }
    environment.pop("DATABASE_URL", None)
    platform = Platform(Home(root), environment, lambda text: None)
    platform.start(with_parent=True)
    try:
        yield Running(platform, platform.demonstration_accounts())
    finally:
        platform.stop()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def ingested(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, Path, list[str]]]:
    folder = tmp_path_factory.mktemp("scene")
    scene = make_scene(folder)
    with running.researcher as researcher:
        made = researcher.post(
            "/stac/collections",
            json={
                "type": "Collection", "stac_version": "1.1.0", "id": COLLECTION, "license": "other",
                "description": "Synthetic scenes", "links": [], "bocage:licences": [LICENCE],
                "bocage:audience": "public", "bocage:processes": ["dsm"],
                "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
            },
        )  # fmt: skip
        assert made.status_code == 201, made.text
    files = [str(folder / f"{name}.tif") for name in ("nadir", "fwd", "bwd")]
    done = running.bocage("ingest", *files, "--collection", COLLECTION, "--licence", LICENCE, "--json")
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)["items"]
    assert len(items) == 3
    again = running.bocage("ingest", *files, "--collection", COLLECTION, "--json")
    assert json.loads(again.stdout)["items"] == items
    yield scene, folder, items


@pytest.fixture(scope="session")
def made(running: Running, ingested: tuple[Scene, Path, list[str]]) -> Made:
    scene, folder, items = ingested
    with running.researcher as researcher:
        before = running.ledger(researcher)
        quote = researcher.post("/processing/processes/dsm/quote", json={"inputs": {"images": items}})
        assert quote.status_code == 200, quote.text
    done = running.bocage("submit", "dsm", "-i", "images=" + ",".join(items), "--wait", "--json", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return Made(scene, folder, items, json.loads(done.stdout), quote.json(), before)
