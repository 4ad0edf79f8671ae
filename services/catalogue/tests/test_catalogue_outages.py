"""The database goes away and comes back; the service runs as its own process on its own socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
from bocage_catalogue.database import asyncpg_url
from bocage_kit.identity import HEADER, Identity, new_key, sign

DROP = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and usename = 'bocage_catalogue'"


def wait_for(done: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def test_connections_are_made_anew_after_the_database_dropped_them(fresh_catalogue: Any, database: Any) -> None:
    service = fresh_catalogue.service
    assert service.post("/stac/collections", json=fresh_catalogue.collection("c")).status_code == 201
    with psycopg.connect(database.admin_url.replace(f"/{database.name}", "/postgres"), autocommit=True) as connection:
        connection.execute(f"alter database {database.name} allow_connections false")
        connection.execute(DROP, [database.name])
        answer = service.get("/stac/collections")
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        assert service.get("/healthz").status_code == 503
        assert service.post("/stac/collections/c/items", json=fresh_catalogue.item("i")).status_code == 503
        connection.execute(f"alter database {database.name} allow_connections true")
    wait_for(lambda: service.get("/healthz").status_code == 200)
    assert service.get("/stac/collections").json()["numberMatched"] == 1
    assert service.post("/stac/collections/c/items", json=fresh_catalogue.item("i")).status_code == 201
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(DROP, [database.name])
    time.sleep(0.2)
    codes = [service.get("/stac/search").status_code for _ in range(5)]
    assert codes == [200] * 5


def test_searching_while_others_write_never_fails(fresh_catalogue: Any) -> None:
    service = fresh_catalogue.service
    for name in ("a", "b"):
        assert service.post("/stac/collections", json=fresh_catalogue.collection(name)).status_code == 201
    stop = threading.Event()
    codes: set[int] = set()

    def search() -> None:
        while not stop.is_set():
            codes.add(service.get("/stac/search", params={"limit": 5}).status_code)

    reader = threading.Thread(target=search)
    reader.start()

    def write(n: int) -> int:
        collection, item = "ab"[n % 2], fresh_catalogue.item(f"i{n}")
        item["properties"]["datetime"] = f"20{10 + n % 12}-01-01T00:00:00Z"
        answer = service.post(f"/stac/collections/{collection}/items", json=item)
        assert answer.status_code == 201, answer.text
        code: int = answer.status_code
        return code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(write, range(40))) == {201}
    stop.set()
    reader.join()
    assert codes == {200}
    assert service.get("/stac/search", params={"limit": 1}).json()["numberMatched"] == 40


def test_it_runs_as_a_process_on_its_socket(database: Any, tmp_path: Path) -> None:
    key = new_key()
    keys = tmp_path / "identity" / "public-keys.json"
    keys.parent.mkdir()
    keys.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    environment = {**os.environ, "BOCAGE_HOME": str(tmp_path), "BOCAGE_DATABASE": database.url("catalogue")}
    process = subprocess.Popen([sys.executable, "-m", "bocage_catalogue"], env=environment, stderr=subprocess.PIPE)
    socket = tmp_path / "run" / "catalogue.sock"
    transport = httpx.HTTPTransport(uds=str(socket))
    try:
        with httpx.Client(transport=transport, base_url="http://catalogue") as client:

            def healthy() -> bool:
                assert process.poll() is None
                with contextlib.suppress(httpx.TransportError):
                    return client.get("/healthz").status_code == 200
                return False

            wait_for(healthy, 60)
            assert client.get("/stac").status_code == 401
            identity = Identity(subject="anonymous", public_base="https://hub.example.org/x")
            page = client.get("/stac", headers={HEADER: sign(identity, key), "X-Forwarded-Host": "evil.example"})
            assert page.json()["links"][0]["href"] == "https://hub.example.org/x/stac"
            assert "evil" not in page.text
            assert socket.parent.stat().st_mode & 0o077 == 0
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 or process.returncode == -signal.SIGTERM, errors[-500:]
    strange = [line for line in errors.decode().splitlines() if not line.startswith("{")]
    assert strange == []


def test_options_of_libpq_alone_are_left_out() -> None:
    url = "postgresql://role@/name?host=%2Frun%2Fpg&passfile=%2Fsecret&connect_timeout=5&keepalives=1"
    assert asyncpg_url(url) == "postgresql://role@/name?host=%2Frun%2Fpg&passfile=%2Fsecret"
