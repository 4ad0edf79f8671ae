"""All items of a search, one batch after the other, from one snapshot of the database; memory holds a batch."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from bocage_kit.identity import Identity

from bocage_catalogue import ordering
from bocage_catalogue.conditions import Arguments, Search, visible, where
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.default_search import left_out, narrowed
from bocage_catalogue.finished import known_to
from bocage_catalogue.layout import Row
from bocage_catalogue.visibility import CollectionRow

_KEYS, _ROWS, _BYTES = 2000, 100, 2 << 20
# What an item takes that is not laid out yet; a guess, to make batches of.
_UNKNOWN_BYTES = 16_384

# Only keys are sorted; the texts, which are large, are fetched when it is their turn.
_SELECTED = """
select f.collection, f.id, coalesce(octet_length(f.body), {unknown}) as size
from catalogue.finished_item f where {where} order by {order}{limit}
"""
_TEXTS = """
select f.collection as in_collection, f.id as item, f.licences, f.audience, f.hrefs, f.laid_out, f.body, {now} as now,
       public.st_asbinary(f.geometry) as geometry
from unnest($1::text[], $2::text[]) with ordinality k (collection, id, place)
join catalogue.finished_item f on f.collection = k.collection and f.id = k.id
order by k.place
"""
_FINISHED = _TEXTS.format(now="null::catalogue.sheet")
_WRITTEN = _TEXTS.format(now="case when f.body is null then catalogue.laid_now(f.collection, f.id, f.datetime) end")


@dataclass(frozen=True)
class Selection:
    """Which items, of those that the caller sees, and in which order: a statement that tells their keys."""

    sql: str
    arguments: Sequence[Any]


async def selected(
    connection: Connection,
    identity: Identity,
    rows: Mapping[str, CollectionRow],
    search: Search,
    most: int | None = None,
) -> Selection:
    """What a search finds for its caller, at most so many. Raises Problem 400."""
    hidden, unseen = [name for name, row in rows.items() if not row.visible], left_out(search, rows)
    search = replace(narrowed(search, rows), careful=True)  # what has begun to be sent can't be asked for again
    async with passing(connection):
        known = await known_to(connection, identity, hidden, search)
    arguments = Arguments()
    seen, condition = visible(identity, unseen, arguments), where(search, known, arguments)
    keys = ordering.keys(search.sortby, known)
    order = ordering.order(keys, [key.sql(arguments) for key in keys], backwards=False, first_has_value=False)
    limit = "" if most is None else f" limit {int(most)}"
    sql = _SELECTED.format(unknown=_UNKNOWN_BYTES, where=f"({seen}) and ({condition})", order=order, limit=limit)
    return Selection(sql, arguments.values)


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[Connection]:
    """A connection that sees the database as it stands now, however long it is held."""
    async with database.reading() as connection:
        transaction = cast(Any, connection).transaction(isolation="repeatable_read", readonly=True)
        async with transaction:
            yield connection


@asynccontextmanager
async def passing(connection: Connection) -> AsyncIterator[None]:
    """Reads whose locks are let go at once: those on pgSTAC's tables would hold up its writers for a whole export."""
    inner = cast(Any, connection).transaction()
    await inner.start()
    try:
        yield
    finally:
        await inner.rollback()


async def batches(connection: Connection, selection: Selection) -> AsyncGenerator[list[Row], None]:
    """The selected items, within the transaction of `connection`."""
    cursor = await cast(Any, connection).cursor(selection.sql, *selection.arguments)
    while keys := await cursor.fetch(_KEYS):
        for some in portions((key["collection"], key["id"], key["size"]) for key in keys):
            yield await _texts(connection, [x[0] for x in some], [x[1] for x in some])


async def _texts(connection: Connection, collections: list[str], names: list[str]) -> list[Row]:
    found: list[Row] = await connection.fetch(_FINISHED, collections, names)
    if any(row["body"] is None for row in found):
        async with passing(connection):
            return await connection.fetch(_WRITTEN, collections, names)
    return found


def portions(keys: Iterable[tuple[str, str, int]]) -> Iterator[list[tuple[str, str, int]]]:
    """Keys by as many as may be in memory at once: few of large items, at least one."""
    some: list[tuple[str, str, int]] = []
    size = 0
    for key in keys:
        if some and (len(some) >= _ROWS or size + key[2] > _BYTES):
            yield some
            some, size = [], 0
        some.append(key)
        size += key[2]
    if some:
        yield some
