"""What is remembered of headers, and which first lines are plain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from bocage_gateway.exchange import Exchange
from bocage_gateway.familiar import Familiar, Manner, Target
from bocage_gateway.headers import Headers
from bocage_gateway.metering import Metering
from bocage_gateway.routes import ROUTES, check_path, route_of
from bocage_gateway.upstream import Upstream
from bocage_kit.urls import PublicAddress
from hypothesis import given, settings
from hypothesis import strategies as st


def with_familiar(work: Callable[[Familiar], None], address: PublicAddress | None = None) -> None:
    async def run() -> None:
        rights = Upstream("rights", Path("/nonexistent/rights.sock"), 0.1)
        try:
            exchange = Exchange(rights, Metering(rights))
            work(Familiar(exchange, address or PublicAddress(), bearers_taken=False))
        finally:
            await rights.close()

    asyncio.run(run())


def text(headers: Headers, line: bytes = b"GET /stac HTTP/1.1") -> bytes:
    return line + b"\r\n" + b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n"


def learnt(familiar: Familiar, headers: Headers, peer: str = "192.0.2.1") -> Manner | None:
    target = familiar.target(text(headers), peer)
    assert target is not None
    familiar.learn(target.key, headers, "http")
    return familiar.manner(target)


def test_the_same_headers_mean_what_their_sender_may_say() -> None:
    said = [(b"host", b"localhost"), (b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-host", b"data.example.org")]

    def work(familiar: Familiar) -> None:
        by_proxy = learnt(familiar, said, "10.0.0.1")
        assert by_proxy is not None and by_proxy.address == "192.0.2.7"
        target = familiar.target(text(said), "203.0.113.5")
        assert target is not None and familiar.manner(target) is None, "another sender is another matter"
        by_stranger = learnt(familiar, said, "203.0.113.5")
        assert by_stranger is not None and by_stranger.address == "203.0.113.5"
        assert by_proxy.credential != by_stranger.credential, "they have different public bases"

    with_familiar(work, PublicAddress(trusted_proxies=("10.0.0.0/8",)))


def test_secrets_are_not_kept() -> None:
    def work(familiar: Familiar) -> None:
        manner = learnt(familiar, [(b"host", b"localhost"), (b"x-api-key", b"id.verysecret"), (b"x-kept", b"1")])
        assert manner is not None and manner.forwarded == b"x-kept: 1\r\n"
        assert b"verysecret" not in repr(vars(familiar)).encode()

    with_familiar(work)


def test_what_is_not_remembered() -> None:
    host = (b"host", b"localhost")

    def work(familiar: Familiar) -> None:
        assert learnt(familiar, [host]) is not None
        for headers in (
            [(b"x", b"1")],
            [host, host],
            [(b"host", b"evil.example")],
            [host, (b"x-request-id", b"0123456789")],
            [host, (b"expect", b"100-continue")],
            [host, (b"transfer-encoding", b"chunked")],
            [host, (b"content-length", b"4")],
            [host, (b"upgrade", b"h2c")],
            [host, (b"authorization", b"Bearer a.b.c")],
            [host, (b"x-api-key", b"a.b"), (b"x-api-key", b"c.d")],
            [host, (b"x-long", b"x" * 5000)],
        ):
            assert learnt(familiar, headers) is None, headers

    with_familiar(work)


def test_memory_is_bounded() -> None:
    def work(familiar: Familiar) -> None:
        for number in range(10_000):
            assert learnt(familiar, [(b"host", b"localhost"), (b"x-number", b"%d" % number)]) is not None
        assert len(familiar._manners) <= 4096

    with_familiar(work)


@settings(max_examples=400, deadline=None)
@given(path=st.text("/.a%?#\\;2eE&= \t\x00é", max_size=12), first=st.sampled_from(sorted(ROUTES)))
def test_a_plain_target_is_what_the_door_lets_in(path: str, first: str) -> None:
    """Both read the same path and the same service from it, and nothing is refused that was taken."""
    asked = f"/{first}{path}".encode("latin1", "replace")
    found: list[Target | None] = []
    with_familiar(lambda familiar: found.append(familiar.target(text([], b"GET " + asked + b" HTTP/1.1"), None)))
    target = found[0]
    if target is not None:
        check_path(target.path)
        assert route_of(target.path) is ROUTES[target.first.decode()]
        assert asked == target.path + (b"?" + target.query if b"?" in asked else b"")
