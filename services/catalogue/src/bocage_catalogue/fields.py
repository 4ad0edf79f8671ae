"""Which members of an object are shown: the fields extension, over one document."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

Document = dict[str, Any]

# What is shown in any case: what makes a GeoJSON feature one, and says which.
OF_ITEMS = frozenset(("type", "stac_version", "id", "collection"))
OF_COLLECTIONS = frozenset(("type", "stac_version", "id"))
# What an item is shown with by default, when what is included is asked for and left empty.
DEFAULT = frozenset(
    (
        *("type", "stac_version", "id", "collection", "geometry", "bbox", "links", "assets"),
        *("properties.datetime", "properties.start_datetime", "properties.end_datetime"),
    )
)


def excluded(include: Collection[str], exclude: Collection[str]) -> frozenset[str]:
    """What is excluded indeed: what is included by name stays."""
    kept = set(include)
    for path in include:
        names = path.split(".")
        kept |= {".".join(names[:n]) for n in range(1, len(names))}
    return frozenset(exclude) - kept


def chosen(document: Document, include: Collection[str], exclude: Collection[str], always: Collection[str]) -> Document:
    """A document with what is included, or all, but for what is `excluded`."""
    made = document
    if include:
        made = {}
        for path in (*always, *include):
            _take(document, path.split("."), made)
    for path in exclude:
        made = _without(made, path.split("."))
    return made


def _take(document: Document, path: list[str], into: Document) -> None:
    name, rest = path[0], path[1:]
    if name not in document:
        return
    value = document[name]
    if not rest or not isinstance(value, dict):
        into[name] = value
        return
    there = into.get(name)
    if there is value:
        return  # all of it is there already
    inner: Document = dict(there) if isinstance(there, dict) else {}
    _take(value, rest, inner)
    into[name] = inner


def _without(document: Document, path: list[str]) -> Document:
    name, rest = path[0], path[1:]
    if name not in document:
        return document
    made = dict(document)
    if not rest:
        del made[name]
    elif isinstance(made[name], dict):
        made[name] = _without(made[name], rest)
    return made
