"""Items that the database keeps finished: found by one statement, and sent as the bytes that were stored.

The text of an item has control characters, which JSON never holds, where it depends on the caller
(`migrations/sql/0001_finished.sql`). What is rare is stored plain and laid out by `present.item`, whose word holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from bocage_kit.audience import names_of, sees_everything
from bocage_kit.identity import Identity
from bocage_kit.licences import item_licences, licences_of
from bocage_kit.problems import Problem

from bocage_catalogue import present
from bocage_catalogue.database import Connection, Contended, Database
from bocage_catalogue.present import Document
from bocage_catalogue.visibility import CollectionRow

_log = logging.getLogger("bocage.catalogue")

_BASE, _REFS, _SCHEMES, _DECLARED, _DECLARED_ALONE, _LICENCES = (bytes([n]) for n in range(1, 7))
_OF_AUTHENTICATION = _REFS + _SCHEMES + _DECLARED + _DECLARED_ALONE

# Writers of an item wait for its batch to end: some fifty milliseconds.
_BATCH = 100
_PAUSE, _PAUSE_BESIDE_LOADS, _PAUSE_AFTER_FAILURE = 0.5, 2.0, 5.0

_PAGE = "select * from catalogue.page($1, $2, $3, $4, $5, $6, $7)"
_WRITTEN = """
select collection as in_collection, id as item, licences, audience, revision, hrefs, laid_out, body,
       case when body is null then catalogue.laid_now(collection, id, datetime) end as now
from catalogue.finished_item where id = $1 and collection = $2
"""
_ITEM = f"""{_WRITTEN} and (
    $3 or audience = 'public' or owner = $4 or (audience = 'organisation' and organisation = $5) or shared && $6)
"""


class Row(Protocol):
    """A finished item: in_collection, item, licences, audience, and its sheet: hrefs, laid_out, body.

    Of one that was written just now the sheet is in the member `now`.
    """

    def __getitem__(self, name: str) -> Any: ...


@dataclass(frozen=True)
class Page:
    """What a search found: at most so many items, whether there are more, and how many altogether."""

    rows: Sequence[Row]
    next: str | None
    previous: str | None
    matched: int


def _json(value: Any) -> bytes:
    return orjson.dumps(value)


_REFS_TEXT = b', "auth:refs": ' + _json([present.SCHEME_NAME])
_SCHEMES_TEXT = b', "auth:schemes": ' + _json({present.SCHEME_NAME: dict(present.API_KEY)})
_DECLARED_TEXT = _json(present.AUTHENTICATION)


def _eyes(identity: Identity) -> tuple[bool, str | None, str | None, list[str]]:
    """Who looks, as the SQL takes it."""
    if identity.anonymous:
        return sees_everything(identity), None, None, []
    return sees_everything(identity), identity.subject, identity.organisation, names_of(identity)


async def item_row(
    database: Database, identity: Identity, rows: Mapping[str, CollectionRow], collection: str, name: str
) -> Row | None:
    """One item, if the caller sees it and its collection."""
    holder = rows.get(collection)
    if holder is None or not holder.visible:
        return None
    async with database.reading() as connection:
        found: list[Row] = await connection.fetch(_ITEM, name, collection, *_eyes(identity))
    return found[0] if found else None


async def keep_finishing(database: Database) -> None:
    """Lay out what was written, soon afterwards, until cancelled. Any number of copies may do so at once."""
    while True:
        pause = _PAUSE
        try:
            async with database.writing() as connection:
                if await connection.fetchval("select catalogue.finish_more($1)", _BATCH):
                    # Who loads in bulk goes first: until then items are laid out when they are read.
                    pause = _PAUSE_BESIDE_LOADS if database.loading else 0
        except (Problem, Contended) as error:
            # The database is away, or others write: meanwhile items are laid out when they are read.
            _log.warning("items are not finished", extra={"reason": type(error).__name__})
            pause = _PAUSE_AFTER_FAILURE
        await asyncio.sleep(pause)


async def written_row(connection: Connection, collection: str, name: str) -> Row:
    """An item as it stands within the transaction that wrote it."""
    found: list[Row] = await connection.fetch(_WRITTEN, name, collection)
    return found[0]


async def page(
    database: Database, identity: Identity, rows: Mapping[str, CollectionRow], search: Document, most: int
) -> Page:
    """One page of what the caller sees, in pgSTAC's order and with pgSTAC's tokens."""
    unseen = [name for name, row in rows.items() if not row.visible]
    async with database.reading() as connection:
        found = await connection.fetch(_PAGE, search, most, *_eyes(identity), unseen)
    *items, last = found
    token = str(search.get("token") or "").lower()
    backwards, more = token.startswith("prev:"), len(items) > most
    items = items[:most]
    if backwards:
        items.reverse()
    following, preceding = (True, more) if backwards else (more, bool(token))
    # A link that leads to this very page is none.
    previous = _token("prev", items[0]) if items and preceding else None
    return Page(
        items,
        _token("next", items[-1]) if items and following else None,
        None if previous == token else previous,
        last["matched"],
    )


def _token(direction: str, row: Row) -> str:
    return f"{direction}:{str(row['in_collection']).encode().hex()}:{str(row['item']).encode().hex()}"


class Layout:
    """How one caller is shown finished items; decisions are made once for all items under the same licences."""

    def __init__(self, identity: Identity, rows: Mapping[str, CollectionRow]) -> None:
        self._identity, self._rows = identity, rows
        self._base = _json(identity.public_base.rstrip("/"))[1:-1]
        self._internal = identity.has("service:assets")
        self._decided: dict[tuple[str, str, str], tuple[bool, bytes]] = {}

    def text(self, row: Row) -> bytes:
        """The item as the caller sees it, as JSON."""
        sheet: Row = row["now"] or row
        if not sheet["laid_out"] or self._internal:
            return orjson.dumps(self.document(row))
        gated, licences = self._decision(row)
        body: bytes = sheet["body"]
        if gated:
            body = (
                body.replace(_REFS, _REFS_TEXT)
                .replace(_SCHEMES, _SCHEMES_TEXT)
                .replace(_DECLARED, b", " + _DECLARED_TEXT)
                .replace(_DECLARED_ALONE, _DECLARED_TEXT)
            )
        else:
            body = body.translate(None, _OF_AUTHENTICATION)
        return body.replace(_LICENCES, licences).replace(_BASE, self._base)

    def document(self, row: Row) -> Document:
        """The same as a document."""
        sheet: Row = row["now"] or row
        body: bytes = sheet["body"]
        if sheet["laid_out"]:
            body = body.translate(None, _OF_AUTHENTICATION + _LICENCES).replace(_BASE, self._base)
        stored: Document = orjson.loads(body)
        for name, href in orjson.loads(sheet["hrefs"] or "{}").items():
            stored["assets"][name]["href"] = href
        return present.item(stored, self._rights(row), self._identity)

    def _rights(self, row: Row) -> Document:
        return self._rows[row["in_collection"]].rights if row["in_collection"] in self._rows else {}

    def _decision(self, row: Row) -> tuple[bool, bytes]:
        key = (row["in_collection"], row["licences"], row["audience"])
        if key not in self._decided:
            rights, stated = self._rights(row), {"properties": orjson.loads(row["licences"])}
            links = present.licence_links(self._identity.public_base, item_licences(rights, stated))
            self._decided[key] = (
                present.is_gated(self._identity, licences_of(rights, stated), row["audience"]),
                b"".join(b", " + _json(link) for link in links),
            )
        return self._decided[key]
