"""What is kept finished is what pgSTAC holds, whoever wrote it and however, and reads as the long way round would."""

from __future__ import annotations

import threading
import time
from typing import Any

import orjson
import psycopg
import pytest
from bocage_catalogue import packing, present
from bocage_catalogue.layout import Layout
from bocage_catalogue.visibility import CollectionRow
from bocage_kit.database import migrate
from bocage_kit.identity import Identity, Level
from catalogue_loading import ADMINISTRATOR, BASE, collection, item, load
from hydraters import hydrate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypgstac.load import Loader, Methods

NOBODY = Identity(subject="anonymous", public_base=BASE)
OWNER = Identity(subject="ann", organisation="o1", public_base=BASE, licences={"LicenseRef-Test": Level.ASSET})
SERVICE = Identity(subject="service:x", scopes=frozenset({"service:*"}), public_base=BASE)
WORDS = [
    "plain", "with \u0001 mark", "\\u0002", '", "auth:refs": ["\\u0002"]', "é ü 日本 𒍟※", "/path", "EPSG:32631", "",
]  # fmt: skip
COMMON = {
    "image": {"type": "image/tiff", "roles": ["data"], "bands": [{"name": "a"}, {"name": "b"}], "gsd": 10},
    "never-there": {"type": "text/plain"},
}
# All that pgSTAC holds and the table does not say alike, and all that the table says of nothing.
ASTRAY = """
select i.collection, i.id from pgstac.items i
cross join lateral catalogue.entered(i) e cross join lateral catalogue.laid(i) l
left join catalogue.finished_item f on f.collection = i.collection and f.id = i.id
where (to_jsonb(e) || to_jsonb(l)) - '{revision,hrefs,body}'::text[]
    is distinct from to_jsonb(f) - '{revision,hrefs,body}'::text[]
union all
select f.collection, f.id from catalogue.finished_item f
where not exists (select from pgstac.items i where i.collection = f.collection and i.id = f.id)
"""
# Of each item what is kept packed, too.
TEXTS = """
select f.*, l.body as laid, l.hrefs as laid_hrefs
from catalogue.finished_item f cross join lateral catalogue.laid_now(f.collection, f.id, f.datetime) l
"""


def kept(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """The finished items by id; none of them may be astray, nor any be left over."""
    while connection.execute("select catalogue.finish_more(3) as n").fetchone() != {"n": 0}:
        pass
    assert connection.execute(ASTRAY).fetchall() == []
    dictionaries = connection.execute("select digest, text from catalogue.dictionary").fetchall()
    readers = {b"\0" + row["digest"]: packing.reader(row["text"]) for row in dictionaries}
    rows = {row["id"]: row for row in connection.execute(TEXTS)}
    for row in rows.values():
        assert packing.plain(row["body"], readers) == row["laid"]
        hrefs = packing.pieces(row["body"], readers)[1].decode() or row["hrefs"] or row["laid_hrefs"]
        assert hrefs == row["laid_hrefs"]
    return rows


@pytest.mark.parametrize("partition", [None, "month"])
def test_every_mode_of_loading(
    admin: psycopg.Connection[Any], loader: Loader, partition: str | None, database: Any
) -> None:
    loader.load_collections(iter([collection("scenes", item_assets=COMMON)]), Methods.insert)
    admin.execute("update pgstac.collections set partition_trunc = %s", [partition])
    image = {"image": {**COMMON["image"], "href": "store:collections/scenes/x/image"}}
    load(loader, [item(f"i{n}", f"2024-0{n + 1}-01T00:00:00Z", assets=image) for n in range(4)], Methods.insert)
    first = kept(admin)
    assert len(first) == 4 and all(row["laid_out"] for row in first.values())
    changed = [item("i1", "2024-02-01T00:00:00Z", assets=image, properties={"a": 1}), item("i9", assets=image)]
    load(loader, changed, Methods.ignore)
    second = kept(admin)
    assert second.keys() == first.keys() | {"i9"} and second["i1"] == first["i1"]
    load(loader, changed, Methods.upsert)
    third = kept(admin)
    assert third["i1"]["content"]["properties"]["a"] == 1
    assert third["i1"]["revision"] > first["i1"]["revision"] and third["i0"] == first["i0"]
    # Moved to another month: out of its partition.
    load(loader, [item("i1", "2024-07-01T00:00:00Z", assets=image)], Methods.delsert)
    assert kept(admin)["i1"]["datetime"].month == 7
    admin.execute("select pgstac.upsert_item(%s)", [orjson.dumps(item("i2", "2024-03-01T00:00:00Z")).decode()])
    admin.execute("select pgstac.update_item(%s)", [orjson.dumps(item("i3", "2024-12-01T00:00:00Z")).decode()])
    admin.execute("select pgstac.delete_item('i0', 'scenes')")
    assert kept(admin).keys() == {"i1", "i2", "i3", "i9"}
    # Every partition is made anew.
    admin.execute("update pgstac.collections set partition_trunc = %s", ["year" if partition is None else None])
    assert kept(admin).keys() == {"i1", "i2", "i3", "i9"}
    # What is common to assets changes for items to come, not for those that are there.
    admin.execute(
        "update pgstac.collections set content = content || %s",
        [orjson.dumps({"item_assets": {"image": {"type": "image/png", "roles": ["overview"]}}}).decode()],
    )
    loader.collection_json.cache_clear()
    load(loader, [item("j", "2024-05-02T00:00:00Z", assets=image)], Methods.insert)
    now = kept(admin)
    assert all(b'"image/tiff"' in now[name]["body"] for name in ("i1", "j"))
    # In a transaction that fails, nothing happens.
    with pytest.raises(psycopg.errors.DivisionByZero), admin.transaction():
        admin.execute("delete from pgstac.items")
        admin.execute("select 1 / 0")
    assert kept(admin) == now
    admin.execute("select pgstac.delete_collection('scenes')")
    assert kept(admin) == {}


def test_partitions_that_are_emptied(admin: psycopg.Connection[Any], loader: Loader) -> None:
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    load(loader, [item("one")], Methods.insert)
    admin.execute("truncate pgstac.items")
    assert kept(admin) == {}


def test_the_writers_of_the_catalogue_need_no_more_rights(database: Any, loader: Loader) -> None:
    """The role of the service writes through triggers that it may not call, and partitions that it does not own."""
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    with psycopg.connect(database.url("catalogue"), autocommit=True) as connection:
        connection.execute("select pgstac.create_item(%s)", [orjson.dumps(item("one")).decode()])
        assert connection.execute("select id from catalogue.finished_item").fetchall() == [("one",)]
    with psycopg.connect(database.url("tiles")) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select id from catalogue.finished_item")


def test_the_service_finishes_what_is_written_and_answers_the_same_before(
    fresh_catalogue: Any, admin: psycopg.Connection[Any]
) -> None:
    """Two finishers at once, while items are written over and over."""
    service = fresh_catalogue.service
    assert service.post("/stac/collections", json=fresh_catalogue.collection("scenes")).status_code == 201
    asset = {"href": "store:collections/scenes/one/image", "type": "image/tiff"}
    made = fresh_catalogue.item("one", {"image": asset})
    admin.execute("begin")
    assert service.post("/stac/collections/scenes/items", json=made).status_code == 201
    admin.execute("select from catalogue.finished_item for update")  # until released, nobody finishes it
    path = "/stac/collections/scenes/items/one"
    unfinished = {who: getattr(fresh_catalogue, who).get(path).content for who in ("anonymous", "service", "stranger")}
    searched = fresh_catalogue.anonymous.get("/stac/search").content
    admin.execute("rollback")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if admin.execute("select from catalogue.finished_item where body is not null").fetchall():
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the item was not finished")
    assert unfinished == {who: getattr(fresh_catalogue, who).get(path).content for who in unfinished}
    assert searched == fresh_catalogue.anonymous.get("/stac/search").content
    for number in range(20):
        batch = [{**fresh_catalogue.item(f"i{n}", round=number), "collection": "scenes"} for n in range(10)]
        admin.execute("select pgstac.upsert_items(%s)", [orjson.dumps(batch).decode()])
        admin.execute("select catalogue.finish_more(7)")
    assert len(kept(admin)) == 11


def test_items_from_before_are_filled_in(admin: psycopg.Connection[Any], loader: Loader, database: Any) -> None:
    loader.load_collections(iter([collection("scenes"), collection("others")]), Methods.insert)
    admin.execute("alter table pgstac.items disable trigger keep_finished")
    load(loader, [item(f"i{n}", holder=("scenes", "others")[n % 2]) for n in range(25)], Methods.insert)
    admin.execute("alter table pgstac.items enable trigger keep_finished")
    assert admin.execute("select count(*) as n from catalogue.finished_item").fetchone() == {"n": 0}
    with psycopg.connect(database.url("catalogue"), autocommit=True) as connection:

        def enter(most: int) -> int:
            row = connection.execute("select catalogue.enter_more(%s)", [most]).fetchone()
            assert row is not None
            return int(row[0])

        assert enter(10) == 10
        load(loader, [item("i24", properties={"a": 1})], Methods.upsert)  # by its trigger: one less
        # One that is being deleted meanwhile is not brought back.
        with psycopg.connect(database.admin_url) as deleting:
            gone = deleting.execute(
                "delete from pgstac.items i where not exists (select from catalogue.finished_item f where f.id = i.id)"
                " and id = (select min(id) from pgstac.items where id not in (select id from catalogue.finished_item))"
                " returning id"
            ).fetchall()
            assert len(gone) == 1
            worker = threading.Thread(target=lambda: enter(100))
            worker.start()
            worker.join(0.3)
            deleting.commit()
            worker.join(20)
        assert enter(100) == 0
    assert len(kept(admin)) == 24


def test_a_platform_from_before_is_brought_up_to_date(
    admin: psycopg.Connection[Any], loader: Loader, database: Any
) -> None:
    """The migrations over a database that has items and nothing of ours; twice, as at each start."""
    admin.execute("drop schema catalogue cascade")
    admin.execute("create schema catalogue authorization bocage_catalogue")
    loader.load_collections(iter([collection("scenes", item_assets=COMMON)]), Methods.insert)
    load(loader, [item(f"i{n}") for n in range(5)], Methods.insert)
    for _ in range(2):
        migrate(database.url("catalogue"), "bocage_catalogue", "catalogue")
        done = admin.execute("select count(*) as n from catalogue.finished_item where body is not null").fetchone()
        assert done == {"n": 5}
    load(loader, [item("i9")], Methods.insert)
    assert len(kept(admin)) == 6


EXTENSIONS = [present.PROJECTION, present.PROJECTION_WITH_EPSG, "https://example.org/x"]
ODD_EXTENSIONS = [*EXTENSIONS, present.AUTHENTICATION, present.STORAGE]
HREFS = ["store:collections/scenes/x/image", "https://example.org/x.tif", "s3:bucket:collections/a", "s3://b/k"]
EASY_WORDS = ["plain", "é ü 日本", "/path", "EPSG:32631", '", "auth:refs": ["', ""]
ASSET = {
    "type": st.sampled_from(["image/tiff", "image/png"]),
    "roles": st.sampled_from([["data"], ["overview"], [], None]),
    "bands": st.sampled_from([[{"name": "a"}, {"name": "c"}], [{"name": "a", "x": {"y": 1}}], []]),
    "gsd": st.sampled_from([10, 20.50, None]),
    "proj:code": st.sampled_from(["EPSG:32631", "epsg:4326", "IGNF:X", "EPSG:", None]),
}
ODD_ASSET = {
    "bocage:licences": st.sampled_from([["CC-BY-4.0"], ["LicenseRef-Test", "LicenseRef-Other"], [], None]),
    "license": st.sampled_from(["CC-BY-4.0", "other", "cc0-1.0"]),
    "auth:refs": st.sampled_from([["apiKey"], ["oidc"]]),
    "storage:refs": st.just(["elsewhere"]),
}
PROPERTIES = {
    "nested": st.sampled_from([{"a": [1, 2.50, None, {"b": None}]}, 1e30, 12345678901234567890, None]),
    "bocage:audience": st.sampled_from(["public", "organisation", "owner", None]),
    "bocage:owner": st.sampled_from(["ann", "bob"]),
    "bocage:licences": st.sampled_from([["CC-BY-4.0"], ["LicenseRef-Test"], [], None]),
    "license": st.sampled_from(["CC-BY-4.0", "other"]),
    "proj:code": st.sampled_from(["EPSG:32631", "nothing"]),
}
ODD_PROPERTIES = {
    "bocage:shared_with": st.sampled_from([["person:ann"], "person:ann", None]),
    "auth:schemes": st.just({"oidc": {"type": "openIdConnect"}}),
    "storage:schemes": st.just({"elsewhere": {"type": "x", "platform": "https://example.org"}}),
    "themes": st.sampled_from([[{"scheme": "vocabulary/cds", "concepts": [{"id": "grenoble"}, 1]}, 2], "none"]),
    "bocage:translations": st.sampled_from([{"fr": {"title": "Le titre"}}, {"fr": {}}, {}]),
}


def items_(odd: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Items as they mostly are, or with what the database leaves to the reader."""
    texts = st.sampled_from(WORDS if odd else EASY_WORDS)
    nothing = st.none() if odd else st.nothing()
    asset = st.fixed_dictionaries(
        {"href": st.sampled_from(HREFS)}, optional=ASSET | {"title": texts} | (ODD_ASSET if odd else {})
    )
    links = st.fixed_dictionaries(
        {
            "rel": st.sampled_from(["self", "derived_from", "root", "license", "item"]),
            "href": st.sampled_from(["/stac/x", "https://example.org"]),
        },
        optional={"title": texts},
    )
    names = ["image", "data-2_x.y~z", "a:b(c)"] + (["B 01", "é", "a/b"] if odd else [])
    return st.fixed_dictionaries(
        {
            "id": st.sampled_from(["one", "a:b(c)", *(["with space", "é", "100%"] if odd else [])]),
            "assets": st.dictionaries(st.sampled_from(names), asset, max_size=3),
            "stac_extensions": nothing
            | st.lists(st.sampled_from(ODD_EXTENSIONS if odd else EXTENSIONS), max_size=3, unique=True),
            "links": st.none() | st.lists(links, max_size=3),
            "properties": st.fixed_dictionaries(
                {}, optional=PROPERTIES | {"title": texts} | (ODD_PROPERTIES if odd else {})
            ),
        }
    )


@pytest.mark.parametrize("odd", [False, True], ids=["easy", "odd"])
@pytest.mark.parametrize("common", [None, COMMON], ids=["bare", "common"])
def test_laid_out_text_equals_the_presented_document(
    admin: psycopg.Connection[Any], loader: Loader, common: Any, odd: bool
) -> None:
    """The text from the database against `present.item` over what the loading library makes of pgSTAC's rows."""
    members = {} if common is None else {"item_assets": common}
    loader.load_collections(iter([collection("scenes", **members)]), Methods.insert)
    plain = {"bocage:licences": ["LicenseRef-Test"], "license": "other"}
    seen = {True: 0, False: 0}
    page: list[Any] = []

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(made=items_(odd))
    def check(made: dict[str, Any]) -> None:
        admin.execute("delete from pgstac.items")
        # PostgreSQL keeps no NUL, and the loading library reads the marks of its own in strings.
        whole = item(made["id"], **{name: value for name, value in made.items() if name != "id"})
        load(loader, [{name: value for name, value in whole.items() if value is not None}], Methods.insert)
        row = admin.execute(
            "select collection as in_collection, id as item, licences, audience, l.*, null as now"
            " from catalogue.finished_item f cross join lateral catalogue.laid_now(f.collection, f.id, f.datetime) l"
        ).fetchone()
        feature = admin.execute("select pgstac.content_nonhydrated(i) as i from pgstac.items i").fetchone()
        assert row is not None and feature is not None
        base = {k: v for k, v in feature["i"].pop("pgstac:base_item").items() if v is not None}
        stored = hydrate(base, feature["i"], strip_unmatched_markers=True)
        seen[row["laid_out"]] += 1
        page[:] = [row, *page][:4]
        packer = packing.Packer("scenes", ())
        packed = {**row, "body": packer.packed(row["body"], row["hrefs"])}
        if packing.is_packed(packed["body"]):
            packed["hrefs"] = None
        readers = {b"\0" + packing.digest("scenes", text): packing.reader(text) for text in packer.made}
        for identity in (NOBODY, OWNER, ADMINISTRATOR, SERVICE):
            for tongue, rights in (("en", plain), ("fr", plain), ("fr", {**plain, "bocage:processes": ["dsm", 1]})):
                rows = {"scenes": CollectionRow(None, rights, visible=True)}
                layout, expected = Layout(identity, rows, tongue), present.item(dict(stored), rights, identity, tongue)
                assert orjson.loads(layout.text(row)) == expected
                assert layout.document(row) == expected
                unpacked = Layout(identity, rows, tongue, readers)
                assert unpacked.text(packed) == layout.text(row) and unpacked.document(packed) == expected
                assert b"".join(layout.pieces(page)) == b",".join(layout.text(one) for one in page)

    check()
    assert seen[False] > 20 if odd else seen[False] == 0, "the way that is meant was walked"


PUT = """
select catalogue.put(%(table)s::regclass, %(collection)s, array_agg(id order by id),
    array_agg(datetime::text order by id), array_agg(end_datetime::text order by id),
    array_agg(st_asewkb(geometry) order by id), array_agg(convert_to(content::text, 'UTF8') order by id))
from kept
"""
AS_FOUND = "select to_jsonb(f) - 'revision' as f from catalogue.finished_item f order by collection, id"


def table_of(admin: psycopg.Connection[Any], name: str) -> str:
    row = admin.execute("select key from pgstac.collections where id = %s", [name]).fetchone()
    assert row is not None
    return f'pgstac."_items_{row["key"]}"'


@pytest.mark.parametrize("partition", [None, "year"])
def test_what_is_put_together_is_entered_as_one_by_one(
    admin: psycopg.Connection[Any], loader: Loader, partition: str | None
) -> None:
    """Items as the loader wrote them, each by its trigger, are taken away and put back by one statement."""
    loader.load_collections(iter([collection("scenes", item_assets=COMMON)]), Methods.insert)
    admin.execute("update pgstac.collections set partition_trunc = %s", [partition])
    years = st.integers(2018, 2024)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(made=st.lists(st.tuples(items_(odd=True), years, st.booleans()), min_size=1, max_size=6))
    def check(made: list[tuple[dict[str, Any], int, bool]]) -> None:
        admin.execute("delete from pgstac.items")
        admin.execute("delete from catalogue.written")
        admin.execute("drop table if exists kept")
        whole = [
            item(f"{number}{one['id']}", f"{year}-03-01T00:00:00Z", **{n: v for n, v in one.items() if n != "id"})
            for number, (one, year, _) in enumerate(made)
        ]
        for one, (_, year, lasting) in zip(whole, made, strict=True):
            if lasting:
                last = {"start_datetime": f"{year}-03-01T00:00:00Z", "end_datetime": f"{year}-09-01T00:00:00Z"}
                one["properties"] |= last | {"eo:cloud_cover": year / 7}
                one["geometry"] = {"type": "LineString", "coordinates": [[n / 9, n] for n in range(-40, 40)]}
        load(loader, [{n: v for n, v in one.items() if v is not None} for one in whole], Methods.insert)
        by_trigger = admin.execute(AS_FOUND).fetchall()
        changes = admin.execute(CHANGED).fetchall()
        assert len(by_trigger) == len(changes) == len(made)
        admin.execute("create temp table kept as select * from pgstac.items")
        admin.execute("delete from pgstac.items")
        admin.execute("delete from catalogue.written")
        admin.execute(PUT, {"table": table_of(admin, "scenes"), "collection": "scenes"})
        assert admin.execute(AS_FOUND).fetchall() == by_trigger
        assert admin.execute(CHANGED).fetchall() == changes
        kept(admin)

    check()


CHANGED = (
    "select collection, id, was::text, became::text, swept from catalogue.written where id is not null order by id"
)


def test_what_is_changed_and_put_in_one_transaction_is_one_change(
    admin: psycopg.Connection[Any], loader: Loader
) -> None:
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    load(loader, [item(name) for name in ("a", "b", "c")], Methods.insert)
    admin.execute("create temp table kept as select * from pgstac.items where id in ('a', 'b')")
    admin.execute("insert into kept select * from pgstac.items where id = 'a'")
    admin.execute("update kept set id = 'd' where ctid = (select max(ctid) from kept)")
    put = {"table": table_of(admin, "scenes"), "collection": "scenes"}
    with admin.transaction():
        admin.execute("delete from catalogue.written")
        admin.execute("delete from pgstac.items where id in ('a', 'b')")
        admin.execute(PUT, put)
        admin.execute("delete from pgstac.items where id in ('b', 'd')")
    told = {row["id"]: (row["was"] is None, row["became"] is None) for row in admin.execute(CHANGED)}
    assert told == {"a": (False, False), "b": (False, True)}  # nobody ever saw d
    assert kept(admin).keys() == {"a", "c"}


def test_what_is_inserted_after_a_put_is_entered_by_its_trigger(admin: psycopg.Connection[Any], loader: Loader) -> None:
    """In the same transaction, and after one that failed half-way."""
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    load(loader, [item("a"), item("b")], Methods.insert)
    admin.execute("create temp table kept as select * from pgstac.items where id = 'a'")
    put = {"table": table_of(admin, "scenes"), "collection": "scenes"}
    insert = "insert into pgstac.items select %s, geometry, collection, datetime, end_datetime, content from kept"
    with admin.transaction():
        with pytest.raises(psycopg.errors.UniqueViolation), admin.transaction():
            admin.execute(PUT, put)
        admin.execute(insert, ["after-failure"])
        admin.execute("delete from pgstac.items where id = 'a'")
        admin.execute(PUT, put)
        admin.execute(insert, ["after-put"])
        admin.execute("update pgstac.items set content = content || '{\"x\": 1}' where id = 'b'")
        admin.execute("delete from pgstac.items where id = 'after-failure'")
    found = kept(admin)
    assert found.keys() == {"a", "b", "after-put"} and found["b"]["content"]["x"] == 1


def test_an_id_in_another_partition_is_entered_over(admin: psycopg.Connection[Any], loader: Loader) -> None:
    """Partitions by time each know their own ids alone; the service refuses such items, and undoes them."""
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    admin.execute("update pgstac.collections set partition_trunc = 'year'")
    load(loader, [item("a", "2020-01-01T00:00:00Z"), item("b", "2021-06-01T00:00:00Z")], Methods.insert)
    admin.execute("create temp table kept as select * from pgstac.items where id = 'a'")
    admin.execute("update kept set datetime = '2021-06-01Z', end_datetime = '2021-06-01Z'")
    admin.execute(PUT, {"table": table_of(admin, "scenes"), "collection": "scenes"})
    now = admin.execute("select datetime from catalogue.finished_item where id = 'a'").fetchone()
    assert now is not None and now["datetime"].year == 2021
    told = admin.execute("select was is null as new from catalogue.written where id = 'a' order by serial").fetchall()
    assert told[-1] == {"new": False}


def test_known_items_are_looked_up_and_not_sought(
    admin: psycopg.Connection[Any], database: Any, loader: Loader
) -> None:
    """Also in a session that asked first when there was nothing, and among many more than anybody has counted."""
    loader.load_collections(iter([collection("scenes"), collection("others")]), Methods.insert)
    load(loader, [item(f"i{n}", holder="others") for n in range(3000)], Methods.insert)
    admin.execute("analyze catalogue.finished_item")
    names = [f"i{n}" for n in range(200)]
    reads = "select seq_tup_read, idx_scan from pg_stat_xact_user_tables where relname = 'finished_item'"
    with psycopg.connect(database.url("catalogue"), autocommit=True) as other:

        def held() -> int:
            return len(other.execute("select catalogue.held('scenes', %s)", [names]).fetchall())

        assert [held() for _ in range(8)] == [0] * 8
        load(loader, [item(f"i{n}") for n in range(3000)], Methods.insert)
        with other.transaction():
            before = other.execute(reads).fetchone()
            assert [held() for _ in range(8)] == [200] * 8
            after = other.execute(reads).fetchone()
    assert before is not None and after is not None
    assert (after[0] - before[0], after[1] - before[1]) == (0, 8 * 200)
