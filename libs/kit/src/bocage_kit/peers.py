"""Calls from one service to another, over unix sockets, always with an identity."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from bocage_kit.identity import HEADER, Identity, Level

_MARGIN_SECONDS = 15


class Peers:
    """Clients of the other services. `key_file` holds the service's own API key, exchanged at `rights`."""

    def __init__(self, sockets: Path, key_file: Path | None = None, timeout: float = 30.0) -> None:
        self._sockets, self._key_file, self._timeout = sockets, key_file, timeout
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._token, self._until = "", 0.0
        self._lock = asyncio.Lock()

    def client(self, service: str) -> httpx.AsyncClient:
        if service not in self._clients:
            transport = httpx.AsyncHTTPTransport(uds=str(self._sockets / f"{service}.sock"), retries=1)
            self._clients[service] = httpx.AsyncClient(
                transport=transport, base_url=f"http://{service}", timeout=self._timeout
            )
        return self._clients[service]

    async def own_headers(self) -> dict[str, str]:
        """Headers that carry the service's own identity, renewed before it runs out."""
        async with self._lock:
            if time.time() > self._until - _MARGIN_SECONDS:
                if self._key_file is None:
                    raise RuntimeError("this service has no key of its own")
                answer = await self.client("rights").post(
                    "/identity", json={"api_key": self._key_file.read_text().strip()}
                )
                answer.raise_for_status()
                document = answer.json()
                self._token, self._until = document["token"], float(document["expires"])
            return {HEADER: self._token}

    async def required_terms(
        self, identity: Identity, licences: Sequence[str], level: Level, target: str | None = None
    ) -> list[Mapping[str, Any]]:
        """What stands between the caller and these licences, for a 403; asked of `rights` only when one is refused.

        `rights` records the refusal: of a job in the audit chain, of anything else as a count. `target` says of what.
        """
        if not licences:
            return []
        try:
            answer = await self.client("rights").get(
                "/refusals",
                params={"licence": list(licences), "level": level.name.lower()}
                | ({"target": target} if target else {}),
                headers={HEADER: identity.token},
            )
            answer.raise_for_status()
            return list(answer.json()["required_terms"])
        except (httpx.HTTPError, KeyError, ValueError):
            return [{"licence": licence, "reason": "missing"} for licence in licences]

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
