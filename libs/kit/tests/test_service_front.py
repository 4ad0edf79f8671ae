"""A service's side of a connection: familiar requests have the answers that uvicorn's own protocol gives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from bocage_kit.front import Front, Memory
from hypothesis import given, settings
from hypothesis import strategies as st

BLOCK = b"host: test\r\naccept: */*\r\nx-kept: 1\r\n"
BIG = bytes(range(256)) * 4000


class App:
    """Tells what it saw, and misbehaves when asked."""

    def __init__(self) -> None:
        self.left = threading.Event()
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.scopes.append(scope)
        await getattr(self, scope["path"].strip("/"))(scope, receive, send)

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        told = {name: scope[name] for name in ("method", "path", "http_version", "root_path", "scheme", "client")}
        told["state"] = sorted(scope["state"])
        told |= {name: scope[name].decode("latin1") for name in ("raw_path", "query_string")}
        told["headers"] = sorted([n.decode(), v.decode()] for n, v in scope["headers"] if n != b"x-new")
        await self.reply(send, json.dumps(told | {"body": body.decode()}).encode())

    async def reply(self, send: Any, body: bytes, status: int = 200, *more: tuple[bytes, bytes]) -> None:
        length = (b"Content-Length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [length, *more]})
        await send({"type": "http.response.body", "body": body})

    async def big(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.reply(send, BIG, 201, (b"X-Case", b"Kept"))

    async def pieces(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"a", b"", BIG, b"z"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def announced(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        for piece in (b"", b"a", b"bc"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async def unchanged(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", b'"1"')]})
        await send({"type": "http.response.body", "body": b""})

    async def closing(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.reply(send, b"bye", 200, (b"Connection", b"close"))

    async def fault(self, _scope: Any, _receive: Any, _send: Any) -> None:
        raise RuntimeError("a fault")

    async def half(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("in the middle")

    async def short(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"half"})

    async def long(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"half"})

    async def nothing(self, _scope: Any, _receive: Any, _send: Any) -> None:
        return

    async def split(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.reply(send, b"x", 200, (b"x-split", b"a\r\nx-other: b"))

    async def misnamed(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.reply(send, b"x", 200, (b"x split", b"a"))

    async def wait(self, _scope: Any, receive: Any, _send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        self.left.set()

    async def slow(self, _scope: Any, _receive: Any, send: Any) -> None:
        await asyncio.sleep(1.5)
        await self.reply(send, b"slow")

    async def flood(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": BIG, "more_body": True})
        self.left.set()


class Running:
    def __init__(self, folder: Path, http: Any, app: App, **options: Any) -> None:
        self.app, self.path = app, str(folder / "s.sock")
        config = uvicorn.Config(
            app, uds=self.path, http=http, log_level="critical", lifespan="off", server_header=False, loop="uvloop",
            interface="asgi3", **options,
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def connect(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(10)
        made.connect(self.path)
        return made


@contextlib.contextmanager
def running(folder: Path, http: Any, **options: Any) -> Iterator[Running]:
    folder.mkdir(exist_ok=True)
    made = Running(folder, http, App(), **options)
    made.thread.start()
    while not made.server.started:
        time.sleep(0.01)
    try:
        yield made
    finally:
        made.server.should_exit = True
        made.thread.join(10)


@pytest.fixture(scope="module")
def memory() -> Memory:
    return Memory()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, memory: Memory) -> Iterator[tuple[Running, Running]]:
    """Ours, and uvicorn's own."""
    folder = tmp_path_factory.mktemp("front")
    front = cast("type[asyncio.Protocol]", partial(Front, memory=memory))
    with running(folder / "a", front, timeout_keep_alive=1) as ours, running(folder / "b", "httptools") as theirs:
        yield ours, theirs


def request(path: bytes, body: bytes | None = None, block: bytes = BLOCK) -> bytes:
    length = b"" if body is None else b"content-length: %d\r\n" % len(body)
    method = b"GET" if body is None else b"POST"
    head = b"%b %b HTTP/1.1\r\nx-request-id: 0123456789\r\n%b%b\r\n" % (method, path, length, block)
    return head + (body or b"")


def said(connection: socket.socket, text: bytes) -> bytes:
    """All that comes until the other side falls silent or hangs up, the date aside."""
    connection.sendall(text)
    answer = b""
    connection.settimeout(2)  # a machine under load takes its time to begin
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while piece := connection.recv(1 << 20):
            answer += piece
            connection.settimeout(0.3)
        answer += b"<end>"
    connection.settimeout(10)
    lines = answer.split(b"\r\n")
    return b"\r\n".join(sorted(line for line in lines[:9] if not line.startswith(b"date: ")) + lines[9:])


def once(running: Running, text: bytes) -> bytes:
    connection = running.connect()
    try:
        return said(connection, text)
    finally:
        connection.close()


PATHS = [
    b"/echo", b"/echo?a=b%20c&d", b"/big", b"/pieces", b"/announced", b"/unchanged", b"/closing", b"/fault",
    b"/half", b"/nothing",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [None, b"", b"body"])
def test_familiar_requests_are_answered_as_uvicorn_does(
    both: tuple[Running, Running], path: bytes, body: bytes | None
) -> None:
    ours, theirs = both
    expected = once(theirs, request(path, body))
    assert len(expected) > 20
    first = once(ours, request(path, body))
    for _ in range(2):
        assert once(ours, request(path, body)) == first == expected


def test_they_are_familiar(both: tuple[Running, Running]) -> None:
    ours, _ = both
    connection = ours.connect()
    said(connection, request(b"/echo"))
    said(connection, request(b"/echo"))
    scope = ours.app.scopes[-1]
    assert scope["headers"][0] == (b"x-request-id", b"0123456789")
    said(connection, request(b"/echo", b"abc"))
    assert ours.app.scopes[-1]["headers"][-1] == (b"content-length", b"3"), "where the parser leaves it in its place"
    scope["headers"].clear()
    assert b"x-kept" in said(connection, request(b"/echo")), "what one request does to its headers is its own affair"
    connection.close()


@pytest.mark.parametrize("path", [b"/short", b"/long", b"/split", b"/misnamed"])
def test_answers_that_are_wrong_are_not_sent_whole(both: tuple[Running, Running], path: bytes) -> None:
    ours, _ = both
    for _ in range(3):
        answer = once(ours, request(path))
        assert answer.endswith(b"<end>") and b"\r\n\r\nx" not in answer
        assert b"x-other" not in answer and b"x split" not in answer


BAD = [
    b"content-length: 4\r\n" + BLOCK,
    BLOCK + b"content-length: 4\r\n",
    BLOCK + b"Content-Length: 4\r\ntransfer-encoding: chunked\r\n",
    BLOCK + b"transfer-encoding: chunked\r\n",
    BLOCK + b" folded\r\n",
    BLOCK + b"x: a\n",
    BLOCK + b"x : a\r\n",
    BLOCK + b"x-request-id: 9876543210\r\n",
    BLOCK + b"connection: close\r\n",
    BLOCK + b"expect: 100-continue\r\n",
    BLOCK + b"connection: upgrade\r\nupgrade: h2c\r\n",
]


@pytest.mark.parametrize("block", BAD)
@pytest.mark.parametrize("body", [None, b"4\r\nabcd\r\n0\r\n\r\n"])
def test_unusual_headers_are_read_each_time(
    both: tuple[Running, Running], memory: Memory, block: bytes, body: bytes | None
) -> None:
    ours, theirs = both
    text = request(b"/echo", body, block)
    with ThreadPoolExecutor(2) as pool:  # both wait long for what does not come
        for _ in range(2):
            answers = pool.map(lambda asked: once(asked, text), (ours, theirs))
            assert next(answers) == next(answers)
    assert block not in memory.headers


@pytest.mark.parametrize(
    "line",
    [
        b"GET /echo HTTP/1.0", b"GET http://test/echo HTTP/1.1", b"GET /echo#x HTTP/1.1", b"GET /echo%20 HTTP/1.1",
        b"get /echo HTTP/1.1", b"GET  /echo HTTP/1.1", b"HEAD /big HTTP/1.1", b"DELETE /echo HTTP/1.1",
        b"POST /echo HTTP/1.1",
    ],
)  # fmt: skip
def test_familiar_headers_excuse_no_first_line(both: tuple[Running, Running], line: bytes) -> None:
    ours, theirs = both
    once(ours, request(b"/echo"))
    text = line + b"\r\nx-request-id: 0123456789\r\n" + BLOCK + b"\r\n"
    assert once(ours, text) == once(theirs, text)


ROW = (
    request(b"/echo?n=1") + request(b"/echo?n=2", b"0123456789") + request(b"/echo?n=3", None, BLOCK + b"x-new: 1\r\n")
)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, len(ROW) - 1), max_size=5))
def test_requests_are_the_same_however_they_are_cut(both: tuple[Running, Running], cuts: list[int]) -> None:
    connection = both[0].connect()
    places = sorted({0, *cuts, len(ROW)})
    for begin, end in pairwise(places):
        connection.sendall(ROW[begin:end])
        time.sleep(0.001)
    answer = b""
    while answer.count(b'"body": ') < 3 or not answer.endswith(b"}"):
        answer += connection.recv(65536)
    places = [answer.index(b'"query_string": "n=%d"' % n) for n in (1, 2, 3)]
    assert places == sorted(places) and answer.count(b'"body": "0123456789"') == 1
    connection.close()


def test_who_leaves_is_noticed(both: tuple[Running, Running]) -> None:
    ours, _ = both
    for _ in range(2):
        ours.app.left.clear()
        connection = ours.connect()
        connection.sendall(request(b"/wait"))
        time.sleep(0.1)
        connection.close()
        assert ours.app.left.wait(5)


def test_a_slow_reader_holds_the_service_back(both: tuple[Running, Running]) -> None:
    ours, _ = both
    once(ours, request(b"/echo"))
    ours.app.left.clear()
    connection = ours.connect()
    connection.sendall(request(b"/flood"))
    assert not ours.app.left.wait(0.5)
    size = 0
    while size < 200 * len(BIG):
        size += len(connection.recv(1 << 20))
    assert ours.app.left.wait(5)
    connection.close()


def test_idle_connections_are_closed_and_busy_ones_are_not(both: tuple[Running, Running]) -> None:
    ours, _ = both
    connection = ours.connect()
    for _ in range(3):
        assert b"200 OK" in said(connection, request(b"/echo"))
        time.sleep(0.6)
    connection.sendall(request(b"/slow"))
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    assert answer.endswith(b"slow")


def test_a_stop_lets_a_request_end(tmp_path: Path) -> None:
    front = cast("type[asyncio.Protocol]", partial(Front, memory=Memory()))
    with running(tmp_path, front) as ours:
        connection = ours.connect()
        said(connection, request(b"/echo"))
        connection.sendall(request(b"/slow"))
        time.sleep(0.3)
        ours.server.should_exit = True
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        assert answer.endswith(b"slow") and b"connection: close" in answer
        ours.thread.join(10)
        assert not ours.thread.is_alive()
