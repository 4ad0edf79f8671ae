"""A running tiles service, on a TCP port as GDAL's clients need one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from bocage_kit.identity import new_key
from numpy.typing import NDArray
from rasterio.warp import transform_bounds

sys.path.insert(0, str(Path(__file__).parent))
from tiles_service import CELL, NORTH, SERVE, SIZE, WEST, Service, fill_store, load, terrain


@pytest.fixture(scope="session")
def heights() -> NDArray[np.float32]:
    return terrain()


@pytest.fixture(scope="module")
def service(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, heights: NDArray[np.float32]
) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    key = new_key()
    (home / "identity").mkdir()
    (home / "identity" / "public-keys.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    fill_store(home / "store", heights)
    south, east = NORTH - SIZE * CELL, WEST + SIZE * CELL
    bbox = transform_bounds("EPSG:32631", "EPSG:4326", WEST, south, east, NORTH)
    made = Service("", home, key, module_database.admin_url, heights, bbox)
    load(made)
    environment = dict(os.environ) | {"BOCAGE_HOME": str(home), "BOCAGE_DATABASE": module_database.url("tiles")}
    environment["BOCAGE_TILES_ITEM_SECONDS"] = "1"
    errors = (home / "errors.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE], env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
    )
    assert process.stdout is not None
    made.base = f"http://127.0.0.1:{int(process.stdout.readline())}"
    for _ in range(200):
        try:
            if httpx.get(made.base + "/healthz").status_code == 200:
                break
        except httpx.HTTPError:
            time.sleep(0.1)
        assert process.poll() is None, (home / "errors.log").read_text()
    yield made
    made.client.close()
    process.terminate()
    process.wait(20)
    errors.close()
