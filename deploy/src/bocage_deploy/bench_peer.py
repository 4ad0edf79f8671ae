"""What the catalogue is measured beside: stac-fastapi-pgstac over a pgSTAC of its own, as its makers serve it.

It is installed once, into an environment of its own in the user's cache, and served in both its settings: items put
together by the database (its default) and by the application (`USE_API_HYDRATE`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg

from bocage_deploy.cluster import SUPERUSER, Cluster, install_programs
from bocage_deploy.database import EXTENSIONS, migrate_pgstac
from bocage_deploy.home import Home

PACKAGES = ("stac-fastapi-pgstac[server]==7.2.0",)
DATABASE = "peer"
SETTINGS = {"peer": "FALSE", "faster": "TRUE"}
"""What each of its processes is called in the measurements, and its USE_API_HYDRATE."""


class PeerMissing(Exception):
    """The peer can't be installed or does not start."""


def python() -> Path:
    """The Python of the environment that holds the peer, made when it is not there yet. Raises PeerMissing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bocage"
    name = hashlib.sha256("\n".join((*PACKAGES, sys.version)).encode()).hexdigest()[:12]
    folder = cache / f"peer-{name}"
    found = folder / "bin" / "python"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bocage-complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            for command in (
                [sys.executable, "-m", "venv", str(folder)],
                [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES],
            ):
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise PeerMissing(f"{PACKAGES[0]} can't be installed: {done.stderr.strip()[-600:]}")
            (folder / "bocage-complete").touch()
    return found


@dataclass(frozen=True)
class PeerDatabase:
    """A bare pgSTAC in a cluster of its own, with the same settings of PostgreSQL as ours."""

    url: str
    sockets: Path
    password: str
    process: int


@contextmanager
def database(folder: Path) -> Iterator[PeerDatabase]:
    """Make the cluster and pgSTAC's schema in `folder`, and stop it in the end."""
    home = Home(folder)
    home.make()
    cluster = Cluster(home, install_programs())
    cluster.make()
    server = cluster.start()
    try:
        with psycopg.connect(cluster.url(), autocommit=True) as connection:
            connection.execute(f"create database {DATABASE}")
        url = cluster.url(DATABASE)
        with psycopg.connect(url, autocommit=True) as connection:
            for extension in EXTENSIONS:
                connection.execute(f"create extension if not exists {extension}")
        migrate_pgstac(url)
        yield PeerDatabase(url, cluster.sockets, home.secret("postgres-superuser"), server.pid)
    finally:
        cluster.stop(server)


def register_numbers(url: str, name: str) -> None:
    """Let pgSTAC take a property for a number, with an index: it compares text otherwise."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set search_path = pgstac, public")
        connection.execute(
            "insert into queryables (name, definition, property_wrapper, property_index_type)"
            " values (%s, '{\"type\": \"number\"}', 'to_float', 'BTREE')",
            [name],
        )


@contextmanager
def serving(held: PeerDatabase, ports: dict[str, int], folder: Path) -> Iterator[dict[str, int]]:
    """Serve it on loopback ports, one worker for each of its settings; their process numbers."""
    program = python()
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("BOCAGE_", "PG"))}
    environment = plain | {
        "PGUSER": SUPERUSER, "PGPASSWORD": held.password, "PGPORT": "5432", "PGDATABASE": DATABASE,
        "PGHOST": quote(str(held.sockets), safe=""),
    }  # fmt: skip
    with ExitStack() as stack:
        processes: dict[str, int] = {}
        for name, port in ports.items():
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            started = subprocess.Popen(
                [
                    str(program), "-m", "uvicorn", "--factory", "stac_fastapi.pgstac.app:create_app",
                    "--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "warning",
                    # While others are asked, its connection waits.
                    "--timeout-keep-alive", "300",
                ],
                env=environment | {"USE_API_HYDRATE": SETTINGS[name]}, stdout=log, stderr=log, cwd=folder,
            )  # fmt: skip
            stack.callback(_end, started)
            processes[name] = started.pid
            _wait(started, port, folder / f"{name}.log")
        yield processes


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise PeerMissing(f"The peer did not start: {log.read_text()[-600:]}")
