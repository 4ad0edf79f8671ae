"""What is familiar passes at once, with the same answers and refusals, and nothing that two servers read otherwise."""

from __future__ import annotations

import contextlib
import json
import re
import time
from itertools import pairwise
from typing import Any

import pytest
from gateway_wire import KEY, Got, Wire, gotten, post, posted, wired
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


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
