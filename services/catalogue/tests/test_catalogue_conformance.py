"""Every class that is advertised has a test here, by what its specification requires; none is advertised without."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import pytest
from bocage_catalogue import conformance

ITEMS = "/stac/collections/scenes/items"
# id: cloud cover, platform, day of May 2024, tags, and degrees east.
MADE: dict[str, tuple[float | None, str, int, list[str], float]] = {
    "a": (5, "Sentinel-2A", 1, ["land", "snow"], 0),
    "b": (15, "sentinel-2b", 2, ["land"], 10),
    "c": (25, "Pléiades", 3, ["sea"], 20),
    "d": (None, "pleiades", 4, [], 30),
    "e": (45, "SPOT", 5, ["land", "sea"], 40),
}
ALL = set(MADE)


@pytest.fixture(scope="module", autouse=True)
def loaded(catalogue: Any) -> None:
    service = catalogue.service
    for name in ("scenes", "others"):
        collection = catalogue.collection(
            name,
            title=f"The {name}",
            license="CC-BY-4.0",
            **{"bocage:audience": "public", "bocage:licences": ["CC-BY-4.0"]},
        )
        assert service.post("/stac/collections", json=collection).status_code == 201
    for name, (cloud, platform, day, tags, east) in MADE.items():
        item = catalogue.item(name, platform=platform, tags=tags, number=2 * day, day=day, title=f"Scene {name}")
        item["properties"]["datetime"] = f"2024-05-0{day}T10:00:00Z"
        if cloud is not None:
            item["properties"]["eo:cloud_cover"] = cloud
        ring = [[east, 43], [east + 1, 43], [east + 1, 44], [east, 44], [east, 43]]
        item |= {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [east, 43, east + 1, 44]}
        assert service.post(ITEMS, json=item).status_code == 201


def found(catalogue: Any, **parameters: Any) -> list[str]:
    """The ids that a search by GET finds, and the same by POST where it takes the same words."""
    answer = catalogue.anonymous.get("/stac/search", params=parameters)
    assert answer.status_code == 200, (parameters, answer.text)
    assert answer.headers["content-type"] == "application/geo+json"
    return [feature["id"] for feature in answer.json()["features"]]


def posted(catalogue: Any, body: dict[str, Any], path: str = "/stac/search") -> list[str]:
    answer = catalogue.anonymous.post(path, json=body)
    assert answer.status_code == 200, (body, answer.text)
    return [feature["id"] for feature in answer.json()["features"]]


def links(document: dict[str, Any], rel: str) -> list[dict[str, Any]]:
    return [link for link in document["links"] if link["rel"] == rel]


def get(catalogue: Any, path: str, **parameters: Any) -> dict[str, Any]:
    answer = catalogue.anonymous.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def check_core(catalogue: Any) -> None:
    page = get(catalogue, "/stac")
    assert page["type"] == "Catalog" and page["stac_version"] and page["id"] and page["description"]
    for rel in ("root", "self", "service-desc", "service-doc"):
        assert links(page, rel), rel
    assert links(page, "service-desc")[0]["type"].startswith("application/vnd.oai.openapi+json;version=3")
    assert links(page, "self")[0]["type"] == "application/json"
    missing = catalogue.anonymous.get("/stac/nothing")
    assert missing.status_code == 404 and {"code", "description"} <= missing.json().keys()


def check_collections(catalogue: Any) -> None:
    page = get(catalogue, "/stac/collections")
    assert links(page, "root") and links(page, "self") and links(get(catalogue, "/stac"), "data")
    one = get(catalogue, "/stac/collections/scenes")
    assert one == next(collection for collection in page["collections"] if collection["id"] == "scenes")
    assert one["type"] == "Collection" and one["stac_version"] == "1.1.0" and one["license"] and one["extent"]
    for rel in ("root", "parent", "self", "items"):
        assert links(one, rel), rel
    assert catalogue.anonymous.get("/stac/collections/none").status_code == 404


def check_features(catalogue: Any) -> None:
    page = get(catalogue, ITEMS)
    assert page["type"] == "FeatureCollection" and {item["id"] for item in page["features"]} == ALL
    assert page["numberReturned"] == page["numberMatched"] == 5
    assert links(page, "self") and links(page, "root")
    answer = catalogue.anonymous.get(f"{ITEMS}/a")
    assert answer.headers["content-type"] == "application/geo+json"
    for rel in ("root", "parent", "collection", "self"):
        assert links(answer.json(), rel), rel
    assert [item["id"] for item in get(catalogue, ITEMS, bbox="9,42,11,45")["features"]] == ["b"]
    moment = "2024-05-02T00:00:00Z/2024-05-03T23:00:00Z"
    assert {item["id"] for item in get(catalogue, ITEMS, datetime=moment)["features"]} == {"b", "c"}
    assert catalogue.anonymous.get(ITEMS, params={"limit": 0}).status_code == 400
    for path in ("/stac", "/stac/conformance", "/stac/collections", ITEMS.removesuffix("/items"), ITEMS, f"{ITEMS}/a"):
        for name in ("unknown", "Limit", ""):
            answer = catalogue.anonymous.get(path, params={name: "1"})
            assert (answer.status_code, answer.json()["code"]) == (400, "unknown-parameter"), (path, name)
        assert catalogue.anonymous.get(path, params={"language": "fr"}).status_code == 200


def check_geojson(catalogue: Any) -> None:
    answer = catalogue.anonymous.get(ITEMS)
    assert answer.headers["content-type"] == "application/geo+json"
    assert all(
        item["type"] == "Feature" and item["geometry"]["type"] == "Polygon" for item in answer.json()["features"]
    )


def check_openapi(catalogue: Any) -> None:
    """The document names every path that answers, with all that each can answer."""
    document = catalogue.anonymous.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    for path in ("/stac", "/stac/conformance", "/stac/collections", "/stac/collections/{collection_id}",
                 "/stac/collections/{collection_id}/items", "/stac/search", "/stac/children"):  # fmt: skip
        operation = document["paths"][path]["get"]
        assert {"200", "400", "404", "503"} <= operation["responses"].keys(), path
        assert "422" not in operation["responses"], path


def check_item_search(catalogue: Any) -> None:
    page = get(catalogue, "/stac")
    assert {(link["method"], link["type"]) for link in links(page, "search")} == {
        ("GET", "application/geo+json"), ("POST", "application/geo+json"),
    }  # fmt: skip
    square = {"type": "Polygon", "coordinates": [[[9, 42], [21, 42], [21, 45], [9, 45], [9, 42]]]}
    assert set(posted(catalogue, {"intersects": square})) == {"b", "c"}
    assert set(found(catalogue, bbox="9,42,21,45")) == set(posted(catalogue, {"bbox": [9, 42, 21, 45]})) == {"b", "c"}
    assert set(found(catalogue, ids="a,c,none", collections="scenes")) == {"a", "c"}
    assert posted(catalogue, {"collections": ["others"]}) == []
    assert set(found(catalogue, datetime="../2024-05-02T12:00:00Z")) == {"a", "b"}
    for wrong in ({"bbox": [1, 2, 3]}, {"bbox": [0, 0, 1, 1], "intersects": square}, {"datetime": "x"}, {"limit": 0}):
        assert catalogue.anonymous.post("/stac/search", json=wrong).status_code == 400, wrong
    seen: list[str] = []
    body: dict[str, Any] | None = {"limit": 2}
    while body is not None:
        answer = catalogue.anonymous.post("/stac/search", json=body).json()
        seen += [feature["id"] for feature in answer["features"]]
        following = links(answer, "next")
        body = following[0]["body"] if following else None
    assert len(seen) == 5 and set(seen) == ALL


def check_sort(catalogue: Any) -> None:
    for path in ("/stac/search", ITEMS):
        for name in ("datetime", "properties.datetime", "id", "+id", "properties.day", "day"):
            shown = [item["id"] for item in get(catalogue, path, sortby=name)["features"]]
            assert shown == sorted(ALL), (path, name)
            shown = [item["id"] for item in get(catalogue, path, sortby="-" + name.strip("+"))["features"]]
            assert shown == sorted(ALL, reverse=True), (path, name)
    order = [{"field": "properties.eo:cloud_cover", "direction": "desc"}, {"field": "id", "direction": "asc"}]
    assert posted(catalogue, {"sortby": order}) == ["e", "c", "b", "a", "d"]


def check_sortables(catalogue: Any) -> None:
    for path in ("/stac", "/stac/collections/scenes"):
        (link,) = links(get(catalogue, path), "http://www.opengis.net/def/rel/ogc/1.0/sortables")
        answer = catalogue.anonymous.get(link["href"].removeprefix(catalogue.base))
        assert answer.headers["content-type"] == "application/schema+json"
        schema = answer.json()
        assert schema["$id"] == link["href"] and schema["type"] == "object"
        assert schema["additionalProperties"] is False and {"id", "datetime"} <= schema["properties"].keys()
        for name in schema["properties"]:
            assert len(found(catalogue, sortby=f"-{name}")) == 5, name
        refused = catalogue.anonymous.get("/stac/search", params={"sortby": "no-such"})
        assert refused.status_code == 400


def check_fields(catalogue: Any) -> None:
    for path in ("/stac/search", ITEMS):
        (item,) = get(catalogue, path, fields="geometry,-bbox", limit=1)["features"]
        assert "geometry" in item and "bbox" not in item and "assets" not in item
        (item,) = get(catalogue, path, fields="-geometry", limit=1)["features"]
        assert "geometry" not in item and "assets" in item
    answer = catalogue.anonymous.post("/stac/search", json={"fields": {"include": ["properties.platform"]}})
    assert all(set(item["properties"]) == {"platform"} for item in answer.json()["features"])


def check_query(catalogue: Any) -> None:
    for condition, expected in [
        ({"eo:cloud_cover": {"lt": 20}}, {"a", "b"}),
        ({"eo:cloud_cover": {"gte": 15, "lte": 25}}, {"b", "c"}),
        ({"platform": {"eq": "SPOT"}}, {"e"}),
        ({"platform": {"neq": "SPOT"}}, ALL - {"e"}),
        ({"platform": {"startsWith": "Sent"}}, {"a"}),
        ({"platform": {"endsWith": "2b"}}, {"b"}),
        ({"platform": {"contains": "iades"}}, {"c", "d"}),
        ({"platform": {"in": ["SPOT", "pleiades"]}}, {"d", "e"}),
        ({"eo:cloud_cover": {"gt": 10}, "platform": {"eq": "SPOT"}}, {"e"}),
    ]:
        assert set(posted(catalogue, {"query": condition})) == expected, condition
    for path in ("/stac/search", ITEMS):
        shown = get(catalogue, path, query='{"day": {"gt": 3}}')["features"]
        assert {item["id"] for item in shown} == {"d", "e"}


def check_filter(catalogue: Any) -> None:
    for path in ("/stac", "/stac/collections/scenes"):
        (link,) = links(get(catalogue, path), "http://www.opengis.net/def/rel/ogc/1.0/queryables")
        schema = get(catalogue, link["href"].removeprefix(catalogue.base))
        assert schema["$id"] == link["href"] and "properties" in schema and schema["type"] == "object"
        assert {"id", "platform"} <= schema["properties"].keys()
    shown = get(catalogue, ITEMS, filter="platform = 'SPOT'")["features"]
    assert [item["id"] for item in shown] == ["e"]
    assert found(catalogue, **{"filter": "platform = 'SPOT'", "filter-lang": "cql2-text"}) == ["e"]
    body = {"filter": {"op": "=", "args": [{"property": "platform"}, "SPOT"]}, "filter-lang": "cql2-json"}
    assert posted(catalogue, body) == ["e"]
    refused = catalogue.anonymous.get("/stac/search", params={"filter": "nothing = 1"})
    assert refused.status_code == 400 and "nothing" in refused.json()["detail"]


SQUARE = "POLYGON((9 42, 21 42, 21 45, 9 45, 9 42))"
EXPRESSIONS: dict[str, list[tuple[str, set[str]]]] = {
    "cql2-text": [("day > 3", {"d", "e"})],
    "basic-cql2": [
        ("day >= 2 AND day <= 3", {"b", "c"}),
        ("day = 1 OR NOT (day < 5)", {"a", "e"}),
        ("day <> 1", ALL - {"a"}),
        ('"eo:cloud_cover" IS NULL', {"d"}),
        ("datetime < TIMESTAMP('2024-05-02T00:00:00Z')", {"a"}),
        ("datetime >= DATE('2024-05-05')", {"e"}),
    ],
    "advanced-comparison-operators": [
        ("platform LIKE '%iades'", {"c", "d"}),
        ("day BETWEEN 2 AND 3", {"b", "c"}),
        ("id IN ('a', 'e', 'x')", {"a", "e"}),
        ("id NOT IN ('a', 'e')", {"b", "c", "d"}),
    ],
    "case-insensitive-comparison": [("CASEI(platform) LIKE CASEI('SENTINEL%')", {"a", "b"})],
    "accent-insensitive-comparison": [("ACCENTI(CASEI(platform)) = ACCENTI(CASEI('PLÉIADES'))", {"c", "d"})],
    "basic-spatial-functions": [("S_INTERSECTS(geometry, POINT(10.5 43.5))", {"b"})],
    "basic-spatial-functions-plus": [(f"S_INTERSECTS(geometry, {SQUARE})", {"b", "c"})],
    "spatial-functions": [
        (f"S_WITHIN(geometry, {SQUARE})", {"b", "c"}),
        (f"S_DISJOINT(geometry, {SQUARE})", {"a", "d", "e"}),
        ("S_CONTAINS(geometry, POINT(0.5 43.5))", {"a"}),
        ("S_TOUCHES(geometry, POINT(0 43))", {"a"}),
        ("S_CROSSES(LINESTRING(-1 43.5, 2 43.5), geometry)", {"a"}),
        ("S_OVERLAPS(geometry, POLYGON((0.5 42, 3 42, 3 45, 0.5 45, 0.5 42)))", {"a"}),
        ("S_EQUALS(geometry, POLYGON((0 43, 1 43, 1 44, 0 44, 0 43)))", {"a"}),
    ],
    "temporal-functions": [
        ("T_AFTER(datetime, TIMESTAMP('2024-05-04T00:00:00Z'))", {"d", "e"}),
        ("T_BEFORE(datetime, DATE('2024-05-02'))", {"a"}),
        ("T_DURING(datetime, INTERVAL('2024-05-02T00:00:00Z', '2024-05-03T23:00:00Z'))", {"b", "c"}),
        ("T_INTERSECTS(datetime, INTERVAL('2024-05-05T00:00:00Z', '..'))", {"e"}),
    ],
    "array-functions": [
        ("A_CONTAINS(tags, ('land'))", {"a", "b", "e"}),
        ("A_CONTAINEDBY(tags, ('land', 'snow'))", {"a", "b", "d"}),
        ("A_EQUALS(tags, ('sea'))", {"c"}),
        ("A_OVERLAPS(tags, ('snow', 'sea'))", {"a", "c", "e"}),
    ],
    "property-property": [("number = day", set()), ("number > day", ALL), ("id <> platform", ALL)],
    "arithmetic": [
        ("number = day * 2", ALL),
        ("day + 1 > 5", {"e"}),
        ("number / 2 = 3", {"c"}),
        ("day % 2 = 0", {"b", "d"}),
    ],
}  # fmt: skip


def check_cql2(catalogue: Any, name: str = "") -> None:
    for expression, expected in EXPRESSIONS[name]:
        assert set(found(catalogue, filter=expression)) == expected, expression


def check_cql2_json(catalogue: Any) -> None:
    for condition, expected in [
        ({"op": "and", "args": [{"op": ">", "args": [{"property": "day"}, 1]},
                                {"op": "<", "args": [{"property": "day"}, 3]}]}, {"b"}),
        ({"op": "not", "args": [{"op": "isNull", "args": [{"property": "eo:cloud_cover"}]}]}, ALL - {"d"}),
        ({"op": "s_intersects", "args": [{"property": "geometry"},
                                         {"type": "Point", "coordinates": [0.5, 43.5]}]}, {"a"}),
        ({"op": "t_after", "args": [{"property": "datetime"}, {"timestamp": "2024-05-05T00:00:00Z"}]}, {"e"}),
    ]:  # fmt: skip
        assert set(posted(catalogue, {"filter": condition, "filter-lang": "cql2-json"})) == expected, condition


def check_free_text(catalogue: Any) -> None:
    for path in ("/stac/search", ITEMS):
        for text, expected in [("SCENE", ALL), ("scène a", {"a"}), ("scene c,scene d", {"c", "d"}), ("nothing", set())]:
            shown = {item["id"] for item in get(catalogue, path, q=text)["features"]}
            assert shown == expected, (path, text)
    assert set(posted(catalogue, {"q": ["scene a", "scene e"]})) == {"a", "e"}


def check_collection_search(catalogue: Any) -> None:
    """In full: `test_catalogue_collections.py`."""

    def names(**parameters: str) -> list[str]:
        page = get(catalogue, "/stac/collections", **parameters)
        assert page["numberMatched"] == page["numberReturned"] == len(page["collections"])
        return [collection["id"] for collection in page["collections"]]

    assert names(bbox="0,0,1,1", datetime="2021-01-01T00:00:00Z") == ["others", "scenes"]
    assert names(q="OTHER") == names(filter="title = 'The others'") == names(query='{"id": {"eq": "others"}}') != []
    assert names(sortby="-id") == ["scenes", "others"]
    (shown,) = get(catalogue, "/stac/collections", fields="title", limit="1")["collections"]
    assert "extent" not in shown and shown["title"] == "The others"


def check_children(catalogue: Any) -> None:
    """In full: `test_catalogue_tree.py`."""
    page = get(catalogue, "/stac/children")
    assert {child["id"] for child in page["children"] if child["type"] == "Collection"} == {"others", "scenes"}
    assert [x["id"] for x in page["children"]] == [
        x["href"].rpartition("/")[2] for x in links(get(catalogue, "/stac"), "child")
    ]
    assert links(page, "root") and links(page, "self") == [
        {"rel": "self", "href": links(get(catalogue, "/stac"), "children")[0]["href"], "type": "application/json"}
    ]


def check_browseable(catalogue: Any) -> None:
    """In full: `test_catalogue_tree.py`."""
    reached = set()
    for child in links(get(catalogue, "/stac"), "child"):
        collection = get(catalogue, child["href"].removeprefix(catalogue.base))
        if collection["type"] == "Catalog":
            continue  # a view of collections that are children of the root too
        (items,) = links(collection, "items")
        page = get(catalogue, items["href"].removeprefix(catalogue.base))
        reached |= {item["id"] for item in page["features"]}
    assert reached == ALL


def check_language(catalogue: Any) -> None:
    """In full: `test_catalogue_language.py`."""
    answer = catalogue.anonymous.get("/stac", headers={"Accept-Language": "de, fr;q=0.8"})
    assert answer.headers["content-language"] == answer.json()["language"]["code"] == "fr"
    assert [other["code"] for other in answer.json()["languages"]] == ["en"]


def check_aggregation(catalogue: Any) -> None:
    for path in ("/stac", "/stac/collections/scenes"):
        page = get(catalogue, path)
        (aggregations,), (aggregate,) = links(page, "aggregations"), links(page, "aggregate")
        told = get(catalogue, aggregations["href"].removeprefix(catalogue.base))
        assert "total_count" in {one["name"] for one in told["aggregations"]}
        path = aggregate["href"].removeprefix(catalogue.base)
        for more, number in [
            ({}, 5),
            ({"filter": "day > 3"}, 2),
            ({"query": '{"day": {"gt": 3}}'}, 2),
            ({"bbox": "9,42,11,45"}, 1),
        ]:
            (total,) = get(catalogue, path, aggregations="total_count", **more)["aggregations"]
            assert total["name"] == "total_count" and total["value"] == number, more


def check_item_transaction(catalogue: Any) -> None:
    client = catalogue.service
    made = catalogue.item("new")
    answer = client.post("/stac/collections/others/items", json=made)
    own = answer.headers["location"].removeprefix(catalogue.base)
    assert answer.status_code == 201 and own == "/stac/collections/others/items/new"
    assert client.post("/stac/collections/others/items", json=made).status_code == 409
    assert client.put(own, json={**made, "id": "other"}).status_code == 400
    changed = {**made, "properties": {**made["properties"], "gsd": 10}}
    assert client.put(own, json=changed).json()["properties"]["gsd"] == 10
    assert client.patch(own, json={"properties": {"gsd": None, "platform": "x"}}).status_code == 200
    assert client.get(own).json()["properties"].items() >= {"platform": "x"}.items()
    assert "gsd" not in client.get(own).json()["properties"]
    assert client.delete(own).status_code in (200, 204)
    assert (
        client.get(own).status_code == client.delete(own).status_code == client.put(own, json=made).status_code == 404
    )


def check_collection_transaction(catalogue: Any) -> None:
    client = catalogue.service
    made = catalogue.collection("made")
    answer = client.post("/stac/collections", json=made)
    own = answer.headers["location"].removeprefix(catalogue.base)
    assert answer.status_code == 201 and own == "/stac/collections/made"
    assert client.post("/stac/collections", json=made).status_code == 409
    assert client.put(own, json={**made, "title": "Other"}).json()["title"] == "Other"
    assert client.patch(own, json={"title": "Third"}).json()["title"] == "Third"
    assert client.delete(own).status_code in (200, 204)
    assert client.get(own).status_code == client.delete(own).status_code == 404


def _table() -> dict[str, Callable[[Any], None]]:
    groups: dict[Callable[[Any], None], tuple[str, ...]] = {
        check_sort: conformance.SORT,
        check_sortables: conformance.SORTABLES,
        check_fields: conformance.FIELDS,
        check_query: conformance.QUERY,
        check_filter: conformance.FILTER,
        check_free_text: conformance.FREE_TEXT,
        check_collection_search: conformance.COLLECTION_SEARCH,
        check_aggregation: conformance.AGGREGATION,
    }
    stac, ogc = "https://api.stacspec.org/", "http://www.opengis.net/spec/"
    table: dict[str, Callable[[Any], None]] = {
        f"{stac}v1.0.0/core": check_core,
        f"{stac}v1.0.0/collections": check_collections,
        f"{stac}v1.0.0/ogcapi-features": check_features,
        f"{stac}v1.0.0/item-search": check_item_search,
        f"{ogc}ogcapi-features-1/1.0/conf/core": check_features,
        f"{ogc}ogcapi-features-1/1.0/conf/geojson": check_geojson,
        f"{ogc}ogcapi-features-1/1.0/conf/oas30": check_openapi,
        f"{stac}v1.0.0-rc.2/children": check_children,
        f"{stac}v1.0.0-rc.3/browseable": check_browseable,
        f"{stac}v1.0.0-rc.2/language": check_language,
        f"{stac}v1.0.0/ogcapi-features/extensions/transaction": check_item_transaction,
        f"{stac}v1.0.0/collections/extensions/transaction": check_collection_transaction,
        f"{ogc}cql2/1.0/conf/cql2-json": check_cql2_json,
    }
    table |= {uri: check for check, uris in groups.items() for uri in uris}
    for name in EXPRESSIONS:
        table[f"{ogc}cql2/1.0/conf/{name}"] = lambda catalogue, name=name: check_cql2(catalogue, name)
    return table


TABLE = _table()


@pytest.mark.parametrize("uri", sorted(TABLE))
def test_what_a_class_requires(catalogue: Any, uri: str) -> None:
    TABLE[uri](catalogue)


def test_what_is_advertised_is_what_is_tested(catalogue: Any) -> None:
    advertised = get(catalogue, "/stac/conformance")["conformsTo"]
    assert sorted(advertised) == sorted(TABLE), set(advertised) ^ set(TABLE)
    assert get(catalogue, "/stac")["conformsTo"] == advertised
    checks = {name for name, _ in inspect.getmembers(sys.modules[__name__], inspect.isfunction) if name[:6] == "check_"}
    used = {check.__name__ for check in TABLE.values()} | {"check_cql2"}
    assert checks <= used, "a check that stands for no class"
