"""Items of one request are entered as if each had come alone."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from catalogue_finished import COMMON, items_, kept
from catalogue_loading import collection, item, load, put_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypgstac.load import Loader, Methods

AS_FOUND = "select to_jsonb(f) - 'revision' as f from catalogue.finished_item f order by collection, id"


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
            if year == 2020:
                one["properties"] = {**one["properties"], "deprecated": True}
        admin.execute(FORGET)
        load(loader, [{n: v for n, v in one.items() if v is not None} for one in whole], Methods.insert)
        by_trigger = admin.execute(AS_FOUND).fetchall()
        changes, noted = admin.execute(CHANGED).fetchall(), admin.execute(NOTED).fetchall()
        assert len(by_trigger) == len(changes) == len(made)
        admin.execute("create temp table kept as select * from pgstac.items")
        admin.execute("delete from pgstac.items")
        admin.execute("delete from catalogue.written")
        admin.execute(FORGET)
        put_rows(admin, "kept")
        assert admin.execute(AS_FOUND).fetchall() == by_trigger
        assert admin.execute(CHANGED).fetchall() == changes
        assert admin.execute(NOTED).fetchall() == noted
        kept(admin)

    check()


FORGET = "update catalogue.finished_collection set longest = null, deprecated_items = false"
NOTED = """
select c.longest, c.deprecated_items, array(select d.id from catalogue.deprecated_item d order by d.id) as deprecated
from catalogue.finished_collection c
"""
CHANGED = """
select w.collection, n.id, w.was::text, w.became::text, w.swept
from catalogue.written w cross join lateral unnest(coalesce(w.ids, array[w.id])) n (id)
where n.id is not null order by 2
"""


def test_what_is_changed_and_put_in_one_transaction_is_one_change(
    admin: psycopg.Connection[Any], loader: Loader
) -> None:
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    load(loader, [item(name) for name in ("a", "b", "c")], Methods.insert)
    admin.execute("create temp table kept as select * from pgstac.items where id in ('a', 'b')")
    admin.execute("insert into kept select * from pgstac.items where id = 'a'")
    admin.execute("update kept set id = 'd' where ctid = (select max(ctid) from kept)")
    with admin.transaction():
        admin.execute("delete from catalogue.written")
        admin.execute("delete from pgstac.items where id in ('a', 'b')")
        put_rows(admin, "kept")
        admin.execute("delete from pgstac.items where id in ('b', 'd')")
    told = {row["id"]: (row["was"] is None, row["became"] is None) for row in admin.execute(CHANGED)}
    assert told == {"a": (False, False), "b": (False, True)}  # nobody ever saw d
    assert kept(admin).keys() == {"a", "c"}


def test_what_is_inserted_after_a_put_is_entered_by_its_trigger(admin: psycopg.Connection[Any], loader: Loader) -> None:
    """In the same transaction, and after one that failed half-way."""
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    load(loader, [item("a"), item("b")], Methods.insert)
    admin.execute("create temp table kept as select * from pgstac.items where id = 'a'")
    insert = "insert into pgstac.items select %s, geometry, collection, datetime, end_datetime, content from kept"
    with admin.transaction():
        with pytest.raises(psycopg.errors.UniqueViolation), admin.transaction():
            put_rows(admin, "kept")
        admin.execute(insert, ["after-failure"])
        admin.execute("delete from pgstac.items where id = 'a'")
        put_rows(admin, "kept")
        admin.execute(insert, ["after-put"])
        admin.execute("update pgstac.items set content = jsonb_set(content, '{properties,x}', '1') where id = 'b'")
        admin.execute("delete from pgstac.items where id = 'after-failure'")
    found = kept(admin)
    assert found.keys() == {"a", "b", "after-put"} and found["b"]["content"]["properties"]["x"] == 1


def test_what_is_left_of_an_item_that_pgstac_has_lost_is_entered_over(
    admin: psycopg.Connection[Any], loader: Loader
) -> None:
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    load(loader, [item(name) for name in ("a", "b", "c")], Methods.insert)
    admin.execute("create temp table kept as select * from pgstac.items where id <> 'c'")
    admin.execute("alter table pgstac.items disable trigger keep_finished")
    admin.execute("delete from pgstac.items where id = 'b'")
    admin.execute("alter table pgstac.items enable trigger keep_finished")
    admin.execute("delete from pgstac.items where id = 'a'")
    admin.execute("update kept set content = jsonb_set(content, '{properties,x}', '1')")
    put_rows(admin, "kept")
    found = {name: row["content"]["properties"].get("x") for name, row in kept(admin).items()}
    assert found == {"a": 1, "b": 1, "c": None}


def test_an_id_in_another_partition_is_entered_over(admin: psycopg.Connection[Any], loader: Loader) -> None:
    """Partitions by time each know their own ids alone; the service refuses such items, and undoes them."""
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    admin.execute("update pgstac.collections set partition_trunc = 'year'")
    load(loader, [item("a", "2020-01-01T00:00:00Z"), item("b", "2021-06-01T00:00:00Z")], Methods.insert)
    admin.execute("create temp table kept as select * from pgstac.items where id = 'a'")
    admin.execute("update kept set datetime = '2021-06-01Z', end_datetime = '2021-06-01Z'")
    put_rows(admin, "kept")
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
