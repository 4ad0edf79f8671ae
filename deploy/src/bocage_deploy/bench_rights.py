"""What identity, licence, limits and counting cost on a request whose credential is known: CPU beside the bounds."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bocage_gateway.credentials import credential_of
from bocage_gateway.door import Metered
from bocage_gateway.exchange import Exchange
from bocage_gateway.metering import Metering
from bocage_gateway.upstream import Upstream
from bocage_kit.identity import Level, Verifier
from bocage_kit.licences import decide
from bocage_kit.urls import PublicAddress

from bocage_deploy.home import Home
from bocage_deploy.platform import Platform

GATEWAY_BOUND_US, SERVICE_BOUND_US = 20.0, 5.0
_ROUNDS, _REPEATS = 5000, 9
_PATH = b"/tiles/collections/dsm/items/one/tiles/WebMercatorQuad/14/8300/5900.png"
_LICENCES = ("CC-BY-NC-4.0", "etalab-2.0")


def measure(line: Callable[[str], None]) -> None:
    """Starts a platform for a real key, token and limits; the measured code runs in this process, without sockets."""
    home = Path(tempfile.mkdtemp(prefix="bocage-bench-", dir="/tmp"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOCAGE_")} | {"BOCAGE_PORT": "8794"}
    platform = Platform(Home(home), environment, lambda text: None)
    try:
        platform.start(with_parent=True, with_engine=False)
        key = platform.demonstration_accounts().researcher
        figures = asyncio.run(_measured(home, key))
    finally:
        platform.stop()
        shutil.rmtree(home, ignore_errors=True)
    line("rights, CPU of a request whose credential is known")
    for name in ("credential and identity", "licence", "limits", "counting and headers"):
        line(f"  {name:28} {figures[name]:7.2f} µs")
    total = sum(figures[name] for name in figures if name != "verification in services")
    line(f"  {'together, in the gateway':28} {total:7.2f} µs   at most {GATEWAY_BOUND_US:.0f}")
    verified = figures["verification in services"]
    line(f"  {'verification in services':28} {verified:7.2f} µs   at most {SERVICE_BOUND_US:.0f}")


async def _measured(home: Path, key: str) -> dict[str, float]:
    upstream = Upstream("rights", home / "run" / "rights.sock", 3.0)
    try:
        metering = Metering(upstream)
        exchange = Exchange(upstream, metering)
        exchange.watched = True
        sent = [
            (b"host", b"127.0.0.1:8000"), (b"user-agent", b"bench"), (b"accept", b"*/*"),
            (b"accept-encoding", b"gzip"), (b"x-api-key", key.encode()),
        ]  # fmt: skip
        scope: dict[str, Any] = {"headers": sent, "raw_path": _PATH, "client": ("127.0.0.1", 5)}
        base = "http://127.0.0.1:8000"
        known = await exchange.known(credential_of("GET", _PATH, b"assets=dsm", sent), base)
        assert known.meter is not None
        verifier = Verifier(home / "identity" / "public-keys.json")
        identity = verifier.verify(known.token)
        metered = Metered(metering, scope, _nowhere, PublicAddress())
        metered.admit(known.meter)
        answered = [(b"content-type", b"image/png"), (b"etag", b'"x"'), (b"cache-control", b"private, no-cache")]
        body = {"type": "http.response.body", "body": b"x" * 20_000}

        async def identify() -> None:
            await exchange.known(credential_of("GET", _PATH, b"assets=dsm", sent), base)

        async def admit() -> None:
            Metered(metering, scope, _nowhere, PublicAddress()).admit(known.meter)

        async def answer() -> None:
            await metered.send({"type": "http.response.start", "status": 200, "headers": list(answered)})
            await metered.send(body)

        async def licence() -> None:
            decide(identity, _LICENCES, Level.TILE)

        async def verify() -> None:
            verifier.verify(known.token)

        async def nothing() -> None:
            pass

        calls = {
            "credential and identity": identify, "licence": licence, "limits": admit, "counting and headers": answer,
            "verification in services": verify,
        }  # fmt: skip
        floor = await _cost(nothing)
        return {name: max(0.0, await _cost(call) - floor) for name, call in calls.items()}
    finally:
        await upstream.close()


async def _nowhere(_message: Any) -> None:
    pass


async def _cost(call: Callable[[], Any]) -> float:
    """CPU microseconds of a call: the median of several runs."""
    runs = []
    for _ in range(_REPEATS):
        begun = time.process_time()
        for _ in range(_ROUNDS):
            await call()
        runs.append((time.process_time() - begun) / _ROUNDS * 1e6)
    return statistics.median(runs)
