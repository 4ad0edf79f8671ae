"""A gateway and the services behind it, as real processes on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
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
import psutil
import pytest

sys.path.append(str(Path(__file__).parent))  # `gateway_wire`; last, since others have a `conftest` of their own

SERVICES = ("catalogue", "tiles", "processing", "rights")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> float:
    """Seconds until `true` held; fails when it never did."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, "waited in vain"
        time.sleep(0.02)
    return time.monotonic() - started


class Platform:
    """The processes of one test module."""

    def __init__(self, home: Path, settings: dict[str, str]) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = settings
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        (home / "run").mkdir(parents=True)

    def socket_of(self, service: str) -> Path:
        return self.home / "run" / f"{service}.sock"

    def start_service(self, service: str) -> None:
        script = Path(__file__).parent / "upstream_service.py"
        self._processes[service] = subprocess.Popen(
            [sys.executable, str(script), str(self.socket_of(service)), service]
        )

    def wait_for_service(self, service: str) -> None:
        def answers() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return self.direct(service).get("/healthz").status_code < 600
            return False

        wait_until(answers, 60)

    def stop(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def signal(self, name: str, number: int) -> subprocess.Popen[bytes]:
        """Send a signal to a process, which is left to itself then."""
        self._processes[name].send_signal(number)
        return self._processes[name]

    def start_gateway(self) -> None:
        environment = {
            **os.environ,
            "BOCAGE_HOME": str(self.home),
            "BOCAGE_PORT": str(self.port),
            "BOCAGE_LOG_LEVEL": "WARNING",
            **self._settings,
        }
        command = [sys.executable, "-m", "bocage_gateway"]
        with (self.home / "gateway.log").open("ab") as log:
            self._processes["gateway"] = subprocess.Popen(command, env=environment, stderr=log)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(listens, 60)

    def direct(self, service: str) -> httpx.Client:
        """A client of the service itself, past the gateway."""
        transport = httpx.HTTPTransport(uds=str(self.socket_of(service)))
        return httpx.Client(transport=transport, base_url=f"http://{service}", timeout=10)

    def control(self, service: str, **asked: str) -> dict[str, Any]:
        with self.direct(service) as client:
            told: dict[str, Any] = client.get("/control", params=asked).json()
            return told

    def revoke(self, credential: str) -> None:
        self.control("rights", revoke=credential, event=json.dumps({"credential": credential}))

    def told(self) -> str:
        """The log of the gateway."""
        return (self.home / "gateway.log").read_text()

    def memory(self) -> int:
        """Resident bytes of the gateway."""
        resident: int = psutil.Process(self._processes["gateway"].pid).memory_info().rss
        return resident

    def raw(self, request: bytes, *, wait: float = 5.0) -> bytes:
        """What comes back for exactly these bytes, until the gateway closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            connection.sendall(request)
            answer = b""
            connection.settimeout(wait)
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
                    connection.settimeout(0.4)
            return answer

    wait_until = staticmethod(wait_until)

    def close(self) -> None:
        for name in list(self._processes):
            self.stop(name)


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Platform]:
    # Short, since the path of a unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="bg-", dir="/tmp"))
    platform = Platform(folder, settings)
    try:
        for service in SERVICES:
            platform.start_service(service)
        for service in SERVICES:
            platform.wait_for_service(service)
        platform.start_gateway()
        yield platform
    finally:
        platform.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """Everything up, with short time-outs."""
    with running(
        BOCAGE_UPSTREAM_SECONDS="1.5",
        BOCAGE_CLIENT_SECONDS="3",
        BOCAGE_RESTART_PATIENCE="2",
        BOCAGE_ALLOWED_HOSTS="data.example.org",
    ) as made:
        wait_until(lambda: made.control("rights")["listeners"] == 1, 60)
        yield made


@pytest.fixture
def own_platform() -> Iterator[Platform]:
    """Everything up, for a test that breaks it."""
    with running(BOCAGE_UPSTREAM_SECONDS="5", BOCAGE_RESTART_PATIENCE="2") as made:
        wait_until(lambda: made.control("rights")["listeners"] == 1, 60)
        yield made


@pytest.fixture
def client(platform: Platform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.url, timeout=20) as made:
        yield made


@pytest.fixture(scope="module")
def platform_with_issuer() -> Iterator[Platform]:
    """A gateway that takes bearer tokens; nothing answers at the issuer's address."""
    with running(BOCAGE_OIDC_ISSUERS="http://127.0.0.1:9") as made:
        wait_until(lambda: made.control("rights")["listeners"] == 1, 60)
        yield made


@contextlib.contextmanager
def with_rights(database: Any, gateways: int) -> Iterator[tuple[list[httpx.Client], dict[str, str]]]:
    """Clients of gateways that share the real rights service, and the keys of the demonstration's accounts."""
    pytest.importorskip("bocage_rights")
    from bocage_rights.bootstrap import run
    from bocage_rights.settings import RightsSettings

    home = Path(tempfile.mkdtemp(prefix="bgr-", dir="/tmp"))
    output = home / "keys.json"
    settings = RightsSettings(home=home, database=database.url("rights"))
    asyncio.run(run(settings, with_demonstration=True, output=output, admin=None))
    told = {"BOCAGE_HOME": str(home), "BOCAGE_DATABASE": settings.database, "BOCAGE_LOG_LEVEL": "ERROR"}
    environment = {"PATH": os.environ["PATH"], **told}
    processes = [subprocess.Popen([sys.executable, "-m", "bocage_rights"], env=environment)]
    try:
        with contextlib.ExitStack() as opened_clients:
            clients = []
            for _ in range(gateways):
                port = str(free_port())
                command = [sys.executable, "-m", "bocage_gateway"]
                processes.append(subprocess.Popen(command, env={**environment, "BOCAGE_PORT": port}))
                client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
                clients.append(opened_clients.enter_context(client))

            def serves(client: httpx.Client) -> bool:
                try:
                    return bool(client.get("/healthz").json()["services"]["rights"]["status"] == "ok")
                except httpx.TransportError:
                    return False

            wait_until(lambda: all(serves(client) for client in clients), 30)
            yield clients, json.loads(output.read_text())
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def opened(database: Any) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    with with_rights(database, 1) as (clients, keys):
        yield clients[0], keys


@pytest.fixture
def two_gateways(database: Any) -> Iterator[tuple[list[httpx.Client], dict[str, str]]]:
    with with_rights(database, 2) as found:
        yield found
