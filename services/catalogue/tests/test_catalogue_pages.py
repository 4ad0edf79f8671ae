"""Pages, counts and tokens are those of pgSTAC, among what the caller sees."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from bocage_catalogue.asking import from_body
from bocage_catalogue.collection_search import collection_rows
from bocage_catalogue.conditions import Search
from bocage_catalogue.database import Database
from bocage_catalogue.finished import frequent_page, item_row, page
from bocage_catalogue.places import Matched
from bocage_catalogue.tallies import fold
from bocage_kit.audience import visible
from bocage_kit.identity import Identity
from catalogue_loading import ADMINISTRATOR, BASE, collection, item, load
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

AUDIENCES = ["public", "organisation", "owner", "unheard-of", None]
SHARES = [["person:ann"], ["organisation:o2", "person:x"], "person:ann", ["person:anonymous"], None]
EYES = [
    Identity(subject=who, organisation=organisation, scopes=frozenset(scopes), public_base=BASE)
    for who in ("anonymous", "ann", "bob")
    for organisation in (None, "o1", "o2")
    for scopes in ([], ["service:read"], ["admin"])
]


def test_who_sees_what_in_sql_is_who_sees_what(database: Any, loader: Loader) -> None:
    """Every combination of fields for every kind of caller, found by search and by name."""
    held = {"bocage:audience": "owner", "bocage:owner": "ann"}
    loader.load_collections(iter([collection("scenes"), collection("hidden", **held)]), Methods.insert)
    fields = ("bocage:audience", "bocage:organisation", "bocage:owner", "bocage:shared_with")
    values = itertools.product(AUDIENCES, ["o1", None], ["ann", "bob", None], SHARES)
    made = {
        f"i{n}": {name: value for name, value in zip(fields, row, strict=True) if value is not None or n % 2}
        for n, row in enumerate(values)
    }
    load(loader, [item(name, properties=owned) for name, owned in made.items()], Methods.insert)
    load(loader, [item("inside", holder="hidden")], Methods.insert)

    async def look() -> None:
        async with Database.open(database.url("catalogue")) as reading:
            for identity in EYES:
                rows = await collection_rows(reading, identity)
                found = await page(reading, identity, Search(), 1000)
                names = {row["item"] for row in found.rows}
                inside = rows["hidden"].visible
                wanted = {name for name, owned in made.items() if visible(identity, owned)}
                assert names == wanted | ({"inside"} if inside else set()), identity
                assert found.matched == Matched(len(names))
                first = await frequent_page(reading, identity, Search(), 100)
                assert first is not None
                assert [row["item"] for row in first.rows] == [row["item"] for row in found.rows[:100]]
                assert first.matched == Matched(len(names))
                for name in ("i0", "i31", "i77", "i149"):
                    one = await item_row(reading, identity, "scenes", name)
                    assert (one is not None) == (name in names)
                assert (await item_row(reading, identity, "hidden", "inside") is not None) == inside

    asyncio.run(look())


SEARCHES: list[dict[str, Any]] = [
    {},
    {"collections": ["scenes"]},
    {"collections": []},
    {"ids": ["i3", "i4", "nothing"]},
    {"sortby": []},
    {"sortby": [{"field": "datetime", "direction": "asc"}]},
    {"sortby": [{"field": "rank", "direction": "asc"}]},
    {"sortby": [{"field": "properties.rank", "direction": "asc"}, {"field": "id", "direction": "desc"}]},
    {"datetime": "2024-05-02T00:00:00Z/.."},
    {"bbox": [-1, -1, 5, 5], "collections": ["scenes", "others"]},
    {"filter": {"op": "isNull", "args": [{"property": "rank"}]}, "filter-lang": "cql2-json"},
    {"filter": {"op": "or", "args": [{"op": "<", "args": [{"property": "rank"}, 2]},
                                     {"op": "like", "args": [{"property": "id"}, "%5"]}]}},
]  # fmt: skip


TOLD = ("in_collection", "item", "licences", "audience", "now", "k0", "k1", "k2")
FREQUENT = [SEARCHES[n] for n in (0, 1, 4, 8)]


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_pages_are_those_of_pgstac(scattered: Any, search: dict[str, Any]) -> None:
    """Forward to the end and back again: the same items in the same order, the same tokens and counts."""

    async def walk() -> int:
        theirs_from: str | None = None
        ours_from: str | None = None
        pages = 0
        async with Database.open(scattered.url("catalogue")) as reading:
            await fold(reading)
            for rel in ("next", "prev"):
                while True:
                    at = {} if theirs_from is None else {"token": theirs_from}
                    theirs = await reading.call("search", {**search, "limit": 4} | at)
                    ours = await page(reading, ADMINISTRATOR, from_body(search), 4, ours_from)
                    soon = await frequent_page(reading, ADMINISTRATOR, from_body(search), 4, ours_from)
                    frequent = search in FREQUENT
                    assert (soon is not None) == frequent
                    if soon is not None:
                        assert [[row[name] for name in TOLD] for row in soon.rows] == [
                            [row[name] for name in TOLD] for row in ours.rows
                        ]
                        assert (soon.next, soon.previous, soon.matched) == (ours.next, ours.previous, ours.matched)
                    assert [r["item"] for r in ours.rows] == [f["id"] for f in theirs["features"]]
                    assert ours.matched == Matched(theirs["numberMatched"])
                    links = {x["rel"]: x["href"].split("token=")[1] for x in theirs["links"] if "token=" in x["href"]}
                    mine = {"next": ours.next, "prev": ours.previous}
                    assert {name for name, token in mine.items() if token} == set(links)
                    pages += 1
                    if rel not in links:
                        break
                    theirs_from, ours_from = links[rel], mine[rel]
        return pages

    assert asyncio.run(walk()) >= (1 if "ids" in search or search.get("collections") == [] else 2)


@pytest.fixture(scope="module")
def scattered(module_database: Any) -> Any:
    """Items of equal moments, equal and missing ranks, and equal ids in two collections."""
    with PgstacDB(dsn=module_database.admin_url) as db:
        made = Loader(db)
        made.load_collections(iter([collection("scenes"), collection("others")]), Methods.insert)
        items = [
            item(
                f"i{n}",
                f"2024-0{5 + n % 2}-0{1 + n % 3}T00:00:00Z",
                holder,
                geometry={"type": "Point", "coordinates": [n, n]},
                assets={"image": {"href": "https://example.org", "title": f"t{n % 3}"}},
                properties={} if n % 4 == 0 else {"rank": n % 5},
            )
            for n in range(11)
            for holder in ("scenes", "others")
        ]
        load(made, items, Methods.insert)
    return module_database
