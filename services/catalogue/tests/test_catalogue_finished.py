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
from catalogue_finished import COMMON, items_, kept
from catalogue_loading import ADMINISTRATOR, BASE, collection, item, load
from hydraters import hydrate
from hypothesis import HealthCheck, given, settings
from pypgstac.load import Loader, Methods

NOBODY = Identity(subject="anonymous", public_base=BASE)
OWNER = Identity(subject="ann", organisation="o1", public_base=BASE, licences={"LicenseRef-Test": Level.ASSET})
SERVICE = Identity(subject="service:x", scopes=frozenset({"service:*"}), public_base=BASE)


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
