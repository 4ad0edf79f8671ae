"""Aggregations are plain counts over what the caller sees: from sums that are kept, and over what a search finds."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from bocage_catalogue.aggregation import NAMES
from bocage_kit.audience import item_visible
from catalogue_loading import collection, item
from hypothesis import given, settings
from hypothesis import strategies as st
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

PEOPLE = ("anonymous", "researcher", "colleague", "stranger", "administrator")
WORLD = "-180,-90,180,90"


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any, module_database: Any) -> list[dict[str, Any]]:
    """Two collections that all see and one of the researcher's, with items of every audience."""
    holders = [
        collection("one"), collection("two"),
        collection("shy", **{"bocage:audience": "owner", "bocage:owner": "researcher"}),
    ]  # fmt: skip
    items = []
    for n in range(60):
        properties: dict[str, Any] = {
            "bocage:audience": ("public", "organisation", "owner")[n % 3] if n % 2 else "public",
            "bocage:owner": "researcher", "bocage:organisation": catalogue.ours, "rank": n,
            "eo:cloud_cover": n * 2.5 if n % 7 else None, "platform": ("a", "b", 3, None)[n % 4],
            "grid:code": f"G-{n % 5}", "constellation": "c",
        }  # fmt: skip
        if n % 11 == 0:
            properties["bocage:shared_with"] = ["person:stranger"]
        properties = {name: value for name, value in properties.items() if value is not None}
        moment = f"{2022 + n % 3}-{n % 12 + 1:02}-{n % 28 + 1:02}T23:59:59.5Z"
        made = item(f"i{n:02}", moment, ("one", "two", "shy")[n % 5 % 3], properties=properties)
        items.append(made | {"geometry": {"type": "Point", "coordinates": [n * 5 - 150, n - 30]}, "bbox": [0, 0, 0, 0]})
    with PgstacDB(dsn=module_database.admin_url) as db:
        loader = Loader(db)
        loader.load_collections(iter(holders), Methods.insert)
        for name in ("one", "two", "shy"):
            loader.load_items(iter([x for x in items if x["collection"] == name]), Methods.insert)
    return [{**x, "holder": next(h for h in holders if h["id"] == x["collection"])} for x in items]


def seen(catalogue: Any, content: list[dict[str, Any]], who: str) -> list[dict[str, Any]]:
    return [x for x in content if item_visible(catalogue.identities[who], x["holder"], x)]


def plainly(items: list[dict[str, Any]], interval: str = "month") -> dict[str, Any]:
    """What each aggregation must say, by another way."""
    places = {"year": (4, "-01-01"), "month": (7, "-01"), "day": (10, "")}[interval]
    moments = [x["properties"]["datetime"] for x in items]
    clouds = [x["properties"].get("eo:cloud_cover") for x in items]
    ten = [min(int(value // 10), 9) * 10 for value in clouds if value is not None and value <= 100]
    terms = {
        "platform_frequency": [x["properties"].get("platform") for x in items],
        "constellation_frequency": [x["properties"].get("constellation") for x in items],
        "grid_code_frequency": [x["properties"].get("grid:code") for x in items],
        "collection_frequency": [x["collection"] for x in items],
    }
    return {
        "total_count": len(items),
        "datetime_min": min(moments, default=None),
        "datetime_max": max(moments, default=None),
        "datetime_frequency": dict(Counter(m[: places[0]] + places[1] + "T00:00:00Z" for m in moments)),
        "cloud_cover_frequency": dict(Counter(f"{low}-{low + 10}" for low in ten)),
        **{name: dict(Counter(v for v in values if isinstance(v, str))) for name, values in terms.items()},
    }


def told(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in document["aggregations"]:
        if "value" in one:
            value = one["value"]
            found[one["name"]] = value.replace(".500000", ".5") if isinstance(value, str) else value
        else:
            found[one["name"]] = {bucket["key"]: bucket["frequency"] for bucket in one["buckets"]}
            assert all(bucket["frequency"] > 0 for bucket in one["buckets"])
    return found


COMPARED = [name for name in NAMES if "geohash" not in name]


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("interval", ["year", "month", "day"])
def test_numbers_of_all_that_is_seen(catalogue: Any, content: list[dict[str, Any]], who: str, interval: str) -> None:
    client = getattr(catalogue, who)
    expected = plainly(seen(catalogue, content, who), interval)
    asked = {"datetime_frequency_interval": interval}
    kept = "total_count,datetime_min,datetime_max,collection_frequency,datetime_frequency"
    for names, more in ((kept, {}), (kept, {"bbox": WORLD}), (",".join(COMPARED), {})):
        answer = client.get("/stac/aggregate", params={"aggregations": names, **asked, **more})
        assert answer.status_code == 200, answer.text
        assert told(answer.json()) == {name: expected[name] for name in names.split(",")}
    body = {"aggregations": COMPARED, **asked}
    assert told(client.post("/stac/aggregate", json=body).json()) == {name: expected[name] for name in COMPARED}
    for name in ("one", "two", "shy"):
        own = [x for x in seen(catalogue, content, who) if x["collection"] == name]
        path = f"/stac/collections/{name}/aggregate"
        answers = [
            client.get(path, params={"aggregations": kept, **asked}),
            client.get(path, params={"aggregations": kept, "collections": "two", "filter": "rank >= 0", **asked}),
            client.post(path, json={"aggregations": kept.split(","), **asked}),
        ]
        if name == "shy" and who not in ("researcher", "administrator"):
            assert [x.status_code for x in answers] == [404, 404, 404]
            assert answers[0].json()["detail"] == client.get(
                path.replace("shy", "none"), params={"aggregations": kept}
            ).json()["detail"].replace("none", "shy")
        else:
            for answer in answers:
                assert told(answer.json()) == {n: plainly(own, interval)[n] for n in kept.split(",")}, answer.text


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_numbers_are_those_of_the_search(catalogue: Any, content: list[dict[str, Any]], data: st.DataObject) -> None:
    """Every condition of a search holds for aggregations alike."""
    who = data.draw(st.sampled_from(PEOPLE))
    some = st.lists(st.sampled_from(["one", "two", "shy", "none"]), min_size=1, max_size=3, unique=True)
    parts: dict[str, Any] = {
        "collections": some,
        "ids": st.lists(st.sampled_from([f"i{n:02}" for n in range(60)]), min_size=1, max_size=20),
        "bbox": st.sampled_from([[-180, -90, 0, 0], [0, -20, 100, 30], [170, -90, -170, 90]]),
        "datetime": st.sampled_from(["2022-03-01T00:00:00Z/2023-06-30T00:00:00Z", "../2022-12-31T23:59:59Z"]),
        "filter": st.integers(0, 60).map(lambda n: {"op": "<", "args": [{"property": "rank"}, n]}),
        "query": st.sampled_from([{"platform": {"eq": "a"}}, {"eo:cloud_cover": {"lt": 50}}]),
    }
    asked = data.draw(st.fixed_dictionaries({}, optional=parts))
    client = getattr(catalogue, who)
    found = client.post("/stac/search", json={**asked, "limit": 1000})
    answer = client.post("/stac/aggregate", json={**asked, "aggregations": COMPARED})
    assert found.status_code == answer.status_code == 200, answer.text
    names = {x["id"] for x in found.json()["features"]}
    assert told(answer.json()) == plainly([x for x in content if x["id"] in names])
    as_get = {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in asked.items()}
    for name in ("filter", "query"):
        if name in as_get:
            as_get[name] = json.dumps(as_get[name])
    if "filter" in as_get:
        as_get["filter-lang"] = "cql2-json"
    again = client.get("/stac/aggregate", params={**as_get, "aggregations": ",".join(COMPARED)})
    assert again.json()["aggregations"] == answer.json()["aggregations"]


def test_what_is_in_no_bucket(catalogue: Any, content: list[dict[str, Any]]) -> None:
    asked = "cloud_cover_frequency,platform_frequency,centroid_geohash_grid_frequency"
    document = catalogue.administrator.get("/stac/aggregate", params={"aggregations": asked}).json()
    clouds, platforms, places = document["aggregations"]
    values = [x["properties"].get("eo:cloud_cover") for x in content]
    assert clouds["overflow"] == sum(value is None or value > 100 for value in values)
    assert clouds["buckets"][0] == {"key": "0-10", "data_type": "numeric", "frequency": 3, "from": 0, "to": 10}
    assert clouds["buckets"][-1]["from"] == 90 and "to" not in clouds["buckets"][-1]
    assert platforms["overflow"] == sum(not isinstance(x["properties"].get("platform"), str) for x in content)
    assert platforms["data_type"] == "string" and platforms["buckets"][0]["data_type"] == "string"
    assert sum(bucket["frequency"] for bucket in places["buckets"]) == 60 and places["overflow"] == 0
    assert {len(bucket["key"]) for bucket in places["buckets"]} == {3}
    one = {"ids": "i30", "aggregations": "centroid_geohash_grid_frequency"}
    path = "/stac/aggregate"
    fine = catalogue.administrator.get(path, params={**one, "centroid_geohash_grid_frequency_precision": 5}).json()
    # 0° east, 0° north: the corner from which the cell `s` begins.
    assert fine["aggregations"][0]["buckets"] == [{"key": "s0000", "data_type": "string", "frequency": 1}]


def test_nothing_found(catalogue: Any) -> None:
    for more in ({"collections": "none"}, {"ids": "none"}):
        document = catalogue.anonymous.get("/stac/aggregate", params={"aggregations": ",".join(NAMES), **more}).json()
        assert told(document) == {name: {} for name in NAMES} | {
            "total_count": 0,
            "datetime_min": None,
            "datetime_max": None,
        }


def test_what_is_offered(catalogue: Any) -> None:
    anonymous = catalogue.anonymous
    for path in ("/stac/aggregations", "/stac/collections/one/aggregations"):
        document = anonymous.get(path).json()
        assert {x["name"] for x in document["aggregations"]} == set(NAMES)
        assert anonymous.head(path).status_code == 200
    assert anonymous.get("/stac/collections/shy/aggregations").status_code == 404
    classes = anonymous.get("/stac/conformance").json()["conformsTo"]
    assert {x for x in classes if "aggregation" in x} == {
        f"https://api.stacspec.org/v0.3.0/aggregation{part}" for part in ("", "#query", "#filter")
    }


@pytest.mark.parametrize(
    "asked",
    [
        {"aggregations": None}, {"aggregations": ""}, {"aggregations": "median"}, {"aggregations": "total_count,x"},
        {"datetime_frequency_interval": "week"}, {"centroid_geohash_grid_frequency_precision": 7}, {"bbox": "1,2,3"},
        {"centroid_geohash_grid_frequency_precision": 0}, {"datetime": "yesterday"}, {"filter": "cloud <"},
        {"filter": "no_such_property = 1"}, {"query": "{"}, {"intersects": "{}"}, {"bbox": "a,b,c,d"},
        {"ids": "a\0b"}, {"filter-lang": "sql"}, {"filter": "\"bocage:shared_with\" = 'x'"},
    ],
)  # fmt: skip
def test_bad_questions(catalogue: Any, asked: dict[str, Any]) -> None:
    given = {name: value for name, value in ({"aggregations": "total_count"} | asked).items() if value is not None}
    for path in ("/stac/aggregate", "/stac/collections/one/aggregate"):
        answer = catalogue.anonymous.get(path, params=given)
        assert answer.status_code == 400 and answer.json()["detail"], answer.text
        if "aggregations" in asked:
            assert all(name in answer.json()["detail"] for name in NAMES)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b"3", b"\xff", b"{}", b'{"aggregations": "total_count"}', b'{"aggregations": [3]}',
        b'{"aggregations": ["total_count"], "datetime_frequency_interval": "hour"}',
        b'{"aggregations": ["total_count"], "centroid_geohash_grid_frequency_precision": true}',
        b'{"aggregations": ["total_count"], "bbox": [1, 2], "ids": 3}',
    ],
)  # fmt: skip
def test_bad_bodies(catalogue: Any, body: bytes) -> None:
    for path in ("/stac/aggregate", "/stac/collections/one/aggregate"):
        answer = catalogue.anonymous.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400 and answer.json()["detail"], answer.text
