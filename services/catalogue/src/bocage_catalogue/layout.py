"""How finished items leave: as the bytes that were stored, where they depend on the caller filled in.

The text of an item has control characters, which JSON never holds, where it depends on the caller
(`migrations/sql/0001_finished.sql`). What is rare is stored plain and laid out by `present.item`, whose word holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import orjson
from bocage_kit.identity import Identity
from bocage_kit.licences import item_licences, licences_of

from bocage_catalogue import packing, present, process_links
from bocage_catalogue.present import Document
from bocage_catalogue.visibility import CollectionRow

_BASE, _REFS, _SCHEMES, _DECLARED, _DECLARED_ALONE, _LICENCES, _TERMS = range(1, 8)

# Items of one kind have the same marks: so many kinds are remembered with what is told.
_MOST_MARKS = 200


class Row(Protocol):
    """A finished item: in_collection, item, licences, audience, and its sheet: hrefs, laid_out, body.

    Of one that was written just now the sheet is in the member `now`.
    """

    def __getitem__(self, name: str) -> Any: ...


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


class Layout:
    """How one caller is shown finished items; decisions are made once for all items under the same licences."""

    def __init__(
        self,
        identity: Identity,
        rows: Mapping[str, CollectionRow],
        tongue: str = "en",
        readers: packing.Readers = packing.NONE,
    ) -> None:
        self._identity, self._rows, self._tongue, self._readers = identity, rows, tongue, readers
        self._internal = identity.has("service:assets")
        self._decided: dict[tuple[str, str, str], Fills | None] = {}

    def text(self, row: Row) -> bytes:
        """The item as the caller sees it, as JSON."""
        return b"".join(self.pieces([row]))

    def pieces(self, rows: Sequence[Row]) -> list[bytes]:
        """Items as the caller sees them, as JSON with commas between, in pieces: whoever sends them puts them together,
        once.
        """
        made: list[bytes] = []
        for row in rows:
            now = row["now"]
            sheet: Row = row if now is None else now
            fills = self._fills(row) if sheet["laid_out"] and not self._internal else None
            if fills is None:
                made.append(_json(self.document(row)))
            else:
                marks, _, pieces = packing.pieces(sheet["body"], self._readers)
                made += _between(pieces, fills.of(marks))
            made.append(b",")
        if made:
            made.pop()
        return made

    def document(self, row: Row) -> Document:
        """The same as a document."""
        sheet: Row = row["now"] or row
        marks, hrefs, pieces = packing.pieces(sheet["body"], self._readers)
        text = b"".join(
            _between(pieces, _plainly(self._identity.public_base).of(marks)) if sheet["laid_out"] else pieces
        )
        stored: Document = orjson.loads(text)
        for name, href in orjson.loads(hrefs or sheet["hrefs"] or "{}").items():
            stored["assets"][name]["href"] = href
        return present.item(stored, self._rights(row["in_collection"]), self._identity, self._tongue)

    def _rights(self, collection: str) -> Document:
        return self._rows[collection].rights if collection in self._rows else {}

    def _fills(self, row: Row) -> Fills | None:
        """What this caller is told in the text of an item; None when more than that is to be told."""
        key = row["in_collection"], row["licences"], row["audience"]
        if key not in self._decided:
            rights = self._rights(key[0])
            self._decided[key] = None if process_links.are_made(rights) else self._decide(rights, *key[1:])
        return self._decided[key]

    def _decide(self, rights: Document, licences_text: str, audience: str) -> Fills:
        holding, all_of_them = _licences(_json(rights), licences_text)
        gated = present.is_gated(self._identity, holding, audience)
        accepted = present.terms_accepted(self._identity, all_of_them)
        return _fills_for(self._identity.public_base, all_of_them, gated, accepted)


def _base_text(base: str) -> bytes:
    return _json(base.rstrip("/"))[1:-1]


@lru_cache(256)
def _plainly(base: str) -> Fills:
    return Fills({_BASE: _base_text(base)})


@lru_cache(1024)
def _licences(rights_text: bytes, licences_text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The licences of an item, and those of all of it, by what its collection and itself say."""
    rights, stated = orjson.loads(rights_text), {"properties": orjson.loads(licences_text)}
    return licences_of(rights, stated), item_licences(rights, stated)


@lru_cache(1024)
def _fills_for(base: str, licences: tuple[str, ...], gated: bool, accepted: bool | None) -> Fills:
    """What everybody is told of whom the same is decided."""
    links = present.licence_links(base, licences)
    told = {
        _BASE: _base_text(base),
        _LICENCES: b"".join(b", " + _json(link) for link in links),
        _TERMS: _TERMS_TEXT[accepted],
    }
    if gated:
        told |= {
            _REFS: _REFS_TEXT,
            _SCHEMES: _schemes_text(base),
            _DECLARED: b", " + _DECLARED_TEXT,
            _DECLARED_ALONE: _DECLARED_TEXT,
        }
    return Fills(told)


class Fills:
    """What stands in the place of each mark."""

    def __init__(self, told: Mapping[int, bytes]) -> None:
        self._told = told
        self._made: dict[bytes, list[bytes]] = {}

    def of(self, marks: bytes) -> list[bytes]:
        found = self._made.get(marks)
        if found is None:
            if len(self._made) >= _MOST_MARKS:
                self._made.clear()
            found = self._made[marks] = [self._told.get(mark, b"") for mark in marks]
        return found


def _between(pieces: list[bytes], fills: list[bytes]) -> list[bytes]:
    made = [b""] * (2 * len(pieces) - 1)
    made[::2], made[1::2] = pieces, fills
    return made
