"""What is familiar passes at once, with the same answers and refusals, and nothing that two servers read otherwise."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import uvicorn
from bocage_gateway.app import create_app
from bocage_gateway.front import Front
from bocage_gateway.settings import GatewaySettings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KEY = b"Host: localhost\r\nX-API-Key: good.secret\r\nAccept: */*\r\n"


class Got(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other == name]

    @property
    def swift(self) -> bool:
        """Whether the request went the short way, as `echo` tells by the order of its headers."""
        return bool(json.loads(self.body)["headers"][0][0] == "x-request-id")


class Wire:
    """A connection on which a test says each byte."""

    def __init__(self, port: int, seconds: float = 10) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)
            if len(pieces) > 1:
                time.sleep(0.002)

    def _more(self) -> None:
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError(self._read)
        self._read += piece

    def _line_end(self, end: bytes) -> bytes:
        while end not in self._read:
            self._more()
        found, _, self._read = self._read.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        found, self._read = self._read[:size], self._read[size:]
        return found

    def hear(self, method: str = "GET") -> Got:
        first, *lines = self._line_end(b"\r\n\r\n").decode("latin1").split("\r\n")
        parts = [line.partition(": ") for line in lines]
        headers = [(name, value) for name, _, value in parts]
        status, told, body = int(first.split(" ")[1]), dict(headers), b""
        if method != "HEAD" and status not in (204, 304):
            if "content-length" in told:
                body = self._exactly(int(told["content-length"]))
            else:
                assert told["transfer-encoding"] == "chunked"
                while size := int(self._line_end(b"\r\n"), 16):
                    body += self._exactly(size)
                    assert self._exactly(2) == b"\r\n"
                assert self._exactly(2) == b"\r\n"
        return Got(status, headers, body)

    def ask(self, request: bytes) -> Got:
        self.say(request)
        return self.hear(request.split(b" ", 1)[0].decode())

    def ended(self) -> bool:
        """Whether the other side hangs up, with nothing more to say."""
        try:
            return self.socket.recv(1) == b"" and not self._read
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.socket.close()


@contextlib.contextmanager
def wired(platform: Any, headers: bytes = KEY) -> Iterator[Wire]:
    """A connection whose headers are familiar, to services with which a connection is open."""
    wire = Wire(platform.port)
    try:
        for prefix in (b"stac", b"tiles", b"processing", b"rights"):
            get = b"GET /" + prefix + b"/echo HTTP/1.1\r\n" + headers + b"\r\n"
            while not wire.ask(get).swift:
                pass
        post(wire, b"/stac/echo", b"")
        yield wire
    finally:
        wire.close()


def post(wire: Wire, path: bytes, body: bytes, headers: bytes = KEY) -> Got:
    return wire.ask(posted(path, body, headers))


def posted(path: bytes, body: bytes, headers: bytes = KEY) -> bytes:
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (path, headers, len(body), body)


def gotten(path: bytes, headers: bytes = KEY) -> bytes:
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (path, headers)


def comparable(got: Got) -> tuple[int, list[tuple[str, str]], Any]:
    """An answer without what differs each time."""
    headers = sorted((n, v) for n, v in got.headers if n not in ("date", "x-request-id", "content-length"))
    if b'"raw_path"' not in got.body:
        return got.status, headers, re.sub(rb'"request_id": ?"[^"]*"', b"", got.body)
    told = json.loads(got.body)
    told["headers"] = sorted(h for h in told["headers"] if h[0] not in ("x-request-id", "x-unique", "host"))
    return got.status, headers, told


REQUESTS = [
    gotten(b"/stac/echo"),
    gotten(b"/stac/echo?bbox=1,2,3,4&q=a%20b&empty="),
    gotten(b"/tiles/answer?status=404"),
    gotten(b"/stac/answer?status=204"),
    gotten(b"/stac/answer?status=304"),
    gotten(b"/assets/c/i/answer?status=302"),
    gotten(b"/tiles/stream?bytes=200000"),
    gotten(b"/tiles/stream?bytes=700000&length=1"),
    gotten(b"/stac/echo?api_key=x"),
    gotten(b"/stac/echo?X%2DAPI%5FKey=x"),
    gotten(b"/nothing/here"),
    posted(b"/stac/echo", b"{}"),
    posted(b"/stac/echo?a=b", b"x" * 60_000),
    b"HEAD /stac/echo HTTP/1.1\r\n" + KEY + b"\r\n",
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request[:50].decode())
def test_both_ways_say_the_same(platform: Any, request_: bytes) -> None:
    with wired(platform) as wire:
        once = b"X-Unique: %d\r\n" % time.time_ns()
        first, _, rest = request_.partition(b"\r\n")
        long = wire.ask(first + b"\r\n" + once + rest)
        again = wire.ask(request_)
        swift = wire.ask(request_)
    assert comparable(long) == comparable(swift) == comparable(again)
    ids = [got.header("x-request-id") for got in (long, again, swift)]
    assert len({i[0] for i in ids}) == 3 and all(len(i) == 1 and len(i[0]) == 32 for i in ids)
    assert all(len(got.header("date")) == 1 for got in (long, swift))


def test_what_is_familiar_goes_the_short_way(platform: Any) -> None:
    with wired(platform) as wire:
        assert wire.ask(gotten(b"/rights/echo?x=%20y")).swift
        assert post(wire, b"/stac/echo", b"abc").swift and post(wire, b"/stac/echo", b"abcd" * 100).swift
        other = Wire(platform.port)
        assert other.ask(gotten(b"/stac/echo")).swift, "on another connection too"
        other.close()
        assert not wire.ask(gotten(b"/stac/a%20b/echo")).swift, "what needs a closer look gets one"


def test_requests_in_a_row_are_answered_in_order(platform: Any) -> None:
    with wired(platform) as wire:
        paths = [b"/stac/echo?n=%d" % n for n in range(6)]
        texts = [gotten(path) for path in paths]
        texts[2] = posted(paths[2], b"body")
        texts[4] = gotten(paths[4], KEY + b"X-New: 1\r\n")
        wire.say(b"".join(texts))
        told = [json.loads(wire.hear().body) for _ in texts]
        assert [each["query"] for each in told] == [f"n={n}" for n in range(6)]
        assert told[2]["body"] == "body"
        slow = [gotten(b"/stac/answer?status=200&after=0.2"), gotten(b"/tiles/echo?quick=1")]
        wire.say(*slow)
        assert json.loads(wire.hear().body) == {"status": 200} and json.loads(wire.hear().body)["query"] == "quick=1"


ROW = [gotten(b"/stac/echo?n=1"), posted(b"/stac/echo?n=2", b"0123456789"), gotten(b"/tiles/echo?n=3")]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, sum(map(len, ROW)) - 1), max_size=6))
def test_requests_are_the_same_however_they_are_cut(platform: Any, cuts: list[int]) -> None:
    text = b"".join(ROW)
    places = sorted({0, *cuts, len(text)})
    with wired(platform) as wire:
        wire.say(*(text[a:b] for a, b in pairwise(places)))
        told = [json.loads(wire.hear().body) for _ in ROW]
    assert [(each["query"], each["body"]) for each in told] == [("n=1", ""), ("n=2", "0123456789"), ("n=3", "")]


FIRST_LINES = [
    b"GET http://localhost/stac/echo HTTP/1.1",
    b"GET http://evil.example/stac/echo HTTP/1.1",
    b"GET //stac/echo HTTP/1.1",
    b"GET /stac/../rights/echo HTTP/1.1",
    b"GET /stac/. HTTP/1.1",
    b"GET /stac/..?x=/y HTTP/1.1",
    b"GET /stac/%2e%2e/echo HTTP/1.1",
    b"GET /stac\\echo HTTP/1.1",
    b"GET /stac/echo#part HTTP/1.1",
    b"GET /stac/echo HTTP/1.0",
    b"GET /stac/echo HTTP/2.0",
    b"GET /stac/echo  HTTP/1.1",
    b"GET  /stac/echo HTTP/1.1",
    b"get /stac/echo HTTP/1.1",
    b"GET /stac/e\x00cho HTTP/1.1",
    b"GET /stac/\xc3\xa9 HTTP/1.1",
    b"GET /identity HTTP/1.1",
    b"GET /stacx/echo HTTP/1.1",
    b"GET * HTTP/1.1",
    b"TRACE /stac/echo HTTP/1.1",
    b"POST /stac/echo HTTP/1.1",
]


@pytest.mark.parametrize("line", FIRST_LINES)
def test_familiar_headers_excuse_no_first_line(platform: Any, line: bytes) -> None:
    with wired(platform) as wire:
        wire.say(line + b"\r\n" + KEY + b"\r\n")
        answer = wire.socket.recv(65536)
    unfamiliar = platform.raw(line + b"\r\nX-Unique: %d\r\n" % time.time_ns() + KEY + b"\r\n")
    assert answer.split(b"\r\n")[0] == unfamiliar.split(b"\r\n")[0]


BAD_HEADERS = [
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: 4\r\nContent-Length: 40\r\n",
    b"Content-Length: 4\r\ncontent-length: 4\r\n",
    b"Content-Length: 4, 40\r\n",
    b"Content-Length: +4\r\n",
    b"Content-Length: 0x4\r\n",
    b"Content-Length:\r\n 4\r\n",
    b"Content-Length : 4\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Host: evil.example\r\n",
    b"X: a\r\n folded\r\n",
    b"X: a\n",
    b"X\x00: a\r\n",
]


@pytest.mark.parametrize("bad", BAD_HEADERS)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_what_was_refused_is_never_familiar(platform: Any, bad: bytes, method: bytes) -> None:
    smuggled = gotten(b"/rights/echo?smuggled=1")
    for _ in range(3):
        with wired(platform) as wire:
            wire.say(method + b" /stac/echo HTTP/1.1\r\n" + KEY + bad + b"\r\nabcd" + smuggled)
            answer = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                wire.socket.settimeout(0.3)
                while piece := wire.socket.recv(65536):
                    answer += piece
        assert b"smuggled=1" not in answer
        assert answer.startswith(b"HTTP/1.1 400 ")


def test_an_upgrade_is_not_made_and_never_familiar(platform: Any) -> None:
    upgrade = gotten(b"/stac/echo", KEY + b"Connection: Upgrade\r\nUpgrade: h2c\r\n")
    with wired(platform) as wire:
        for _ in range(3):
            got = wire.ask(upgrade)
            assert got.status == 200 and not got.swift
            assert json.loads(wire.ask(gotten(b"/stac/echo?n=1")).body)["query"] == "n=1"


def test_an_unknown_host_is_refused_each_time(platform: Any) -> None:
    wire = Wire(platform.port)
    for _ in range(3):
        assert wire.ask(gotten(b"/stac/echo", b"Host: evil.example\r\n")).status == 400
    wire.close()


def test_a_revoked_key_is_familiar_no_more(platform: Any) -> None:
    headers = b"Host: localhost\r\nX-API-Key: familiar.secret\r\n"
    with wired(platform, headers) as wire:
        platform.revoke("familiar")
        platform.wait_until(lambda: wire.ask(gotten(b"/stac/echo", headers)).status == 401, 2)


def test_tokens_in_addresses_are_looked_at_each_time(platform: Any) -> None:
    headers = b"Host: localhost\r\nX-Case: tokens\r\n"
    with wired(platform, headers) as wire:
        for number in range(3):
            got = wire.ask(gotten(b"/tiles/echo?token=tile%d.secret" % number, headers))
            seen = dict(map(tuple, json.loads(got.body)["headers"]))
            assert seen["bocage-identity"].startswith(f"token-tile{number}-")
        assert wire.ask(gotten(b"/tiles/echo?token=bad.secret", headers)).status == 401


def test_long_targets_are_bounded(platform: Any) -> None:
    with wired(platform) as wire:
        wire.say(gotten(b"/stac/echo?q=" + b"x" * 200_000))
        assert wire.hear().status == 431 and wire.ended()


def test_who_asks_to_close_is_let_go(platform: Any) -> None:
    for _ in range(3):
        wire = Wire(platform.port)
        assert wire.ask(gotten(b"/stac/echo", KEY + b"Connection: close\r\n")).status == 200
        assert wire.ended()


def test_a_body_that_comes_later(platform: Any) -> None:
    text = posted(b"/stac/echo", b"0123456789")
    with wired(platform) as wire:
        for pause in (0.02, 0.5):
            wire.say(text[:-10])
            time.sleep(pause)
            wire.say(text[-10:-4])
            time.sleep(pause)
            wire.say(text[-4:])
            assert json.loads(wire.hear().body)["body"] == "0123456789"
        wire.say(text[:-4])
        got = wire.hear()
        assert got.status == 408 and json.loads(got.body)["code"] == "body-too-slow"


@pytest.mark.parametrize("request_", [gotten(b"/processing/hang"), posted(b"/processing/hang", b"x")])
def test_a_silent_service_gives_504_and_the_connection_goes_on(platform: Any, request_: bytes) -> None:
    with wired(platform) as wire:
        for _ in range(2):
            got = wire.ask(request_)
            assert got.status == 504 and json.loads(got.body)["code"] == "service-too-slow"
            assert got.header("retry-after") == ["10"] and got.header("x-request-id")
            assert wire.ask(gotten(b"/processing/echo")).status == 200


@pytest.mark.parametrize("query", [b"", b"?silent=1"])
def test_the_service_hears_at_once_that_a_caller_left(platform: Any, query: bytes) -> None:
    for _ in range(2):
        with wired(platform) as wire:
            wire.say(gotten(b"/tiles/drip" + query))
            platform.wait_until(lambda: platform.control("tiles")["dripping"] == 1)
        platform.wait_until(lambda: platform.control("tiles")["dripping"] == 0, 2)


def test_slow_readers_hold_their_service_back_and_are_let_go(platform: Any) -> None:
    with wired(platform) as wire:
        before = platform.memory()
        wire.say(gotten(b"/tiles/stream?bytes=200000000"))
        time.sleep(0.5)
        assert platform.memory() - before < 30_000_000
        time.sleep(4)  # longer than a caller may be silent
        taken = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := wire.socket.recv(1 << 20):
                taken += len(piece)
        assert taken < 200_000_000


def test_a_service_that_dies(own_platform: Any) -> None:
    platform = own_platform
    with wired(platform) as wire:
        got = post(wire, b"/tiles/die", b"x")
        assert got.status == 502 and json.loads(got.body)["code"] == "service-broke-off"
        platform.start_service("tiles")
        platform.wait_for_service("tiles")
        assert wire.ask(gotten(b"/tiles/echo")).status == 200
        assert wire.ask(gotten(b"/tiles/echo")).swift
        assert wire.ask(gotten(b"/tiles/die")).status in (502, 503), "it was asked again, and was away"
        platform.start_service("tiles")
        platform.wait_for_service("tiles")
        wire.ask(gotten(b"/tiles/echo"))
        with pytest.raises((EOFError, ConnectionResetError)):
            wire.ask(gotten(b"/tiles/die?started=1&length=1"))
    with wired_again(platform) as wire, pytest.raises((EOFError, ConnectionResetError)):
        wire.ask(gotten(b"/tiles/die?started=1"))


@contextlib.contextmanager
def wired_again(platform: Any) -> Iterator[Wire]:
    platform.start_service("tiles")
    platform.wait_for_service("tiles")
    with wired(platform) as wire:
        yield wire


def test_a_stop_lets_a_request_end(own_platform: Any) -> None:
    with wired(own_platform) as wire, wired(own_platform) as idle:
        wire.say(gotten(b"/stac/answer?status=200&after=1"))
        time.sleep(0.3)
        gateway = own_platform.signal("gateway", signal.SIGTERM)
        assert idle.ended()
        got = wire.hear()
        assert got.status == 200 and got.header("connection") == ["close"] and wire.ended()
        assert gateway.wait(10) in (0, -signal.SIGTERM)


def test_idle_connections_are_closed_and_busy_ones_are_not(platform: Any) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app = create_app(GatewaySettings(home=platform.home))
    server = uvicorn.Server(uvicorn.Config(app, http=Front, ws="none", log_level="critical", timeout_keep_alive=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    platform.wait_until(lambda: server.started)
    try:
        wire = Wire(port)
        for pause in (0.0, 0.7, 0.7, 0.7):
            time.sleep(pause)
            assert wire.ask(gotten(b"/stac/echo")).status == 200
        assert wire.ask(gotten(b"/stac/answer?status=200&after=2.5")).status == 200
        assert wire.ended()
    finally:
        server.should_exit = True
        thread.join(10)
