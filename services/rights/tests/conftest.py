"""A running rights service with the demonstration's accounts."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from bocage_kit.identity import HEADER
from bocage_rights.bootstrap import run
from bocage_rights.settings import RightsSettings

if TYPE_CHECKING:
    from conftest import TestDatabase

BASE = "http://bocage.test"


@dataclass
class Rights:
    """The service as a process of its own, and the keys of the accounts in it."""

    settings: RightsSettings
    database: TestDatabase
    keys: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    http: httpx.Client = field(init=False)

    def start(self) -> None:
        environment = {
            "BOCAGE_HOME": str(self.settings.home),
            "BOCAGE_DATABASE": self.settings.database,
            "BOCAGE_MAX_OBJECT_BYTES": str(self.settings.max_object_bytes),
            "BOCAGE_MAX_ORGANISATION_BYTES": str(self.settings.max_organisation_bytes),
            "BOCAGE_ALIVE_SECONDS": "1",
            "PATH": "/usr/bin:/bin",
            **self.environment,
        }
        log = (self.settings.home / "rights.log").open("ab")
        self.process = subprocess.Popen([sys.executable, "-m", "bocage_rights"], env=environment, stderr=log)
        self.http = self.client()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if self.http.get("/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError((self.settings.home / "rights.log").read_text()[-3000:])

    def client(self) -> httpx.Client:
        socket = str(self.settings.sockets / "rights.sock")
        return httpx.Client(transport=httpx.HTTPTransport(uds=socket), base_url="http://rights", timeout=20)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def exchange(self, **credential: str) -> httpx.Response:
        return self.http.post("/identity", json={"public_base": BASE, **credential})

    def headers(self, account: str | None = None) -> dict[str, str]:
        """The headers of an account by name, or of anonymous."""
        answer = self.exchange(**({"api_key": self.keys[account]} if account else {}))
        assert answer.status_code == 200, answer.text
        return {HEADER: answer.json()["token"]}

    def call(self, account: str | None, method: str, path: str, **more: Any) -> httpx.Response:
        headers = self.headers(account) | more.pop("headers", {})
        return self.http.request(method, path, headers=headers, **more)


@pytest.fixture(scope="module")
def rights(module_database: TestDatabase) -> Iterator[Rights]:
    # A short path: sockets allow no long one.
    home = Path(tempfile.mkdtemp(prefix="br-", dir="/tmp"))
    settings = RightsSettings(
        home=home,
        database=module_database.url("rights"),
        max_object_bytes=3_000_000,
        max_organisation_bytes=5_000_000,
    )
    output = home / "keys.json"
    asyncio.run(run(settings, with_demonstration=True, output=output, admin=None))
    made = Rights(settings, module_database, json.loads(output.read_text()))
    made.start()
    yield made
    made.stop()
    shutil.rmtree(home, ignore_errors=True)
