"""What a search leaves out that names nothing: collections that are out of date or hold records, items out of date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bocage_catalogue.conditions import Search, properties
from bocage_catalogue.visibility import CollectionRow

# Who asks by one of these knows what is looked for.
_NAMING = frozenset(("deprecated", "collection", "id"))


def names_something(search: Search) -> bool:
    """Whether a search says by name, or by words, which objects it is after."""
    if search.broad:
        return False
    if search.collections is not None or search.ids is not None or search.terms:
        return True
    return bool(search.conditions) and not _NAMING.isdisjoint(properties(replace(search, sortby=())))


def left_out(search: Search, rows: Mapping[str, CollectionRow]) -> list[str]:
    """The collections whose items a search does not find: those hidden from the caller, and those set apart."""
    apart = not names_something(search)
    return [name for name, row in rows.items() if not row.visible or (apart and row.apart)]


def narrowed(search: Search, rows: Mapping[str, CollectionRow]) -> Search:
    """`search` without items that are out of date, where it would find some."""
    if any(row.deprecated_items for row in rows.values()) and not names_something(search):
        return replace(search, current=True)
    return search
