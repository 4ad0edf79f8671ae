"""The platform's OpenAPI document while it runs: built from what the services say, kept until one of them changes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from bocage_kit.problems import Problem

from bocage_gateway.health import Health
from bocage_gateway.openapi_merge import Document, MergeError, merge
from bocage_gateway.pages import own_document
from bocage_gateway.provider import Provider
from bocage_gateway.upstream import Upstream, unavailable

_SECONDS = 15.0
_log = logging.getLogger("bocage.gateway")


def info(version: str) -> dict[str, Any]:
    return {
        "title": "Bocage",
        "version": version,
        "summary": "Data and services about land surfaces, behind one door.",
        "description": (
            "A STAC catalogue, tiles, processing on demand (OGC API - Processes), and the rights that hold for them."
            " Every error is a problem document (RFC 9457)."
        ),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    }


@dataclass(frozen=True)
class _Built:
    sources: tuple[str, ...]
    body: bytes
    digest: str


class Contract:
    """Builds the document at the first need, and again after a service has changed."""

    def __init__(
        self, upstreams: Mapping[str, Upstream], health: Health, version: str, issuer: str | None = None
    ) -> None:
        self._provider = Provider(issuer)
        self._flows: dict[str, Any] = {}
        self._upstreams, self._health, self._version = upstreams, health, version
        self._built: _Built | None = None
        self._of: dict[str, object] | None = None
        self._lock = asyncio.Lock()

    async def document(self, public_base: str) -> tuple[bytes, str]:
        """The document for one public base, and its ETag. Raises Problem while a service has never been reached."""
        async with self._lock:
            built = await self._current()
        servers = json.dumps({"servers": [{"url": public_base}]}).encode()
        tag = hashlib.sha256(servers + built.digest.encode()).hexdigest()[:32]
        return servers[:-1] + b"," + built.body[1:], f'"{tag}"'

    async def _current(self) -> _Built:
        report = await self._health.report()
        versions = {name: state["version"] for name, state in report["services"].items()}
        reachable = all(state["status"] != "unreachable" for state in report["services"].values())
        flows = await self._provider.flows()
        if self._built is not None and ((versions == self._of and flows == self._flows) or not reachable):
            return self._built
        try:
            texts = await asyncio.gather(*(self._fetch(upstream) for upstream in self._upstreams.values()))
            sources = tuple(hashlib.sha256(text).hexdigest() for text in texts)
            if self._built is None or sources != self._built.sources or flows != self._flows:
                # Seconds of work for big documents: not on the loop that moves everybody's bytes.
                self._built = await asyncio.to_thread(
                    self._build, dict(zip(self._upstreams, texts, strict=True)), sources, flows
                )
            self._of, self._flows = versions, flows
        except (Problem, MergeError, ValueError, KeyError) as error:
            if self._built is not None:
                _log.warning("the former OpenAPI document is kept", extra={"error": str(error)})
                return self._built
            if isinstance(error, Problem):
                raise
            _log.error("the services' OpenAPI documents can't be merged", exc_info=error)
            raise Problem(
                503, "no-contract", "The services do not describe themselves properly; report this."
            ) from None
        return self._built

    async def _fetch(self, upstream: Upstream) -> bytes:
        try:
            status, body = await upstream.ask("/openapi.json", _SECONDS)
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise unavailable(upstream.service) from None
        if status != 200:
            raise unavailable(upstream.service)
        return body

    def _build(self, texts: Mapping[str, bytes], sources: tuple[str, ...], flows: Mapping[str, Any]) -> _Built:
        documents: dict[str, Document] = {service: json.loads(text) for service, text in texts.items()}
        merged = merge(
            {"gateway": own_document(), **documents},
            info=info(self._version),
            openid_configuration=self._provider.url,
            oauth2_flows=flows,
        )
        body = json.dumps(merged, separators=(",", ":")).encode()
        return _Built(sources, body, hashlib.sha256(body).hexdigest())
