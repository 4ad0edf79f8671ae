"""Items that the database keeps finished: found by one statement; how they leave is `layout`'s."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from operator import itemgetter
from typing import NamedTuple

from bocage_kit.audience import sees_everything
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem, not_found

from bocage_catalogue import counting, frequent, holders, ordering, packing, places, registry
from bocage_catalogue.carefully import carefully
from bocage_catalogue.conditions import Arguments, Search, eyes, properties, visible, where
from bocage_catalogue.database import Connection, Database, UnrelatedError
from bocage_catalogue.default_search import left_out, narrowed
from bocage_catalogue.explaining import explained
from bocage_catalogue.frequent import COLUMNS
from bocage_catalogue.holders import Holding
from bocage_catalogue.kinds import Known
from bocage_catalogue.layout import Row
from bocage_catalogue.ordering import Key
from bocage_catalogue.packing import Readers, is_readable
from bocage_catalogue.places import Matched, Place
from bocage_catalogue.present import Document
from bocage_catalogue.visibility import COLLECTION_SQL, CollectionRow, collections_arguments

_log = logging.getLogger("bocage.catalogue")

# Writers of an item wait for its batch to end: some fifty milliseconds.
_BATCH = 100
_PAUSE, _PAUSE_BESIDE_LOADS, _PAUSE_AFTER_FAILURE = 0.5, 10.0, 5.0
# Writing so many items a second is a load in bulk.
_LOAD = 1000

_AREAS = "select catalogue.area(text, place) from unnest($1::text[], $2::text[]) a (text, place)"
# A page of more items is fetched in pieces, and ends before its text takes too much.
_PIECE = 101
MOST_BYTES = 16 * 1024 * 1024
# So often the collections may change under a question before it is asked the ordinary way.
_EDITIONS = 2
_WRITTEN = """
select collection as in_collection, id as item, licences, audience, revision, hrefs, laid_out, body,
       case when body is null then catalogue.laid_now(collection, id, datetime) end as now
from catalogue.finished_item where id = $1 and collection = $2
"""
_FINISHED = """
update catalogue.finished_item f set hrefs = d.hrefs, laid_out = d.laid_out, body = d.body
from unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::bytea[]) d (collection, id, laid_out, hrefs, body)
where f.id = d.id and f.collection = d.collection
"""
# One item and its collection, if both are seen.
_ITEM = f"""
select f.collection as in_collection, f.id as item, f.licences, f.audience, f.revision, f.hrefs, f.laid_out, f.body,
       case when f.body is null then catalogue.laid_now(f.collection, f.id, f.datetime) end as now, c.title, c.rights
from catalogue.finished_item f join ({COLLECTION_SQL}) c on c.id = f.collection
where f.id = $7 and f.collection = $6 and (
    $8 or f.audience = 'public' or f.owner = $2 or (f.audience = 'organisation' and f.organisation = $3)
    or f.shared && $5)
"""  # noqa: S608 - SQL of our own


async def there(database: Database, connection: Connection, rows: Sequence[Row]) -> tuple[Sequence[Row], Readers]:
    """Rows that `connection` found, and what reads their texts; without those whose tables were dropped after the
    statement had found them: their collection is deleted.
    """
    bodies = [row["body"] for row in rows]
    if None in bodies:
        rows = [row for row in rows if row["body"] is not None or (row["now"] is not None and row["now"]["body"])]
        bodies = [body for body in bodies if body is not None]
    readers, all_of_them = await database.dictionaries.of(connection, bodies)
    if not all_of_them:
        rows = [row for row in rows if row["body"] is None or is_readable(row["body"], readers)]
    return rows, readers


@dataclass(frozen=True)
class Page:
    """What a search found: at most so many items, whether there are more, and how many altogether."""

    rows: Sequence[Row]
    readers: Readers
    """Of their texts."""
    next: str | None
    previous: str | None
    matched: Matched | None
    holders: Mapping[str, CollectionRow]
    """The collections, as they were when it was found."""
    explained: Document | None = None


class OneItem(NamedTuple):
    """An item, its collection, and what reads its text."""

    row: Row
    holder: CollectionRow
    readers: Readers


async def item_row(database: Database, identity: Identity, collection: str, name: str) -> OneItem | None:
    """One item, if the caller sees it and its collection."""
    if "\0" in collection or "\0" in name:
        return None
    seen = collections_arguments(identity)
    async with database.ready() as connection:
        rows = await connection.fetch(_ITEM, *seen, collection, name, sees_everything(identity))
        found, readers = await there(database, connection, rows)
    if not found:
        return None
    return OneItem(found[0], CollectionRow(found[0]["title"], found[0]["rights"], visible=True), readers)


async def keep_finishing(database: Database) -> None:
    """Lay out what was written, soon afterwards, until cancelled. Any number of copies may do so at once."""
    clock = asyncio.get_running_loop().time
    written, looked, finished = 0, clock(), clock()
    while True:
        pause = _PAUSE
        try:
            async with database.writing() as connection:
                seen, now = int(await connection.fetchval("select last_value from catalogue.revision")), clock()
                loading = seen - written > _LOAD * (now - looked)
                written, looked = seen, now
                # Who loads in bulk goes first, whichever way: until then items are laid out when they are read.
                if not loading or now - finished > _PAUSE_BESIDE_LOADS:
                    finished = now
                    pause = 0 if await finish(connection) and not loading else _PAUSE
        except Exception as error:
            # The database is away, or others write: meanwhile items are laid out when they are read.
            _log.warning("items are not finished", extra={"reason": type(error).__name__})
            pause = _PAUSE_AFTER_FAILURE
        await asyncio.sleep(pause)


async def finish(connection: Connection, most: int = _BATCH) -> int:
    """Lay out and pack up to so many items, in the transaction of `connection`; how many."""
    # Before any row is held: whoever deletes a collection drops its tables first, and then the rows.
    await connection.execute("lock table pgstac.items in access share mode")
    await connection.fetchval("select catalogue.heed_rebased()")
    rows = await connection.fetch("select * from catalogue.finishing($1)", most)
    if rows:
        sheets = [(row["in_collection"], row["body"], row["hrefs"]) for row in rows]
        bodies = await packing.packed(connection, sheets)
        hrefs = [None if packing.is_packed(body) else row["hrefs"] for row, body in zip(rows, bodies, strict=True)]
        kept = ([row[name] for row in rows] for name in ("in_collection", "item", "laid_out"))
        await connection.execute(_FINISHED, *kept, hrefs, bodies)
    return len(rows)


async def written_row(database: Database, connection: Connection, collection: str, name: str) -> tuple[Row, Readers]:
    """An item as it stands within the transaction that wrote it, and what reads its text."""
    found, readers = await there(database, connection, await connection.fetch(_WRITTEN, name, collection))
    return found[0], readers


async def known_to(connection: Connection, identity: Identity, unseen: Sequence[str], search: Search) -> Known:
    """What is known of the properties that a search asks for: what is registered, or else all that there is."""
    if not search.conditions and not search.sortby and search.intersects is None:
        return Known()
    known = await registry.quick(connection, identity, unseen, properties(search))
    arguments = Arguments()
    try:
        where(search, known, arguments)
        ordering.keys(search.sortby, known)
    except Problem:
        known, arguments = await registry.thorough(connection, identity, unseen), Arguments()
        where(search, known, arguments)
        ordering.keys(search.sortby, known)
    if arguments.areas:
        # Apart: within the condition it might never come to look at them.
        texts, places_ = zip(*arguments.areas, strict=True)
        await connection.execute(_AREAS, list(texts), list(places_))
    return known


async def holding_of(database: Database, identity: Identity) -> Holding:
    """The collections, as they are now, with what the caller may know of them."""
    async with database.ready() as connection:
        found = await holders.asked(connection, identity)
    database.holders.keep(identity, found)
    return found


async def page(
    database: Database,
    identity: Identity,
    search: Search,
    most: int,
    token: str | None = None,
    *,
    explain: bool = False,
    within: str | None = None,
) -> Page:
    """One page of what the caller sees, `within` a collection. Raises Problem 400, or 404 when that is not seen."""
    return await carefully(search, lambda s: _page(database, identity, s, most, token, explain=explain, within=within))


async def frequent_page(
    database: Database,
    identity: Identity,
    search: Search,
    most: int,
    token: str | None = None,
    within: str | None = None,
) -> Page | None:
    """The same of the most frequent searches; None of all others, and when there is more to look at than is quick."""
    place, asked = None, ""
    keys: tuple[Key, ...] = frequent.KEYS
    if most >= _PIECE or frequent.form(search, None) is None:
        return None  # before its token is read by the order that all of them have
    if token is not None:
        asked = _fingerprint(identity, search)
        place, keys = places.place(token, (), Known(), asked)
    if (form := frequent.form(search, place)) is None:
        return None
    sql = frequent.statement(form)
    holding = database.holders.of(identity)
    for _ in range(_EDITIONS):
        if holding is None or (within is not None and not holding.sees(within)):
            holding = await holding_of(database, identity)
            if within is not None and not holding.sees(within):
                raise not_found(f"Collection {within}")
        if narrowed(search, holding.rows) is not search:
            return None
        values = frequent.values(form, identity, holding, search, most + 1, place)
        if values is None:
            return None
        try:
            async with database.ready() as connection:
                if not form.whole:
                    period = frequent.begun(holding, search), search.period[1] if search.period else None
                    entries = await database.density.entries(connection, search.collections, *period)
                    if entries is None or entries > frequent.FEW:
                        return None
                found = await connection.fetch(sql, *values)
                rows, readers = await there(database, connection, found)
        except UnrelatedError:
            return None
        if found[0]["edition"] == holding.edition:
            if form.walked and found[0]["hits"] > counting.MOST:
                return None
            more = len(found) > most
            matched = Matched(found[0]["hits"] if more else len(rows)) if place is None else place.matched
            if more and not asked:
                asked = _fingerprint(identity, search)
            page = sorted(rows, key=itemgetter("turn"))[:most]
            if place is not None and place.backwards:
                page.reverse()
            return _linked(page, readers, keys, place, matched, asked, holding, more=more)
        holding = None
    return None


def _linked(
    found: Sequence[Row],
    readers: Readers,
    keys: Sequence[Key],
    place: Place | None,
    matched: Matched | None,
    asked: str,
    holding: Holding,
    *,
    more: bool,
    told: Document | None = None,
) -> Page:
    """A page with the tokens of those before and after it."""
    backwards = place is not None and place.backwards

    def token(row: Row, *, back: bool) -> str:
        values = tuple(row[f"k{n}"] for n in range(len(keys)))
        return places.token(Place(back, values, matched), keys, asked)

    return Page(
        found,
        readers,
        token(found[-1], back=False) if found and (more or backwards) else None,
        token(found[0], back=True) if found and place is not None and (more or not backwards) else None,
        matched,
        holding.rows,
        told,
    )


async def _page(
    database: Database,
    identity: Identity,
    search: Search,
    most: int,
    token: str | None,
    *,
    explain: bool,
    within: str | None,
) -> Page:
    async with database.reading() as connection:
        # Asked for when there is a connection: however long that took, what is hidden by now is not shown.
        holding = await holding_of(database, identity)
        if within is not None and not holding.sees(within):
            raise not_found(f"Collection {within}")
        rows = holding.rows
        hidden, unseen = holding.unseen, left_out(search, rows)
        search = narrowed(search, rows)
        among = rows.keys() if search.collections is None else search.collections
        search = replace(search, longest=max((rows[name].longest for name in among if name in rows), default=None))
        known = await known_to(connection, identity, hidden, search)
        asked = _fingerprint(identity, search)
        if token is None:
            place, keys = None, ordering.keys(search.sortby, known)
        else:
            place, keys = places.place(token, search.sortby, known, asked)
        backwards = place is not None and place.backwards
        arguments = Arguments()
        sql = _statement(identity, unseen, search, known, keys, place, most + 1, arguments)
        aside = None
        if place is None and most < _PIECE:
            aside = counting.beside(identity, unseen, search, known, arguments)
        if aside is not None:
            # Neither is looked for unless the page is full.
            sql = (
                f"with page as materialized ({sql}), aside as materialized ({aside.sql}) select *,"  # noqa: S608
                f" case when (select count(*) from page) > {most} then (select hits from aside) end as hits,"
                f" case when (select count(*) from page) > {most} then (select among from aside) end as among from page"
            )
        found, cut = await _fetched(connection, sql, arguments, most)
        more = cut or len(found) > most
        found = found[:most]
        if backwards:
            found.reverse()
        matched = place.matched if place else None
        if place is None and not more:
            matched = Matched(len(found))
        elif matched is None:
            beside = counting.Found(found[0]["hits"], found[0]["among"]) if aside is not None else None
            matched = await counting.counted(connection, identity, unseen, search, known, beside)
        told = await explained(connection, identity, unseen, search, known) if explain else None
        rows_there, readers = await there(database, connection, found)

    return _linked(rows_there, readers, keys, place, matched, asked, holding, more=more, told=told)


def _fingerprint(identity: Identity, search: Search) -> str:
    """What tells one search of one caller from others, for a count that is carried from page to page.

    Of what the caller does not see, it holds nothing: whoever has a token could try guesses on it.
    """
    return blake2b(repr((search, eyes(identity))).encode("utf-8", "replace"), digest_size=9).hexdigest()


def _statement(
    identity: Identity,
    unseen: Sequence[str],
    search: Search,
    known: Known,
    keys: Sequence[Key],
    place: Place | None,
    most: int,
    arguments: Arguments,
) -> str:
    seen, condition = visible(identity, unseen, arguments), where(search, known, arguments)
    sql = [key.sql(arguments) for key in keys]
    told = [key.told(expression) for key, expression in zip(keys, sql, strict=True)]
    # The rows themselves, of those alone that are on the page, unless these are so many that they come in pieces.
    columns = COLUMNS if most > _PIECE else "f.collection, f.id"
    columns = ", ".join([columns, *(f"{x} as k{n}" for n, x in enumerate(told if most > _PIECE else sql))])
    values, backwards = (place.values, place.backwards) if place else (None, False)
    parts = [
        f"select {columns} from catalogue.finished_item f where {seen} and {condition} and {beyond}"  # noqa: S608
        f" order by {order} limit {most}"
        for beyond, order in ordering.parts(keys, sql, values, arguments, backwards=backwards)
    ]
    found = parts[0] if len(parts) == 1 else f"{' union all '.join(f'({part})' for part in parts)} limit {most}"
    if most > _PIECE:
        return found
    names = [f"h.k{n}" for n in range(len(keys))]
    placed = list(zip(keys, names, strict=True))
    order = ordering.order(keys, names, backwards=backwards, first_has_value=False)
    return (
        f"select {COLUMNS}, {', '.join(f'{key.told(name)} as k{n}' for n, (key, name) in enumerate(placed))}"  # noqa: S608
        f" from ({found}) h"
        f" join catalogue.finished_item f on f.id = h.id and f.collection = h.collection order by {order}"
    )


async def _fetched(connection: Connection, sql: str, arguments: Arguments, most: int) -> tuple[list[Row], bool]:
    """The rows, and whether they were cut off since their text takes too much."""
    if most <= _PIECE:
        return await connection.fetch(sql, *arguments.values), False
    found: list[Row] = []
    size = 0
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(sql, *arguments.values, prefetch=_PIECE):
            size += packing.length((row["now"] or row)["body"] or b"{}")
            if size > MOST_BYTES and found:
                return found, True
            found.append(row)
    return found, False
