"""A connection to a gateway on which a test says each byte."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

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
