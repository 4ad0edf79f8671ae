"""What a search that names nothing leaves out, and what finds it all the same: searches, counts, sums, exports."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from bocage_catalogue.conditions import Part, Search
from bocage_catalogue.default_search import left_out, names_something, narrowed
from bocage_catalogue.visibility import CollectionRow
from hypothesis import given
from hypothesis import strategies as st
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

VERSION = "https://stac-extensions.github.io/version/v1.2.0/schema.json"
PUBLIC = {"bocage:audience": "public"}


def a_collection(catalogue: Any, name: str, **members: Any) -> None:
    made = catalogue.collection(name, **PUBLIC, **members)
    catalogue.researcher.post("/stac/collections", json=made).raise_for_status()


def an_item(catalogue: Any, holder: str, name: str, **properties: Any) -> None:
    made = catalogue.item(name, **{"title": f"Granary {name}", **properties})
    catalogue.researcher.post(f"/stac/collections/{holder}/items", json=made).raise_for_status()


@pytest.fixture(scope="module", autouse=True)
def loaded(catalogue: Any) -> None:
    about = {"themes": [{"scheme": "vocabulary/variables", "concepts": [{"id": "albedo"}]}]}
    a_collection(catalogue, "now", **about)
    a_collection(catalogue, "before", deprecated=True, version="1", stac_extensions=[VERSION], **about)
    a_collection(catalogue, "people", **about, **{"bocage:records": True})
    for holder in ("now", "before", "people"):
        an_item(catalogue, holder, f"of-{holder}", **{"only:here": holder} if holder == "people" else {})


def found(client: httpx.Client, **body: Any) -> set[str]:
    """The same by POST, by GET, by export, counted, and summed."""
    page = client.post("/stac/search", json=body).raise_for_status().json()
    names = {feature["id"] for feature in page["features"]}
    assert page["numberMatched"] == len(names)
    lines = client.post("/stac/export", json=body).raise_for_status().text.splitlines()
    assert {json.loads(line)["id"] for line in lines} == names
    wanted = {"aggregations": ["total_count", "collection_frequency", "datetime_min"]}
    told = client.post("/stac/aggregate", json=body | wanted).raise_for_status().json()["aggregations"]
    assert told[0]["value"] == len(names)
    assert sum(bucket["frequency"] for bucket in told[1]["buckets"]) == len(names)
    return names


def test_a_search_that_names_nothing_finds_what_is_current(catalogue: Any) -> None:
    assert found(catalogue.anonymous) == {"of-now"}
    assert found(catalogue.anonymous, bbox=[0, 40, 10, 50]) == {"of-now"}
    assert found(catalogue.administrator, datetime="2024-01-01T00:00:00Z/..") == {"of-now"}
    # The same through the shortest way in, which passes the routes by.
    features = catalogue.anonymous.get("/stac/search?limit=5").json()["features"]
    assert [feature["id"] for feature in features] == ["of-now"]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"collections": ["before", "people"]}, {"of-before", "of-people"}),
        ({"ids": ["of-before", "of-now"]}, {"of-before", "of-now"}),
        ({"q": "granary"}, {"of-now", "of-before", "of-people"}),
        ({"filter": {"op": "=", "args": [{"property": "collection"}, "people"]}}, {"of-people"}),
        ({"query": {"id": {"eq": "of-before"}}}, {"of-before"}),
        ({"collections": []}, set()),
        ({"filter": "collection IS NOT NULL", "filter-lang": "cql2-text"}, {"of-now", "of-before", "of-people"}),
    ],
)
def test_what_is_named_is_found(catalogue: Any, body: dict[str, Any], names: set[str]) -> None:
    assert found(catalogue.anonymous, **body) == names


@pytest.mark.parametrize(
    "body",
    [
        {"variable": "albedo"},
        {"variable": ["albedo", "lai"], "bbox": [0, 40, 10, 50]},
        {"filter": {"op": "=", "args": [{"property": "variable"}, "albedo"]}},
    ],
)
def test_a_subject_names_nothing_though_it_becomes_a_condition_on_collections(
    catalogue: Any, body: dict[str, Any]
) -> None:
    assert found(catalogue.anonymous, **body) == {"of-now"}
    assert found(catalogue.anonymous, **body, collections=["people"]) == {"of-people"}


def test_another_condition_names_nothing(catalogue: Any) -> None:
    """Also when only what is left out has the property: it is known, and nothing is found."""
    condition = {"op": "=", "args": [{"property": "only:here"}, "people"]}
    assert found(catalogue.anonymous, filter=condition) == set()
    assert found(catalogue.anonymous, filter=condition, collections=["people"]) == {"of-people"}


def test_out_of_date_items_leave_and_come_back(catalogue: Any) -> None:
    item = "/stac/collections/now/items/old"
    an_item(catalogue, "now", "old", deprecated=True)
    condition = {"op": "=", "args": [{"property": "deprecated"}, True]}
    assert found(catalogue.anonymous) == {"of-now"}
    assert found(catalogue.anonymous, collections=["now"]) == {"of-now", "old"}
    assert found(catalogue.anonymous, filter=condition) == {"old"}
    explained = catalogue.anonymous.get("/stac/search?explain=true").json()["bocage:explain"]["steps"]
    assert [(step["clause"], step["items"]) for step in explained] == [("visible", 2), ("deprecated", 1)]
    catalogue.researcher.patch(item, json={"properties": {"deprecated": False}}).raise_for_status()
    assert found(catalogue.anonymous) == {"of-now", "old"}
    catalogue.researcher.patch(item, json={"properties": {"deprecated": True}}).raise_for_status()
    assert found(catalogue.anonymous) == {"of-now"}
    catalogue.researcher.delete(item).raise_for_status()
    an_item(catalogue, "now", "old")
    assert found(catalogue.anonymous) == {"of-now", "old"}
    catalogue.researcher.delete(item).raise_for_status()


@pytest.mark.parametrize("method", [Methods.insert, Methods.upsert, Methods.delsert])
def test_what_is_loaded_past_the_api_too(catalogue: Any, module_database: Any, method: Methods) -> None:
    name = f"loaded-{method.value}"
    made = catalogue.item(name, deprecated=True) | {"collection": "now"}
    with PgstacDB(dsn=module_database.admin_url) as db:
        Loader(db).load_items(iter([made]), method)
    assert name not in found(catalogue.anonymous)
    assert name in found(catalogue.anonymous, collections=["now"])
    catalogue.administrator.delete(f"/stac/collections/now/items/{name}").raise_for_status()


def test_a_collection_can_be_set_apart_later(catalogue: Any) -> None:
    own = "/stac/collections/now"
    catalogue.researcher.patch(own, json={"bocage:records": True}).raise_for_status()
    assert found(catalogue.anonymous) == set()
    catalogue.researcher.patch(own, json={"bocage:records": None}).raise_for_status()
    assert found(catalogue.anonymous) == {"of-now"}


def test_collections_that_are_out_of_date_come_last(catalogue: Any) -> None:
    told = catalogue.anonymous.get("/stac/collections").json()
    assert [one["id"] for one in told["collections"]] == ["now", "people", "before"]
    assert told["numberMatched"] == 3
    by_words = catalogue.anonymous.get("/stac/collections?q=scenes").json()
    assert [one["id"] for one in by_words["collections"]] == ["now", "people", "before"]
    sorted_ = catalogue.anonymous.get("/stac/collections?sortby=id").json()
    assert [one["id"] for one in sorted_["collections"]] == ["before", "now", "people"]


NAMES = st.sampled_from(["a", "b", "c"])
ROWS = st.dictionaries(
    NAMES,
    st.builds(
        CollectionRow, st.none(), st.just({}), st.booleans(), apart=st.booleans(), deprecated_items=st.booleans()
    ),
)
SEARCHES = st.builds(
    Search,
    collections=st.none() | st.lists(NAMES).map(tuple),
    ids=st.none() | st.lists(NAMES).map(tuple),
    terms=st.lists(NAMES).map(tuple),
    conditions=st.lists(
        st.sampled_from(["collection", "deprecated", "id", "platform", "properties.deprecated"]).map(
            lambda name: Part("filter", {"op": "=", "args": [{"property": name}, 1]})
        )
    ).map(tuple),
)


@given(SEARCHES, ROWS)
def test_nothing_more_is_asked_where_there_is_nothing_to_leave_out(
    search: Search, rows: dict[str, CollectionRow]
) -> None:
    """Hidden collections are always left out; others only from searches that name nothing, and only those set apart."""
    hidden = {name for name, row in rows.items() if not row.visible}
    gone = set(left_out(search, rows))
    assert hidden <= gone
    if names_something(search):
        assert gone == hidden and narrowed(search, rows) is search
    else:
        assert gone == hidden | {name for name, row in rows.items() if row.apart}
        assert narrowed(search, rows).current is any(row.deprecated_items for row in rows.values())
    plain = {name: CollectionRow(None, {}, row.visible) for name, row in rows.items()}
    assert set(left_out(search, plain)) == hidden and narrowed(search, plain) is search
