"""Items as pgSTAC's loader stores them: what their collection says of all is taken out, and they are inserted together.

pgSTAC's own functions do the same in PL/pgSQL, through a table that is made for each call; this takes a tenth of it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import asyncpg
import orjson
from bocage_kit import deposits
from hydraters import dehydrate

from bocage_catalogue import documents, wkb
from bocage_catalogue.database import Connection, Contended, Database, attempts, pause
from bocage_catalogue.present import Document

_T = TypeVar("_T")
Write = Callable[["Connection"], Awaitable[None]]
_HOLDER = """
select c.id, c.content ->> 'bocage:deposit' as deposit, c.key, c.partition_trunc is not null as by_time,
    b.base_item, b.base_item_id, to_regclass('pgstac._items_' || c.key) is not null as there
from pgstac.collections c cross join lateral pgstac.current_base_item(c.id) b where c.id = $1
"""
_LOCK = "select id from pgstac.items where collection = $1 and id = any($2) order by id for update"
# By the id, whatever the planner takes a collection for that it has not counted yet.
_READ = """
select i.id, catalogue.stored_document(i) as document, f.revision
from pgstac.items i join catalogue.finished_item f on f.collection || '' = i.collection and f.id = i.id
where i.collection = $1 and i.id = any($2)
"""
_INSERT = """
insert into {} (collection, id, datetime, end_datetime, geometry, content)
select $1, n.id, n.start::timestamptz, n.stop::timestamptz, n.shape::geometry, convert_from(n.content, 'UTF8')::jsonb
from unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[]) n (id, start, stop, shape, content)
"""
_PUT = "select catalogue.put($1::text::regclass, $2, $3, $4, $5, $6, $7)"
# So many at once are worth the planning of a statement for all; each of fewer is entered by its trigger.
_MANY = 10
_NO_TEXT = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class NoRoom(Exception):
    """The collection has no partition yet for these items, or one whose bounds they exceed."""

    def __init__(self, items: Sequence[StoredItem]) -> None:
        super().__init__()
        self.items = items


class Taken(Exception):
    """An item with one of these ids exists already."""


@dataclass(frozen=True)
class Holder:
    """What of a collection says how its items are stored."""

    name: str
    table: str
    by_time: bool
    base: Document
    base_id: int | None
    there: bool = field(compare=False)
    """Whether the table is there: the first items of a collection make it. Items are stored alike before and after."""

    @cached_property
    def within(self) -> Any:
        """What of `base` holds objects, which `dehydrate` goes into: it changes them in place."""
        return _containers(self.base)


class StoredItem(NamedTuple):
    """An item as a row of pgSTAC's table."""

    id: str
    collection: str
    datetime: str
    end_datetime: str
    geometry: bytes
    content: bytes


async def holder_of(connection: Connection, collection: str) -> Holder | None:
    """How items of `collection` are stored now. Raises Problem 409 when they stay as they are."""
    found = await connection.fetch(_HOLDER, collection)
    if not found:
        return None
    row = found[0]
    if row["deposit"] is not None:
        deposits.check_open({"id": row["id"], deposits.FIELD: row["deposit"]})
    table = f'pgstac."_items_{int(row["key"])}"'
    return Holder(collection, table, row["by_time"], row["base_item"] or {}, row["base_item_id"], row["there"])


def as_stored(holder: Holder, item: Document) -> StoredItem:
    """An accepted item as a row. Raises Problem 400."""
    properties = item["properties"]
    start, end = properties.get("start_datetime"), properties.get("end_datetime")
    if start is None or end is None:
        start = end = properties["datetime"]
    elif _moment(start) > _moment(end):
        raise documents.bad("properties.end_datetime: must not be before start_datetime.")
    if start.startswith("0000"):
        raise documents.bad(f"{start} is not a time of the calendar.")
    content = dict(item)
    geometry = content.pop("geometry")
    try:
        shape = wkb.ewkb(geometry)
    except wkb.NotClosed as error:
        raise documents.bad("geometry: each ring of a polygon must end where it begins.") from error
    content = dehydrate(holder.base, _apart(content, holder.within))
    for name in ("id", "collection", "pgstac:base_item"):
        content.pop(name, None)
    if holder.base_id is not None:
        content["pgstac:base_item"] = holder.base_id
    try:
        text = orjson.dumps(content)
    except orjson.JSONEncodeError as error:
        raise documents.bad("The item is nested too deeply.") from error
    # Few texts have a backslash at all, and one byte is found at once.
    if b"\\" in text and b"\\u0000" in text and _NO_TEXT.search(text):
        raise documents.bad("The item has a text with the character NUL, which can't be stored.")
    if len(text) + len(shape) > documents.MOST_BYTES:
        raise documents.bad(f"An item takes at most {documents.MOST_BYTES} bytes; keep what is larger in an asset.")
    return StoredItem(item["id"], holder.name, start, end, shape, text)


def _containers(base: Any) -> Any:
    """Of an object its objects, and lists that hold any; of anything else None."""
    if isinstance(base, dict):
        return {name: inner for name, one in base.items() if (inner := _containers(one)) is not None}
    if isinstance(base, list):
        within = [_containers(one) for one in base]
        return within if any(inner is not None for inner in within) else None
    return None


def _apart(value: Any, within: Any) -> Any:
    """`value` with copies of what `dehydrate` changes in place: the item is stored again when a transaction is lost."""
    if type(value) is dict and type(within) is dict:
        made = value.copy()
        for name, inner in within.items():
            if name in made:
                made[name] = _apart(made[name], inner)
        return made
    if type(value) is list and type(within) is list:
        return [_apart(one, inner) for one, inner in zip(value, within, strict=False)] + value[len(within) :]
    return value


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise documents.bad(f"{text} is not a time of the calendar.") from error


async def insert(connection: Connection, holder: Holder, items: Sequence[StoredItem]) -> None:
    """Insert `items`, which must be in the order of their ids. Raises NoRoom, Taken.

    All writers insert in that order, so that two of them wait for each other one way only.
    """
    if not holder.there:
        raise NoRoom(items)
    columns = (
        [item.id for item in items],
        [item.datetime for item in items],
        [item.end_datetime for item in items],
        [item.geometry for item in items],
        [item.content for item in items],
    )
    try:
        if len(items) < _MANY:
            await connection.execute(_INSERT.format(holder.table), holder.name, *columns)
        else:
            await connection.execute(_PUT, holder.table, holder.name, *columns)
    except (asyncpg.CheckViolationError, asyncpg.UndefinedTableError) as error:
        raise NoRoom(items) from error
    except asyncpg.UniqueViolationError as error:
        raise Taken from error


async def check_single(connection: Connection, holder: Holder, names: Sequence[str]) -> None:
    """Raises Taken when another partition of the collection has one of the items too: each knows its own ids alone."""
    if holder.by_time and await connection.fetchval(
        f"select id from {holder.table} where id = any($1) group by id having count(*) > 1 limit 1",  # noqa: S608 - a name of pgSTAC's
        list(names),
    ):
        raise Taken


async def held(connection: Connection, collection: str, names: Sequence[str]) -> set[str]:
    """Those of the ids that items have."""
    return {row["id"] for row in await connection.fetch("select catalogue.held($1, $2) as id", collection, names)}


async def replace(connection: Connection, holder: Holder, item: StoredItem) -> None:
    """Write `item` over the one with its id, which the caller has locked. Raises NoRoom."""
    try:
        await connection.execute(
            f"update {holder.table} set datetime = $2::text::timestamptz, end_datetime = $3::text::timestamptz,"  # noqa: S608 - a name of pgSTAC's
            " geometry = $4::bytea::geometry, content = convert_from($5, 'UTF8')::jsonb where id = $1",
            *(item.id, item.datetime, item.end_datetime, item.geometry, item.content),
        )
    except (asyncpg.CheckViolationError, asyncpg.UndefinedTableError) as error:
        raise NoRoom([item]) from error


async def make_room(database: Database, collection: str, items: Iterable[StoredItem]) -> None:
    """Make the partitions that `items` need, in a transaction of its own, so that nobody waits for it long."""
    moments = [(item.datetime, item.end_datetime) for item in items]
    async with database.writing(f"room of {collection}") as connection:
        await connection.execute(
            "select catalogue.make_room($1, $2::text[]::timestamptz[], $3::text[]::timestamptz[])",
            *(collection, [start for start, _ in moments], [end for _, end in moments]),
        )


async def locked(connection: Connection, collection: str, names: Sequence[str]) -> dict[str, tuple[Document, int]]:
    """The items with these ids and their revisions, held against other writers until the transaction ends.

    They are locked in the order of their ids, then read: by a second statement, which sees what was waited for.
    """
    among = (collection, list(names))
    for _ in range(3):
        held = {row["id"] for row in await connection.fetch(_LOCK, *among)}
        found = {row["id"]: (row["document"], row["revision"]) for row in await connection.fetch(_READ, *among)}
        if found.keys() <= held:
            return found
        # Replaced while it was waited for: the row that was locked is gone, and another has come.
    raise Contended


async def transaction(
    database: Database, collection: str, write: Callable[[Connection], Awaitable[_T]], *, alone: bool = False
) -> _T:
    """Run `write` in a transaction; when it loses against another one, or finds no room, again. Raises Problem 503.

    Writers of items go side by side: rows are held, and each partition knows an id once. Whoever lost goes alone, and
    so comes to an end however many write the same. So does who changes the collection itself: pgSTAC drops a
    collection's tables before its row, and a writer of items waits for them the other way.
    """
    need: Sequence[StoredItem] = ()
    lock = f"collection {collection}"
    for attempt in attempts():
        try:
            if need:
                await make_room(database, collection, need)
                need = ()
            locks, shared = ((lock,), None) if alone else ((), lock)
            async with database.writing(*locks, shared=shared) as connection:
                return await write(connection)
        except NoRoom as error:
            need = error.items
            await pause(attempt, 0)  # it is made now, and nobody need be waited for
        except (Contended, Taken):
            alone = True
            await pause(attempt)
    raise AssertionError("unreachable")
