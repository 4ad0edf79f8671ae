"""Texts are kept packed, whatever they are, and what reads them goes no sooner than they do."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import orjson
import psycopg
import pytest
from alembic import command
from alembic.config import Config
from bocage_catalogue import packing
from bocage_catalogue.conditions import Search
from bocage_catalogue.database import Database
from bocage_catalogue.finished import finish, frequent_page, item_row
from bocage_catalogue.layout import Layout
from bocage_kit.database import sqlalchemy_url
from bocage_kit.identity import Identity
from catalogue_loading import collection, item, load
from hypothesis import given
from hypothesis import strategies as st
from pypgstac.load import Loader, Methods

ANYBODY = Identity(subject="anonymous", public_base="https://hub.example.org")


def read_by(collection: str, *dictionaries: bytes) -> packing.Readers:
    return {b"\0" + packing.digest(collection, text): packing.reader(text) for text in dictionaries}


def text(n: int, size: int = 800) -> bytes:
    return orjson.dumps({"id": f"i{n}", "values": [*range(size // 4)], "last": n * n})


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.floats()))), st.text())
def test_every_text_is_read_as_it_was(documents: list[dict[str, Any]], collection: str) -> None:
    texts = [b"{" + repr(document).encode("utf-8", "replace").replace(b"\0", b"") for document in documents]
    texts += [text.replace(b",", b"\1").replace(b"'", b"\7\2") for text in texts]
    packer = packing.Packer(collection, ())
    bodies = [packer.packed(each) for each in texts]
    readers = read_by(collection, *packer.made)
    assert [packing.plain(body, readers) for body in bodies] == texts
    assert all(packing.length(body) >= len(each) for body, each in zip(bodies, texts, strict=True))
    assert all(packing.is_readable(body, readers) for body in bodies)


def test_alike_texts_take_little_and_share_a_dictionary() -> None:
    packer = packing.Packer("c", ())
    bodies = [packer.packed(text(n)) for n in range(50)]
    assert packer.made == [b"\0\0" + text(0)]
    assert sum(map(len, bodies)) * 8 < sum(len(text(n)) for n in range(50))
    later = packing.Packer("c", packer.made)
    assert [later.packed(text(n)) for n in range(50)] == bodies and later.made == []


def test_texts_unlike_each_other_have_some_dictionaries_and_no_more() -> None:
    unlike = [bytes((17 * n * m) % 241 + 10 for m in range(1, 400)) + str(n).encode() * 300 for n in range(1, 41)]
    packer = packing.Packer("c", ())
    bodies = [packer.packed(each) for each in unlike]
    assert 1 < len(packer.made) <= 8
    readers = read_by("c", *packer.made)
    assert [packing.plain(body, readers) for body in bodies] == unlike
    assert all(len(body) <= len(each) for body, each in zip(bodies, unlike, strict=True))


def test_what_is_long_or_short_stays_plain() -> None:
    packer = packing.Packer("c", ())
    for each in (b"{}", b"{" + b" " * packing.LONGEST + b"}"):
        assert packer.packed(each) == each
        assert packing.plain(each, packing.NONE) == each and packing.length(each) == len(each)


def test_of_two_collections_each_has_its_own() -> None:
    """Else what reads the items of one would go with the other."""
    assert packing.digest("a", text(1)) != packing.digest("b", text(1))
    assert packing.digest("a", b"b") != packing.digest("ab", b"")


def finished_body(admin: psycopg.Connection[Any], name: str) -> bytes:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        row = admin.execute("select body from catalogue.finished_item where id = %s", [name]).fetchone()
        if row is not None and row["body"] is not None:
            return bytes(row["body"])
        time.sleep(0.05)
    raise AssertionError("it was not finished")


@pytest.fixture
def scenes(fresh_catalogue: Any) -> Any:
    for name in ("one", "two"):
        made = fresh_catalogue.collection(name, **{"bocage:audience": "public"})
        assert fresh_catalogue.service.post("/stac/collections", json=made).status_code == 201
        items = [fresh_catalogue.item(f"{name}{n}", keywords=["word"] * 50) for n in range(5)]
        body = {"type": "FeatureCollection", "features": items}
        assert fresh_catalogue.service.post(f"/stac/collections/{name}/items", json=body).status_code == 201
    return fresh_catalogue


def test_items_are_packed_and_told_as_before(scenes: Any, admin: psycopg.Connection[Any]) -> None:
    for name in ("one0", "one4", "two0"):
        assert finished_body(admin, name)[0] == 0
    path = "/stac/collections/one/items/one4"
    packed = scenes.anonymous.get(path)
    admin.execute("update catalogue.finished_item set hrefs = null, laid_out = null, body = null where id = 'one4'")
    assert scenes.anonymous.get(path).content == packed.content
    assert packed.json()["properties"]["keywords"] == ["word"] * 50


def test_the_dictionaries_of_a_collection_go_with_it(scenes: Any, admin: psycopg.Connection[Any]) -> None:
    finished_body(admin, "one4"), finished_body(admin, "two4")
    assert scenes.service.delete("/stac/collections/one").status_code == 200
    left = admin.execute("select distinct collection from catalogue.dictionary").fetchall()
    assert left == [{"collection": "two"}]
    assert scenes.anonymous.get("/stac/collections/two/items/two4").status_code == 200


def test_what_was_found_while_its_collection_went_is_left_out(
    scenes: Any, admin: psycopg.Connection[Any], database: Any
) -> None:
    """Between the statement that found it and the one that asks for what reads it."""
    for name in ("one0", "two0"):
        finished_body(admin, name)
    admin.execute("delete from catalogue.dictionary where collection = 'one'")

    async def look() -> tuple[set[str], bool, bool]:
        async with Database.open(database.url("catalogue")) as reading:
            page = await frequent_page(reading, ANYBODY, Search(), 20)
            assert page is not None
            pieces = Layout(ANYBODY, page.holders, readers=page.readers).pieces(page.rows)
            shown = orjson.loads(b"".join((b"[", *pieces, b"]")))
            one, two = [await item_row(reading, ANYBODY, name[:3], name) for name in ("one0", "two0")]
            return {each["id"] for each in shown}, one is None, two is None

    found, no_one, no_two = asyncio.run(look())
    assert {name for name in found if name.startswith("two")} == {f"two{n}" for n in range(5)}
    assert "one0" not in found and no_one and not no_two


def test_many_dictionaries_are_not_all_remembered(
    scenes: Any, admin: psycopg.Connection[Any], database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_REMEMBERED", 1)
    bodies = {name: finished_body(admin, name) for name in ("one0", "two0")}

    async def look() -> None:
        async with Database.open(database.url("catalogue")) as reading, reading.reading() as connection:
            first, _ = await reading.dictionaries.of(connection, [bodies["one0"]])
            second, _ = await reading.dictionaries.of(connection, [bodies["two0"]])
            both, all_of_them = await reading.dictionaries.of(connection, bodies.values())
            # Who holds the former reads on.
            assert b'"one0"' in packing.plain(bodies["one0"], first)
            assert b'"two0"' in packing.plain(bodies["two0"], second)
            assert all_of_them and all(packing.is_readable(body, both) for body in bodies.values())
            assert not packing.is_readable(bodies["one0"], second)

    asyncio.run(look())


def test_two_that_finish_at_once_make_dictionaries_side_by_side(
    scenes: Any, admin: psycopg.Connection[Any], database: Any
) -> None:
    for name in (f"{which}{n}" for which in ("one", "two") for n in range(5)):
        finished_body(admin, name)
    texts = {row["id"]: row for row in scenes.anonymous.get("/stac/search?limit=20").json()["features"]}
    admin.execute("delete from catalogue.dictionary")
    admin.execute("update catalogue.finished_item set hrefs = null, laid_out = null, body = null")

    async def look() -> None:
        async with Database.open(database.url("catalogue")) as writing:

            async def work() -> None:
                for _ in range(10):
                    async with writing.writing() as connection:
                        await finish(connection, 2)

            await asyncio.gather(*(work() for _ in range(4)))

    asyncio.run(look())
    for name in texts:
        finished_body(admin, name)
    now = {row["id"]: row for row in scenes.anonymous.get("/stac/search?limit=20").json()["features"]}
    assert now == texts


def as_before(admin: psycopg.Connection[Any], database: Any) -> Config:
    """Our schema as it was before texts were packed, and how to go on."""
    admin.execute("drop schema catalogue cascade")
    admin.execute("create schema catalogue authorization bocage_catalogue")
    config = Config()
    config.set_main_option("script_location", "bocage_catalogue:migrations")
    config.attributes |= {"url": sqlalchemy_url(database.url("catalogue")), "schema": "catalogue"}
    command.upgrade(config, "c0011")
    return config


def test_an_item_that_is_rewritten_while_its_text_is_packed_by_the_migration(
    admin: psycopg.Connection[Any], loader: Loader, database: Any
) -> None:
    """Loaders go on meanwhile: what they write waits to be laid out anew, and is not given its former text."""
    config = as_before(admin, database)
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    load(loader, [item(f"i{n}", properties={"version": "first"}) for n in range(3)], Methods.insert)
    admin.execute("select catalogue.finish_more(100)")
    with psycopg.connect(database.admin_url) as writer:
        writer.execute(
            "update pgstac.items set content = jsonb_set(content, '{properties,version}', '\"second\"') where id = 'i1'"
        )
        worker = threading.Thread(target=lambda: command.upgrade(config, "head"))
        worker.start()
        deadline = time.monotonic() + 20
        while not admin.execute("select from pg_locks where not granted").fetchall():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    worker.join(60)
    waiting = admin.execute("select id from catalogue.waiting").fetchall()
    assert waiting == [{"id": "i1"}]
    unfinished = admin.execute("select id from catalogue.finished_item where body is null").fetchall()
    assert unfinished == waiting


def test_a_migration_that_ends_before_its_end_is_taken_up_again(
    admin: psycopg.Connection[Any], loader: Loader, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is vacuumed outside of any transaction, when all else is done and not yet noted as done."""
    config = as_before(admin, database)
    loader.load_collections(iter([collection("scenes")]), Methods.insert)
    load(loader, [item(f"i{n}") for n in range(3)], Methods.insert)
    admin.execute("select catalogue.finish_more(2)")

    def killed(statement: str) -> None:
        raise OSError(statement)

    monkeypatch.setattr("alembic.op.execute", killed)
    with pytest.raises(OSError, match="vacuum"):
        command.upgrade(config, "c0012")
    monkeypatch.undo()
    command.upgrade(config, "head")
    assert admin.execute("select count(*) as n from catalogue.waiting").fetchone() == {"n": 1}
    assert admin.execute("select catalogue.finish_more(9) as n").fetchone() == {"n": 1}
