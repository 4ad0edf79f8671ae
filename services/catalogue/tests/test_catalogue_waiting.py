"""What waits to be laid out is laid out as it stands, whoever writes meanwhile; nothing waits for ever."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
from catalogue_loading import collection, item, load
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
        try:
            admin.execute(
                "update pgstac.items set content = jsonb_set(content, '{properties,version}', '\"second\"')"
                " where id = 'quick'"
            )
        except psycopg.errors.LockNotAvailable:
            pass  # it is held: then it is written later
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
