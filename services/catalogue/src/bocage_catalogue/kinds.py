"""What a property of an item may be, and how SQL reads it as such.

A property that holds another kind of JSON than is asked for is unknown, as one that is absent: no comparison with it
is true, none is false, and none fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from bocage_kit.audience import SHARED_FIELD
from bocage_kit.problems import Problem

from bocage_catalogue.refusals import refused
from bocage_catalogue.sql_arguments import Arguments

TEXT, NUMBER, BOOLEAN, MOMENT, ARRAY, OBJECT, GEOMETRY = (
    "text", "number", "boolean", "moment", "array", "object", "geometry",
)  # fmt: skip
# In this order one is chosen to sort by, when a property is of several.
SCALARS = (MOMENT, NUMBER, TEXT, BOOLEAN)

COLUMNS = {
    "id": (TEXT, "f.id"),
    "collection": (TEXT, "f.collection"),
    "datetime": (MOMENT, "f.datetime"),
    "geometry": (GEOMETRY, "f.geometry"),
}
# What the specifications say is an instant.
MOMENTS = frozenset(
    ("datetime", "start_datetime", "end_datetime", "created", "updated", "published", "expires", "unpublished")
)
CORE: Mapping[str, frozenset[str]] = {
    **{name: frozenset((kind,)) for name, (kind, _) in COLUMNS.items()},
    **{name: frozenset((MOMENT,)) for name in MOMENTS},
    "title": frozenset((TEXT,)),
    "description": frozenset((TEXT,)),
    "keywords": frozenset((ARRAY,)),
}
_READERS = {TEXT: "text_at", NUMBER: "number_at", BOOLEAN: "boolean_at", MOMENT: "moment_at", ARRAY: "array_at"}
_LONGEST_NAME = 200


def plain(name: str) -> str:
    """`properties.x` and `x` are the same."""
    return name.removeprefix("properties.")


def reading(name: str, kind: str, arguments: Arguments) -> str:
    """The property as `kind`; `f` is the finished item."""
    if name in COLUMNS:
        return COLUMNS[name][1]
    if kind == NUMBER and arguments.outlined and name == "eo:cloud_cover":
        return "f.cloud_cover"
    return f"catalogue.{_READERS[kind]}(f.content, {arguments.add(name, 'text')})"


def presence(name: str, arguments: Arguments) -> str:
    """Whatever the property holds; null counts as absent."""
    if name in COLUMNS:
        return COLUMNS[name][1]
    return f"catalogue.value_at(f.content, {arguments.add(name, 'text')})"


@dataclass(frozen=True)
class Known:
    """The properties that a caller may search by, and of which kinds they are."""

    kinds: Mapping[str, frozenset[str]] = field(default_factory=lambda: CORE)

    def of(self, name: object, at: str) -> tuple[str, frozenset[str]]:
        """The plain name of a property, and its kinds. Raises Problem 400 for one that is not known."""
        if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME or "\0" in name:
            raise refused(at, f"a property's name is text of 1 to {_LONGEST_NAME} characters")
        name = plain(name)
        if name == SHARED_FIELD:
            raise secret(at)
        found = self.kinds.get(name)
        if found is None:
            raise self.unknown(name, at)
        return name, found

    def unknown(self, name: str, at: str) -> Problem:
        close = get_close_matches(name, self.kinds, 3, 0.6)
        listed = "/stac/sortables" if at.startswith("sortby") else "/stac/queryables"
        meant = f" Did you mean {' or '.join(close)}?" if close else f" {listed} lists what may be asked for."
        return Problem(
            400, "unknown-property", f"{at}: no item that you see has the property {name!r}.{meant}",
            at=at, property=name, suggestions=close,
        )  # fmt: skip


def secret(at: str) -> Problem:
    return refused(at, f"{SHARED_FIELD} can't be searched: with whom an item is shared is known to its owner alone")
