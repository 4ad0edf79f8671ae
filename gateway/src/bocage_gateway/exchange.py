"""Credentials into identity tokens: asked of `rights` once, kept for less than they hold, dropped when revoked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import aiohttp
from bocage_kit.problems import Problem, invalid_credential, unauthenticated

from bocage_gateway.metering import Meter, Metering
from bocage_gateway.upstream import Upstream, unavailable

_T = TypeVar("_T")
Kind = Literal["api_key", "tile_token", "signed_link", "bearer", "anonymous"]

_MARGIN_SECONDS = 10
_REFUSAL_SECONDS = 2.0
_UNWATCHED_SECONDS = 5.0
_REMEMBERED = 10_000
_EXCHANGE_SECONDS = 10.0
_log = logging.getLogger("bocage.gateway")


@dataclass(frozen=True)
class Credential:
    """What a caller showed."""

    kind: Kind
    secret: str = ""

    def body(self, public_base: str) -> dict[str, str]:
        body = {"public_base": public_base}
        return body if self.kind == "anonymous" else body | {str(self.kind): self.secret}


ANONYMOUS = Credential("anonymous")


@dataclass(frozen=True)
class Known:
    """A caller whom `rights` knows."""

    token: str
    meter: Meter | None
    """None for callers without a credential, who are counted by their address."""


@dataclass(frozen=True)
class _Held:
    known: Known
    credential: str | None
    until: float
    since: float


class Exchange:
    """The gateway's memory of tokens. Secrets are kept as keyed digests only."""

    def __init__(self, rights: Upstream, metering: Metering) -> None:
        self._rights, self._metering = rights, metering
        self._pepper = secrets.token_bytes(32)
        self._held: OrderedDict[bytes, _Held] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[float, int, Mapping[str, Any]]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Known]] = {}
        self._epoch = 0
        self.watched = False
        """Whether revocations are heard at the moment."""

    async def known(self, credential: Credential, public_base: str) -> Known:
        """The identity token and the meter of a credential. Raises Problem."""
        digest = self.digest(credential, public_base)
        if (held := self.held(digest)) is not None:
            return held
        if (refused := self._refused.get(digest)) is not None:
            if time.monotonic() < refused[0]:
                raise _refusal(credential, refused[1], refused[2])
            del self._refused[digest]
        asking = self._asking.get(digest)
        if asking is None:
            asking = asyncio.create_task(self._ask(digest, credential, public_base))
            self._asking[digest] = asking
            asking.add_done_callback(lambda task: self._asked(digest, task))
        return await asyncio.shield(asking)  # others may be waiting for the same answer when this caller leaves

    def held(self, digest: bytes) -> Known | None:
        """What is known by now of the credential with this digest, if it still holds."""
        if (held := self._held.get(digest)) is None:
            return None
        if time.time() < held.until and (self.watched or time.monotonic() - held.since < _UNWATCHED_SECONDS):
            return held.known
        del self._held[digest]
        return None

    def forget(self, credential: str) -> None:
        """Drop whatever came from one credential."""
        self._epoch += 1
        self._refused.clear()
        for digest in [digest for digest, held in self._held.items() if held.credential == credential]:
            del self._held[digest]

    def forget_all(self) -> None:
        self._epoch += 1
        self._refused.clear()
        self._held.clear()

    def _asked(self, digest: bytes, task: asyncio.Task[Known]) -> None:
        del self._asking[digest]
        if not task.cancelled():
            task.exception()  # every caller may have left; then nobody else looks at it

    def digest(self, credential: Credential, public_base: str) -> bytes:
        """Under which a credential is remembered; it tells nothing of the secret."""
        shown = "\0".join((credential.kind, credential.secret, public_base))
        # Keyed BLAKE2 is a message authentication code of its own, in a tenth of the time of HMAC.
        return hashlib.blake2b(shown.encode("utf-8", "surrogateescape"), key=self._pepper, digest_size=32).digest()

    async def _ask(self, digest: bytes, credential: Credential, public_base: str) -> Known:
        epoch = self._epoch
        status, document = await self._post(credential.body(public_base))
        if status in (401, 403):
            if epoch == self._epoch:
                _remember(self._refused, digest, (time.monotonic() + _REFUSAL_SECONDS, status, document))
            raise _refusal(credential, status, document)
        if status == 503 and document.get("code") == "provider-unavailable":
            raise Problem(503, "provider-unavailable", str(document.get("detail")), headers={"Retry-After": "5"})
        try:
            token, expires, identifier = document["token"], float(document["expires"]), document.get("credential")
        except (KeyError, TypeError, ValueError):
            token = None
        if status != 200 or not isinstance(token, str):
            _log.error("rights gave no token", extra={"status": status})
            raise unavailable("rights")
        known = Known(token, self._meter(credential, document))
        if epoch == self._epoch:  # else something was revoked meanwhile, and it may have been this
            _remember(self._held, digest, _Held(known, identifier, expires - _MARGIN_SECONDS, time.monotonic()))
        return known

    def _meter(self, credential: Credential, document: Mapping[str, Any]) -> Meter | None:
        told = document.get("meter") or {"person": str(document.get("subject"))}
        if credential.kind == "anonymous":
            self._metering.learn_anonymous(told)
            return None
        return self._metering.account(told)

    async def _post(self, body: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        try:
            async with asyncio.timeout(_EXCHANGE_SECONDS):
                response = await self._rights.request(
                    "POST",
                    "/identity",
                    [("content-type", "application/json")],
                    json.dumps(body).encode(),
                    replayable=True,  # making a token changes nothing
                )
                async with response:
                    document = json.loads(await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            raise unavailable("rights") from None
        return response.status, document if isinstance(document, dict) else {}


def _refusal(credential: Credential, status: int, document: Mapping[str, Any]) -> Problem:
    """What the caller is told. Of keys and tile tokens nothing but that they are not valid."""
    if credential.kind != "bearer":
        return invalid_credential()
    detail = str(document.get("detail") or "The bearer token is not valid.")
    if status == 401:
        return unauthenticated(detail)
    return Problem(status, str(document.get("code") or "forbidden"), detail)


def _remember(memory: OrderedDict[bytes, _T], digest: bytes, value: _T) -> None:
    memory[digest] = value
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
