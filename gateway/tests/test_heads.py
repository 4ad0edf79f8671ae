"""Heads that are read and written by the names in them say what the general ways say."""

from __future__ import annotations

from typing import Any

import httptools
from bocage_gateway import headers
from bocage_gateway.line import Heads
from hypothesis import given
from hypothesis import strategies as st

_NAMES = st.sampled_from(
    [
        b"content-type", b"Content-Type", b"content-length", b"Content-Length", b"etag", b"date", b"server", b"link",
        b"cache-control", b"referrer-policy", b"x-content-type-options", b"x-accel-buffering", b"vary", b"x-request-id",
        b"access-control-allow-origin", b"bocage-charged-bytes", b"connection", b"x%b", b"x%%", b"keep-alive",
        b"transfer-encoding", b"bocage-identity", b"x y", b"", b"x:y",
    ]
)  # fmt: skip
_VALUES = st.one_of(
    st.sampled_from(
        [b"5", b"0", b"12", b"close", b"etag", b"private", b"%b", b"a: b", b"", b"chunked", b" 5", b"+5", b"x" * 99]
    ),
    st.binary(max_size=12).filter(lambda value: b"\r" not in value and b"\n" not in value),
)
_HEADS = st.lists(st.tuples(_NAMES, _VALUES), max_size=9)


@given(_HEADS, st.sampled_from([200, 201, 304, 404, 599]))
def test_written(said: list[tuple[bytes, bytes]], status: int) -> None:
    answered = [(name.lower(), value) for name, value in said if name and b" " not in name and b":" not in name]
    kept, charged = headers.charged(headers.to_client(answered))
    if sum(name == b"bocage-charged-bytes" for name, _ in answered) > 1:
        return  # nobody says it twice
    dressed = headers.dressed(kept, "0123456789", by_caller=True)
    head, size, framed = headers.rendered(status, answered, b"0123456789")
    first, *lines = head.split(b"\r\n")
    assert first.startswith(b"HTTP/1.1 %d" % status) and lines.pop() == b""
    assert sorted(lines) == sorted(b"%b: %b" % header for header in dressed)
    assert size == charged and framed == any(name == b"content-length" for name, _ in kept)


class Parsed:
    """What a parser of all of HTTP makes of a head."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.parser: Any = httptools.HttpResponseParser(self)
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True


@given(
    _HEADS,
    st.sampled_from(
        [b"200 OK", b"204 No Content", b"304 x", b"404 Not Found", b"200", b"99 x", b"200 \x01", b"1000 x"]
    ),
)
def test_read(said: list[tuple[bytes, bytes]], status: bytes) -> None:
    text = b"HTTP/1.1 " + status + b"\r\n" + b"".join(b"%b: %b\r\n" % header for header in said) + b"\r\n"
    heads = Heads()
    for _ in range(2):
        found = heads.read(text + b"12345")
        if found is None:
            continue
        code, read, length, begin = found
        parsed = Parsed(text)
        assert parsed.complete and begin == len(text) and code == parsed.parser.get_status_code()
        assert code not in (204, 304)
        assert [(name, value.strip(b" \t")) for name, value in read] == [
            (n, v.strip(b" \t")) for n, v in parsed.headers
        ]
        lengths = [value for name, value in parsed.headers if name == b"content-length"]
        assert len(lengths) == 1 and int(lengths[0]) == length
        assert not {b"transfer-encoding", b"connection"} & {name for name, _ in read}


def test_what_is_plain_is_read() -> None:
    heads = Heads()
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: a\tb\r\netag: \xe9\r\n\r\n"
    for _ in range(2):
        assert heads.read(text + b"hello") == (
            200, [(b"content-length", b"5"), (b"x", b"a\tb"), (b"etag", b"\xe9")], 5, len(text),
        )  # fmt: skip
        for end in range(len(text)):
            assert heads.read(text[:end]) is None
        assert heads.read(text.replace(b"x: a", b"x: a" + b"y" * 70_000)) is None
