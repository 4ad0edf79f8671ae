"""Which extensions a record may declare: those of which it has what they ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bocage_client.errors import JsonObject
from bocage_client.harvest_normalising import NOTHING, Change, Rule, properties

TIMESTAMPS = "https://stac-extensions.github.io/timestamps/v1.1.0/schema.json"
_ADDRESS = re.compile(r"https?://[^\s/]+/\S+\Z")
_NAME = re.compile(r"https://stac-extensions\.github\.io/([a-z0-9-]+)/v[^/]+/schema\.json#?\Z")
# Members without a prefix that belong to an extension.
_PLAIN = {
    "timestamps": ("published", "expires", "unpublished"),
    "version": ("version", "deprecated", "experimental"),
    "contacts": ("contacts",),
    "language": ("language", "languages"),
    "themes": ("themes",),
    "alternate-assets": ("alternate",),
    "render": ("renders",),
}
_PREFIXES = {
    "projection": "proj:", "scientific": "sci:", "stereo-imagery": "stereo-img:", "datacube": "cube:",
    "pointcloud": "pc:", "authentication": "auth:",
    **{name: f"{name}:" for name in (
        "accuracy", "altimetry", "archive", "classification", "eo", "file", "grid", "insar", "mgrs", "order",
        "processing", "product", "raster", "sar", "sat", "storage", "table", "view",
    )},
}  # fmt: skip
_NEEDED = {
    "grid": ("grid:code",),
    "sar": ("sar:instrument_mode", "sar:frequency_band", "sar:polarizations"),
    "stereo-imagery": ("stereo-img:count",),
    "order": ("order:status",),
}
# Declaring these without a member of theirs is no fault.
_MAY_BE_EMPTY = frozenset({"projection", "product", "file", "storage", "authentication", "classification"})


def rule(strict: bool) -> Rule:
    """`strict`: of a source that declares the same for all records, what nothing here can check is not declared."""

    def declare(record: JsonObject) -> tuple[JsonObject, Sequence[Change]]:
        said = record.get("stac_extensions")
        kept = [x for x in dict.fromkeys(x for x in listed(record) if isinstance(x, str)) if _holds(x, record, strict)]
        if kept == said:
            return record, NOTHING
        made = {**record, "stac_extensions": kept}
        if said is None:
            return made, NOTHING
        gone = [x for x in said if x not in kept] if isinstance(said, list) else said
        detail = "extensions of which nothing is there, or not what they need, are not declared"
        return made, (Change("extension", detail, {"stac_extensions": gone}),)

    return declare


def declared(record: JsonObject, extension: str) -> JsonObject:
    known = listed(record)
    return record if extension in known else {**record, "stac_extensions": [*known, extension]}


def listed(record: JsonObject) -> list[Any]:
    """What it declares, of whatever kind; nothing where that is no list."""
    said = record.get("stac_extensions")
    return said if isinstance(said, list) else []


def _holds(extension: str, record: JsonObject, strict: bool) -> bool:
    if not _ADDRESS.match(extension):
        return False
    named = _NAME.match(extension)
    name = named[1] if named else ""
    prefix, plain = _PREFIXES.get(name), _PLAIN.get(name)
    if prefix is None and plain is None:
        return not strict
    members = set(_members(record))
    if record.get("type") != "Collection" and name in _NEEDED:
        return all(properties(record).get(x) is not None for x in _NEEDED[name])
    if name in _MAY_BE_EMPTY and not strict:
        return True
    own: Callable[[str], bool] = (lambda x: x.startswith(prefix)) if prefix else (lambda x: x in (plain or ()))
    return any(own(x) for x in members)


def _members(record: JsonObject) -> Iterator[str]:
    """The names of all members, of the record itself, its properties, summaries, assets and bands."""
    yield from record
    for place in ("properties", "summaries", "assets", "item_assets"):
        yield from _names(record.get(place), 0)
    for place in ("providers", "bands", "links"):
        yield from _names(record.get(place), 0)


def _names(value: Any, depth: int) -> Iterator[str]:
    if depth > 4:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            if inner is not None:
                yield name
                yield from _names(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner, depth + 1)
