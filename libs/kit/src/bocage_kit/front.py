"""A service's side of the gateway's connections: HTTP/1.1 as uvicorn speaks it, with fewer steps for what is plain.

The gateway sends a plain request in one piece, and the same headers after its first lines again and again. What the
parser has once read of such headers is remembered by their very bytes; everything else is read by the parser.
An answer that says its length leaves in one write, so that its reader is woken once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

Headers = list[tuple[bytes, bytes]]

# A target without escapes, then what differs from one request to the next.
_REQUEST = re.compile(
    rb"(GET|POST) (/[A-Za-z0-9._~:@!$&'()*+,;=/-]*)(?:\?([A-Za-z0-9._~:@!$&'()*+,;=/?%-]*))? HTTP/1\.1\r\n"
    rb"x-request-id: ([A-Za-z0-9_-]{8,64})\r\n(?:content-length: ([0-9]{1,6})\r\n)?"
)
_NEVER = frozenset({b"x-request-id", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"})
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HEAD_BYTES = 64 * 1024
_LONGEST = 8 * 1024
_REMEMBERED = 512
_GOOD = STATUS_LINE[200]
_COPIED_BYTES = 32 * 1024
"""Up to here it takes less to put head and body together than to have the kernel do it."""


Names = dict[bytes, bytes]
"""Names of headers and the same in lower case, each looked at once."""


def learnt(names: Names, name: bytes) -> bytes:
    if _NAME.match(name) is None:
        raise RuntimeError("Invalid HTTP header name.")
    lowered = name.lower()
    if len(names) < _REMEMBERED:
        names[name] = lowered
    return lowered


class Familiar:
    """Headers that were read before, and what somebody else made of them then."""

    __slots__ = ("headers", "meaning")

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.meaning: Any = None


class Asked:
    """A familiar request that came whole, before anybody saw to it. The server looks at it as at a cycle of its own."""

    disconnected = response_complete = False
    keep_alive = True

    def __init__(self, front: Front, found: re.Match[bytes], familiar: Familiar, body: bytes) -> None:
        self.front, self.found, self.familiar, self.body = front, found, familiar, body
        self.message_event = front.event

    @property
    def plain_path(self) -> bytes | None:
        """What a GET without a query and a body asks for."""
        method, path, query = self.found.group(1, 2, 3)
        return path if method == b"GET" and query is None else None

    @property
    def request_id(self) -> bytes:
        return self.found[4]

    def begin(self) -> None:
        """Call the application."""
        front = self.front
        method, path, query, request_id, length = self.found.groups()
        headers = [(b"x-request-id", request_id), *self.familiar.headers]
        if length is not None:
            headers.append((b"content-length", length))
        scope = {
            "type": "http",
            "asgi": {"version": front.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": front.server,
            "client": front.client,
            "scheme": front.scheme,
            "root_path": front.root_path,
            "headers": headers,
            "state": front.app_state.copy(),
            "method": method.decode(),
            "path": path.decode(),
            "raw_path": path,
            "query_string": query or b"",
        }
        front.event.clear()
        cycle = Cycle(front, scope, self.body)
        cycle.keep_alive, cycle.disconnected = self.keep_alive, self.disconnected
        if front.cycle is self:  # and not one that came after it, and waits
            front.cycle = cycle
        front._start_asgi_task(cycle, front.app)

    def answer(self, head: bytes, body: bytes) -> None:
        """All of a good answer at once, for an application that was not called. `head` are whole lines of headers.

        They say the length of the body, and come from whoever made them: they are not looked at.
        """
        if self.disconnected:
            return
        self.response_complete = True
        front = self.front
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        if len(body) <= _COPIED_BYTES:
            front.transport.write(b"".join((_GOOD, front.dated(), head, end, body)))
        else:
            front.transport.writelines((b"".join((_GOOD, front.dated(), head, end)), body))
        if not self.keep_alive:
            front.transport.close()
        front.on_answered()


class Cycle(RequestResponseCycle):
    """One request that came whole, while the application answers it."""

    def __init__(self, front: Front, scope: Any, body: bytes) -> None:
        self.front, self.scope = front, scope
        self.transport, self.flow = front.transport, front.flow
        self.logger = front.logger
        self.message_event = front.event
        self.on_response = front.on_answered
        self.disconnected = self.waiting_for_100_continue = False
        self.response_started = self.response_complete = False
        self.keep_alive = True
        self.chunked_encoding: bool | None = None
        self.expected_content_length = 0
        self._whole: bytes | None = body
        self._held = b""

    async def receive(self) -> Any:
        if self._whole is not None and not self.disconnected:
            body, self._whole = self._whole, None
            return {"type": "http.request", "body": body, "more_body": False}
        while not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"Expected ASGI message 'http.response.start', but got '{kind}'.")
            self.response_started = True  # also of one that turns out to be wrong: then the connection ends
            head = self._head(message["status"], list(message.get("headers", ())))
            if self.chunked_encoding is False:
                self._held = head
            else:
                self.transport.write(head)
        elif not self.response_complete:
            if kind != "http.response.body":
                raise RuntimeError(f"Expected ASGI message 'http.response.body', but got '{kind}'.")
            self._body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' sent, after response already completed.")

    def _head(self, status: int, headers: Headers) -> bytes:
        if _CONTROLS.search(b"".join([value for _, value in headers])) is not None:
            raise RuntimeError("Invalid HTTP header value.")
        parts = [STATUS_LINE[status], self.front.dated()]
        names = self.front.names
        closes = False
        for said, value in headers:
            name = names.get(said) or learnt(names, said)
            if name == b"content-length":
                if self.chunked_encoding is None:
                    self.expected_content_length, self.chunked_encoding = int(value), False
            elif name == b"transfer-encoding":
                if value.lower() == b"chunked":
                    self.expected_content_length, self.chunked_encoding = 0, True
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive, closes = False, True
            parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive and not closes:
            parts.append(b"connection: close\r\n")
        if self.chunked_encoding is None and status not in (204, 304):
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    def _body(self, body: bytes, *, more: bool) -> None:
        if self.chunked_encoding:
            pieces = (b"%x\r\n" % len(body), body, b"\r\n") if body else ()
            end = b"" if more else b"0\r\n\r\n"
            if pieces or end:
                self.transport.write(b"".join((*pieces, end)))
        else:
            if len(body) > self.expected_content_length:
                raise RuntimeError("Response content longer than Content-Length")
            self.expected_content_length -= len(body)
            held, self._held = self._held, b""
            if not held:
                self.transport.write(body)
            elif len(body) <= _COPIED_BYTES:
                self.transport.write(held + body)
            else:
                self.transport.writelines((held, body))
        if more:
            return
        if self.expected_content_length:
            raise RuntimeError("Response content shorter than Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


Quick = Callable[[Asked], bool]
"""Whether it sees to the end of a request: by `answer`, or else by `begin`."""


class Front(HttpToolsProtocol):
    """One connection. Requests that came in one piece, with familiar headers, need no parser."""

    cycle: Any

    def __init__(self, *args: Any, memory: Memory, quick: Quick | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._memory, self._quick = memory, quick
        self.names = memory.names
        self.event = asyncio.Event()
        self._at_rest = True
        """Whether the parser is between two requests."""
        self._candidate: bytes | None = None
        self._rested = 0.0

    def dated(self) -> bytes:
        return self._memory.dated(self.server_state.default_headers)

    def data_received(self, data: bytes) -> None:
        if self._at_rest and (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            found = _REQUEST.match(data)
            if found is not None and self._take(data, found):
                return
        try:
            super().data_received(data)
        finally:
            self._candidate = None

    def _take(self, data: bytes, found: re.Match[bytes]) -> bool:
        begin = found.end()
        end = data.find(b"\r\n\r\n", begin, _HEAD_BYTES)
        if end < 0:
            return False
        length = found[5]
        if (found[1] == b"POST") != (length is not None) or len(data) != end + 4 + int(length or 0):
            return False
        block = data[begin : end + 2]
        familiar = self._memory.headers.get(block)
        if familiar is None:
            self._candidate = block
            return False
        asked = Asked(self, found, familiar, data[end + 4 :])
        self.cycle = asked
        if self._quick is None or self.flow.write_paused or not self._quick(asked):
            asked.begin()
        return True

    def on_answered(self) -> None:
        """As `on_response_complete`, but the clock of an idle connection runs on."""
        if self.pipeline or self.transport.is_closing():
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        self._rested = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        if self.flow.read_paused:
            self.flow.resume_reading()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.is_closing():
            return
        left = self._rested + self.timeout_keep_alive - self.loop.time()
        if left > 0 or not self.cycle.response_complete:
            self.timeout_keep_alive_task = self.loop.call_later(max(left, 1.0), self.timeout_keep_alive_handler)
            return
        super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        self._at_rest = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        block, self._candidate = self._candidate, None
        if block is not None and self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive():
            self._memory.learn(block, self.headers)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        # The parser stops at an upgrade, which is not made: it reads what follows from where it stands.
        self._at_rest = not self.parser.should_upgrade()


class Memory:
    """What a process remembers of the headers of requests and answers."""

    def __init__(self) -> None:
        self.names: Names = {}
        self.headers: dict[bytes, Familiar] = {}
        self._dated: tuple[Headers, bytes] = ([], b"")

    def learn(self, block: bytes, read: Headers) -> None:
        """`read` is what the parser made of a head that ends in `block`; the lines before it are not remembered."""
        kept = [(name, value) for name, value in read if name not in (b"x-request-id", b"content-length")]
        before = len(read) - len(kept)
        if len(block) > _LONGEST or before > 2 or any(name in _NEVER for name, _ in kept):
            return
        if block.count(b"\n") != len(kept):
            return  # one of the two stands in the block too, or a line is no header of its own
        if len(self.headers) >= _REMEMBERED:
            self.headers.clear()
        self.headers[block] = Familiar(kept)

    def dated(self, said: Headers) -> bytes:
        """The server's own headers, which it makes anew each second."""
        if said is not self._dated[0]:
            self._dated = (said, b"".join([b"%b: %b\r\n" % header for header in said]))
        return self._dated[1]
