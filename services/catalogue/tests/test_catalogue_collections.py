"""Collections are kept as they are found, whoever wrote them and however."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
import pytest
from bocage_kit.database import migrate
from catalogue_loading import collection, item, load
from psycopg.types.json import Jsonb
from pypgstac.load import Loader, Methods

# What is kept beside, by triggers of its own.
OWN = "'{revision,deprecated,records,deprecated_items,words,concepts}'::text[]"
ASTRAY = f"""
select c.id from pgstac.collections c cross join lateral catalogue.entered(c) e
left join catalogue.finished_collection f on f.id = c.id
where c.content ->> 'type' = 'Collection' and to_jsonb(e) - {OWN} is distinct from to_jsonb(f) - {OWN}
union all
select id from catalogue.finished_collection f
where f.words <> catalogue.weighed(convert_from(f.body, 'UTF8')::jsonb, f.concepts)
union all
select id from catalogue.finished_collection where id not in (
    select id from pgstac.collections where content ->> 'type' = 'Collection'
)
"""


def kept(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """The collections by id; none may be astray, nor any be left over."""
    assert connection.execute(ASTRAY).fetchall() == []
    return {
        row["id"]: row
        for row in connection.execute("select id, revision, title, audience, body from catalogue.finished_collection")
    }


def test_every_way_of_writing(admin: psycopg.Connection[Any], loader: Loader) -> None:
    loader.load_collections(iter([collection("a"), collection("b", title="B")]), Methods.insert)
    first = kept(admin)
    assert first.keys() == {"a", "b"} and first["a"]["revision"] != first["b"]["revision"]
    assert orjson.loads(first["b"]["body"]) == collection("b", title="B")
    loader.load_collections(iter([collection("a"), collection("b", title="Bee")]), Methods.upsert)
    second = kept(admin)
    assert second["a"] == first["a"], "nothing changed"
    assert second["b"]["title"] == "Bee" and second["b"]["revision"] > first["b"]["revision"]
    # What changes of a collection but its own words is no revision of it.
    load(loader, [item("i", holder="a")], Methods.insert)
    admin.execute("update pgstac.collections set partition_trunc = 'month' where id = 'a'")
    assert kept(admin) == second
    changed = Jsonb({**collection("c", title="was b")})
    admin.execute("update pgstac.collections set content = %s where id = 'b'", [changed])
    assert kept(admin)["c"]["title"] == "was b"
    admin.execute("update pgstac.collections set content = content || '{\"type\": \"Catalog\"}' where id = 'c'")
    assert kept(admin).keys() == {"a"}
    admin.execute("select pgstac.delete_collection('a')")
    assert kept(admin) == {}


def test_what_is_not_as_it_should_be_is_kept_too(admin: psycopg.Connection[Any], loader: Loader) -> None:
    """A collection that nothing checked hinders nobody."""
    odd = collection("odd")
    odd["extent"] = {"spatial": {"bbox": [[170, -10, 5, -170, 10, 9]]}, "temporal": {"interval": [[None, None]]}}
    loader.load_collections(
        iter(
            [
                odd,
                collection(
                    "far", extent={"spatial": {"bbox": [[0, 0, 1, 1e308]]}, "temporal": {"interval": [[None, None]]}}
                ),
                collection("long", description="long " * 100_000, keywords=["x" * 5000], **{"bocage:audience": 7}),
            ]
        ),
        Methods.insert,
    )
    found = kept(admin)
    assert found["long"]["audience"] == "owner"
    wide = admin.execute(
        "select public.st_intersects(geometry, public.st_makeenvelope(-175, 0, -174, 1, 4326)) as west,"
        " public.st_intersects(geometry, public.st_makeenvelope(0, 0, 1, 1, 4326)) as middle"
        " from catalogue.finished_collection where id = 'odd'"
    ).fetchone()
    assert wide == {"west": True, "middle": False}


def test_collections_from_before_are_entered(admin: psycopg.Connection[Any], loader: Loader, database: Any) -> None:
    admin.execute("drop schema catalogue cascade")
    admin.execute("create schema catalogue authorization bocage_catalogue")
    loader.load_collections(iter([collection("scenes"), collection("others")]), Methods.insert)
    migrate(database.url("catalogue"), "bocage_catalogue", "catalogue")
    assert kept(admin).keys() == {"scenes", "others"}


@pytest.mark.parametrize("role", ["tiles", "rights"])
def test_only_the_catalogue_reads_them(database: Any, role: str) -> None:
    with psycopg.connect(database.url(role)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select id from catalogue.finished_collection")


LAND = {"extent": {"spatial": {"bbox": [[0, 42, 5, 45]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}}}
FIJI = {
    "extent": {
        "spatial": {"bbox": [[177, -20, -178, -15]]},
        "temporal": {"interval": [["2000-01-01T00:00:00Z", "2010-01-01T00:00:00Z"]]},
    }
}


@pytest.fixture(scope="module")
def searched(catalogue: Any) -> Any:
    """Five collections, one of them hidden from all but its owner."""
    made = [
        catalogue.collection("forest", title="Forêts de montagne", keywords=["Arbres"], gsd=10, **LAND),
        catalogue.collection("snow", title="Snow and ice", description="Daily œuvre", gsd=20, **LAND),
        catalogue.collection("reef", title="Coral reefs", gsd=5, **FIJI),
        catalogue.collection("water", title="Rivers", **{"bocage:translations": {"fr": {"title": "Rivières"}}}),
        catalogue.collection("secret", title="Forest of secrets", rare=1, **{"bocage:audience": "owner"}),
    ]
    for one in made:
        one = {"bocage:audience": "public", **one}
        assert catalogue.service.post("/stac/collections", json=one).status_code == 201
    return catalogue


FOUND = [
    ({"q": "foret"}, {"forest"}),
    ({"q": "FORÊT"}, {"forest"}),
    ({"q": "arbres,glaciers,ice"}, {"forest", "snow"}),
    ({"q": "reef"}, {"reef"}),
    ({"q": "snow and"}, {"snow"}),
    ({"q": "ice snow"}, set()),
    ({"q": "oeuvre"}, {"snow"}),
    ({"q": "riviere"}, {"water"}),
    ({"q": "secrets"}, set()),
    ({"q": "!!"}, set()),
    ({"bbox": "1,43,2,44"}, {"forest", "snow", "water"}),
    ({"bbox": "179,-18,179.5,-17"}, {"reef", "water"}),
    ({"bbox": "179,-18,0,-179.5,-17,10"}, {"reef", "water"}),
    ({"datetime": "2005-01-01T00:00:00Z"}, {"reef"}),
    ({"datetime": "../2019-01-01T00:00:00Z"}, {"reef"}),
    ({"datetime": "2021-01-01T00:00:00Z/.."}, {"forest", "snow", "water"}),
    ({"filter": "gsd >= 10"}, {"forest", "snow"}),
    ({"filter": "title LIKE 'Snow%' OR id = 'reef'"}, {"snow", "reef"}),
    ({"filter": '{"op": "=", "args": [{"property": "id"}, "reef"]}', "filter-lang": "cql2-json"}, {"reef"}),
    ({"filter": "a_contains(keywords, ('Arbres'))"}, {"forest"}),
    ({"query": '{"gsd": {"lt": 10}}'}, {"reef"}),
    ({"q": "reef", "bbox": "1,43,2,44"}, set()),
    ({}, {"forest", "snow", "reef", "water"}),
]


@pytest.mark.parametrize(("parameters", "expected"), FOUND, ids=range(len(FOUND)))
def test_collections_are_found(searched: Any, parameters: dict[str, str], expected: set[str]) -> None:
    answer = searched.anonymous.get("/stac/collections", params=parameters)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {collection["id"] for collection in found["collections"]} == expected
    assert found["numberMatched"] == found["numberReturned"] == len(expected)


def test_who_may_see_it_finds_it(searched: Any) -> None:
    for parameters in ({"q": "secrets"}, {"filter": "rare = 1"}):
        found = searched.administrator.get("/stac/collections", params=parameters).json()
        assert [collection["id"] for collection in found["collections"]] == ["secret"]


@pytest.mark.parametrize(
    ("sortby", "expected"),
    [
        ("id", ["forest", "reef", "snow", "water"]),
        ("-id", ["water", "snow", "reef", "forest"]),
        ("gsd", ["reef", "forest", "snow", "water"]),
        ("-gsd,id", ["snow", "forest", "reef", "water"]),
        ("+datetime,-title", ["reef", "snow", "water", "forest"]),
    ],
)
def test_pages_follow_one_order(searched: Any, sortby: str, expected: list[str]) -> None:
    """All at once, and one by one by their links."""
    client = searched.anonymous
    at_once = client.get("/stac/collections", params={"sortby": sortby, "fields": "title"}).json()["collections"]
    assert [collection["id"] for collection in at_once] == expected
    assert all(set(collection) == {"id", "title", "type", "stac_version"} for collection in at_once)
    path: str | None = f"/stac/collections?limit=1&sortby={sortby.replace('+', '%2B')}"
    seen = []
    while path:
        page = client.get(path).json()
        assert page["numberMatched"] == 4 and page["numberReturned"] == 1
        seen += [collection["id"] for collection in page["collections"]]
        following = [link["href"] for link in page["links"] if link["rel"] == "next"]
        path = following[0].removeprefix(searched.base) if following else None
    assert seen == expected
    beyond = client.get("/stac/collections", params={"offset": 50, "sortby": sortby}).json()
    assert beyond["collections"] == [] and beyond["numberMatched"] == 4


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"filter": "gds = 10"}, "gsd"),
        ({"sortby": "titel"}, "title"),
        ({"query": '{"nothing": {"eq": 1}}'}, "nothing"),
        ({"filter": "rare = 1"}, "rare"),
        ({"filter": "\"bocage:owner\" = 'x'"}, "bocage:owner"),
        ({"filter": "gsd ="}, "filter"),
        ({"filter": "{", "filter-lang": "cql2-json"}, "JSON"),
        ({"query": "[]"}, "query"),
        ({"bbox": "1,2,3"}, "bbox"),
        ({"bbox": "1,50,2,40"}, "bbox"),
        ({"bbox": "a,b,c,d"}, "bbox"),
        ({"bbox": "nan,0,1,1"}, "bbox"),
        ({"datetime": "yesterday"}, "datetime"),
        ({"datetime": "2021-01-01T00:00:00Z/2020-01-01T00:00:00Z"}, "datetime"),
        ({"limit": "0"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "99999999999999999999"}, "offset"),
        ({"q": "x" * 3000}, "q"),
        ({"filter": "id = 'a'", "filter-lang": "sql"}, "filter-lang"),
    ],
    ids=lambda x: str(x)[:50],
)
def test_what_makes_no_sense_is_refused_with_its_place(searched: Any, parameters: dict[str, str], told: str) -> None:
    answer = searched.anonymous.get("/stac/collections", params=parameters)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json" and told in answer.json()["detail"]


def test_a_large_limit_is_the_largest(searched: Any) -> None:
    assert searched.anonymous.get("/stac/collections", params={"limit": 10**12}).json()["numberReturned"] == 4


def test_a_collection_is_read_again_only_when_it_changed(searched: Any) -> None:
    client, path = searched.anonymous, "/stac/collections/reef"
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == first.headers["etag"]
    french = client.get("/stac/collections/water", headers={"Accept-Language": "fr"})
    assert french.headers["etag"] != client.get("/stac/collections/water").headers["etag"]
    changed = {**first.json(), "title": "Reefs"}
    assert searched.service.put(path, json=changed).status_code == 200
    assert client.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 200
