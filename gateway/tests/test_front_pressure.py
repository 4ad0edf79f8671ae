"""The short way under those who ask without reading, send without end, or meet a service that breaks off."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

from gateway_wire import KEY, Wire, gotten, posted, wired


def test_rows_of_requests_whose_answers_nobody_reads_stay_out_of_memory(platform: Any) -> None:
    number, size = 3000, 60_000
    with wired(platform) as wire:
        before = platform.memory()
        sender = threading.Thread(
            target=wire.socket.sendall, args=(gotten(b"/tiles/stream?length=1&bytes=%d" % size) * number,), daemon=True
        )
        sender.start()
        time.sleep(1.5)
        assert platform.memory() - before < 30_000_000
        for _ in range(number):
            assert len(wire.hear().body) == size
        sender.join(10)
        assert wire.ask(gotten(b"/stac/echo?n=after")).swift


def test_a_body_that_drips_goes_the_long_way(platform: Any) -> None:
    text = posted(b"/stac/echo", b"0123456789" * 2)
    with wired(platform) as wire:
        wire.say(text[:-20])
        for place in range(-20, 0):
            time.sleep(0.04)
            wire.say(text[place : place + 1 or None])
        got = wire.hear()
        assert json.loads(got.body)["body"] == "0123456789" * 2 and not got.swift
        assert wire.ask(gotten(b"/stac/echo")).swift


class Breaking:
    """A service that answers, or hangs up when it is asked for `/break`, and remembers what it was asked."""

    def __init__(self, path: str) -> None:
        self.asked: list[bytes] = []
        self.hangs_up = False
        """Instead of an answer to any request but the first on a connection."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(50)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            first = True
            while head := connection.recv(65536):
                line = head.split(b" HTTP", 1)[0]
                self.asked.append(line)
                if line.endswith(b"/break") or (self.hangs_up and not first):
                    return
                first = False
                if line.endswith(b"/slow"):
                    time.sleep(0.5)
                body = json.dumps({"headers": [[head.split(b"\r\n")[1].split(b":")[0].decode(), ""]]}).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    def close(self) -> None:
        self._listener.close()


@contextlib.contextmanager
def breaking(platform: Any, service: str) -> Iterator[Breaking]:
    platform.stop(service)
    path = platform.socket_of(service)
    path.unlink(missing_ok=True)
    made = Breaking(str(path))
    try:
        yield made
    finally:
        made.close()


def test_what_breaks_off_is_asked_again_once_and_counted_once(own_platform: Any) -> None:
    platform = own_platform
    metered = KEY.replace(b"good.secret", b"metered.secret")
    with breaking(platform, "tiles") as service, wired(platform, metered) as wire:
        assert wire.ask(gotten(b"/tiles/echo", metered)).swift
        service.asked.clear()
        assert wire.ask(gotten(b"/tiles/break", metered)).status == 502
        assert service.asked == [b"GET /tiles/break"] * 2, "the first time and once again"
        while not wire.ask(gotten(b"/tiles/echo", metered)).swift:
            pass
        service.asked.clear()
        assert wire.ask(posted(b"/tiles/break", b"{}", metered)).status == 502
        assert service.asked == [b"POST /tiles/break"], "nobody knows what came of it"

        after = wire.ask(gotten(b"/stac/echo", metered))

    def left(header: str) -> int:
        return int(header.partition("r=")[2].partition(";")[0])

    total = 10_000 - left(after.header("ratelimit")[0])
    platform.wait_until(lambda: platform.control("rights")["counted"].get("metered") == total, 5)


def test_what_is_asked_again_goes_on_a_new_connection(own_platform: Any) -> None:
    """The others may have ended too."""
    platform = own_platform
    with breaking(platform, "tiles") as service, wired(platform) as wire, wired(platform) as other:
        # Two at once leave two connections, of which neither is good any more.
        other.say(gotten(b"/tiles/slow"))
        assert wire.ask(gotten(b"/tiles/echo")).status == 200
        assert other.hear().status == 200
        service.hangs_up = True
        for headers in (KEY, KEY + b"X-Unique: 1\r\n"):
            assert wire.ask(gotten(b"/tiles/echo", headers)).status == 200


def test_who_reads_slowly_leaves_no_deaf_connection_behind(platform: Any) -> None:
    with wired(platform) as slow:
        # Whatever the kernel holds of it: some of these end while their reader is behind.
        for size in range(2_600_000, 6_000_000, 300_000):
            slow.say(gotten(b"/tiles/stream?length=1&bytes=%d" % size))
            time.sleep(0.1)
            assert len(slow.hear().body) == size
            with contextlib.closing(Wire(platform.port)) as other:
                assert other.ask(gotten(b"/tiles/echo")).status == 200


def test_callers_who_break_off_are_no_errors(own_platform: Any) -> None:
    platform = own_platform
    with wired(platform) as wire:
        for number in range(150):
            rude = socket.create_connection(("127.0.0.1", platform.port))
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            once = b"X-Unique: %d\r\n" % number if number % 2 else b""
            rude.sendall(gotten(b"/tiles/stream?length=1&bytes=300000", KEY + once) * 3)
            if number % 3:
                rude.recv(1000)
            time.sleep(number % 7 / 500)
            rude.close()
        assert wire.ask(gotten(b"/tiles/echo")).status == 200
    errors = [line for line in platform.told().splitlines() if '"level": "error"' in line]
    assert errors == []


def test_who_leaves_a_row_of_requests_behind_ends_the_first_of_them(own_platform: Any) -> None:
    platform = own_platform
    once = b"X-Unique: row\r\nX-Request-Id: in-a-row-1\r\n"
    with wired(platform) as wire:
        wire.say(gotten(b"/tiles/drip?silent=1", KEY + once) + gotten(b"/stac/echo", KEY + once))
        platform.wait_until(lambda: platform.control("tiles")["dripping"] == 1)
        time.sleep(0.3)
    platform.wait_until(lambda: platform.control("tiles")["dripping"] == 0, 3)
