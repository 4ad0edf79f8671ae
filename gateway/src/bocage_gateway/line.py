"""One connection to a service, for requests that are sent in one piece: HTTP/1.1 with no more steps than it needs.

A general client spends more on such a request than the gateway on everything else. Bodies that come in pieces, and
endless answers, are left to one (`upstream`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import httptools

from bocage_gateway.headers import Headers

_HEAD_BYTES = 64 * 1024
_HELD_BYTES = 256 * 1024  # of an answer that its reader has not taken yet


class BrokenLine(OSError):
    """The service went away in the middle, or spoke something that is not HTTP."""


class Answer:
    """The answer to one request; its body is taken piece by piece."""

    def __init__(self, line: Line, bodiless: bool) -> None:
        self.status = 0
        self.raw_headers: Headers = []
        self.content = self
        self._line, self._bodiless = line, bodiless
        self._pieces: list[bytes] = []
        self._held = 0
        self._whole = False
        self._error: BrokenLine | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def readany(self) -> bytes:
        """What has come; waits for some, and is empty at the end only. Raises BrokenLine."""
        if not self._pieces and not self._whole:
            await self._news()
        pieces, self._pieces = self._pieces, []
        self._held = 0
        self._line.resume()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def at_eof(self) -> bool:
        return self._whole and not self._pieces

    def release(self) -> None:
        """Nothing more is read: the connection serves another request if this answer is over."""
        self._line.leave()

    def close(self) -> None:
        self._line.close()

    async def head(self) -> None:
        """Wait for status and headers. Raises BrokenLine."""
        while not self.status:
            await self._news()

    async def _news(self) -> None:
        if self._error is None:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        if self._error is not None:
            raise self._error

    def began(self, status: int, headers: Headers) -> None:
        self.raw_headers, self.status = headers, status
        self._wake()

    def came(self, piece: bytes) -> bool:
        """Whether its reader is behind."""
        self._pieces.append(piece)
        self._held += len(piece)
        self._wake()
        return self._held >= _HELD_BYTES

    def ended(self) -> None:
        self._whole = True
        self._wake()

    def failed(self, error: BrokenLine) -> None:
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    @property
    def bodiless(self) -> bool:
        return self._bodiless

    @property
    def over(self) -> bool:
        return self._whole


class Line(asyncio.Protocol):
    """A connection; one request at a time. `lines` is where it waits for the next one."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines
        self._transport: Any = None
        self._parser: Any = None
        self._answer: Answer | None = None
        self._headers: Headers = []
        self._size = 0
        self._framed = self._reusable = self._paused = False
        self.idle_since = 0.0

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(
        self, method: bytes, target: bytes, host: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> Answer:
        """Send a request whole. `headers` say the body's length."""
        self._answer = answer = Answer(self, bodiless=method == b"HEAD")
        self._reusable = False
        self._parser = httptools.HttpResponseParser(self)
        pieces = [method, b" ", target, b" HTTP/1.1\r\nhost: ", host, b"\r\n"]
        for name, value in headers:
            pieces += (name, b": ", value, b"\r\n")
        pieces += (b"\r\n", body)
        self._transport.write(b"".join(pieces))
        return answer

    def leave(self) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if answer.over and self._reusable and self.open:
            self.idle_since = asyncio.get_running_loop().time()
            self._lines.append(self)
        else:
            self.close()

    def close(self) -> None:
        self._answer = None
        if self._transport is not None:
            self._transport.close()

    def resume(self) -> None:
        if self._paused and self.open:
            self._paused = False
            self._transport.resume_reading()

    # What the event loop calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.over:
            self.close()  # nobody asked for anything
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("not HTTP")

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._lines:
            self._lines.remove(self)
        answer = self._answer
        if answer is None or answer.over:
            return
        if answer.status and not self._framed and exc is None:
            answer.ended()  # the end of the connection is how this answer ends
        else:
            answer.failed(BrokenLine("the connection ended before the answer"))

    def _fail(self, why: str) -> None:
        if self._answer is not None:
            self._answer.failed(BrokenLine(why))
        self.close()

    # What the parser calls.
    def on_message_begin(self) -> None:
        self._headers, self._size, self._framed = [], 0, False
        if self._answer is not None and self._answer.over:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value) + 4
        if self._size > _HEAD_BYTES:
            raise BrokenLine("the head is too long")
        name = name.lower()
        if name == b"content-length" or name == b"transfer-encoding":
            self._framed = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        answer = self._answer
        if answer is None or answer.over or status < 200:
            return  # a promise, not the answer; or more than one
        answer.began(status, self._headers)
        if answer.bodiless:
            # Were the service to send a body all the same, the next request would take it for its own answer.
            answer.ended()
        else:
            self._reusable = self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        answer = self._answer
        if answer is not None and not answer.over and answer.came(piece) and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is not None and answer.status and not answer.over:
            answer.ended()
