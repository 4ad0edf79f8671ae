"""How finished items leave: as the bytes that were stored, where they depend on the caller filled in.

The text of an item has control characters, which JSON never holds, where it depends on the caller
(`migrations/sql/0001_finished.sql`). What is rare is stored plain and laid out by `present.item`, whose word holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import orjson
from bocage_kit.identity import Identity
from bocage_kit.licences import item_licences, licences_of

from bocage_catalogue import present, process_links
from bocage_catalogue.packing import NONE, Readers, plain
from bocage_catalogue.present import Document
from bocage_catalogue.visibility import CollectionRow

_BASE, _REFS, _SCHEMES, _DECLARED, _DECLARED_ALONE, _LICENCES, _TERMS = (bytes([n]) for n in range(1, 8))
_OF_AUTHENTICATION = _REFS + _SCHEMES + _DECLARED + _DECLARED_ALONE
_BETWEEN = b"\0"


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


class Decision(NamedTuple):
    """What a caller is told of items under the same licences, as text."""

    gated: bool
    licences: bytes
    terms: bytes


@lru_cache(256)
def _schemes_text(base: str) -> bytes:
    schemes = {present.SCHEME_NAME: dict(present.API_KEY)}, {present.STORAGE_NAME: present.storage_scheme(base)}
    return b', "auth:schemes": ' + _json(schemes[0]) + b', "storage:schemes": ' + _json(schemes[1])


class Layout:
    """How one caller is shown finished items; decisions are made once for all items under the same licences."""

    def __init__(
        self, identity: Identity, rows: Mapping[str, CollectionRow], tongue: str = "en", readers: Readers = NONE
    ) -> None:
        self._identity, self._rows, self._tongue, self._readers = identity, rows, tongue, readers
        self._base = _json(identity.public_base.rstrip("/"))[1:-1]
        self._internal = identity.has("service:assets")
        self._schemes = _schemes_text(identity.public_base)
        self._decided: dict[tuple[str, str, str], Decision] = {}

    def text(self, row: Row) -> bytes:
        """The item as the caller sees it, as JSON."""
        return self.texts([row])

    def texts(self, rows: Sequence[Row]) -> bytes:
        """Items as the caller sees them, as JSON with commas between: what is decided alike is filled in at once."""
        by_key: dict[tuple[str, str, str], list[int]] = {}
        made: list[bytes] = []
        for place, row in enumerate(rows):
            now = row["now"]
            sheet: Row = row if now is None else now
            if sheet["laid_out"] and not self._internal:
                key = row["in_collection"], row["licences"], row["audience"]
                if key in by_key:
                    by_key[key].append(place)
                elif process_links.are_made(self._rights(key[0])):
                    made.append(_json(self.document(row)))
                    continue
                else:
                    by_key[key] = [place]
                made.append(plain(sheet["body"], self._readers))
            else:
                made.append(_json(self.document(row)))
        alike: dict[Decision, list[int]] = {}
        for key, places in by_key.items():
            alike.setdefault(self._decision(*key), []).extend(places)
        if len(alike) == 1:
            decision, places = next(iter(alike.items()))
            if len(places) == len(rows):
                return self._filled(b",".join(made), decision)
        for decision, places in alike.items():
            bodies = _BETWEEN.join([made[place] for place in places])
            for place, body in zip(places, self._filled(bodies, decision).split(_BETWEEN), strict=True):
                made[place] = body
        return b",".join(made)

    def _filled(self, text: bytes, decision: Decision) -> bytes:
        """Laid-out text with what the caller is told in the place of its marks."""
        if decision.gated:
            text = (
                text.replace(_REFS, _REFS_TEXT)
                .replace(_SCHEMES, self._schemes)
                .replace(_DECLARED, b", " + _DECLARED_TEXT)
                .replace(_DECLARED_ALONE, _DECLARED_TEXT)
            )
        else:
            for mark in (_REFS, _SCHEMES, _DECLARED, _DECLARED_ALONE):
                text = text.replace(mark, b"")
        return text.replace(_LICENCES, decision.licences).replace(_TERMS, decision.terms).replace(_BASE, self._base)

    def document(self, row: Row) -> Document:
        """The same as a document."""
        sheet: Row = row["now"] or row
        body = plain(sheet["body"], self._readers)
        if sheet["laid_out"]:
            body = body.translate(None, _OF_AUTHENTICATION + _LICENCES + _TERMS).replace(_BASE, self._base)
        stored: Document = orjson.loads(body)
        for name, href in orjson.loads(sheet["hrefs"] or "{}").items():
            stored["assets"][name]["href"] = href
        return present.item(stored, self._rights(row["in_collection"]), self._identity, self._tongue)

    def _rights(self, collection: str) -> Document:
        return self._rows[collection].rights if collection in self._rows else {}

    def _decision(self, collection: str, licences_text: str, audience: str) -> Decision:
        key = collection, licences_text, audience
        found = self._decided.get(key)
        if found is None:
            rights, stated = self._rights(collection), {"properties": orjson.loads(licences_text)}
            licences = item_licences(rights, stated)
            links = present.licence_links(self._identity.public_base, licences)
            found = self._decided[key] = Decision(
                present.is_gated(self._identity, licences_of(rights, stated), audience),
                b"".join(b", " + _json(link) for link in links),
                _TERMS_TEXT[present.terms_accepted(self._identity, licences)],
            )
        return found
