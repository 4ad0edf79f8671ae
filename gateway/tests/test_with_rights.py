"""The gateway with the real rights service behind it: keys, anonymous callers, revocation."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("bocage_rights")
from bocage_rights.bootstrap import run
from bocage_rights.settings import RightsSettings


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def opened(database: Any) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """A client of a gateway, and the keys of the demonstration's accounts."""
    home = Path(tempfile.mkdtemp(prefix="bgr-", dir="/tmp"))
    output = home / "keys.json"
    settings = RightsSettings(home=home, database=database.url("rights"))
    asyncio.run(run(settings, with_demonstration=True, output=output, admin=None))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "BOCAGE_HOME": str(home),
        "BOCAGE_DATABASE": settings.database,
        "BOCAGE_PORT": str(port),
        "BOCAGE_LOG_LEVEL": "ERROR",
    }
    processes = [
        subprocess.Popen([sys.executable, "-m", module], env=environment)
        for module in ("bocage_rights", "bocage_gateway")
    ]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:

            def serves() -> bool:
                try:
                    return bool(client.get("/healthz").json()["services"]["rights"]["status"] == "ok")
                except httpx.TransportError:
                    return False

            wait_until(serves, 30)
            yield client, json.loads(output.read_text())
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def test_from_key_to_revocation(opened: tuple[httpx.Client, dict[str, str]]) -> None:
    client, keys = opened
    assert client.get("/rights/licences").status_code == 200
    assert client.get("/rights/me", headers={"X-API-Key": "nobody.nothing"}).status_code == 401
    researcher = {"X-API-Key": keys["researcher"]}
    assert client.get("/rights/me", headers=researcher).status_code == 200

    made = client.post("/rights/keys", headers=researcher, json={"name": "to be revoked"})
    assert made.status_code == 201, made.text
    key = {"X-API-Key": made.json()["key"]}
    assert client.get("/rights/me", headers=key).status_code == 200
    assert client.delete(f"/rights/keys/{made.json()['id']}", headers=researcher).status_code in (200, 204)
    wait_until(lambda: client.get("/rights/me", headers=key).status_code == 401, 1)
    assert client.get("/rights/me", headers=researcher).status_code == 200
