"""Limits as pure windows: exact over a rolling minute, right over calendar periods, readable by standard."""

from __future__ import annotations

import ipaddress
import time
from datetime import UTC, datetime

from bocage_gateway.limits import CALENDAR, Check, Holder, Period, Policy, Window, bounds, policy_header
from bocage_gateway.metering import Meter, collection_of
from bocage_kit.urls import PublicAddress
from hypothesis import given
from hypothesis import strategies as st


def at(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


def test_calendar_periods_are_those_of_utc() -> None:
    now = at(2026, 12, 31, 23, 59, 59)
    assert bounds("day", now) == (at(2026, 12, 31), at(2027, 1, 1))
    assert bounds("month", now) == (at(2026, 12, 1), at(2027, 1, 1))
    assert bounds("quarter", now) == (at(2026, 10, 1), at(2027, 1, 1))
    assert bounds("quarter", at(2024, 2, 29)) == (at(2024, 1, 1), at(2024, 4, 1))


@given(gaps=st.lists(st.floats(0, 40), min_size=1, max_size=120), limit=st.integers(1, 8))
def test_no_sixty_seconds_hold_more_than_the_limit(gaps: list[float], limit: int) -> None:
    """Whoever waits for `t` finds room, and no window of a minute is ever overfull."""
    now, window, passed = 1000.25, Window(1000.25), list[float]()
    for gap in gaps:
        now += gap
        window.advance(now)
        if window.used("minute", now) >= limit:
            now += window.ends("minute", now)
            window.advance(now)
            assert window.used("minute", now) < limit
        window.add(1)
        passed.append(now)
    for one in passed:
        assert sum(one - 60 < other <= one for other in passed) <= limit


def test_counts_of_other_gateways_come_with_a_flush() -> None:
    now = at(2026, 5, 4, 12)
    window = Window(now)
    window.add(3)
    window.begin_flush()
    window.add(2)  # while the flush is on its way
    window.confirm({"minute": 10, "day": 50, "month": 70}, now)
    assert window.used("minute", now) == 12
    assert window.used("day", now) == 52
    assert window.used("month", now) == 72
    tomorrow = at(2026, 5, 5, 0, 0, 1)
    window.advance(tomorrow)
    assert window.used("day", tomorrow) == 2, "a new day begins with what is not handed over yet"


def test_who_is_refused_for_what_others_took_is_let_in_again() -> None:
    """Refused requests are not counted, so that no flush tells of the others: their minute ends all the same."""
    now = at(2026, 5, 4, 12)
    window = Window(now)
    window.add(1)
    window.begin_flush()
    window.confirm({"minute": 15}, now + 1)
    assert window.used("minute", now + 1) == 15
    wait = window.ends("minute", now + 1)
    assert 60 <= wait <= 62
    window.advance(now + 30)
    assert window.used("minute", now + 30) == 15
    window.advance(now + 1 + wait)
    assert window.used("minute", now + 1 + wait) == 0


def test_what_is_counted_here_alone_ends_with_its_period() -> None:
    now = at(2026, 1, 31, 23, 59)
    window = Window(now)
    assert window.used("month", now) == 0
    for _ in range(3):
        window.add(2)
        window.keep(now)
    assert window.used("month", now) == 6
    february = at(2026, 2, 1, 0, 0, 1)
    assert window.used("month", february) == 0
    window.add(1)
    window.keep(february)
    assert window.used("month", february) == 1


def test_collections_in_paths() -> None:
    assert collection_of(b"/assets/c/i/a") == "c"
    assert collection_of(b"/stac/collections/c/items/i") == "c"
    assert collection_of(b"/tiles/collections/c/items/i/tiles/WebMercatorQuad/1/0/0.png") == "c"
    assert collection_of(b"/stac/search") is None
    assert collection_of(b"/rights/me") is None


def test_whose_address_is_counted() -> None:
    told = [(b"x-forwarded-for", b"6.6.6.6, 192.0.2.7, 10.0.0.2")]
    assert PublicAddress().caller(told, "10.0.0.1") == "10.0.0.1", "nobody is believed by default"
    behind = PublicAddress(trusted_proxies=("10.0.0.0/8",))
    assert behind.caller(told, "10.0.0.1") == "192.0.2.7", "what a caller writes itself does not count"
    assert behind.caller(told, "203.0.113.5") == "203.0.113.5"
    standard = [(b"forwarded", b'for="[2001:db8::1]:4711";proto=https, for=10.0.0.9')]
    assert behind.caller(standard, "10.0.0.1") == "2001:db8::/64"
    assert behind.caller([], "10.0.0.1") == "10.0.0.1"


def test_a_caller_behind_a_proxy_chooses_no_address() -> None:
    """The proxy writes X-Forwarded-For and passes on a Forwarded that it knows nothing of."""
    behind = PublicAddress(trusted_proxies=("10.0.0.0/8",))
    by_proxy = (b"x-forwarded-for", b"192.0.2.7")
    for forged in (b"for=6.6.6.6", b'for="[2001:db8::1]"', b"for=unknown;by=_x"):
        assert behind.caller([(b"forwarded", forged), by_proxy], "10.0.0.1") == "10.0.0.1"
    assert behind.caller([(b"forwarded", b"for=192.0.2.7"), by_proxy], "10.0.0.1") == "192.0.2.7"
    assert behind.caller([(b"x-forwarded-for", b"6.6.6.6"), by_proxy], "10.0.0.1") == "192.0.2.7"


@given(bits=st.integers(0, 2**64 - 1))
def test_a_subscriber_of_version_six_has_one_address(bits: int) -> None:
    told = str(ipaddress.IPv6Address((0x20010DB8 << 96) + bits))
    assert PublicAddress().caller([], told) == "2001:db8::/64"
    assert PublicAddress().caller([], "::ffff:192.0.2.7") == "192.0.2.7"


def test_the_policy_reads_as_the_standard_says() -> None:
    told = policy_header([Policy("requests-minute", "person", "requests", "minute", 10)])
    assert told == b'"requests-minute";q=10;w=60;qu="requests"'


def test_a_request_under_way_is_not_forgotten_by_a_flush() -> None:
    window = Window(1000.0)
    window.learn({"day": 0}, 1000.0)
    window.add(1)
    window.open = 1
    window.begin_flush()
    window.confirm({"minute": 0, "day": 0}, 1000.5)
    assert window.used("day", 1000.5) == 1
    window.open = 0
    window.begin_flush()
    window.confirm({"minute": 1, "day": 1}, 1001.0)
    assert window.used("day", 1001.0) == 1 == window.used("minute", 1001.0)


_STEPS = st.one_of(
    st.tuples(st.just("wait"), st.floats(0, 40)),
    st.tuples(st.sampled_from(("add", "flush", "keep", "learn")), st.integers(0, 9)),
    st.tuples(st.just("back"), st.just(0)),
)


@given(steps=st.lists(_STEPS, max_size=60), period=st.sampled_from(("minute", *CALENDAR)))
def test_what_is_added_up_is_what_is_worked_out(steps: list[tuple[str, float]], period: Period) -> None:
    """A check that remembers what was left says at any time what the window says."""
    now = at(2026, 3, 31, 23, 58)
    window = Window(now)
    check = Check(Policy("name", "person", "requests", period, 20), window)
    for what, amount in steps:
        match what:
            case "wait":
                now += amount
                window.advance(now)
            case "add":
                window.add(int(amount))
            case "back":
                window.add(1)
                window.add(-1)
            case "flush":
                window.begin_flush()
                window.confirm({"minute": int(amount), "day": int(amount)}, now)
            case "keep":
                window.keep(now)
            case _:
                window.learn({"month": int(amount)}, now)
        assert check.left(now) == 20 - window.used(period, now)
        told = check.told(now)
        assert told.startswith(b'"name";r=%d;t=' % max(0, 20 - window.used(period, now)))
        assert 0 <= int(told.rpartition(b"=")[2]) - window.ends(period, now) <= 1, "never too early"


def test_a_request_that_is_taken_back_was_never_counted() -> None:
    limits = [(Policy("a", "person", "requests", "minute", 5), Holder(time.time()))]
    meter = Meter({"person": "p"}, limits, shared=True)
    meter.begin()
    meter.take_back()
    window = limits[0][1].requests
    assert (window.minute, window.open) == (0, 0) and b'"a";r=5;' in meter.header(time.time())
    window.begin_flush()
    window.confirm({}, time.time())
    assert window.used("day", time.time()) == 0
