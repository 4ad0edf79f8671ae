"""Moves one request to a service and its response back, byte for byte, without holding more than a few chunks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import aiohttp
from bocage_kit.identity import HEADER
from bocage_kit.problems import Problem
from starlette.types import Receive, Scope, Send

from bocage_gateway import headers
from bocage_gateway.line import Answer
from bocage_gateway.upstream import Upstream, broke_off, too_slow

_WATCH_AFTER_SECONDS = 0.2  # quick answers never pay for a watcher
_PATIENCE_EXACT_TO = 0.02
_TOLD_WITHIN_SECONDS = 1.0
AT_ONCE_BYTES = 64 * 1024  # bodies that are sent in one piece, as searches are
ASKED_BEFORE = "bocage.asked_before"
"""In the state of a request with which a service has broken off once: it is not asked a third time."""
_HEADER = HEADER.lower().encode()
_BODILESS = frozenset({"GET", "HEAD"})
_log = logging.getLogger("bocage.gateway")


class _ClientLeft(Exception):
    """Whoever asked is gone; nobody reads an answer."""


class Transfer:
    """One request on its way. `identity` is the token of the caller, `limit` the body's size at most."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        identity: str,
        request_id: str,
        limit: int | None,
        upstream_seconds: float,
        client_seconds: float,
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._identity, self._request_id, self._limit = identity, request_id, limit
        self._upstream_seconds, self._client_seconds = upstream_seconds, client_seconds
        self._length = _body_length(scope)
        self._received = 0
        self._body_read = asyncio.Event()
        self._refusal: Problem | None = None
        self._client_left = False
        self._client_silent = False
        self.started = False
        self._guard = asyncio.timeout(None)
        self._ends = 0.0
        self._loop = asyncio.get_running_loop()
        self._watcher: asyncio.Task[None] | None = None

    async def run(self, upstream: Upstream) -> None:
        """Raises Problem while nothing has been sent to the client; afterwards a failure cuts the response short."""
        if self._limit is not None and self._length is not None and self._length > self._limit:
            raise _too_large(self._limit)
        if self._length == 0:
            self._body_read.set()
        transfer = asyncio.current_task()
        assert transfer is not None
        timer = self._loop.call_later(_WATCH_AFTER_SECONDS, self._start_watching, transfer)
        try:
            async with self._guard:
                await self._forward(upstream)
        except asyncio.CancelledError:
            if not self._client_left:
                raise  # the server is stopping
            transfer.uncancel()
        except _ClientLeft:
            return
        except TimeoutError:
            self._fail(self._timed_out(upstream.service))
        except RuntimeError:
            # A transport whose client broke off refuses to write before it tells why.
            if not (self.started and await self._gone()):
                raise
        except (aiohttp.ClientError, OSError) as error:
            if self._client_left:
                return
            _log.warning(
                "a service broke off",
                extra={"peer": upstream.service, "error": type(error).__name__, "request_id": self._request_id},
            )
            self._fail(self._refusal or broke_off(upstream.service))
        finally:
            timer.cancel()
            if self._watcher is not None:
                self._watcher.cancel()

    def _fail(self, problem: Problem) -> None:
        if not self.started:
            raise problem
        # The response is left without its end: the server closes the connection and the client sees a truncation.

    async def _forward(self, upstream: Upstream) -> None:
        response = await self._ask(upstream)
        try:
            await self._answer(response)
        finally:
            if self._body_read.is_set():
                response.release()
            else:
                response.close()  # half a request body is on this connection: it can't serve another

    async def _ask(self, upstream: Upstream) -> Answer | aiohttp.ClientResponse:
        method, target = self._scope["method"], _target(self._scope)
        sent = headers.to_service(self._scope["headers"])
        sent += ((_HEADER, self._identity.encode()), (b"x-request-id", self._request_id.encode()))
        if self._length is not None and self._length <= AT_ONCE_BYTES:
            body = b"".join([chunk async for chunk in self._body()]) if self._length else b""
            self._wait_for_upstream()
            again = ASKED_BEFORE in self._scope["state"]
            replayable = self._length == 0 and method in _BODILESS and not again
            return await upstream.at_once(method, target, sent, body, replayable=replayable, again=again)
        self._wait_for_upstream()
        return await upstream.request(
            method,
            target.decode("latin1"),
            [(name.decode("latin1"), value.decode("latin1")) for name, value in sent],
            self._body(),
            replayable=False,
        )

    async def _answer(self, response: Answer | aiohttp.ClientResponse) -> None:
        answered = headers.dressed(headers.to_client(response.raw_headers), self._request_id, by_caller=True)
        self.started = True
        await self._send({"type": "http.response.start", "status": response.status, "headers": answered})
        content = response.content
        more = True
        while more:
            self._wait_for_upstream()
            chunk = await content.readany()
            more = not content.at_eof()
            self._wait_for_client()
            await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _body(self) -> AsyncIterator[bytes]:
        while True:
            self._wait_for_client()
            message = await self._receive()
            if message["type"] == "http.disconnect":
                # Not a clean end: the service must not take what came for the whole.
                self._client_left = True
                raise _ClientLeft
            chunk = message.get("body", b"")
            self._received += len(chunk)
            if self._limit is not None and self._received > self._limit:
                self._refusal = _too_large(self._limit)
                raise self._refusal
            self._wait_for_upstream()
            if not message.get("more_body"):
                self._body_read.set()
            if chunk:
                yield chunk
            if self._body_read.is_set():
                return

    def _start_watching(self, transfer: asyncio.Task[None]) -> None:
        self._watcher = asyncio.create_task(self._watch(transfer))

    async def _watch(self, transfer: asyncio.Task[None]) -> None:
        """Cancel the transfer when the client goes. While a body comes in, whoever reads the body notices."""
        await self._body_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._client_left = True
        transfer.cancel()

    async def _gone(self) -> bool:
        """Whether the client left, as the server tells soon."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TOLD_WITHIN_SECONDS):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
                return True
        return False

    def _wait_for_upstream(self) -> None:
        self._client_silent = False
        self._within(self._upstream_seconds)

    def _wait_for_client(self) -> None:
        self._client_silent = True
        self._within(self._client_seconds)

    def _within(self, seconds: float) -> None:
        """Move the end of patience. One that is nearly right stays: a timer set anew for each piece costs its share."""
        end = self._loop.time() + seconds
        if abs(end - self._ends) > seconds * _PATIENCE_EXACT_TO and not self._guard.expired():
            self._ends = end
            self._guard.reschedule(end)

    def _timed_out(self, service: str) -> Problem:
        if self._client_silent:
            return Problem(408, "body-too-slow", "The request's body stopped coming; send it again.")
        return too_slow(service)


def _target(scope: Scope) -> bytes:
    """Path and query exactly as sent: routing and forwarding must see the same bytes."""
    query: bytes = scope["query_string"]
    raw: bytes = scope["raw_path"]
    return raw + b"?" + query if query else raw


def _body_length(scope: Scope) -> int | None:
    """The announced length of the body; 0 without a body, None when it comes in chunks."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value)
    return length


def _too_large(limit: int) -> Problem:
    return Problem(
        413,
        "body-too-large",
        f"The request's body is larger than the {limit} bytes that are taken here; send less at once.",
        title="Content Too Large",
        limit=limit,
    )
