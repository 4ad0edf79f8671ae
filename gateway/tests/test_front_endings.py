"""The short way when something ends otherwise than it should: slow bodies, silence, deaths, departures and stops."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from bocage_gateway.app import create_app
from bocage_gateway.front import Front
from bocage_gateway.settings import GatewaySettings
from gateway_wire import Wire, gotten, post, posted, wired


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
