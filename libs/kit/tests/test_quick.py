"""Answers that are made without a task: what they wait for, what they leave to the application, who may have them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from bocage_kit.front import Front, Memory
from bocage_kit.identity import HEADER, Identity, Verifier, new_key, sign
from bocage_kit.quick import Making, Quickly, Unusual, Whole

KEY = new_key()
WHO = Identity(subject="ann", organisation="o")


class Maker:
    """Answers what a test asks for, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, str, str]] = []
        self.futures: list[asyncio.Future[Any]] = []
        self.begun = threading.Event()

    def admits(self, identity: Identity) -> bool:
        return identity.subject != "banned"

    def to(self, path: bytes, identity: Identity, tongue: str) -> Making | None:
        made = getattr(self, path.decode().strip("/"), None)
        if made is None:
            return None
        self.asked.append((path, identity.subject, tongue))
        making: Making = made()
        return making

    @staticmethod
    def whole(body: bytes) -> Whole:
        return Whole(b"content-length: %d\r\nx-quick: 1\r\n" % len(body), body)

    async def atonce(self) -> Whole:
        return self.whole(b"at once")

    async def large(self) -> Whole:
        return self.whole(bytes(100_000))

    async def waits(self) -> Whole:
        loop = asyncio.get_running_loop()
        for n in range(3):
            future = loop.create_future()
            loop.call_later(0.01, future.set_result, n)
            assert await future == n
            await asyncio.sleep(0)
        return self.whole(b"waited")

    async def unusual(self) -> Whole:
        raise Unusual

    async def fails(self) -> Whole:
        future = asyncio.get_running_loop().create_future()
        future.get_loop().call_later(0.01, future.set_exception, OSError("gone"))
        await future
        raise AssertionError

    async def cancelled(self) -> Whole:
        future = asyncio.get_running_loop().create_future()
        future.get_loop().call_later(0.01, future.cancel)
        await future
        raise AssertionError

    async def tasks(self) -> Whole:
        async with asyncio.timeout(1):  # which needs a task
            await asyncio.sleep(0)
        raise AssertionError

    async def held(self) -> Whole:
        future = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        self.begun.set()
        return self.whole(await future)

    def release(self, value: Any) -> None:
        future = self.futures.pop()
        set_ = future.set_exception if isinstance(value, Exception) else future.set_result
        future.get_loop().call_soon_threadsafe(set_, value)


async def application(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    names = sorted(name.decode() for name, _ in scope["headers"])
    body = json.dumps([scope["path"], scope["method"], scope["query_string"].decode(), names]).encode()
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length, (b"x-long", b"1")]})
    await send({"type": "http.response.body", "body": body})


class Running:
    def __init__(self, folder: Path) -> None:
        self.maker, self.path = Maker(), str(folder / "s.sock")
        keys = folder / "keys.json"
        keys.write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
        quick = Quickly(Verifier(keys), self.maker)
        front = cast("type[asyncio.Protocol]", partial(Front, memory=Memory(), quick=quick))
        config = uvicorn.Config(
            application, uds=self.path, http=front,
            log_level="critical", lifespan="off", server_header=False, loop="uvloop", interface="asgi3",
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.tokens = {name: sign(WHO.model_copy(update={"subject": name}), KEY) for name in ("ann", "banned")}

    def request(
        self, path: str, *, subject: str = "ann", more: str = "", method: str = "GET", token: str = ""
    ) -> bytes:
        length = "content-length: 0\r\n" if method == "POST" else ""
        named = f"{HEADER.lower()}: {token or self.tokens[subject]}\r\n"
        return f"{method} {path} HTTP/1.1\r\nx-request-id: 0123456789\r\n{length}host: t\r\n{more}{named}\r\n".encode()

    def connect(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(10)
        made.connect(self.path)
        return made

    def holding(self) -> socket.socket:
        """A connection whose question is being answered, until the maker is let go on."""
        made = self.connect()
        ask(made, self.request("/atonce"))
        self.maker.begun.clear()
        made.sendall(self.request("/held"))
        assert self.maker.begun.wait(5)
        return made


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    made.thread.start()
    while not made.server.started:
        time.sleep(0.01)
    yield made
    made.server.should_exit = True
    made.thread.join(10)
    assert not made.thread.is_alive()


def answer(connection: socket.socket) -> bytes:
    said = b""
    while b"\r\n\r\n" not in said:
        piece = connection.recv(65536)
        assert piece
        said += piece
    length = int(said.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    end = said.index(b"\r\n\r\n") + 4
    while len(said) < end + length:
        said += connection.recv(65536)
    assert len(said) == end + length
    return said


def ask(connection: socket.socket, text: bytes) -> bytes:
    """The second time: what the first one was answered, the parser has read."""
    for _ in range(2):
        connection.sendall(text)
        said = answer(connection)
    return said


@pytest.mark.parametrize(("path", "body"), [("/atonce", b"at once"), ("/waits", b"waited"), ("/large", bytes(100_000))])
def test_what_is_answered(service: Running, path: str, body: bytes) -> None:
    connection = service.connect()
    for more, tongue in (("", "en"), ("accept-language: fr\r\n", "fr")):
        said = ask(connection, service.request(path, more=more))
        assert b"x-quick: 1" in said and said.endswith(b"\r\n\r\n" + body) and b"\r\ndate: " in said
        assert service.maker.asked[-1] == (path.encode(), "ann", tongue)
    assert b"x-long" in ask(connection, service.request("/other")), "and the connection serves on"
    connection.close()


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("/unusual", {}), ("/fails", {}), ("/cancelled", {}), ("/tasks", {}), ("/other", {}), ("/atonce?a=b", {}),
        ("/atonce?", {}), ("/atonce", {"method": "POST"}), ("/atonce", {"more": "if-none-match: *\r\n"}),
        ("/atonce", {"more": "x: 1\r\nx: 2\r\n"}), ("/atonce", {"subject": "banned"}), ("/atonce", {"token": "none"}),
    ],
)  # fmt: skip
def test_what_is_left_to_the_application(service: Running, path: str, how: dict[str, str]) -> None:
    connection = service.connect()
    for _ in range(2):
        said = ask(connection, service.request(path, **how))
        assert b"x-long: 1" in said and b"x-quick" not in said
        told = json.loads(said.partition(b"\r\n\r\n")[2])
        assert told[:2] == [path.partition("?")[0], how.get("method", "GET")]
    connection.close()


def test_a_token_that_ends(service: Running) -> None:
    token = sign(WHO, KEY, ends=int(time.time()) + 2)
    connection = service.connect()
    assert b"x-quick" in ask(connection, service.request("/atonce", token=token))
    time.sleep(2.1)
    assert b"x-long" in ask(connection, service.request("/atonce", token=token))
    connection.close()


@pytest.mark.parametrize("value", [b"late", OSError("gone")])
def test_who_left_gets_nothing_and_breaks_nothing(service: Running, value: Any) -> None:
    connection = service.holding()
    connection.close()
    time.sleep(0.1)
    service.maker.release(value)
    with contextlib.closing(service.connect()) as other:
        assert b"x-quick" in ask(other, service.request("/atonce"))


@pytest.mark.parametrize("value", [b"late", OSError("gone")])
def test_those_behind_wait_their_turn(service: Running, value: Any) -> None:
    connection = service.holding()
    connection.sendall(service.request("/other") + service.request("/other?n=2"))
    connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(10)
    service.maker.release(value)
    said = b""
    while said.count(b'["/') < (3 if isinstance(value, Exception) else 2) or not said.endswith(b"]"):
        said += connection.recv(65536)
    places = [said.index(b"late" if isinstance(value, bytes) else b'["/held"'), said.index(b'["/other", "GET", ""'),
              said.index(b'"n=2"')]  # fmt: skip
    assert places == sorted(places)
    assert b"x-quick" in ask(connection, service.request("/atonce"))
    connection.close()


@pytest.mark.parametrize("value", [b"late", OSError("gone")])
def test_a_stop_lets_it_end(service: Running, value: Any) -> None:
    connection = service.holding()
    service.server.should_exit = True
    time.sleep(0.5)
    service.maker.release(value)
    said = b""
    while piece := connection.recv(65536):
        said += piece
    assert b"connection: close" in said and said.endswith(b"late" if isinstance(value, bytes) else b"]")
    connection.close()
