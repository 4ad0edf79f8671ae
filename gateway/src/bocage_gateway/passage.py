"""One request that goes to a service in one piece, and its answer: nothing stands between the two connections.

What the door does for every request is done here for those whose headers are familiar and whose caller is known. It
takes no task, no messages and no second parser. Whatever is unusual is left to the door before anything was counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from typing import Protocol

from bocage_kit import problems
from bocage_kit.problems import Problem

from bocage_gateway import headers
from bocage_gateway.exchange import Exchange
from bocage_gateway.familiar import Familiar, Manner, Target
from bocage_gateway.headers import Headers
from bocage_gateway.line import BrokenLine, Line
from bocage_gateway.metering import BYTES_COUNT, SIGNING, Meter, Metering, collection_of
from bocage_gateway.routes import ROUTES
from bocage_gateway.upstream import Upstream, broke_off, too_slow

_COPIED_BYTES = 32 * 1024
"""Up to here it takes less to put the pieces together than to have the kernel do it."""
_LOOK_SECONDS = 1.0
"""So much later than allowed a silence is noticed, at most."""
_log = logging.getLogger("bocage.gateway")


class Caller(Protocol):
    """The caller's connection."""

    transport: asyncio.Transport

    def date(self) -> bytes:
        """The line of a head that tells the date, and that this is the last answer when it is."""

    def done(self) -> None:
        """The answer is whole."""

    def break_off(self, *, at_once: bool) -> None:
        """The answer stays without its end, which its reader must see."""

    def ask_again(self) -> None:
        """Nothing came of it: the request goes the long way."""


def _request_ids() -> Iterator[bytes]:
    """As good as those of `headers.request_id`, a hundred at a time."""
    while True:
        drawn = os.urandom(1600).hex().encode()
        for begin in range(0, 3200, 32):
            yield drawn[begin : begin + 32]


class Passages:
    """Begins passages; one for the process."""

    def __init__(
        self,
        familiar: Familiar,
        exchange: Exchange,
        metering: Metering,
        upstreams: dict[str, Upstream],
        *,
        upstream_seconds: float,
        client_seconds: float,
        longest: int,
    ) -> None:
        self.familiar, self.longest = familiar, longest
        self.metering = metering
        self.upstream_seconds, self.client_seconds = upstream_seconds, client_seconds
        self._exchange, self._upstreams = exchange, upstreams
        self.loop = asyncio.get_running_loop()
        self.request_ids = _request_ids()
        self._under_way: set[Passage] = set()
        self._clock: asyncio.TimerHandle | None = None
        self._look_seconds = min(_LOOK_SECONDS, upstream_seconds / 8, client_seconds / 8)
        self.dated: tuple[Headers, bytes] = ([], b"")
        """The server's own headers, which it makes anew each second, and their lines."""

    def begin(self, caller: Caller, target: Target, manner: Manner, body: bytes) -> Passage | None:
        """Send a request on its way; None when that needs more than can be done at once, and then nothing is done."""
        known = self._exchange.held(manner.credential)
        if known is None:
            return None
        meter = known.meter or self.metering.address(manner.address)
        counts = target.first in BYTES_COUNT
        try:
            meter.check(time.time(), bytes_count=counts or target.path.startswith(SIGNING))
        except Problem:
            return None
        first = target.first.decode()
        upstream = self._upstreams[ROUTES[first].service]
        line = upstream.idle()
        if line is None:
            return None
        meter.begin()
        request_id = next(self.request_ids)
        passage = Passage(self, caller, target, upstream.service, first, meter, line, counts, request_id)
        # What differs from request to request comes first: a service remembers the rest.
        line.send(
            b"%bx-request-id: %b\r\n%bhost: %b\r\n%bbocage-identity: %b\r\n\r\n%b"
            % (
                target.line, request_id, b"content-length: %d\r\n" % target.length if target.method == b"POST" else b"",
                upstream.service.encode(), manner.forwarded, known.token.encode(), body,
            ),
            passage,
        )  # fmt: skip
        return passage

    def enter(self, passage: Passage) -> None:
        """One clock looks at all that are under way: to set one for each takes longer."""
        self._under_way.add(passage)
        if self._clock is None:
            self._clock = self.loop.call_later(self._look_seconds, self._look)

    def leave(self, passage: Passage) -> None:
        self._under_way.discard(passage)

    def _look(self) -> None:
        self._clock = self.loop.call_later(self._look_seconds, self._look) if self._under_way else None
        now = self.loop.time()
        for passage in list(self._under_way):
            passage.look(now)


class Passage:
    """The reader of one answer; see `line.Reader`."""

    __slots__ = (
        "_caller", "_chunked", "_collection", "_counts", "_entered", "_line", "_meter", "_moved", "_out", "_passages",
        "_paused", "_peer", "_request_id", "_service", "_target", "over", "status",
    )  # fmt: skip
    bodiless = False

    def __init__(
        self,
        passages: Passages,
        caller: Caller,
        target: Target,
        peer: str,
        service: str,
        meter: Meter,
        line: Line,
        counts: bool,
        request_id: bytes,
    ) -> None:
        self._passages, self._caller, self._target, self._meter = passages, caller, target, meter
        self._line: Line | None = line
        self._counts = counts
        self._request_id = request_id
        self._peer, self._service = peer, service
        self._collection = collection_of(target.path)
        self._out: list[bytes] = []
        self._chunked = self._paused = self._entered = False
        self.over, self.status = False, 0
        self._moved = passages.loop.time()
        passages.enter(self)

    # What the caller's connection calls.
    def left(self) -> None:
        """Whoever asked is gone."""
        self._end()
        if self._line is not None:
            self._line.close()
            self._line = None

    def pause(self) -> None:
        self._paused = True
        self._moved = self._passages.loop.time()

    def resume(self) -> None:
        self._paused = False
        self._moved = self._passages.loop.time()
        if self._line is not None:
            self._line.resume()

    # What the line calls.
    def began(self, status: int, answered: Headers) -> None:
        self.status = status
        if status >= 400:
            self._collection = None
        head, charged, framed = headers.rendered(status, answered, self._request_id)
        metering, meter = self._passages.metering, self._meter
        self._entered = True
        metering.end(meter, self._service, self._collection)
        if charged:
            metering.count(meter, self._service, self._collection, 0, charged)
        limits = b""
        if meter.policy:
            limits = b"ratelimit-policy: %b\r\nratelimit: %b\r\n" % (meter.policy, meter.header(time.time()))
        self._chunked = not framed and status not in (204, 304)
        end = b"transfer-encoding: chunked\r\n\r\n" if self._chunked else b"\r\n"
        self._out += (head, limits, self._caller.date(), end)

    def came(self, piece: bytes) -> bool:
        self._moved = self._passages.loop.time()
        if self._counts:
            self._passages.metering.count(self._meter, self._service, self._collection, 0, len(piece))
        if self._chunked:
            self._out += (b"%x\r\n" % len(piece), piece, b"\r\n")
        else:
            self._out.append(piece)
        return self._paused

    def ended(self) -> None:
        self.over = True
        if self._chunked:
            self._out.append(b"0\r\n\r\n")

    def told(self) -> None:
        line = self._line
        if line is None:
            return
        if self._caller.transport.is_closing():
            self.left()  # as the connection tells soon
            return
        if self._out:
            out, self._out = self._out, []
            if len(out[-1]) > _COPIED_BYTES:
                self._caller.transport.writelines((b"".join(out[:-1]), out[-1]))
            else:
                self._caller.transport.write(b"".join(out))
            if self._paused:
                line.pause()
        if self.over:
            self._end()
            self._line = None
            line.leave()
            self._caller.done()

    def failed(self, error: BrokenLine) -> None:
        if self._line is None:
            return
        self._out.clear()
        if not self.status and self._target.method == b"GET":
            self._entered = True  # it is taken back instead
            self._meter.take_back()
            self._give_up()
            self._caller.ask_again()
            return
        _log.warning(
            "a service broke off",
            extra={"peer": self._peer, "error": type(error).__name__, "request_id": self._request_id.decode()},
        )
        self._fail(broke_off(self._peer))

    def look(self, now: float) -> None:
        """Ends it when nothing has moved for too long."""
        passages = self._passages
        if now - self._moved < (passages.client_seconds if self._paused else passages.upstream_seconds):
            return
        if self._paused:
            self._give_up()
            self._caller.break_off(at_once=True)
        else:
            self._fail(too_slow(self._peer))

    def _fail(self, problem: Problem) -> None:
        if self.status:
            self._give_up()
            self._caller.break_off(at_once=False)
            return
        answer = problems.response(problem, self._request_id.decode())
        self.began(answer.status_code, list(answer.raw_headers))
        self._give_up()
        self._caller.transport.write(b"".join((*self._out, bytes(answer.body))))
        self._caller.done()

    def _give_up(self) -> None:
        self._end()
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _end(self) -> None:
        self._passages.leave(self)
        if not self._entered:
            self._entered = True
            self._passages.metering.end(self._meter, self._service, None)
