"""The gateway's own connection to a service, beside a service that says whatever a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from bocage_gateway.line import Answer, BrokenLine
from bocage_gateway.upstream import Upstream
from bocage_kit.problems import Problem
from hypothesis import given, settings
from hypothesis import strategies as st

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Scripted:
    """Answers each request with the next of its scripts: pieces of bytes; it hangs up after one that ends in None."""

    def __init__(self, *scripts: Iterable[bytes | None]) -> None:
        self.scripts = [list(script) for script in scripts]
        self.connections = 0
        self.heard: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x[:15] == b"content-length:"), 0
                )
                self.heard.append(head + await reader.readexactly(length))
                script = self.scripts.pop(0)
                for piece in script:
                    if piece is None:
                        writer.close()
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def serving(script: Scripted) -> AsyncIterator[Upstream]:
    with tempfile.TemporaryDirectory(prefix="bocage-line-", dir="/tmp") as folder:
        place = Path(folder) / "s.sock"
        server = await asyncio.start_unix_server(script, place)
        upstream = Upstream("test", place, patience=0.2)
        try:
            yield upstream
        finally:
            await upstream.close()
            server.close()


async def whole(answer: Answer) -> bytes:
    pieces = []
    while not answer.at_eof():
        pieces.append(await answer.readany())
    answer.release()
    return b"".join(pieces)


async def get(upstream: Upstream, method: str = "GET", *, replayable: bool = True) -> Answer:
    return await upstream.at_once(method, b"/x?y=1", [(b"a", b"b")], b"", replayable=replayable)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work()

    asyncio.run(bounded())


@pytest.mark.parametrize(
    ("script", "status", "body"),
    [
        ([OK], 200, b"ok"),
        ([OK[:20], OK[20:-1], OK[-1:]], 200, b"ok"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + OK], 200, b"ok"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"], 200, b"ok"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
        ([b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"], 304, b""),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"], 200, b""),
        ([b"HTTP/1.1 200 OK\r\nx: y\r\n\r\no", b"k", None], 200, b"ok"),
    ],
)
def test_answers_end_where_they_say(script: list[bytes | None], status: int, body: bytes) -> None:
    async def work() -> None:
        service = Scripted(script, [OK])
        async with serving(service) as upstream:
            answer = await get(upstream)
            assert (answer.status, await whole(answer)) == (status, body)
            assert await whole(await get(upstream)) == b"ok"
            assert service.connections == (2 if script[-1] is None else 1), "a connection that ended well is used again"
            assert service.heard[0] == b"GET /x?y=1 HTTP/1.1\r\nhost: test\r\na: b\r\n\r\n"

    run(work)


@pytest.mark.parametrize(
    "script",
    [
        [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", None],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok", None],
    ],
)
def test_a_truncated_body_is_no_whole_one(script: list[bytes | None]) -> None:
    async def work() -> None:
        async with serving(Scripted(script)) as upstream:
            with pytest.raises(BrokenLine):
                await whole(await get(upstream))

    run(work)


@pytest.mark.parametrize(
    "script", [[None], [b"HTTP/1.1 200", None], [b"nonsense\r\n\r\n"], [b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000]]
)
def test_a_broken_answer_is_asked_for_again_only_when_that_does_no_harm(script: list[bytes | None]) -> None:
    async def work() -> None:
        service = Scripted(script, [OK])
        async with serving(service) as upstream:
            assert await whole(await get(upstream)) == b"ok"
        refused = Scripted(script, [OK])
        async with serving(refused) as upstream:
            with pytest.raises(BrokenLine):
                await get(upstream, "DELETE", replayable=False)
            assert len(refused.heard) == 1
        twice = Scripted(script, script, [OK])
        async with serving(twice) as upstream:
            with pytest.raises(BrokenLine):
                await get(upstream)

    run(work)


def test_nothing_that_comes_unasked_is_taken_for_an_answer() -> None:
    async def work() -> None:
        service = Scripted([OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"], [OK])
        async with serving(service) as upstream:
            assert await whole(await get(upstream)) == b"ok"
            assert await whole(await get(upstream)) == b"ok"
            assert service.connections == 2
        late = Scripted([OK, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"], [OK])
        async with serving(late) as upstream:
            assert await whole(await get(upstream)) == b"ok"
            await asyncio.sleep(0.1)
            assert await whole(await get(upstream)) == b"ok"
            assert late.connections == 2

    run(work)


def test_head_takes_no_body_and_leaves_none_behind() -> None:
    async def work() -> None:
        service = Scripted([b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"], [OK])
        async with serving(service) as upstream:
            answer = await get(upstream, "HEAD")
            assert dict(answer.raw_headers)[b"content-length"] == b"4" and await whole(answer) == b""
            assert await whole(await get(upstream)) == b"ok"

    run(work)


def test_who_leaves_half_way_leaves_no_connection_behind() -> None:
    async def work() -> None:
        service = Scripted([b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok"], [OK], [], [OK])
        async with serving(service) as upstream:
            (await get(upstream)).release()
            assert await whole(await get(upstream)) == b"ok" and service.connections == 2
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await get(upstream)
            assert await whole(await get(upstream)) == b"ok" and service.connections == 3

    run(work)


def test_a_slow_reader_holds_its_service_back() -> None:
    async def work() -> None:
        size = 20_000_000
        service = Scripted([b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size)], [OK])
        async with serving(service) as upstream:
            answer = await get(upstream)
            await asyncio.sleep(0.3)
            assert len(await answer.readany()) < 2_000_000, "what nobody takes stays with the service"
            taken = len(await whole(answer))
            assert size - 2_000_000 < taken < size
            assert await whole(await get(upstream)) == b"ok" and service.connections == 1

    run(work)


def test_a_service_that_is_away_is_waited_for_a_while() -> None:
    async def work() -> None:
        with tempfile.TemporaryDirectory(prefix="bocage-line-", dir="/tmp") as folder:
            upstream = Upstream("test", Path(folder) / "s.sock", patience=0.2)
            with pytest.raises(Problem) as refused:
                await get(upstream)
            assert refused.value.status == 503
            await upstream.close()

    run(work)


@settings(max_examples=30, deadline=None)
@given(body=st.binary(max_size=3000), cuts=st.lists(st.integers(0, 3100), max_size=6), chunked=st.booleans())
def test_an_answer_is_the_same_however_it_is_cut(body: bytes, cuts: list[int], chunked: bool) -> None:
    if chunked:
        text = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        text += b"".join(b"%x\r\n%b\r\n" % (len(x), x) for x in (body[:7], body[7:]) if x) + b"0\r\n\r\n"
    else:
        text = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    places = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    pieces = [text[a:b] for a, b in pairwise(places)]

    async def work() -> None:
        async with serving(Scripted(pieces)) as upstream:
            assert await whole(await get(upstream)) == body

    run(work)
