"""The public connection: what is familiar passes at once, and everything else goes the long way."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools

from bocage_gateway.familiar import Key
from bocage_gateway.forwarder import ASKED_BEFORE
from bocage_gateway.passage import Passage, Passages
from bocage_gateway.protocol import BoundedProtocol

_BODY_SECONDS = 0.2  # for a body that is sent after its head; what is slower goes the long way, which has time


class Front(BoundedProtocol):
    """Looks at each request that begins a piece of data. While one is under way, what follows it waits its turn."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        inside = self.app_state.get("inside")
        self._passages: Passages | None = inside.passages if inside is not None else None
        self._passage: Passage | None = None
        self._asked = b""
        self._later = b""
        self._partial = b""
        self._body_clock: asyncio.TimerHandle | None = None
        self._at_rest = True
        """Whether the parser is between two requests."""
        self._candidate: Key | None = None
        self._last = self._asked_before = False
        self._rested = 0.0

    def data_received(self, data: bytes) -> None:
        begins = self._at_rest and self._answered()
        if self._passage is not None or (begins and self.flow.write_paused):
            # Who does not read is not answered: rows of requests would fill the memory with their answers.
            self._later += data
            self.flow.pause_reading()
            return
        if self._partial:
            data, self._partial = self._partial + data, b""
        if self._passages is None or not begins or self.transport.is_closing() or not self._take(self._passages, data):
            self._long_way(data)
        if self._body_clock is not None and not self._partial:
            self._stop_waiting()

    def _answered(self) -> bool:
        """Whether nothing is under way the long way."""
        return self.cycle is None or self.cycle.response_complete

    def _take(self, passages: Passages, data: bytes) -> bool:
        """Whether a passage was begun, or the rest of a body is waited for."""
        familiar = passages.familiar
        peer = self.client[0] if self.client else None
        target = familiar.target(data, peer)
        if target is None:
            return False
        manner = familiar.manner(target)
        if manner is None:
            self._candidate = target.key
            return False
        if target.length > passages.longest:
            return False
        end = target.begin + target.length
        if len(data) < end:
            self._partial = data
            if self._body_clock is None:  # for the whole body: it is not set anew with each piece
                self._body_clock = self.loop.call_later(_BODY_SECONDS, self._waited)
            return True
        self._asked, self._later = (data, b"") if len(data) == end else (data[:end], data[end:])
        passage = passages.begin(self, target, manner, self._asked[target.begin :])
        if passage is None:
            self._later = b""
            return False
        self._passage = passage
        if self._slow is not None:
            self._stop_clock()
        if self._later:
            self.flow.pause_reading()
        return True

    def _long_way(self, data: bytes) -> None:
        try:
            super().data_received(data)
        finally:
            self._candidate = None

    def _waited(self) -> None:
        data = self._partial
        self._stop_waiting()
        self._long_way(data)

    def _stop_waiting(self) -> None:
        self._partial = b""
        if self._body_clock is not None:
            self._body_clock.cancel()
            self._body_clock = None

    # What a passage calls.
    def date(self) -> bytes:
        passages, said = self._passages, self.server_state.default_headers
        assert passages is not None
        if said is not passages.dated[0]:
            passages.dated = (said, b"".join([b"%b: %b\r\n" % header for header in said]))
        return passages.dated[1] + b"connection: close\r\n" if self._last else passages.dated[1]

    def done(self) -> None:
        self._passage = None
        if self.transport.is_closing():
            return
        if self._last:
            self.transport.close()
            return
        self._rested = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        self._go_on()

    def _go_on(self) -> None:
        """To what came meanwhile."""
        if self._later and not self.flow.write_paused:
            data, self._later = self._later, b""
            self.data_received(data)
        if self._passage is None and not self._later and self._answered() and not self.transport.is_closing():
            self.flow.resume_reading()

    def break_off(self, *, at_once: bool) -> None:
        self._passage = None
        if at_once:
            self.transport.abort()
        else:
            self.transport.close()

    def ask_again(self) -> None:
        self._passage = None
        data, self._later = self._asked + self._later, b""
        self._asked_before = True
        self._long_way(data)
        if self._last:
            super().shutdown()

    # What the event loop and the server call.
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        passage, self._passage = self._passage, None
        if passage is not None:
            passage.left()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._passage is not None:
            self._passage.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._passage is not None:
            self._passage.resume()
        elif self._later and not self.transport.is_closing():
            self._go_on()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.is_closing():
            return
        left = self._rested + self.timeout_keep_alive - self.loop.time()
        if self._passage is not None or self._partial or left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(max(left, 1.0), self.timeout_keep_alive_handler)
            return
        if self.flow.write_paused:
            self.transport.abort()  # what was written waits for a reader who does not come
            return
        super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        if self._partial:
            self._waited()
        if self._passage is not None:
            self._last = True
        else:
            super().shutdown()

    # What the parser calls.
    def on_message_begin(self) -> None:
        self._at_rest = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._asked_before:
            self._asked_before = False
            self.scope["state"][ASKED_BEFORE] = True
        key, self._candidate = self._candidate, None
        if key is None or self._passages is None:
            return
        parser: httptools.HttpRequestParser = self.parser
        if parser.get_http_version() == "1.1" and parser.should_keep_alive() and parser.get_method() == key[0]:
            self._passages.familiar.learn(key, self.headers, self.scheme or "http")

    def on_message_complete(self) -> None:
        super().on_message_complete()
        # The parser stops at an upgrade, which is not made: it reads what follows from where it stands.
        self._at_rest = not self.parser.should_upgrade()
