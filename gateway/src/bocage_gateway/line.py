"""One connection to a service, for requests that are sent in one piece: HTTP/1.1 with no more steps than it needs.

A general client spends more on such a request than the gateway on everything else. Bodies that come in pieces, and
endless answers, are left to one (`upstream`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import httptools

from bocage_gateway.headers import Headers

_HEAD_BYTES = 64 * 1024
_HELD_BYTES = 256 * 1024  # of an answer that its reader has not taken yet
_LINE = rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n"
_PLAIN = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)(?: [ -~]*)?\r\n((?:" + _LINE + rb")+)\r\n")
_HEADER = re.compile(rb"([^:]+): ([^\r]*)\r\n")
_FRAMING = frozenset({b"transfer-encoding", b"connection", b"upgrade", b"trailer"})
_MOST_SHAPES = 512


class BrokenLine(OSError):
    """The service went away in the middle, or spoke something that is not HTTP."""


class Reader(Protocol):
    """Who takes an answer as it comes. What is called returns at once."""

    @property
    def bodiless(self) -> bool:
        """Whether the answer has no body whatever it says: that to HEAD."""

    @property
    def over(self) -> bool:
        """Whether the end has come."""

    @property
    def status(self) -> int:
        """0 before the head has come."""

    def began(self, status: int, headers: Headers) -> None: ...

    def came(self, piece: bytes) -> bool:
        """Whether its reader is behind."""

    def ended(self) -> None: ...

    def failed(self, error: BrokenLine) -> None: ...

    def told(self) -> None:
        """All that has come for now has been said."""


class _Shape(NamedTuple):
    """What is known of headers by their names alone."""

    names: tuple[bytes, ...] | None
    """In lower case, where they were not."""
    length: int
    """The place of the one that tells the body's length."""


class Heads:
    """Reads heads that say their length and nothing unusual, in a third of the time of a parser that reads all of HTTP.

    Whatever is not as plain as that is left to the parser. Names that were seen together once are not looked at again.
    """

    __slots__ = ("_shapes",)

    def __init__(self) -> None:
        self._shapes: dict[tuple[bytes, ...], _Shape | None] = {}

    def read(self, data: bytes) -> tuple[int, Headers, int, int] | None:
        """Status, headers with names in lower case, length of the body and where it begins; None when not plain."""
        found = _PLAIN.match(data, 0, _HEAD_BYTES)
        if found is None or (status := int(found[1])) in (204, 304):
            return None
        said = _HEADER.findall(data, *found.span(2))
        names = tuple([name for name, _ in said])
        shape = self._shapes[names] if names in self._shapes else self._learnt(names)
        if shape is None:
            return None
        length = said[shape.length][1]
        if not length.isdigit() or len(length) > 15:
            return None
        headers = said if shape.names is None else [(name, said[n][1]) for n, name in enumerate(shape.names)]
        return status, headers, int(length), found.end()

    def _learnt(self, names: tuple[bytes, ...]) -> _Shape | None:
        """What such names say; None of those among which the length is not told, or something else of the end."""
        lowered = tuple([name.lower() for name in names])
        plain = lowered.count(b"content-length") == 1 and _FRAMING.isdisjoint(lowered)
        shape = _Shape(None if lowered == names else lowered, lowered.index(b"content-length")) if plain else None
        if len(self._shapes) < _MOST_SHAPES:
            self._shapes[names] = shape
        return shape


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

    def told(self) -> None:
        pass  # whoever waits for news is woken by the loop, when all of it is there

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

    def __init__(self, lines: list[Line], heads: Heads) -> None:
        self._lines, self._heads = lines, heads
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._parser: Any = None
        self._answer: Reader | None = None
        self._headers: Headers = []
        self._size = self._left = 0
        self._framed = self._reusable = self._paused = False
        self.idle_since = 0.0

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(
        self, method: bytes, target: bytes, host: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> Answer:
        """Send a request whole. `headers` say the body's length."""
        answer = Answer(self, bodiless=method == b"HEAD")
        pieces = [method, b" ", target, b" HTTP/1.1\r\nhost: ", host, b"\r\n"]
        for name, value in headers:
            pieces += (name, b": ", value, b"\r\n")
        pieces += (b"\r\n", body)
        self.send(b"".join(pieces), answer)
        return answer

    def send(self, request: bytes, reader: Reader) -> None:
        """Send a request, head and body, to whose answer `reader` listens."""
        self._answer, self._parser = reader, None
        self._reusable = self._framed = False
        self._left = 0
        self._transport.write(request)

    def leave(self) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if answer.over and self._reusable and not self._transport.is_closing():
            self.idle_since = self._loop.time()
            self.resume()  # the end may have come while its reader was behind: the next one is to hear its answer
            self._lines.append(self)
        else:
            self.close()

    def close(self) -> None:
        self._answer = None
        if self._transport is not None:
            self._transport.close()

    def resume(self) -> None:
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    # What the event loop calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or answer.over:
            self.close()  # nobody asked for anything
            return
        if self._parser is None:
            if self._left:
                self._take(answer, data)
            elif not answer.bodiless and (plain := self._heads.read(data)) is not None:
                status, headers, self._left, begin = plain
                self._framed = self._reusable = True
                answer.began(status, headers)
                self._take(answer, data[begin:])
            else:
                self._parser = httptools.HttpResponseParser(self)
        if self._parser is not None:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError:
                self._fail("not HTTP")
        answer.told()

    def _take(self, answer: Reader, data: bytes) -> None:
        """Some of the body of an answer that said how long it is."""
        if len(data) > self._left:
            data = data[: self._left]
            self._reusable = False  # it says more than it was asked
        self._left -= len(data)
        if data and answer.came(data):
            self.pause()
        if not self._left:
            answer.ended()

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
        answer.told()

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
        if answer is not None and not answer.over and answer.came(piece):
            self.pause()

    def pause(self) -> None:
        if not self._paused and self.open:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is not None and answer.status and not answer.over:
            answer.ended()
