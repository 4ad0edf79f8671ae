"""The most frequent searches have statements of their own: what they find is what the ordinary way finds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from bocage_catalogue import density, frequent
from bocage_catalogue.asking import from_body
from bocage_catalogue.conditions import SEEN, Arguments, Search, seeing, visible
from bocage_catalogue.database import Database
from bocage_catalogue.finished import Page, frequent_page, holding_of, page
from bocage_catalogue.holders import Holders, Holding
from bocage_catalogue.kept import Kept
from bocage_catalogue.tallies import fold
from bocage_catalogue.visibility import CollectionRow
from bocage_kit.identity import Identity
from catalogue_loading import BASE, collection, item, load
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

EYES = [
    Identity(subject="anonymous", public_base=BASE),
    Identity(subject="ann", organisation="o1", public_base=BASE),
    Identity(subject="bob", hidden=frozenset({"hidden"}), public_base=BASE),
    Identity(subject="chief", scopes=frozenset({"admin"}), public_base=BASE),
]
TOLD = ("in_collection", "item", "licences", "audience", "k0", "k1", "k2")
HIDDEN = {"bocage:audience": "owner", "bocage:owner": "ann"}
# A circle, nearly: its outline in the index is the box around it.
ROUND = [[5 + x / 10, 45 + (1 - (x / 10) ** 2) ** 0.5] for x in range(-10, 11)]
ROUND += [[5 - x / 10, 45 - (1 - (x / 10) ** 2) ** 0.5] for x in range(-9, 11)]
MANY_CORNERS = {"type": "Polygon", "coordinates": [[*ROUND, ROUND[0]]]}


@pytest.fixture(scope="module")
def filled(module_database: Any) -> Any:
    """Items in three collections, one of them hidden; some are hidden, lent, round, or last long."""
    audiences: list[dict[str, Any]] = [
        {},
        {"bocage:audience": "owner", "bocage:owner": "ann"},
        {"bocage:audience": "organisation", "bocage:organisation": "o1"},
        {"bocage:audience": "owner", "bocage:owner": "x", "bocage:shared_with": ["person:bob"]},
    ]
    with PgstacDB(dsn=module_database.admin_url) as db:
        loader = Loader(db)
        loader.load_collections(
            iter([collection("scenes"), collection("others"), collection("hidden", **HIDDEN)]), Methods.insert
        )
        items = []
        for n in range(150):
            moment = f"2024-0{1 + n % 6}-{1 + n % 28:02}T00:00:00Z"
            lasting = (
                {"start_datetime": moment, "end_datetime": f"2024-0{3 + n % 6}-28T00:00:00Z"} if n % 7 == 0 else {}
            )
            place = {"type": "Point", "coordinates": [n % 10, 40 + n % 9]}
            items.append(
                item(
                    f"i{n // 2}" if n % 3 else f"z{n}",
                    None if lasting else moment,
                    ("scenes", "others", "hidden")[n % 3],
                    geometry=MANY_CORNERS if n % 11 == 0 else place,
                    properties={**audiences[n % 4], **lasting},
                )
            )
        load(loader, items, Methods.insert)
    with psycopg.connect(module_database.admin_url, autocommit=True) as connection:
        connection.execute("select catalogue.finish_more(70)")  # the others are laid out when they are read

    async def sums() -> None:
        async with Database.open(module_database.url("catalogue")) as database:
            await fold(database)

    asyncio.run(sums())
    return module_database


def told(found: Page) -> list[Any]:
    rows = [[row[name] for name in TOLD] for row in found.rows]
    bodies = [(row["now"] or row)["body"] for row in found.rows]
    return [rows, bodies, found.next, found.previous, found.matched, dict(found.holders)]


moments = st.sampled_from([None, "2024-01-20", "2024-03-01", "2024-03-28", "2024-05-02", "2023-01-01", "2025-01-01"])
boxes = st.sampled_from([None, [0, 40, 4, 44], [4.1, 44.1, 4.2, 44.2], [-180, -90, 180, 90], [20, 20, 21, 21]])


@st.composite
def searches(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if (holder := draw(st.sampled_from([None, "scenes", "others", "hidden", "none"]))) is not None:
        found["collections"] = [holder]
    if (bbox := draw(boxes)) is not None:
        found["bbox"] = bbox
    sides = sorted([draw(moments) or "", draw(moments) or ""])
    if any(sides):
        found["datetime"] = "/".join(f"{side}T00:00:00Z" if side else ".." for side in sides)
    return found


def test_what_is_found_is_what_the_ordinary_way_finds(filled: Any) -> None:
    """Rows, texts, numbers and tokens, from page to page and back, for each kind of caller."""

    async def both(database: Database, who: Identity, search: Search, most: int) -> None:
        token, back = None, False
        for _ in range(40):
            ordinary = await page(database, who, search, most, token)
            soon = await frequent_page(database, who, search, most, token)
            if soon is None:
                # Of a collection that is not there nobody knows how much there is to look at.
                assert search.collections == ("none",)
                return
            assert told(soon) == told(ordinary)
            back = back or soon.next is None
            token = soon.previous if back else soon.next
            if token is None:
                return
        raise AssertionError("it never ends")

    with asyncio.Runner() as runner:
        opened = Database.open(filled.url("catalogue"))
        database = runner.run(opened.__aenter__())

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(searches(), st.sampled_from(EYES), st.integers(5, 100))
        def check(body: dict[str, Any], who: Identity, most: int) -> None:
            runner.run(both(database, who, from_body(body), most))

        try:
            check()
        finally:
            runner.run(opened.__aexit__(None, None, None))


@pytest.mark.parametrize(
    "body",
    [
        {"ids": ["i1"]},
        {"collections": ["scenes", "others"]},
        {"collections": []},
        {"bbox": [170, 0, -170, 10]},
        {"bbox": [1, 1, 1, 1]},
        {"intersects": {"type": "Point", "coordinates": [1, 41]}},
        {"q": "words"},
        {"sortby": [{"field": "datetime", "direction": "asc"}]},
        {"datetime": "0001-01-01T00:00:00Z/.."},
    ],
    ids=str,
)
def test_all_else_goes_the_ordinary_way(filled: Any, body: dict[str, Any]) -> None:
    async def look() -> Page | None:
        async with Database.open(filled.url("catalogue")) as database:
            return await frequent_page(database, EYES[3], from_body(body), 10)

    assert asyncio.run(look()) is None


def test_much_to_look_at_is_looked_for_the_ordinary_way(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> None:
        async with Database.open(filled.url("catalogue")) as database:
            ask = from_body({"bbox": [0, 40, 4, 44]})
            few = await frequent_page(database, EYES[3], ask, 10)
            assert few is not None
            monkeypatch.setattr(frequent, "FEW", 100)
            for token in (None, few.next):
                assert await frequent_page(database, EYES[3], ask, 10, token) is None
            assert await frequent_page(database, EYES[3], Search(), 10) is not None

    asyncio.run(look())


def test_who_sees_what_is_said_alike_in_both_ways(filled: Any) -> None:
    with psycopg.connect(filled.admin_url) as connection:
        for who in EYES:
            for unseen in ([], ["hidden"], ["scenes", "hidden"]):
                arguments = Arguments()
                found = []
                for condition, values in (
                    (SEEN, seeing(who, unseen)),
                    (visible(who, unseen, arguments), arguments.values),
                ):
                    with psycopg.RawCursor(connection) as cursor:
                        cursor.execute(
                            f"select collection, id from catalogue.finished_item f where {condition} order by 1, 2",
                            values,
                        )
                        found.append(cursor.fetchall())
                assert found[0] == found[1]


def test_plans_that_were_made_of_empty_tables_are_good_for_full_ones(database: Any) -> None:
    """Each form's statement, planned when nothing was there, asks indexes for items."""

    async def plans() -> list[str]:
        told: list[str] = []
        async with Database.open(database.url("catalogue")) as reading, reading.ready() as connection:
            for bits in range(16):
                form = frequent.Form(bool(bits & 1), bool(bits & 2), bool(bits & 4), bool(bits & 8), None)
                bounds = {"bbox": [0, 40, 4, 44]} if form.box else {}
                sides = ["2024-01-01T00:00:00Z" if form.since else "..", "2024-02-01T00:00:00Z" if form.until else ".."]
                period = {"datetime": "/".join(sides)} if form.since or form.until else {}
                search = from_body({**bounds, **period, **({"collections": ["c"]} if form.collection else {})})
                assert frequent.form(search, None) == form
                values = frequent.values(form, EYES[1], Holding(None, {}), search, 11, None)
                assert values is not None
                await connection.execute(f"prepare form_{bits} as {frequent.statement(form)}")
                bound = ", ".join(literal(value) for value in values)
                rows = await connection.fetch(f"explain (costs off) execute form_{bits} ({bound})")
                told.append("\n".join(row[0] for row in rows))
        return told

    def literal(value: Any) -> str:
        if isinstance(value, list):
            return "array[" + ", ".join(literal(one) for one in value) + "]::text[]"
        return "null" if value is None else f"'{value}'"

    for plan in asyncio.run(plans()):
        assert "$1" in plan, "it is the plan for whatever is asked"
        assert "Seq Scan on finished_item" not in plan
        assert "Index Only Scan using finished_item_of_" in plan


def test_a_change_of_a_collection_holds_in_the_next_search(fresh_catalogue: Any) -> None:
    """What is remembered of the collections is never older than the items that are found."""
    researcher, anonymous = fresh_catalogue.researcher, fresh_catalogue.anonymous
    open_ = {"bocage:audience": "public", "bocage:licences": ["CC-BY-4.0"]}
    for name in ("a", "b"):
        assert researcher.post("/stac/collections", json=fresh_catalogue.collection(name, **open_)).status_code == 201
        one = fresh_catalogue.item(f"in-{name}", **{"bocage:audience": "public"})
        del one["properties"]["bocage:audience"]
        assert researcher.post(f"/stac/collections/{name}/items", json=one).status_code == 201

    def seen() -> set[str]:
        return {one["id"] for one in anonymous.get("/stac/search").json()["features"]}

    assert seen() == {"in-a", "in-b"}
    hidden = fresh_catalogue.collection("a", **{**open_, "bocage:audience": "owner"})
    assert researcher.put("/stac/collections/a", json=hidden).status_code == 200
    assert seen() == {"in-b"}
    assert anonymous.get("/stac/collections/a/items").status_code == 404
    assert anonymous.get("/stac/collections/a/items/in-a").status_code == 404
    assert {one["id"] for one in researcher.get("/stac/search").json()["features"]} == {"in-a", "in-b"}
    assert researcher.put("/stac/collections/a", json=fresh_catalogue.collection("a", **open_)).status_code == 200
    assert seen() == {"in-a", "in-b"}
    assert anonymous.get("/stac/collections/a/items").json()["numberMatched"] == 1
    assert researcher.delete("/stac/collections/a").status_code in (200, 204)
    assert seen() == {"in-b"}
    assert anonymous.get("/stac/collections/a/items").status_code == 404
    # Made anew, and asked for at once.
    assert researcher.post("/stac/collections", json=fresh_catalogue.collection("a", **open_)).status_code == 201
    assert anonymous.get("/stac/collections/a/items").json()["numberMatched"] == 0


def test_a_search_while_collections_change_all_the_time(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> tuple[Page | None, Holding]:
        async with Database.open(filled.url("catalogue")) as database:
            holding = await holding_of(database, EYES[0])
            monkeypatch.setattr(Holders, "of", lambda _self, _who: Holding(1, holding.rows))
            found = await frequent_page(database, EYES[0], Search(), 10)  # asks for them anew
            monkeypatch.setattr("bocage_catalogue.holders.asked", lambda *_: _same(Holding(1, holding.rows)))
            return found if await frequent_page(database, EYES[0], Search(), 10) is None else None, holding

    async def _same(holding: Holding) -> Holding:
        return holding

    found, holding = asyncio.run(look())
    assert found is not None
    assert found.holders == holding.rows


def test_remembered_is_so_much_and_no_more() -> None:
    rows = {f"c{n}": CollectionRow(None, {}, visible=n > 0) for n in range(9)}
    holders = Holders(most=30)
    people = [Identity(subject=f"p{n}", public_base=BASE) for n in range(5)]
    for who in people:
        holders.keep(who, Holding(1, rows))
    assert [holders.of(who) is not None for who in people] == [False, False, True, True, True]
    holders.keep(people[4], Holding(2, {}))  # smaller than before: room for one more, not for two
    holders.keep(people[0], Holding(2, {}))
    assert [holders.of(who) is not None for who in people] == [True, False, True, True, True]
    assert holders.of(people[2]) == Holding(1, rows)
    assert Holding(1, rows).unseen == ["c0"]
    assert [Holding(1, rows).sees(name) for name in ("c0", "c1", "other")] == [False, True, False]
    # A hidden collection that was granted is another view of the same person.
    granted = people[4].model_copy(update={"hidden": frozenset({"c0"})})
    assert holders.of(granted) is None


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(24_000, 24_030), st.integers(0, 50)), max_size=30),
    st.none() | st.datetimes(datetime(1999, 1, 1), datetime(2003, 1, 1), timezones=st.just(UTC)),
    st.none() | st.datetimes(datetime(1999, 1, 1), datetime(2003, 1, 1), timezones=st.just(UTC)),
)
def test_about_how_many_begin_in_a_period(
    rows: list[tuple[str, int, int]], since: datetime | None, until: datetime | None
) -> None:
    def within(month: int) -> bool:
        after = since is None or month >= since.year * 12 + since.month
        return after and (until is None or month <= until.year * 12 + until.month)

    made = density.by_collection(rows)
    for name in ("a", "b", None):
        wanted = sum(n for holder, month, n in rows if name in (None, holder) and within(month))
        assert (made[name].between(since, until) if name in made else 0) == wanted


def test_how_many_there_are_is_asked_once_a_minute(filled: Any) -> None:
    now = [0.0]

    async def look() -> None:
        async with Database.open(filled.url("catalogue")) as database:
            sums = density.Density(clock=lambda: now[0])
            asked: list[str] = []

            class Counted:
                async def fetch(self, sql: str, *given: Any) -> list[Any]:
                    asked.append(sql)
                    async with database.reading() as connection:
                        return await connection.fetch(sql, *given)

            counted: Any = Counted()
            assert await sums.entries(counted, None, None, None) == 150
            assert await sums.entries(counted, ("scenes",), None, None) == 50
            assert await sums.entries(counted, ("none",), None, None) is None
            assert len(asked) == 1
            now[0] = 61.0
            await sums.entries(counted, None, None, None)
            assert len(asked) == 2

    asyncio.run(look())


def test_what_was_hidden_while_a_search_waited_is_not_shown(database: Any) -> None:
    """Items of a draft say public: it is their collection that hides them."""

    async def look() -> Page:
        async with Database.open(database.url("catalogue"), readers=1) as catalogue:
            async with catalogue.reading():
                search = from_body({"sortby": [{"field": "id", "direction": "asc"}]})
                waiting = asyncio.create_task(page(catalogue, EYES[2], search, 10))
                await asyncio.sleep(0.3)
                await asyncio.to_thread(fill)
            return await waiting

    def fill() -> None:
        with PgstacDB(dsn=database.admin_url) as db:
            loader = Loader(db)
            made = [collection("shown"), collection("draft", **HIDDEN)]
            loader.load_collections(iter(made), Methods.insert)
            for name in ("shown", "draft"):
                load(loader, [item(f"in-{name}", "2024-01-01T00:00:00Z", name)], Methods.insert)

    assert [row["item"] for row in asyncio.run(look()).rows] == ["in-shown"]


def test_connections_go_round(filled: Any) -> None:
    """Those who wait get one; one that broke is never lent again; at the end none is left."""
    import asyncpg
    from bocage_catalogue.database import asyncpg_url

    async def look() -> None:
        create: Any = asyncpg.create_pool
        async with create(asyncpg_url(filled.url("catalogue")), min_size=0, max_size=2) as pool, Kept(pool, 1) as kept:
            first, second = await kept.take(), await kept.take()
            waiting = asyncio.create_task(kept.take())
            await asyncio.sleep(0)
            await kept.give(first)
            third = await asyncio.wait_for(waiting, 5)
            await kept.give(third)
            await kept.give(second)  # only one is kept
            assert pool.get_idle_size() == 1
            again = await kept.take()
            assert again is third
            await kept.give(again)
            again.pooled.terminate()
            other = await kept.take()
            assert await other.fetchval("select 1") == 1
            await kept.drop(other)

    asyncio.run(look())


def test_a_search_that_is_given_up_ends_in_the_database(filled: Any) -> None:
    async def look() -> None:
        async with Database.open(filled.url("catalogue")) as database:

            async def slow() -> None:
                async with database.ready() as connection:
                    await connection.fetchval("select pg_sleep(60), 'given-up'")

            task = asyncio.create_task(slow())
            # While it sleeps: what the server is only making ready can't be given up yet.
            asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and query like '%given-up%'"

            async def others() -> int:
                async with database.reading() as connection:
                    return int(await connection.fetchval(asleep))

            while await others() == 0:  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(20):
                while await others():  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.02)

    asyncio.run(look())


def test_a_period_before_all_time_goes_the_ordinary_way() -> None:
    rows = {"c": CollectionRow(None, {}, visible=True, longest=timedelta(days=900_000))}
    search = from_body({"datetime": "2024-01-01T00:00:00Z/.."})
    form = frequent.form(search, None)
    assert form is not None
    assert frequent.values(form, EYES[0], Holding(None, rows), search, 11, None) is None
