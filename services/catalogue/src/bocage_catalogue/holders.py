"""What is known of the collections, by caller, until one of them changes.

A search needs to know of all collections which are hidden from its caller, and under which licences they are. It asks
for their edition with what it looks for, in the same snapshot: while that is as remembered, so is all else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bocage_kit.identity import Identity

from bocage_catalogue.visibility import VISIBLE, CollectionRow, collections_arguments

if TYPE_CHECKING:
    from bocage_catalogue.database import Connection

# Differs between any two states of the collections: a revision is never given twice.
EDITION = (
    "bit_xor(hashint8extended(revision, 2 * coalesce(extract(epoch from longest), 0)::bigint + deprecated_items::int))"
)
_SQL = (
    "select id, title, revision, rights, longest, deprecated or records as apart, deprecated_items,"  # noqa: S608
    f" {VISIBLE} as visible, {EDITION} over () as edition"
    " from catalogue.finished_collection order by id"
)
# Of so many collections altogether, over all callers.
_MOST = 20_000

_Caller = tuple[bool, str | None, str | None, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Holding:
    """The collections with what a caller may know of them, at one edition."""

    edition: int | None
    rows: Mapping[str, CollectionRow]

    @cached_property
    def unseen(self) -> list[str]:
        """Those that are hidden from the caller."""
        return [name for name, row in self.rows.items() if not row.visible]

    def sees(self, collection: str) -> bool:
        row = self.rows.get(collection)
        return row is not None and row.visible


async def asked(connection: Connection, identity: Identity) -> Holding:
    """All collections with what the caller may know of them: one statement."""
    rows = await connection.fetch(_SQL, *collections_arguments(identity))
    made = {
        row["id"]: CollectionRow(
            row["title"],
            row["rights"],
            row["visible"],
            row["revision"],
            row["longest"] or timedelta(0),
            row["apart"],
            row["deprecated_items"],
        )
        for row in rows
    }
    return Holding(rows[0]["edition"] if rows else None, made)


def _caller(identity: Identity) -> _Caller:
    """Everything about a caller that decides which collections are seen."""
    everything, person, organisation, hidden, names = collections_arguments(identity)
    return everything, person, organisation, tuple(hidden), tuple(names)


class Holders:
    """Remembers them for the callers who asked last."""

    def __init__(self, most: int = _MOST) -> None:
        self._most, self._rows = most, 0
        self._known: OrderedDict[_Caller, Holding] = OrderedDict()

    def of(self, identity: Identity) -> Holding | None:
        caller = _caller(identity)
        found = self._known.get(caller)
        if found is not None:
            self._known.move_to_end(caller)
        return found

    def keep(self, identity: Identity, holding: Holding) -> None:
        caller = _caller(identity)
        former = self._known.pop(caller, None)
        self._known[caller] = holding
        # One that is empty takes room too.
        self._rows += 1 + len(holding.rows) - (1 + len(former.rows) if former is not None else 0)
        while self._rows > self._most and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            self._rows -= 1 + len(oldest.rows)
