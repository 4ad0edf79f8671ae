"""Harvests of servers that fail, lose, repeat or say what is no catalogue."""

from __future__ import annotations

import http.server
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import harvest_sources as sources
import pytest
from bocage_client import harvest_http
from harvest_sources import Served, content, counts, plain, status, told

if TYPE_CHECKING:
    from conftest import Done, Stub

    Bocage = Callable[..., Done]

Serve = Callable[..., Served]


def drop(handler: http.server.BaseHTTPRequestHandler) -> bool:
    handler.close_connection = True
    return True


def test_a_source_with_faults(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    source = serve(sources.stac(), **plain(100, most=20))
    source.faults = [
        None, status(503), None, status(429, Retry_After="1"), None, content(b'{"features": [', 5000), None, drop,
        content(b"<html>"), None, status(500),
    ]  # fmt: skip
    started = time.monotonic()
    done = told(bocage("harvest", source.url, "--json"))
    assert counts(done) == {"new": 100} and not source.faults and source.most_at_once == 1
    assert time.monotonic() - started >= 1, "it waits as long as it is asked to"
    assert done["problems"] == []


def test_a_source_that_stays_away(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    source = serve(sources.stac(), **plain(100, most=20))
    source.faults = [None, None, None, None, *[status(503)] * 50]
    broken = told(bocage("harvest", source.url, "--patience", "1", "--json"), code=5)
    assert broken["problems"][0]["code"] == "source-busy" and not broken["collections"]["plain"]["complete"]
    there = len(stub.items)
    assert 0 < there < 100
    source.faults, source.seen = [], []
    done = bocage("harvest", source.url, "--json")
    assert "Going on" in done.err
    assert counts(told(done)) == {"new": 100 - there, "before": there}
    assert all("token=" in x["url"] for x in source.searches()), "from where it was"
    assert counts(told(bocage("harvest", source.url, "--json"))) == {"unchanged": 100}, "and then as ever"
    nobody = bocage("harvest", "http://127.0.0.1:9", "--patience", "0", "--json")
    assert nobody.code == 5 and json.loads(nobody.out)["code"] == "source-unreachable"


def test_a_platform_that_is_busy_or_loses_answers(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    source = serve(sources.stac(), **plain(100, most=50))
    stub.unavailable, stub.lose_bulk_answers = 2, 1
    assert counts(told(bocage("harvest", source.url, "--json"))) == {"new": 100}, "what was written once is new"
    assert len(stub.items) == 100
    stub.items["plain", "item-0003"]["properties"]["bocage:harvested"]["digest"] = "another"
    stub.unavailable = 10_000
    away = bocage("harvest", source.url, "--json")
    assert away.code == 5
    stub.unavailable = 0
    assert counts(told(bocage("harvest", source.url, "--json"))) == {"changed": 1, "unchanged": 99}


def test_retry_after_is_bounded(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    source = serve(sources.stac(), **plain(1))
    source.faults = [status(429, Retry_After="86400")]
    started = time.monotonic()
    done = bocage("harvest", source.url, "--json")
    assert done.code == 5 and "86400 s" in done.err
    assert time.monotonic() - started < 60
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert harvest_http.asked_pause("Thu, 01 Jan 2026 00:00:30 GMT", now) == 30
    assert [harvest_http.asked_pause(x, now) for x in (None, "soon", "-5", "2.5")] == [0, 0, 0, 2.5]


def test_odd_records_are_left_out_and_told(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    odd: list[Any] = [
        None, "x", sources.plain_item(1) | {"geometry": None}, sources.plain_item(2) | {"id": "a/b"},
        sources.plain_item(3, "another"), sources.plain_item(4, value=float("nan")), sources.plain_item(5, bad=True),
        sources.plain_item(6, text="\ud800"), sources.plain_item(7, text="x" * 3_000_000),
        sources.plain_item(8) | {"stac_version": "0.6.0"},
    ]  # fmt: skip
    held = plain(1)
    held["items"]["plain"] += odd
    held["collections"] += [{"id": "not/ours"}, "x"]
    source = serve(sources.stac(), **held)
    done = told(bocage("harvest", source.url, "--json"))
    assert counts(done) == {"new": 1, "skipped": 10}
    rules = {rule: x["count"] for rule, x in done["skipped"].items()}
    assert rules == {
        "not-an-object": 3, "no-geometry": 1, "id": 2, "other-collection": 1, "not-json": 2, "invalid-object": 1,
        "too-large": 1, "stac-version": 1,
    }  # fmt: skip
    assert done["skipped"]["invalid-object"]["examples"][0]["errors"] == [
        {"field": "properties.bad", "reason": "it is bad"}
    ]
    text = bocage("harvest", source.url)
    assert text.code == 0 and "Skipped: no-geometry, 1:" in text.out and "plain/item-0001" in text.out


@pytest.mark.parametrize("away", ["redirect", "next"])
def test_a_key_does_not_leave_its_source(
    stub: Stub, bocage: Bocage, serve: Serve, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    monkeypatch.setenv("BOCAGE_SOURCE_KEY", "own")
    other = serve(sources.stac(), **plain(30))
    source = serve(sources.stac(), **plain(30), key="own")
    elsewhere = f"{other.url}/search?collections=plain&limit=100"
    link = json.dumps({"features": [], "links": [{"rel": "next", "href": elsewhere, "headers": {"Cookie": "a"}}]})
    fault = status(307, Location=elsewhere) if away == "redirect" else content(link.encode())
    source.faults = [None, None, None, fault]
    assert told(bocage("harvest", source.url, "--json"))["items"]["new"] == 30
    assert {x.get("x-api-key") for x in source.headers} == {"own"}
    assert other.headers and all("x-api-key" not in x and "cookie" not in x for x in other.headers)


def test_a_source_that_turns_in_circles(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    source = serve(sources.stac(), **plain(3))
    circle = {"features": [sources.plain_item(1)], "links": [{"rel": "next", "href": "/search?page=2"}]}
    source.faults = [None, None, None, *[content(json.dumps(circle).encode())] * 5]
    done = told(bocage("harvest", source.url, "--json"), code=1)
    assert done["problems"][0]["code"] == "source-repeats"


def test_what_is_no_catalogue(stub: Stub, bocage: Bocage, serve: Serve) -> None:
    source = serve(sources.stac(), **plain(1))
    for landing, code in (({}, "not-a-catalogue"), ({"type": "FeatureCollection", "features": []}, "not-a-catalogue")):
        source.faults = [content(json.dumps(landing).encode()), status(404)]
        done = bocage("harvest", source.url, "--json")
        assert done.code == 1 and json.loads(done.out)["code"] == code
    for arguments in (
        ["ftp://a.org"], ["http://a:x"], ["http://user:word@a.org"], [stub.url], [source.url, "--kind", "wfs"],
        [source.url, "--since", "yesterday"], [source.url, "--audience", "all"], [source.url, "--licence", "free"],
        [source.url, "--bbox", "1,2"], [source.url, "--prune", "--since", "last"],
        [source.url, "--into", "x", "--collection", "a", "--collection", "b"],
    ):  # fmt: skip
        assert bocage("harvest", *arguments, "--json").code == 2, arguments
    assert not stub.items and not stub.collections
