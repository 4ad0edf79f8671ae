"""Items that the database keeps finished: found by one statement, and sent as the bytes that were stored.

The text of an item has control characters, which JSON never holds, where it depends on the caller
(`migrations/sql/0001_finished.sql`). What is rare is stored plain and laid out by `present.item`, whose word holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Protocol

import orjson
from bocage_kit.audience import sees_everything
from bocage_kit.identity import Identity
from bocage_kit.licences import item_licences, licences_of
from bocage_kit.problems import Problem

from bocage_catalogue import counting, ordering, places, present, process_links, registry
from bocage_catalogue.carefully import carefully
from bocage_catalogue.conditions import Arguments, Search, eyes, properties, visible, where
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.explaining import explained
from bocage_catalogue.kinds import Known
from bocage_catalogue.ordering import Key
from bocage_catalogue.places import Matched, Place
from bocage_catalogue.present import Document
from bocage_catalogue.visibility import COLLECTION_SQL, CollectionRow, collections_arguments

_log = logging.getLogger("bocage.catalogue")

_BASE, _REFS, _SCHEMES, _DECLARED, _DECLARED_ALONE, _LICENCES, _TERMS = (bytes([n]) for n in range(1, 8))
_OF_AUTHENTICATION = _REFS + _SCHEMES + _DECLARED + _DECLARED_ALONE

# Writers of an item wait for its batch to end: some fifty milliseconds.
_BATCH = 100
_PAUSE, _PAUSE_BESIDE_LOADS, _PAUSE_AFTER_FAILURE = 0.5, 2.0, 5.0
# Writing so many items a second is a load in bulk.
_LOAD = 1000

# What a page says of each item; `body` is fetched of those that are on it.
_COLUMNS = """f.collection as in_collection, f.id as item, f.licences, f.audience, f.hrefs, f.laid_out, f.body,
    case when f.body is null then catalogue.laid_now(f.collection, f.id, f.datetime) end as now"""
_AREAS = "select catalogue.area(text, place) from unnest($1::text[], $2::text[]) a (text, place)"
# A page of more items is fetched in pieces, and ends before its text takes too much.
_PIECE = 101
MOST_BYTES = 16 * 1024 * 1024
_WRITTEN = """
select collection as in_collection, id as item, licences, audience, revision, hrefs, laid_out, body,
       case when body is null then catalogue.laid_now(collection, id, datetime) end as now
from catalogue.finished_item where id = $1 and collection = $2
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


class Row(Protocol):
    """A finished item: in_collection, item, licences, audience, and its sheet: hrefs, laid_out, body.

    Of one that was written just now the sheet is in the member `now`.
    """

    def __getitem__(self, name: str) -> Any: ...


def there(rows: Sequence[Row]) -> list[Row]:
    """Without those whose tables were dropped after the statement had found them: their collection is deleted."""
    return [row for row in rows if row["body"] is not None or (row["now"] is not None and row["now"]["body"])]


@dataclass(frozen=True)
class Page:
    """What a search found: at most so many items, whether there are more, and how many altogether."""

    rows: Sequence[Row]
    next: str | None
    previous: str | None
    matched: Matched | None
    explained: Document | None = None


def _json(value: Any) -> bytes:
    return orjson.dumps(value)


_REFS_TEXT = b', "auth:refs": ' + _json([present.SCHEME_NAME]) + b', "storage:refs": ' + _json([present.STORAGE_NAME])
_DECLARED_TEXT = _json(present.AUTHENTICATION) + b", " + _json(present.STORAGE)
_TERMS_TEXT: dict[bool | None, bytes] = {
    None: b"",
    True: b', "bocage:terms_accepted": true',
    False: b', "bocage:terms_accepted": false',
}


def _schemes_text(base: str) -> bytes:
    schemes = {present.SCHEME_NAME: dict(present.API_KEY)}, {present.STORAGE_NAME: present.storage_scheme(base)}
    return b', "auth:schemes": ' + _json(schemes[0]) + b', "storage:schemes": ' + _json(schemes[1])


async def item_row(
    database: Database, identity: Identity, collection: str, name: str
) -> tuple[Row, CollectionRow] | None:
    """One item and its collection, if the caller sees both."""
    if "\0" in collection or "\0" in name:
        return None
    seen = collections_arguments(identity)
    async with database.reading() as connection:
        found = there(await connection.fetch(_ITEM, *seen, collection, name, sees_everything(identity)))
    return (found[0], CollectionRow(found[0]["title"], found[0]["rights"], visible=True)) if found else None


async def keep_finishing(database: Database) -> None:
    """Lay out what was written, soon afterwards, until cancelled. Any number of copies may do so at once."""
    clock = asyncio.get_running_loop().time
    written, looked = 0, clock()
    while True:
        pause = _PAUSE
        try:
            async with database.writing() as connection:
                seen, now = int(await connection.fetchval("select last_value from catalogue.revision")), clock()
                loading = seen - written > _LOAD * (now - looked)
                written, looked = seen, now
                # Before any row is held: whoever deletes a collection drops its tables first, and then the rows.
                await connection.execute("lock table pgstac.items in access share mode")
                await connection.fetchval("select catalogue.heed_rebased()")
                if await connection.fetchval("select catalogue.finish_more($1)", _BATCH):
                    # Who loads in bulk goes first, whichever way: until then items are laid out when they are read.
                    pause = _PAUSE_BESIDE_LOADS if loading else 0
        except Exception as error:
            # The database is away, or others write: meanwhile items are laid out when they are read.
            _log.warning("items are not finished", extra={"reason": type(error).__name__})
            pause = _PAUSE_AFTER_FAILURE
        await asyncio.sleep(pause)


async def written_row(connection: Connection, collection: str, name: str) -> Row:
    """An item as it stands within the transaction that wrote it."""
    found: list[Row] = await connection.fetch(_WRITTEN, name, collection)
    return found[0]


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


async def page(
    database: Database,
    identity: Identity,
    rows: Mapping[str, CollectionRow],
    search: Search,
    most: int,
    token: str | None = None,
    *,
    explain: bool = False,
) -> Page:
    """One page of what the caller sees. Raises Problem 400."""
    return await carefully(search, lambda s: _page(database, identity, rows, s, most, token, explain=explain))


async def _page(
    database: Database,
    identity: Identity,
    rows: Mapping[str, CollectionRow],
    search: Search,
    most: int,
    token: str | None = None,
    *,
    explain: bool = False,
) -> Page:
    unseen = [name for name, row in rows.items() if not row.visible]
    holders = rows.keys() if search.collections is None else search.collections
    search = replace(search, longest=max((rows[name].longest for name in holders if name in rows), default=None))
    async with database.reading() as connection:
        known = await known_to(connection, identity, unseen, search)
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

    def linked(row: Row, *, back: bool) -> str:
        values = tuple(row[f"k{n}"] for n in range(len(keys)))
        return places.token(Place(back, values, matched), keys, asked)

    return Page(
        there(found),
        linked(found[-1], back=False) if found and (more or backwards) else None,
        linked(found[0], back=True) if found and place is not None and (more or not backwards) else None,
        matched,
        told,
    )


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
    columns = _COLUMNS if most > _PIECE else "f.collection, f.id"
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
        f"select {_COLUMNS}, {', '.join(f'{key.told(name)} as k{n}' for n, (key, name) in enumerate(placed))}"  # noqa: S608
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
            size += len((row["now"] or row)["body"] or b"")
            if size > MOST_BYTES and found:
                return found, True
            found.append(row)
    return found, False


class Layout:
    """How one caller is shown finished items; decisions are made once for all items under the same licences."""

    def __init__(self, identity: Identity, rows: Mapping[str, CollectionRow], tongue: str = "en") -> None:
        self._identity, self._rows, self._tongue = identity, rows, tongue
        self._base = _json(identity.public_base.rstrip("/"))[1:-1]
        self._internal = identity.has("service:assets")
        self._schemes = _schemes_text(identity.public_base)
        self._decided: dict[tuple[str, str, str], tuple[bool, bytes, bytes]] = {}

    def text(self, row: Row) -> bytes:
        """The item as the caller sees it, as JSON."""
        sheet: Row = row["now"] or row
        if not sheet["laid_out"] or self._internal or process_links.are_made(self._rights(row)):
            return orjson.dumps(self.document(row))
        gated, licences, terms = self._decision(row)
        body: bytes = sheet["body"]
        if gated:
            body = (
                body.replace(_REFS, _REFS_TEXT)
                .replace(_SCHEMES, self._schemes)
                .replace(_DECLARED, b", " + _DECLARED_TEXT)
                .replace(_DECLARED_ALONE, _DECLARED_TEXT)
            )
        else:
            body = body.translate(None, _OF_AUTHENTICATION)
        return body.replace(_LICENCES, licences).replace(_TERMS, terms).replace(_BASE, self._base)

    def document(self, row: Row) -> Document:
        """The same as a document."""
        sheet: Row = row["now"] or row
        body: bytes = sheet["body"]
        if sheet["laid_out"]:
            body = body.translate(None, _OF_AUTHENTICATION + _LICENCES + _TERMS).replace(_BASE, self._base)
        stored: Document = orjson.loads(body)
        for name, href in orjson.loads(sheet["hrefs"] or "{}").items():
            stored["assets"][name]["href"] = href
        return present.item(stored, self._rights(row), self._identity, self._tongue)

    def _rights(self, row: Row) -> Document:
        return self._rows[row["in_collection"]].rights if row["in_collection"] in self._rows else {}

    def _decision(self, row: Row) -> tuple[bool, bytes, bytes]:
        key = (row["in_collection"], row["licences"], row["audience"])
        if key not in self._decided:
            rights, stated = self._rights(row), {"properties": orjson.loads(row["licences"])}
            licences = item_licences(rights, stated)
            links = present.licence_links(self._identity.public_base, licences)
            self._decided[key] = (
                present.is_gated(self._identity, licences_of(rights, stated), row["audience"]),
                b"".join(b", " + _json(link) for link in links),
                _TERMS_TEXT[present.terms_accepted(self._identity, licences)],
            )
        return self._decided[key]
