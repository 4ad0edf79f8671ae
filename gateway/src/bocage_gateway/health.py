"""Whether each service serves, asked of the services themselves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from bocage_gateway.upstream import Upstream

_SECONDS = 1.5
_KEPT_SECONDS = 0.2

Report = dict[str, Any]


class Health:
    """Asks all services at once; many askers within a second share one answer."""

    def __init__(self, upstreams: Mapping[str, Upstream], version: str) -> None:
        self._upstreams, self._version = upstreams, version
        self._asking: asyncio.Task[Report] | None = None
        self._last: Report | None = None
        self._at = 0.0

    async def report(self) -> Report:
        if self._last is not None and time.monotonic() - self._at < _KEPT_SECONDS:
            return self._last
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
        return await asyncio.shield(self._asking)

    async def _ask_all(self) -> Report:
        answers = await asyncio.gather(*(_ask(upstream) for upstream in self._upstreams.values()))
        self._last = summary(dict(zip(self._upstreams, answers, strict=True)), self._version)
        self._at = time.monotonic()
        return self._last


async def _ask(upstream: Upstream) -> Report:
    try:
        status, body = await upstream.ask("/healthz", _SECONDS)
        document = json.loads(body)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return {"status": "unreachable"}
    if not isinstance(document, dict):
        return {"status": "failing"}
    return document | {"status": "ok" if status == 200 and document.get("status") == "ok" else "failing"}


def summary(answers: Mapping[str, Report], version: str) -> Report:
    """One report out of the services' own; the platform serves when everything does."""
    services = {
        service: {"status": answer["status"], "version": answer.get("version")} for service, answer in answers.items()
    }
    dispatcher = str(answers.get("processing", {}).get("dispatcher", "unknown"))
    database = _database(answers)
    serves = (
        all(service["status"] == "ok" for service in services.values())
        and dispatcher == "ok"
        and database in ("ok", "unknown")
    )
    return {
        "status": "ok" if serves else "failing",
        "version": version,
        "services": services,
        "dispatcher": dispatcher,
        "database": database,
    }


def _database(answers: Mapping[str, Report]) -> str:
    told = {str(answer["database"]) for answer in answers.values() if "database" in answer}
    if not told:
        # A service is well only with its database: one that serves has spoken for it.
        return "ok" if any(answer["status"] == "ok" for answer in answers.values()) else "unknown"
    return "ok" if told == {"ok"} else "failing"
