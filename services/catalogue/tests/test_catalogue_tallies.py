"""Counts from the tallies are plain counts, for every onlooker, whoever wrote and however."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import psycopg
import pytest
from bocage_catalogue import tallies
from bocage_catalogue.collection_search import collection_rows
from bocage_catalogue.conditions import Arguments
from bocage_catalogue.database import Database
from bocage_kit.audience import item_visible
from bocage_kit.identity import Identity
from catalogue_loading import collection, item, load, put
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypgstac.load import Loader, Methods

from conftest import ADMINISTRATOR, ANONYMOUS, COLLEAGUE, OURS, READER, RESEARCHER, SERVICE, STRANGER, THEIRS

ONLOOKERS = [
    ANONYMOUS, RESEARCHER, COLLEAGUE, READER, STRANGER, ADMINISTRATOR, SERVICE,
    Identity(subject="guest", organisation=THEIRS, hidden=frozenset({"two"})),
]  # fmt: skip
Counted = dict[str, dict[str, int]]


def run(url: str, ask: Callable[[Database], Coroutine[Any, Any, Any]]) -> Any:
    async def within() -> Any:
        async with Database.open(url) as database:
            return await ask(database)

    return asyncio.run(within())


def plainly(connection: psycopg.Connection[Any], identity: Identity) -> Counted:
    """Counted one by one, by the platform's own predicate."""
    holders = {row["id"]: row["content"] for row in connection.execute("select id, content from pgstac.collections")}
    found: Counted = {}
    for row in connection.execute(
        "select collection, datetime, content -> 'properties' as properties from pgstac.items"
    ):
        if item_visible(identity, holders[row["collection"]], {"properties": row["properties"]}):
            months = found.setdefault(row["collection"], {})
            month = f"{row['datetime']:%Y-%m}"
            months[month] = months.get(month, 0) + 1
    return found


async def tallied(database: Database, identity: Identity) -> Counted:
    rows = await collection_rows(database, identity)
    unseen = [name for name, row in rows.items() if not row.visible]
    async with database.reading() as connection:
        found = await tallies.counts(connection, identity, unseen)
        arguments = Arguments()
        sql = tallies.total_sql(identity, unseen, None, arguments)
        total = await connection.fetchval(sql, *arguments.values)
        assert total == sum(sum(n.values()) for n in found.values())
        for name in ("one", "two"):
            part = await tallies.counts(connection, identity, unseen, [name])
            assert part == {holder: months for holder, months in found.items() if holder == name}
    return {name: {f"{month:%Y-%m}": n for month, n in months.items()} for name, months in found.items()}


def check(connection: psycopg.Connection[Any], url: str) -> None:
    async def ask(database: Database) -> list[Counted]:
        return [await tallied(database, identity) for identity in ONLOOKERS]

    expected = [plainly(connection, identity) for identity in ONLOOKERS]
    assert run(url, ask) == expected
    for _ in range(4):  # in part, then wholly folded
        run(url, lambda database: fold_some(database, 3))
        assert run(url, ask) == expected
    while connection.execute("select catalogue.order_changes(1000) as n").fetchone() != {"n": 0}:
        pass
    assert run(url, ask) == expected
    assert connection.execute("select from catalogue.tally where items <= 0").fetchall() == []


async def fold_some(database: Database, most: int) -> None:
    async with database.writing() as connection:
        await connection.execute("select catalogue.order_changes($1)", most)


owned = st.fixed_dictionaries(
    {},
    optional={
        "bocage:audience": st.sampled_from(["public", "organisation", "owner", "nonsense"]),
        "bocage:owner": st.sampled_from(["researcher", "stranger", "reader"]),
        "bocage:organisation": st.sampled_from([OURS, THEIRS]),
        "bocage:shared_with": st.lists(
            st.sampled_from(["person:reader", "person:stranger", f"organisation:{OURS}"]), max_size=2
        ),
    },
)
NAMES = ("a", "b", "c", "d")
written = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["2024-01-31T23:59:59Z", "2024-02-01T00:00:00Z"]), owned),
    min_size=1,
    max_size=4,
    unique_by=lambda entry: entry[0],
)
step = st.one_of(
    st.tuples(st.just("load"), st.sampled_from(["one", "two"]), st.sampled_from(list(Methods)), written),
    st.tuples(st.just("put"), st.sampled_from(["one", "two"]), st.booleans(), written),
    st.tuples(st.just("delete"), st.sampled_from(["one", "two"]), st.sampled_from(NAMES)),
    st.tuples(st.just("collection"), st.sampled_from(["one", "two"]), owned),
    st.tuples(st.just("gone"), st.sampled_from(["one", "two"])),
    st.tuples(st.just("fold"), st.integers(1, 5)),
)


def take(connection: psycopg.Connection[Any], loader: Loader, what: tuple[Any, ...]) -> None:
    if what[0] == "fold":
        connection.execute("select catalogue.order_changes(%s)", [what[1]])
        return
    known = connection.execute("select from pgstac.collections where id = %s", [what[1]]).fetchone()
    if what[0] == "collection":
        made = orjson.dumps(collection(what[1], **what[2])).decode()
        connection.execute("select pgstac.upsert_collection(%s)", [made])
    elif known is None:
        return
    elif what[0] == "gone":
        connection.execute("select pgstac.delete_collection(%s)", [what[1]])
    elif what[0] == "delete":
        if connection.execute("select from pgstac.items where collection = %s and id = %s", what[1:]).fetchone():
            connection.execute("select pgstac.delete_item(%s, %s)", [what[2], what[1]])
    else:
        _, holder, mode, entries = what
        items = [item(name, moment, holder, properties=properties) for name, moment, properties in entries]
        loader.collection_json.cache_clear()
        try:
            if what[0] == "put":
                put(connection, holder, items, over=mode)
            else:
                load(loader, items, mode)
        except psycopg.errors.UniqueViolation:
            assert mode in (Methods.insert, False)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(step, max_size=8))
def test_tallies_are_plain_counts(
    admin: psycopg.Connection[Any], loader: Loader, database: Any, steps: list[tuple[Any, ...]]
) -> None:
    for row in admin.execute("select id from pgstac.collections").fetchall():
        admin.execute("select pgstac.delete_collection(%s)", [row["id"]])
    for name, audience in (("one", "public"), ("two", "owner")):
        made = collection(name, **{"bocage:audience": audience, "bocage:owner": "researcher"})
        admin.execute("select pgstac.create_collection(%s)", [orjson.dumps(made).decode()])
    for what in steps:
        take(admin, loader, what)
    check(admin, database.url("catalogue"))


def test_counts_within_one_snapshot(admin: psycopg.Connection[Any], loader: Loader, database: Any) -> None:
    """Folding meanwhile changes nothing; what is not committed counts for its writer alone."""
    admin.execute("select pgstac.create_collection(%s)", [orjson.dumps(collection("one")).decode()])
    load(loader, [item(f"i{n}", holder="one") for n in range(5)], Methods.insert)
    asked = "select coalesce(sum(seen), 0) as n from catalogue.tallied('{one}', '{}', true, null, null, '{}')"
    with psycopg.connect(database.url("catalogue")) as other:
        other.execute("set transaction isolation level repeatable read")
        assert other.execute(asked).fetchone() == (5,)
        admin.execute("select catalogue.order_changes(100)")
        load(loader, [item("i9", holder="one")], Methods.insert)
        assert other.execute(asked).fetchone() == (5,)
        other.rollback()
        other.execute("select pgstac.delete_item('i1', 'one')")
        assert other.execute(asked).fetchone() == (5,) and admin.execute(asked).fetchone() == {"n": 6}
        other.rollback()
        assert other.execute(asked).fetchone() == (6,)


@pytest.mark.parametrize("unfolded", [0, 100_000])
def test_a_count_reads_no_item(admin: psycopg.Connection[Any], unfolded: int) -> None:
    """Not a time, which depends on the machine, but what is read: the sums, and what is not folded yet."""
    admin.execute("select pgstac.create_collection(%s)", [orjson.dumps(collection("one")).decode()])
    admin.execute(
        """insert into catalogue.written (collection, id, revision, became)
        select 'one', n::text, n, row('2024-01-01', 'public', null, null, null)::catalogue.whose
        from generate_series(1, %s) n""",
        [100_000],
    )
    if not unfolded:
        assert admin.execute("select catalogue.order_changes(200000) as n").fetchone() == {"n": 100_001}
    before = admin.execute("select count(*) as n from catalogue.written").fetchone()
    assert before == {"n": unfolded + (1 if unfolded else 0)}
    row = admin.execute(
        "select sum(seen) as n from catalogue.tallied('{one}', '{}', false, null, null, '{}')"
    ).fetchone()
    assert row == {"n": 100_000}
