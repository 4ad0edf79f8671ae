"""What an operator loads past the API may be anything: it is shown as well as can be, and nothing else suffers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from bocage_kit.licences import item_licences, licences_of
from catalogue_loading import collection, item, load
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

STORED = {"href": "store:collections/odd/x/a"}
ODD_ITEMS: list[dict[str, Any]] = [
    {"assets": {"a": {**STORED, "auth:refs": None}}},
    {"assets": {"a": {**STORED, "auth:refs": 5}}},
    {"assets": {"a": {**STORED, "storage:refs": {"a": 1}}}},
    {"assets": {"a": {**STORED, "bocage:licences": 5}}},
    {"assets": {"a": {**STORED, "bocage:licences": {"a": 1}}}},
    {"assets": {"a": {**STORED, "bocage:licences": [None, 5, {}]}}},
    {"assets": {"a": {**STORED, "license": ["x"]}}},
    {"assets": {"a": {**STORED, "proj:code": 5}}},
    {"assets": {"a": {"href": 5}}},
    {"assets": {"a": {"href": None}}},
    {"assets": {"a b/é": STORED}},
    {"assets": {"a": 5}},
    {"assets": {"a": None}},
    {"assets": {"a": "text"}},
    {"assets": {"a": [1]}},
    {"assets": [1]},
    {"assets": "text"},
    {"assets": 5},
    {"assets": None},
    {"links": 5},
    {"links": "text"},
    {"links": {"a": 1}},
    {"links": [5, None, "x", {}]},
    {"links": [{"rel": "license", "href": 5}]},
    {"links": [{"rel": 5, "href": None, "type": []}]},
    {"links": [{"rel": [], "href": "x"}]},
    {"stac_extensions": 5},
    {"stac_extensions": None},
    {"stac_extensions": "text"},
    {"stac_extensions": {"a": 1}},
    {"stac_extensions": [5, None, {}]},
    {"stac_extensions": {"a": 1}, "properties": {"proj:code": "EPSG:4326"}},
    {"stac_extensions": 5, "assets": {"a": STORED}},
    {"bbox": "text"},
    {"type": "Nothing"},
    {"properties": {"auth:schemes": 5}, "assets": {"a": STORED}},
    {"properties": {"auth:schemes": ["x"]}, "assets": {"a": STORED}},
    {"properties": {"storage:schemes": 5}, "assets": {"a": STORED}},
    {"properties": {"bocage:licences": 5}},
    {"properties": {"bocage:licences": "CC0-1.0"}},
    {"properties": {"bocage:licences": [5, {}, None]}},
    {"properties": {"license": {"a": 1}}},
    {"properties": {"license": 5}},
    {"properties": {"bocage:audience": 5}},
    {"properties": {"bocage:audience": {"a": 1}}},
    {"properties": {"bocage:owner": {"a": 1}}},
    {"properties": {"bocage:organisation": [1]}},
    {"properties": {"bocage:shared_with": 5}},
    {"properties": {"bocage:shared_with": {"a": 1}}},
    {"properties": {"bocage:shared_with": [None, 5, "person:x"]}},
    {"properties": {"bocage:embargo_until": 5}},
    {"properties": {"bocage:embargo_until": "never"}},
    {"properties": {"bocage:recalled": "x"}},
    {"properties": {"bocage:translations": 5}},
    {"properties": {"bocage:translations": {"fr": 5}}},
    {"properties": {"bocage:translations": {"fr": {"title": 5}}, "title": "t"}},
    {"properties": {"bocage:translations": {"fr": {"title": "f"}}, "title": 5, "language": "fr"}},
    {"properties": {"bocage:translations": {"fr": {"title": "f"}}, "title": "e"}, "stac_extensions": 5},
    {"properties": {"proj:code": 5}},
    {"properties": {"proj:code": "EPSG:999999999"}},
    {"properties": {"updated": "9999-12-31T23:59:59-14:00"}},
    {"properties": {"updated": "0001-01-01T00:00:00+14:00"}},
    {"properties": {"updated": 5}},
    {"properties": {"eo:cloud_cover": 1e300}},
    {"properties": {"eo:cloud_cover": "x"}},
    {"properties": {"keywords": "x", "title": 5, "description": {}}},
    {"properties": {"": 5, "é\n\"'\\": 1, "x" * 300: 2, "a.b": 3, "properties.a": 1}},
    {"properties": {"start_datetime": "9999-12-31T00:00:00Z", "end_datetime": "9999-12-31T23:59:59Z"}},
]
ODD_COLLECTIONS: list[dict[str, Any]] = [
    {"links": 5}, {"links": "text"}, {"links": [5, None, {"rel": 5}, {"rel": [], "href": {}}]},
    {"bocage:licences": 5}, {"bocage:licences": {"a": 1}}, {"bocage:licences": [5, None]}, {"license": 5},
    {"license": {}}, {"bocage:audience": 5}, {"bocage:shared_with": 5}, {"stac_extensions": 5},
    {"auth:schemes": 5, "bocage:licences": ["LicenseRef-Test"]}, {"title": 5}, {"title": {}}, {"description": 5},
    {"keywords": 5}, {"keywords": [5, {}]}, {"summaries": 5}, {"summaries": {"a": None, "b": [], "c": {"minimum": {}}}},
    {"bocage:translations": 5}, {"bocage:translations": {"fr": 5}}, {"language": 5},
    {"bocage:translations": {"fr": {"title": 5}}, "language": []}, {"assets": 5},
    {"extent": {"spatial": {"bbox": [[1e300, 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}}},
    {"extent": {"spatial": {"bbox": []}, "temporal": {"interval": [[None, None]]}}},
    {"bocage:embargo_until": 5}, {"bocage:recalled": []}, {"bocage:organisation": []}, {"bocage:owner": 5},
    {"description": " ".join(f"é{n:06d}" for n in range(40_000))},
]  # fmt: skip


READ = [
    "/stac", "/stac/collections", "/stac/children", "/stac/queryables", "/stac/changes?include=item&limit=1000",
    "/stac/collections?q=x&sortby=-title&bbox=0,0,1,1", "/stac/collections?filter=title%20like%20'x'",
    "/stac/search?limit=200", "/stac/search?limit=200&fields=properties,-assets", "/stac/search?q=x&explain=true",
    "/stac/search?sortby=-updated&limit=1", "/stac/search?sortby=updated&limit=1", "/stac/search?sortby=eo:cloud_cover",
    "/stac/search?sortby=datetime&limit=1", "/stac/search?sortby=-datetime&limit=1",
    "/stac/aggregate?aggregations=total_count,datetime_min,datetime_max,datetime_frequency,collection_frequency",
    "/stac/aggregate?aggregations=datetime_min,datetime_max,datetime_frequency,cloud_cover_frequency,"
    "centroid_geohash_grid_frequency&bbox=-180,-90,180,90",
    "/stac/aggregate?aggregations=datetime_frequency&datetime_frequency_interval=day", "/stac/export",
    "/stac/export?f=geoparquet&sortby=-updated",
]  # fmt: skip


@pytest.fixture
def loader(database: Any) -> Iterator[Loader]:
    with PgstacDB(dsn=database.admin_url) as db:
        yield Loader(db)


def test_nothing_odd_takes_others_with_it(fresh_catalogue: Any, loader: Loader) -> None:
    loader.load_collections(iter([collection("odd")]), Methods.insert)
    names = [f"odd-{n}" for n in range(len(ODD_ITEMS))]
    for name, odd in zip(names, ODD_ITEMS, strict=True):
        load(loader, [item(name, holder="odd", **odd)], Methods.insert)
    holders = [f"holder-{n}" for n in range(len(ODD_COLLECTIONS))]
    for name, odd in zip(holders, ODD_COLLECTIONS, strict=True):
        loader.load_collections(iter([{**collection(name), **odd}]), Methods.insert)
        load(loader, [item("y", holder=name, assets={"a": STORED})], Methods.insert)
    for name, moment in (("late", "9999-12-31T23:59:59-14:00"), ("early", "0001-01-01T00:00:00+14:00")):
        loader.load_collections(iter([collection(name)]), Methods.insert)
        load(loader, [item("y", moment, holder=name)], Methods.insert)
    parts = ("", "/items", "/queryables")
    paths = [
        *READ, *(f"/stac/collections/odd/items/{name}" for name in names),
        *(f"/stac/collections/{name}{rest}" for name in (*holders, "late", "early") for rest in parts),
    ]  # fmt: skip
    for who in (fresh_catalogue.administrator, fresh_catalogue.anonymous, fresh_catalogue.service):
        for path in paths:
            answer = who.get(path, headers={"accept-language": "fr"})
            assert answer.status_code in (200, 404), (path, answer.text)
    every = fresh_catalogue.administrator.get("/stac/search?limit=200").json()["features"]
    assert {one["id"] for one in every} == {*names, "y"}


@pytest.mark.parametrize("order", ["updated", "-updated", "datetime", "-datetime"])
def test_times_of_other_ages_stop_no_paging(fresh_catalogue: Any, loader: Loader, order: str) -> None:
    loader.load_collections(iter([collection("odd")]), Methods.insert)
    ages = ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2024-01-01T00:00:00Z")
    items = [item(f"i{n}", holder="odd", properties={"updated": moment}) for n, moment in enumerate(ages)]
    load(loader, [*items, item("none", holder="odd")], Methods.insert)
    loader.load_collections(iter([collection("late")]), Methods.insert)
    load(loader, [item("late", ages[0], holder="late")], Methods.insert)
    found: list[str] = []
    url = f"/stac/search?limit=1&sortby={order}"
    while url and len(found) < 10:
        page = fresh_catalogue.anonymous.get(url).raise_for_status().json()
        found += [one["id"] for one in page["features"]]
        links = [link["href"] for link in page["links"] if link["rel"] == "next"]
        url = links[0].removeprefix(fresh_catalogue.base) if links else ""
    assert sorted(found) == ["i0", "i1", "i2", "late", "none"]


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z"])
def test_the_ends_of_the_calendar_are_no_infinities(fresh_catalogue: Any, loader: Loader, moment: str) -> None:
    """Programs write them where they know no time."""
    loader.load_collections(iter([collection("ends")]), Methods.insert)
    items = [item(f"i{n}", moment, holder="ends", properties={"updated": moment}) for n in range(3)]
    load(loader, items, Methods.insert)
    client = fresh_catalogue.anonymous
    for order in ("updated", "-updated", "datetime", "-datetime"):
        found: list[str] = []
        url = f"/stac/search?limit=1&sortby={order}"
        while url and len(found) < 10:
            page = client.get(url).raise_for_status().json()
            found += [one["id"] for one in page["features"]]
            links = [link["href"] for link in page["links"] if link["rel"] == "next"]
            url = links[0].removeprefix(fresh_catalogue.base) if links else ""
        assert sorted(found) == ["i0", "i1", "i2"], order
    for question in (f"datetime={moment}", f"filter=datetime=TIMESTAMP('{moment}')"):
        assert client.get(f"/stac/search?{question}").json()["numberMatched"] == 3, question


@pytest.mark.parametrize("licences", [5, "CC0-1.0", {"CC0-1.0": 1}, [5], [None, "CC0-1.0"]])
def test_licences_that_can_t_be_read_open_nothing(licences: Any) -> None:
    assert licences_of({}, {"properties": {"bocage:licences": licences}}) == ("LicenseRef-undeclared",)
    assert item_licences({"bocage:licences": licences}, {"assets": [5]}) == ("LicenseRef-undeclared",)


def test_the_finisher_waits_for_tables_before_it_holds_rows(
    fresh_catalogue: Any, loader: Loader, database: Any
) -> None:
    """Who deletes a collection takes its tables first and its rows then: the other way round is a deadlock."""
    loader.load_collections(iter([collection("held")]), Methods.insert)
    load(loader, [item("x", holder="held")], Methods.insert)
    with psycopg.connect(database.admin_url) as one, psycopg.connect(database.admin_url, autocommit=True) as other:
        partition = one.execute("select tableoid::regclass from pgstac.items where collection = 'held'").fetchone()
        assert partition is not None
        one.execute(f"lock table {partition[0]} in access exclusive mode")
        other.execute("update catalogue.finished_item set hrefs = null, laid_out = null, body = null")
        waiting = "select count(*) from pg_locks where relation = %s::regclass and not granted"
        deadline = time.monotonic() + 15
        while not other.execute(waiting, [partition[0]]).fetchone()[0]:  # type: ignore[index]
            assert time.monotonic() < deadline, "the finisher did not come"
            time.sleep(0.05)
        found = one.execute("select id from catalogue.finished_item where collection = 'held' for update nowait")
        assert found.fetchone() == ("x",)


def test_an_item_that_cant_be_read_now_is_not_kept_as_if_it_were_broken(loader: Loader, database: Any) -> None:
    loader.load_collections(iter([collection("busy")]), Methods.insert)
    load(loader, [item("x", holder="busy")], Methods.insert)
    with psycopg.connect(database.admin_url) as one, psycopg.connect(database.admin_url) as other:
        partition = one.execute("select tableoid::regclass from pgstac.items where collection = 'busy'").fetchone()
        assert partition is not None
        one.execute(f"lock table {partition[0]} in access exclusive mode")
        other.execute("set local lock_timeout = '200ms'")
        asked = "select catalogue.laid_now(collection, id, datetime) from catalogue.finished_item"
        with pytest.raises(psycopg.errors.LockNotAvailable) as refused:
            other.execute(asked)
        # In the function itself, not in the reading that stands in for an item at fault.
        assert "null, false" not in str(refused.value.diag.context)


def test_items_whose_tables_are_dropped_meanwhile_are_gone(fresh_catalogue: Any, loader: Loader, database: Any) -> None:
    """Dropping a table is seen by statements that had begun before it; deleting rows is not."""
    loader.load_collections(iter([collection("going")]), Methods.insert)
    load(loader, [item("x", holder="going"), item("y", holder="going")], Methods.insert)
    with psycopg.connect(database.admin_url) as one:
        one.execute("lock table catalogue.finished_item in share mode")  # neither finished nor deleted
        one.execute("update catalogue.finished_item set hrefs = null, laid_out = null, body = null")
        one.execute("alter table pgstac.items disable trigger all")
        one.execute("delete from pgstac.items")  # as the statement finds them that had begun before
        one.commit()
        for path in ("/stac/search", "/stac/export", "/stac/changes?include=item", "/stac/collections/going/items"):
            assert fresh_catalogue.anonymous.get(path).status_code == 200, path
        assert fresh_catalogue.anonymous.get("/stac/collections/going/items/x").status_code == 404
        assert fresh_catalogue.anonymous.get("/stac/search").json()["features"] == []
