"""What waits to be laid out is laid out as it stands, whoever writes meanwhile; nothing waits for ever."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import Any

import psycopg
from catalogue_loading import collection, item, load, put
from pypgstac.load import Loader, Methods


def waiting_for_lock(admin: psycopg.Connection[Any]) -> bool:
    asked = admin.execute("select count(*) as n from pg_locks where locktype = 'advisory' and not granted")
    row = asked.fetchone()
    return row is not None and row["n"] > 0


def test_an_item_that_is_rewritten_while_others_are_laid_out(
    admin: psycopg.Connection[Any], loader: Loader, database: Any
) -> None:
    """Were it held after it was rewritten and read as it was before, so it would stay: it waits no more."""
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    load(loader, [item("slow"), item("quick", properties={"version": "first"})], Methods.insert)
    # The first one takes its time.
    admin.execute("alter function catalogue.laid_now rename to laid_at_once")
    admin.execute("""
        create function catalogue.laid_now(in_collection text, item text, moment timestamptz) returns catalogue.sheet
        language plpgsql stable as $$
        begin
            if item = 'slow' then
                perform pg_advisory_xact_lock(77);
            end if;
            return catalogue.laid_at_once(in_collection, item, moment);
        end
        $$
    """)
    admin.execute("grant execute on function catalogue.laid_now to public")

    def lay_out() -> None:
        with psycopg.connect(database.url("catalogue"), autocommit=True) as connection:
            connection.execute("select catalogue.finish_more(100)")

    with psycopg.connect(database.admin_url) as holder:
        holder.execute("select pg_advisory_lock(77)")
        worker = threading.Thread(target=lay_out)
        worker.start()
        deadline = time.monotonic() + 20
        while not waiting_for_lock(admin):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        admin.execute("set lock_timeout = '1s'")
        with contextlib.suppress(psycopg.errors.LockNotAvailable):  # it is held: then it is written later
            admin.execute(
                "update pgstac.items set content = jsonb_set(content, '{properties,version}', '\"second\"')"
                " where id = 'quick'"
            )
        admin.execute("set lock_timeout = 0")
    worker.join(20)
    admin.execute(
        "update pgstac.items set content = jsonb_set(content, '{properties,version}', '\"second\"')"
        " where id = 'quick' and content -> 'properties' ->> 'version' <> 'second'"
    )
    while admin.execute("select catalogue.finish_more(100) as n").fetchone() != {"n": 0}:
        pass
    texts = admin.execute("select convert_from(body, 'UTF8') as text from catalogue.finished_item where id = 'quick'")
    assert '"second"' in texts.fetchall()[0]["text"]
    assert admin.execute("select * from catalogue.waiting").fetchall() == []


def laid_out_together(admin: psycopg.Connection[Any]) -> list[int]:
    """How many items each batch took, until nothing waits."""
    taken = []
    while row := admin.execute("select catalogue.finish_more(100) as n").fetchone():
        if row["n"] == 0:
            break
        taken.append(row["n"])
    assert admin.execute("select * from catalogue.waiting").fetchall() == []
    return taken


def test_of_large_items_few_are_held_at_once(admin: psycopg.Connection[Any], loader: Loader) -> None:
    """A hundred of the largest would take longer than a statement may, be tried for ever, and hold up the rest."""
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    drawn = random.Random(1)
    assets = [{f"a{n}": {"href": f"https://example.org/{drawn.random()}"} for n in range(9000)} for _ in range(12)]
    load(loader, [item(f"i{n}", assets=assets[n]) for n in range(12)], Methods.insert)
    load(loader, [item(f"small{n}") for n in range(30)], Methods.insert)
    taken = laid_out_together(admin)
    assert sum(taken) == 42 and taken[0] < 12
    left = admin.execute("select count(*) as n from catalogue.finished_item where body is null").fetchone()
    assert left == {"n": 0}


def test_what_can_not_be_laid_out_holds_up_nothing(admin: psycopg.Connection[Any], loader: Loader) -> None:
    """Items that pgSTAC lost past all triggers; one that comes back is listed again."""
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    load(loader, [item(f"lost{n}") for n in range(100)], Methods.insert)
    admin.execute("alter table pgstac.items disable trigger keep_finished")
    admin.execute("set session_replication_role = replica")
    admin.execute("delete from pgstac.items")
    admin.execute("set session_replication_role = origin")
    admin.execute("alter table pgstac.items enable trigger keep_finished")
    load(loader, [item("kept"), item("lost1")], Methods.insert)
    assert sum(laid_out_together(admin)) == 2
    done = admin.execute("select id from catalogue.finished_item where body is not null order by id").fetchall()
    assert [row["id"] for row in done] == ["kept", "lost1"]


def test_what_came_together_is_laid_out_whoever_writes_and_however_many_do_so(
    admin: psycopg.Connection[Any], loader: Loader, database: Any
) -> None:
    """Listed together until its turn comes; meanwhile some are deleted, some rewritten, and one comes by itself."""
    loader.load_collections(iter([collection("scenes"), collection("gone")]), Methods.insert)
    put(admin, "scenes", [item(f"first{n:03}", properties={"version": 1}) for n in range(300)])
    put(admin, "gone", [item(f"gone{n:03}") for n in range(150)])
    put(admin, "scenes", [item(f"second{n:03}") for n in range(50)])
    row = admin.execute("select count(*) as n, sum(cardinality(ids)) as listed from catalogue.waiting").fetchone()
    assert row == {"n": 3, "listed": 500}
    admin.execute("delete from pgstac.items where id like 'first00%'")
    admin.execute(
        "update pgstac.items set content = jsonb_set(content, '{properties,version}', '2') where id like 'first01%'"
    )
    admin.execute("select pgstac.delete_collection('gone')")
    load(loader, [item("single")], Methods.insert)

    def lay_out() -> None:
        with psycopg.connect(database.url("catalogue"), autocommit=True) as connection:
            deadline = time.monotonic() + 30
            while connection.execute("select from catalogue.waiting limit 1").fetchall():
                assert time.monotonic() < deadline
                connection.execute("select catalogue.finish_more(100)")

    workers = [threading.Thread(target=lay_out) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert admin.execute("select * from catalogue.waiting").fetchall() == []
    found = {
        row["id"]: row["text"]
        for row in admin.execute("select id, convert_from(body, 'UTF8') as text from catalogue.finished_item")
    }
    names = {f"first{n:03}" for n in range(10, 300)} | {f"second{n:03}" for n in range(50)} | {"single"}
    assert found.keys() == names and None not in found.values()
    assert all(('"version": 2' in found[n] or '"version":2' in found[n]) == n.startswith("first01") for n in names)


def test_lists_of_what_is_gone_or_done_hold_up_nothing(admin: psycopg.Connection[Any], loader: Loader) -> None:
    """Many of them at once: of a collection that was deleted, and of items that were replaced over and over."""
    loader.load_collections(iter([collection("scenes"), collection("gone")]), Methods.insert)
    for lot in range(10):
        put(admin, "gone", [item(f"gone{lot}-{n}") for n in range(20)])
    admin.execute("select pgstac.delete_collection('gone')")
    for _ in range(10):
        put(admin, "scenes", [item(f"i{n}") for n in range(20)], over=True)
    put(admin, "scenes", [item(f"last{n}") for n in range(20)])
    taken = laid_out_together(admin)
    assert sum(taken) == 40 and len(taken) <= 3


def test_what_comes_alone_does_not_overtake_what_came_together_for_ever(
    admin: psycopg.Connection[Any], loader: Loader
) -> None:
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    put(admin, "scenes", [item(f"together{n}") for n in range(20)])
    left = "select count(*) as n from catalogue.finished_item where body is null and id like 'together%'"
    for turn in range(4):
        load(loader, [item(f"alone{turn}-{n}") for n in range(50)], Methods.insert)
        admin.execute("select catalogue.finish_more(50)")
    assert admin.execute(left).fetchone() == {"n": 0}
