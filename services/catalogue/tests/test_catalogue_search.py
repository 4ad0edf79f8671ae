"""Searches that never surprise: properties, words, explanations, pages, and clients that leave."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import httpx
import psycopg
import pytest
from bocage_catalogue.database import Database
from bocage_catalogue.finished import MOST_BYTES
from bocage_kit.problems import Problem
from catalogue_loading import collection, item, load
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

OWNED = {"bocage:audience": "owner", "bocage:owner": "researcher"}


@pytest.fixture(scope="module", autouse=True)
def loaded(module_database: Any, catalogue: Any) -> None:
    with PgstacDB(dsn=module_database.admin_url) as db:
        loader = Loader(db)
        summaries = {"summaries": {"gsd": {"minimum": 10, "maximum": 60}, "instruments": [["msi"]]}}
        held = {"bocage:audience": "owner", "bocage:owner": "researcher", "summaries": {"withheld": [1]}}
        loader.load_collections(
            iter([collection("scenes", **summaries), collection("others"), collection("held", **held)]), Methods.insert
        )
        made = [
            item(
                "forest", properties={"eo:cloud_cover": 5, "title": "Forêt de Paimpont", "keywords": ["Bocage, haie"]}
            ),
            item("field", properties={"eo:cloud_cover": 50, "description": "A field near the FOREST edge", "odd": "x"}),
            item("odd", properties={"odd": 1, "lists": [1, 2], "nested": {"a": 1}, "when": "2024-05-01"}),
            item("secret", properties={"hush_hush": 1, "title": "canary", **OWNED}),
            item("shared", properties={"handed_on": 1, **OWNED, "bocage:shared_with": ["person:reader"]}),
            item("deep", holder="held", properties={"eo:cloud_cover": 5, "buried": 1}),
            item("other", holder="others", properties={"eo:cloud_cover": "cloudy"}),
        ]
        load(loader, made, Methods.insert)
    with psycopg.connect(module_database.admin_url, autocommit=True) as connection:
        while connection.execute("select catalogue.finish_more(100)").fetchone() != (0,):
            pass


def ask(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/stac/search", json=body)


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [found["id"] for found in answer.json()["features"]]


def equals(name: str, value: Any) -> dict[str, Any]:
    return {"op": "=", "args": [{"property": name}, value]}


def test_a_property_that_nobody_has_is_refused_with_what_was_meant(catalogue: Any) -> None:
    for body in (
        {"filter": equals("eo:cloud_covr", 5)},
        {"query": {"eo:cloud_covr": {"lt": 5}}},
        {"sortby": [{"field": "eo:cloud_covr", "direction": "asc"}]},
    ):
        problem = ask(catalogue.anonymous, **body).json()
        assert (problem["status"], problem["code"]) == (400, "unknown-property")
        assert problem["suggestions"][0] == "eo:cloud_cover" and "Did you mean eo:cloud_cover" in problem["detail"]


@pytest.mark.parametrize(
    ("name", "who"), [("hush_hush", "researcher"), ("handed_on", "reader"), ("buried", "researcher")]
)
def test_names_are_told_to_those_who_see_an_item_with_them(catalogue: Any, name: str, who: str) -> None:
    knowing, other = getattr(catalogue, who), catalogue.stranger
    assert len(ids(ask(knowing, filter=equals(name, 1)))) == 1
    assert name in knowing.get("/stac/queryables").json()["properties"]
    refusal = ask(other, filter=equals(name, 1))
    none = ask(other, filter=equals("q" * len(name), 1))
    assert refusal.status_code == none.status_code == 400
    assert refusal.json()["detail"].replace(name, "") == none.json()["detail"].replace("q" * len(name), "")
    assert name not in ask(other, filter=equals(name[:-1], 1)).json()["suggestions"]
    for what in ("queryables", "sortables"):
        assert name not in other.get(f"/stac/{what}").text
    if name == "buried":
        assert other.get("/stac/collections/held/queryables").status_code == 404
        assert "withheld" not in other.get("/stac/queryables").text


def test_whom_an_item_is_shared_with_is_no_question(catalogue: Any) -> None:
    for body in (
        {"filter": {"op": "a_contains", "args": [{"property": "properties.bocage:shared_with"}, ["person:reader"]]}},
        {"query": {"bocage:shared_with": {"eq": "x"}}},
        {"sortby": [{"field": "properties.bocage:shared_with", "direction": "asc"}]},
    ):
        for client in (catalogue.anonymous, catalogue.researcher, catalogue.administrator):
            assert ask(client, **body).status_code == 400
    assert "shared_with" not in catalogue.administrator.get("/stac/queryables").text


def test_queryables_and_sortables_are_schemas_of_what_there_is(catalogue: Any) -> None:
    client = catalogue.anonymous
    everything = client.get("/stac/queryables").json()
    assert everything["additionalProperties"] is False
    assert everything["properties"]["gsd"] == {"title": "Gsd", "type": "number"}
    assert everything["properties"]["eo:cloud_cover"]["type"] == ["number", "string"]
    assert everything["properties"]["datetime"]["format"] == "date-time"
    one = client.get("/stac/collections/others/queryables").json()
    assert one["properties"]["eo:cloud_cover"]["type"] == "string" and "odd" not in one["properties"]
    sortable = client.get("/stac/collections/scenes/sortables")
    assert sortable.headers["content-type"] == "application/schema+json"
    document = sortable.json()
    assert document["$id"].endswith("/stac/collections/scenes/sortables")
    assert {"id", "datetime", "eo:cloud_cover", "odd"} <= document["properties"].keys()
    assert not {"lists", "nested", "geometry", "keywords"} & document["properties"].keys()
    for name in document["properties"]:
        assert ask(client, sortby=[{"field": name, "direction": "desc"}]).status_code == 200
    for name in ("lists", "nested", "geometry", "keywords"):
        assert ask(client, sortby=[{"field": name, "direction": "desc"}]).status_code == 400


def test_a_property_that_was_written_just_now_is_known(catalogue: Any, module_database: Any) -> None:
    """Before anybody had the time to register it: its row is held."""
    with PgstacDB(dsn=module_database.admin_url) as db, psycopg.connect(module_database.admin_url) as holding:
        loader = Loader(db)
        load(loader, [item("late", properties={"never_seen_before": 1, "odd": True})], Methods.insert)
        holding.execute("select from catalogue.finished_item where id = 'late' for update")
        holding.execute("update catalogue.finished_item set body = null, laid_out = null where id = 'late'")
        holding.execute("delete from catalogue.queryable where name = 'never_seen_before'")
        holding.commit()
        assert ids(ask(catalogue.anonymous, filter=equals("never_seen_before", 1))) == ["late"]
        assert ids(ask(catalogue.anonymous, filter=equals("odd", True))) == ["late"]
        holding.execute("delete from pgstac.items where id = 'late'")


def test_the_names_of_a_deleted_collection_are_forgotten(catalogue: Any, module_database: Any) -> None:
    name = "only_for_a_while"
    with PgstacDB(dsn=module_database.admin_url) as db, psycopg.connect(module_database.admin_url) as connection:
        loader = Loader(db)
        loader.load_collections(iter([collection("brief")]), Methods.insert)
        load(loader, [item("one", holder="brief", properties={name: 1})], Methods.insert)
        while connection.execute("select catalogue.finish_more(100)").fetchone() != (0,):
            connection.commit()
        assert name in catalogue.anonymous.get("/stac/queryables").json()["properties"]
        connection.execute("select pgstac.delete_collection('brief')")
        connection.commit()
        assert connection.execute("select from catalogue.queryable where collection = 'brief'").fetchall() == []
    assert name not in catalogue.anonymous.get("/stac/queryables").text


def test_an_item_that_cannot_be_laid_out_stops_no_other(catalogue: Any, module_database: Any) -> None:
    with psycopg.connect(module_database.admin_url, autocommit=True) as connection:
        connection.execute(
            "create or replace function catalogue.epsg_of(holder jsonb) returns jsonb language plpgsql as "
            "$$ begin if holder ? 'poison' then raise exception 'no'; end if; return '{}'; end $$"
        )
        with PgstacDB(dsn=module_database.admin_url) as db:
            load(Loader(db), [item("bad", properties={"poison": 1}), item("good")], Methods.insert)
        assert set(ids(ask(catalogue.anonymous, ids=["bad", "good"]))) == {"bad", "good"}
        # The service lays out too, and passes by what another holds.
        waiting, deadline = "select id from catalogue.finished_item where body is null", time.monotonic() + 30
        while (left := connection.execute(waiting).fetchall()) and time.monotonic() < deadline:
            connection.execute("select catalogue.finish_more(100)")
        assert left == []
        assert set(ids(ask(catalogue.anonymous, ids=["bad", "good"]))) == {"bad", "good"}
        connection.execute("delete from pgstac.items where id in ('bad', 'good')")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("foret", {"forest"}), ("FORÊT", {"forest"}), ("forest", {"field"}), ("haie", {"forest"}),
        ("paimpont,edge", {"forest", "field"}), ("forest edge", {"field"}), ("edge forest", set()),
        ("canary", set()), ("' | !x", set()), (",", {"forest", "field", "odd", "other"}),
    ],
)  # fmt: skip
def test_words(catalogue: Any, asked: str, found: set[str]) -> None:
    client = catalogue.anonymous
    assert set(ids(client.get("/stac/search", params={"q": asked}))) == found
    assert set(ids(ask(client, q=asked.split(",")))) == found
    inside = client.get("/stac/collections/scenes/items", params={"q": asked})
    assert set(ids(inside)) == found - {"other"}


def test_explanations_count_what_the_caller_sees(catalogue: Any) -> None:
    body = {
        "collections": ["scenes", "held"], "bbox": [2, 42, 3, 44], "datetime": "2024-01-01T00:00:00Z/..",
        "filter": {"op": "and", "args": [equals("eo:cloud_cover", 5), equals("title", "canary")]}, "explain": True,
    }  # fmt: skip

    def told(client: httpx.Client) -> Any:
        answer = ask(client, **body)
        assert ids(answer) == []
        return answer.json()["bocage:explain"]

    anonymous = told(catalogue.anonymous)
    assert [(step["clause"], step["items"]) for step in anonymous["steps"]] == [
        ("visible", 4), ("collections", 3), ("bbox", 3), ("datetime", 3), ("filter", 1), ("filter", 0),
    ]  # fmt: skip
    assert anonymous["none_left_by"] == "filter.args[1]"
    assert [step["items"] for step in told(catalogue.researcher)["steps"]] == [7, 6, 6, 6, 2, 0]
    by_get = catalogue.anonymous.get("/stac/search", params={"ids": "nothing", "explain": "true"}).json()
    assert by_get["bocage:explain"]["none_left_by"] == "ids"
    assert "bocage:explain" not in ask(catalogue.anonymous).json()


POINT = {"type": "Point", "coordinates": [0, 0]}
CROSSED, OPEN = ([[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]], [[[0, 0], [2, 2], [2, 0]]])
MERCATOR = "http://www.opengis.net/def/crs/EPSG/0/3857"


@pytest.mark.parametrize(
    "body",
    [
        {"fields": None}, {"fields": {"include": "id"}}, {"limit": 0}, {"limit": "many"}, {"limit": True},
        {"bbox": [1, 2, 3]}, {"bbox": [0, 1, 1, 0]}, {"bbox": ["a", 0, 1, 1]},
        {"bbox": [0, 0, 1, 1], "intersects": POINT}, {"intersects": {"type": "Polygon", "coordinates": CROSSED}},
        {"intersects": {"type": "Polygon", "coordinates": OPEN}}, {"intersects": {"type": "Point"}},
        {"datetime": "2024-01-01"}, {"datetime": "../.."}, {"datetime": 5}, {"ids": [1]}, {"collections": [["a"]]},
        {"filter": "id = 'x'"}, {"filter": [1]}, {"filter": {"op": "or", "type": "Point", "args": [True] * 5000}},
        {"filter": equals("id", ["x"] * 9)}, {"filter": {"op": "in", "args": [{"property": "id"}, ["x"] * 5000]}},
        {"filter": equals("id", "x"), "filter-lang": "cql-json"},
        {"filter": equals("id", "x"), "filter-crs": MERCATOR}, {"query": {"id": 5}}, {"query": {"id": {"like": "x"}}},
        {"sortby": "id"}, {"sortby": [{"field": "id", "direction": "up"}]}, {"token": "next:x"},
        {"collections": "a\0"}, {"ids": {"a": 1}}, {"query": {"gsd": {"lt": "many"}}}, {"token": "next:W10"},
        {"token": 3}, {"q": [1]}, {"q": "x," * 100},
    ],
    ids=str,
)  # fmt: skip
def test_what_makes_no_sense_is_refused(catalogue: Any, body: dict[str, Any]) -> None:
    answer = ask(catalogue.anonymous, **body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), answer.text


def test_names_may_be_one_text(catalogue: Any) -> None:
    for name, several in (("collections", ["others", "none"]), ("ids", ["other", "none"])):
        expected = ids(ask(catalogue.anonymous, **{name: several}))
        assert expected and ids(ask(catalogue.anonymous, **{name: ",".join(several)})) == expected
        assert ids(ask(catalogue.anonymous, **{name: several[0]})) == expected


def test_a_query_may_write_numbers_as_text(catalogue: Any) -> None:
    client = catalogue.administrator
    for conditions, plain in (
        ({"eq": "1"}, {"eq": 1}), ({"gte": "-1e3"}, None), ({"lt": "1.50"}, {"lt": 1.5}),
        ({"in": ["1", 20]}, {"in": [1, 20]}), ({"neq": "+2"}, {"neq": 2}),
    ):  # fmt: skip
        answer = ask(client, query={"properties.buried": conditions})
        if plain is None:
            assert answer.status_code == 400, answer.text
        else:
            found = ids(answer)
            assert found and found == ids(ask(client, query={"buried": plain}))
    # What is of several kinds is compared as it is written.
    assert ids(ask(client, query={"eo:cloud_cover": {"eq": "5"}})) == []
    assert ask(client, filter=equals("buried", "1")).status_code == 400


def test_a_wrong_text_is_told_its_line_and_column(catalogue: Any) -> None:
    answer = catalogue.anonymous.get("/stac/search", params={"filter": "title = 'x' AND\n  odd = "})
    assert (answer.status_code, answer.json()["line"]) == (400, 2)
    assert answer.json()["column"] >= 8


def test_a_token_holds_for_its_order_only(catalogue: Any) -> None:
    client = catalogue.anonymous
    first = client.get("/stac/search", params={"limit": 1, "sortby": "id"}).json()
    token = httpx.URL(next(x["href"] for x in first["links"] if x["rel"] == "next")).params["token"]
    assert ids(client.get("/stac/search", params={"limit": 1, "sortby": "id", "token": token}))
    for order in ("-id", "datetime", "odd"):
        assert client.get("/stac/search", params={"sortby": order, "token": token}).status_code == 400
    assert client.get("/stac/search", params={"sortby": "id", "token": token[:-3]}).status_code == 400


def test_fields_leave_geojson_behind(catalogue: Any) -> None:
    answer = catalogue.anonymous.get("/stac/search", params={"fields": "id,properties.odd"})
    assert answer.headers["content-type"] == "application/geo+json"
    assert set(answer.json()["features"][0]) >= {"id", "collection"}


def test_a_page_ends_before_its_text_takes_too_much(fresh_catalogue: Any, database: Any) -> None:
    big = "x" * (MOST_BYTES // 12)
    with PgstacDB(dsn=database.admin_url) as db:
        loader = Loader(db)
        loader.load_collections(iter([collection("scenes")]), Methods.insert)
        load(loader, [item(f"i{n:02}", properties={"text": big}) for n in range(30)], Methods.insert)
    client, seen = fresh_catalogue.anonymous, []
    answer = client.get("/stac/search", params={"limit": 1000})
    while True:
        assert len(answer.content) < 1.2 * MOST_BYTES
        assert answer.json()["numberMatched"] == 30
        seen += ids(answer)
        following = [link["href"] for link in answer.json()["links"] if link["rel"] == "next"]
        if not following:
            break
        answer = client.get(following[0].replace(fresh_catalogue.base, ""))
    assert sorted(seen) == [f"i{n:02}" for n in range(30)] and len(seen) == 30


def test_shapes_that_nobody_can_relate_fail_no_search(fresh_catalogue: Any, database: Any) -> None:
    """Loaded past the API: rings that cross themselves, collections of shapes, and shapes without a position."""
    bow = {"type": "Polygon", "coordinates": CROSSED}
    spike = {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 2], [2, 5], [2, 2], [0, 2], [0, 0]]]}
    twice = {"type": "MultiPolygon", "coordinates": [CROSSED, [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]]}
    several = {
        "type": "GeometryCollection",
        "geometries": [POINT, bow, {"type": "LineString", "coordinates": [[0, 0], [0, 0]]}],
    }
    shapes = [bow, spike, twice, several, {"type": "LineString", "coordinates": [[1, 1], [1, 1]]}]
    with PgstacDB(dsn=database.admin_url) as db:
        loader = Loader(db)
        loader.load_collections(iter([collection("scenes")]), Methods.insert)
        load(loader, [item(f"i{n}", geometry=shape) for n, shape in enumerate(shapes)], Methods.insert)
    square = {"type": "Polygon", "coordinates": [[[1, 0.5], [3, 0.5], [3, 1.5], [1, 1.5], [1, 0.5]]]}
    for literal in (POINT, square, {"type": "LineString", "coordinates": [[0, 1], [3, 1]]}, {"bbox": [0, 0, 2, 2]}):
        for relation in ("intersects", "disjoint", "contains", "within", "equals", "touches", "crosses", "overlaps"):
            for sides in ([{"property": "geometry"}, literal], [literal, {"property": "geometry"}]):
                answer = ask(fresh_catalogue.anonymous, filter={"op": f"s_{relation}", "args": sides})
                assert answer.status_code == 200, (relation, literal, answer.text)
    assert len(ids(ask(fresh_catalogue.anonymous, bbox=[-1, -1, 3, 3]))) == len(shapes)


def _slow(connection: psycopg.Connection[Any], seconds: float) -> None:
    """Reading a number takes long from now on."""
    connection.execute(
        "create or replace function catalogue.number_at(content jsonb, name text) returns numeric language plpgsql as "
        f"$$ begin perform pg_sleep({seconds}); return 1; end $$"
    )


def test_a_client_that_leaves_takes_its_query_along(fresh_catalogue: Any, database: Any) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        with PgstacDB(dsn=database.admin_url) as db:
            loader = Loader(db)
            loader.load_collections(iter([collection("scenes")]), Methods.insert)
            load(loader, [item(f"i{n}", properties={"number": n}) for n in range(100)], Methods.insert)
        while connection.execute("select catalogue.finish_more(100)").fetchone() != (0,):
            pass
        connection.execute("drop index if exists catalogue.finished_item_cloud_cover")
        _slow(connection, 0.5)
        running = (
            "select count(*) from pg_stat_activity"
            " where state = 'active' and query like '%number_at%' and pid <> pg_backend_pid()"
        )

        def wait(count: int) -> None:
            deadline = time.monotonic() + 20
            while connection.execute(running).fetchone() != (count,):
                assert time.monotonic() < deadline, f"not {count} queries"
                time.sleep(0.05)

        url = httpx.URL(fresh_catalogue.url)
        head = "".join(f"{k}: {v}\r\n" for k, v in fresh_catalogue.anonymous.headers.items() if k == "bocage-identity")
        with socket.create_connection((url.host, url.port)) as client:
            client.sendall(f"GET /stac/search?filter=number%3E0 HTTP/1.1\r\nHost: {url.host}\r\n{head}\r\n".encode())
            wait(1)
        wait(0)
        assert fresh_catalogue.anonymous.get("/stac/search").status_code == 200


def test_a_search_that_takes_too_long_is_ended(database: Any) -> None:
    """By the database, as a problem that says so."""

    async def look() -> None:
        async with Database.open(database.url("catalogue")) as reading:
            with pytest.raises(Problem) as caught:
                async with reading.reading() as connection:
                    await connection.execute("set statement_timeout = 100")
                    await connection.fetch("select pg_sleep(20)")
            assert (caught.value.status, caught.value.code) == (503, "too-slow")

    asyncio.run(look())
