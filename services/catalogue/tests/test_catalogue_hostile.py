"""What is sent to harm: answered as a fault of the request, and nobody else notices."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from bocage_catalogue.turns import OF_ONE_CALLER

ITEMS = "/stac/collections/hostile/items"
JSON_PATCH = {"content-type": "application/json-patch+json"}


@pytest.fixture(scope="module", autouse=True)
def hostile(catalogue: Any) -> None:
    made = catalogue.collection("hostile", **{"bocage:audience": "public"})
    assert catalogue.researcher.post("/stac/collections", json=made).status_code == 201


@pytest.mark.parametrize("name", [[], {}, 5, None, True])
def test_ids_that_are_no_texts_are_refused_one_by_one(catalogue: Any, name: Any) -> None:
    sent = {"type": "FeatureCollection", "features": [{**catalogue.item("x"), "id": name}, catalogue.item("beside")]}
    assert catalogue.researcher.post(ITEMS, json=sent).status_code == 400
    partial = catalogue.researcher.post(f"{ITEMS}?mode=partial", json=sent)
    assert [result["status"] for result in partial.json()["results"]] == [400, 201], partial.text
    assert catalogue.researcher.delete(f"{ITEMS}/beside").status_code == 200


def test_a_time_before_all_calendars_is_refused_alone(catalogue: Any) -> None:
    old = {**catalogue.item("old"), "properties": {"datetime": "0000-01-01T00:00:00Z"}}
    sent = {"type": "FeatureCollection", "features": [old, catalogue.item("young")]}
    partial = catalogue.researcher.post(f"{ITEMS}?mode=partial", json=sent)
    assert (partial.status_code, [r["status"] for r in partial.json()["results"]]) == (207, [400, 201]), partial.text


@pytest.mark.parametrize("kind", ["日本", 'a"\r\nX-Evil: 1', "\u0001", "a" * 5000])
def test_types_of_links_that_no_header_can_hold(catalogue: Any, kind: str) -> None:
    name = f"linked-{len(kind)}-{ord(kind[0])}"
    links = [{"rel": "alternate", "href": "https://example.org/x", "type": kind, "hreflang": kind}]
    made = catalogue.collection(name, links=links, **{"bocage:audience": "public"})
    assert catalogue.researcher.post("/stac/collections", json=made).status_code == 201
    answer = catalogue.anonymous.get(f"/stac/collections/{name}")
    assert answer.status_code == 200
    assert answer.json()["links"][-1]["type"] == kind
    assert "x-evil" not in answer.headers
    assert '<https://example.org/x>; rel="alternate"' in answer.headers["link"]


def test_a_patch_that_doubles_an_item_again_and_again_is_refused(catalogue: Any) -> None:
    assert catalogue.researcher.post(ITEMS, json=catalogue.item("small", text="x" * 100)).status_code == 201
    for count in (30, 1001):
        bomb = [{"op": "copy", "from": "/properties", "path": f"/properties/c{n}"} for n in range(count)]
        refused = catalogue.researcher.patch(f"{ITEMS}/small", json=bomb, headers=JSON_PATCH)
        assert refused.status_code == 400, refused.text
        assert " at most " in refused.json()["detail"]
    fine = [{"op": "copy", "from": "/properties/text", "path": "/properties/again"}]
    assert catalogue.researcher.patch(f"{ITEMS}/small", json=fine, headers=JSON_PATCH).status_code == 200


def test_a_patch_that_nests_an_item_without_end_is_refused(catalogue: Any) -> None:
    assert catalogue.researcher.post(ITEMS, json=catalogue.item("flat", x={})).status_code == 201
    inwards = [
        {"op": "add", "path": "/properties/y", "value": {}},
        {"op": "move", "from": "/properties/x", "path": "/properties/y/x"},
        {"op": "move", "from": "/properties/y", "path": "/properties/x"},
    ] * 320
    for last in ("copy", "move"):
        nested = [*inwards, {"op": last, "from": "/properties/x", "path": "/properties/z"}]
        assert catalogue.researcher.patch(f"{ITEMS}/flat", json=nested, headers=JSON_PATCH).status_code == 400


def test_items_have_a_size_that_a_page_of_them_fits_into_memory(catalogue: Any) -> None:
    refused = catalogue.researcher.post(ITEMS, json=catalogue.item("vast", text="x" * 2 * 1024 * 1024))
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid-object")


def test_fields_without_end_are_refused(catalogue: Any) -> None:
    names = [f"properties.a{n}" for n in range(201)]
    for fields in ({"include": names}, {"exclude": names}, {"include": ["a." * 300]}):
        refused = catalogue.anonymous.post("/stac/search", json={"fields": fields})
        assert refused.status_code == 400, refused.text
    assert catalogue.anonymous.get("/stac/search", params={"fields": ",".join(names)}).status_code == 400


@pytest.mark.parametrize("opening", ["(", "(a=1 or ", "a in (", "casei(", "(NOT ("])
def test_parentheses_that_double_the_parsers_time_are_refused(catalogue: Any, opening: str) -> None:
    refused = catalogue.anonymous.get("/stac/search", params={"filter": opening * 24})
    assert refused.status_code == 400
    assert "send it as CQL2 JSON" in refused.json()["detail"], refused.text
    deep = "(" * 10 + "id = 'x'" + ")" * 10
    assert catalogue.anonymous.get("/stac/search", params={"filter": deep}).status_code == 200


def test_who_asks_many_slow_searches_waits_for_them_alone(catalogue: Any, module_database: Any) -> None:
    """A lock makes searches as slow as can be; more of them than there are connections."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(12))
        held = stack.enter_context(psycopg.connect(module_database.admin_url))
        held.execute("lock table catalogue.finished_item in access exclusive mode")
        slow = [pool.submit(catalogue.anonymous.get, "/stac/search", timeout=60) for _ in range(12)]
        deadline = time.monotonic() + 20
        waiting = "select count(*) from pg_locks where not granted and relation = 'catalogue.finished_item'::regclass"
        while held.execute(waiting).fetchone()[0] < OF_ONE_CALLER:  # type: ignore[index]
            assert time.monotonic() < deadline
        assert catalogue.researcher.get("/stac/collections/hostile").status_code == 200
        assert held.execute(waiting).fetchone()[0] <= OF_ONE_CALLER + 2  # type: ignore[index] - and the workers behind
        held.rollback()
        assert {answer.result().status_code for answer in slow} == {200}
        assert catalogue.anonymous.get("/stac/search").status_code == 200


def test_what_a_page_gives_as_the_next_the_next_page_takes(catalogue: Any) -> None:
    """Texts of many bytes, in as many keys as there may be."""
    names = {f"long:{'é' * 150}{n}": "\u0001😀" * 100 for n in range(8)}
    for name in ("last", "first"):
        assert catalogue.researcher.post(ITEMS, json=catalogue.item(f"long-{name}", **names)).status_code == 201
    order = [{"field": name, "direction": "asc"} for name in names]
    body = {"ids": ["long-first", "long-last"], "limit": 1, "sortby": order}
    page = catalogue.anonymous.post("/stac/search", json=body).json()
    following = next(link["body"] for link in page["links"] if link["rel"] == "next")
    second = catalogue.anonymous.post("/stac/search", json=following)
    assert second.status_code == 200, second.text
    assert [one["id"] for one in second.json()["features"]] == ["long-last"]
