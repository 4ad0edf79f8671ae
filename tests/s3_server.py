"""A real S3 server for tests, which checks seals and dates itself."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

SECRET = "a-secret-of-the-bucket"
WEED = Path(sys.executable).parent / "weed"


@dataclass(frozen=True)
class S3:
    address: str

    def join(self, home: Path, **more: Any) -> None:
        """Make it the store `frozen` of a platform, which reads that when it starts."""
        (home / "object-stores.json").write_text(json.dumps([self.settings(**more)]))
        key = home / "secrets" / "frozen-key.json"
        key.write_text(json.dumps({"access_key_id": "bocage", "secret_access_key": SECRET}))
        key.chmod(0o600)

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "name": "frozen",
            "endpoint": self.address,
            "bucket": "theia",
            "region": "eu-west-1",
            "key_file": "frozen-key.json",
            **more,
        }


def ports(count: int) -> list[int]:
    """Free ports whose neighbours ten thousand above, which the server takes for itself, are free too."""
    probes: list[socket.socket] = []
    found: list[int] = []
    for port in range(21_000 + time.time_ns() % 20_000, 60_000):
        pair = [socket.socket(), socket.socket()]
        try:
            pair[0].bind(("127.0.0.1", port))
            pair[1].bind(("127.0.0.1", port + 10_000 if port < 55_000 else port - 10_000))
        except OSError:
            continue
        finally:
            probes += pair
        found.append(port)
        if len(found) == count:
            break
    for probe in probes:
        probe.close()
    return found


@contextmanager
def running_s3(folder: Path) -> Iterator[S3]:
    """An S3 server on free ports, with one account, until the block ends."""
    allowed = {"accessKey": "bocage", "secretKey": SECRET}
    identities = [{"name": "bocage", "credentials": [allowed], "actions": ["Admin", "Read", "Write", "List"]}]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    master, volume, filer, front = ports(4)
    command = [
        *(str(WEED), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
        *(f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}"),
        *("-s3", f"-s3.port={front}", f"-s3.config={folder}/s3.json", "-volume.max=4"),
        # Further services, which would take fixed ports.
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-master.volumeSizeLimitMB=64", f"-filer.localSocket={folder}/filer.sock"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    made = S3(f"http://127.0.0.1:{front}")
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            try:
                if httpx.get(made.address, timeout=2).status_code == 403:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        yield made
    finally:
        process.kill()  # asked to stop, it first waits for half a minute
        process.wait(20)
