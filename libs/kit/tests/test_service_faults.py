"""A fault of one request must cost no other request its connection."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import pytest
import uvicorn
from bocage_kit.access import ANYONE
from bocage_kit.front import Front, Memory
from bocage_kit.identity import HEADER, Identity, new_key, sign
from bocage_kit.service import Fronted, equip
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    key = new_key()
    keys = tmp_path / "public-keys.json"
    keys.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    app = FastAPI()

    @app.get("/fault", dependencies=[Depends(ANYONE)])
    async def fault() -> None:
        raise RuntimeError("/a/secret/path")

    @app.get("/well", dependencies=[Depends(ANYONE)])
    async def well() -> dict[str, str]:
        return {}

    @app.get("/half", dependencies=[Depends(ANYONE)])
    async def half() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError

        return StreamingResponse(pieces(), headers={"content-length": "8"})

    async def health() -> dict[str, object]:
        return {"status": "ok"}

    equip(app, name="test", version="1", public_keys=keys, health=health)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield listener.getsockname()[1], {HEADER: sign(Identity(subject="somebody"), key)}
    running.should_exit = True
    thread.join(10)


def test_a_fault_is_told_as_a_problem_and_the_connection_goes_on(server: tuple[int, dict[str, str]]) -> None:
    port, headers = server
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/fault", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 500
    assert json.loads(body)["code"] == "internal-error"
    assert b"secret" not in body
    assert answer.getheader("connection") != "close"
    same = connection.sock
    connection.request("GET", "/well", headers=headers)
    assert connection.getresponse().status == 200
    assert connection.sock is same


def test_a_familiar_token_ends_when_it_says(tmp_path: Path) -> None:
    """The headers stay the same to the byte: who sent them is asked each time."""
    key = new_key()
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    app = Fronted()

    @app.get("/well", dependencies=[Depends(ANYONE)])
    async def well() -> dict[str, str]:
        return {}

    async def health() -> dict[str, object]:
        return {"status": "ok"}

    equip(app, name="test", version="1", public_keys=tmp_path / "keys.json", health=health)
    front = cast("type[asyncio.Protocol]", partial(Front, memory=(memory := Memory())))
    running = uvicorn.Server(uvicorn.Config(app, http=front, log_level="critical", lifespan="off"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    token = sign(Identity(subject="somebody"), key, ends=int(time.time()) + 3).encode()
    head = b"GET /well HTTP/1.1\r\nx-request-id: 0123456789\r\nhost: test\r\nbocage-identity: " + token + b"\r\n\r\n"
    statuses = []
    try:
        with socket.create_connection(listener.getsockname(), timeout=10) as connection:
            while not statuses or statuses[-1] == b"200":
                connection.sendall(head)
                statuses.append(connection.recv(65536).split(b" ")[1])
                time.sleep(0.1)
    finally:
        running.should_exit = True
        thread.join(10)
    assert statuses[-1] == b"401" and statuses.count(b"200") > 2 and len(memory.headers) == 1


def test_an_answer_that_breaks_off_is_seen_to(server: tuple[int, dict[str, str]]) -> None:
    port, headers = server
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/half", headers=headers)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        connection.getresponse().read()
