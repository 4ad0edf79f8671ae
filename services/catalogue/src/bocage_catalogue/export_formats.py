"""The formats of an export, and which of them a request wants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bocage_kit.problems import Problem


@dataclass(frozen=True)
class Format:
    """One way to write items."""

    name: str
    media_type: str
    suffix: str
    also: tuple[str, ...] = ()


NDJSON = Format("ndjson", "application/x-ndjson", "ndjson", ("application/ndjson", "application/jsonl"))
SEQUENCE = Format("geojsonseq", "application/geo+json-seq", "geojsons")
GEOPARQUET = Format("geoparquet", "application/vnd.apache.parquet", "parquet", ("application/x-parquet",))
FORMATS = {each.name: each for each in (NDJSON, SEQUENCE, GEOPARQUET)}
_ANY = ("*/*", "application/*")


def chosen(name: str | None, accept: str) -> Format:
    """The format by its name, else by what the caller accepts, best first. Raises Problem 406."""
    if name is not None:
        return FORMATS[name]
    wanted = _wanted(accept)
    if not wanted:
        return NDJSON
    for media_type in wanted:
        for each in FORMATS.values():
            if media_type in (each.media_type, *each.also):
                return each
        if media_type in _ANY:
            return NDJSON
    offered = ", ".join(each.media_type for each in FORMATS.values())
    raise Problem(406, "not-acceptable", f"An export is written as {offered}: accept one of them, or say f.")


def _wanted(accept: str) -> list[str]:
    found: list[tuple[float, str]] = []
    for part in accept.lower().split(","):
        media_type, _, parameters = part.partition(";")
        quality = re.search(r"q\s*=\s*([01](?:\.\d{0,3})?)\s*(?:;|$)", parameters)
        weight = float(quality[1]) if quality else 1.0
        if media_type.strip() and weight > 0:
            found.append((weight, media_type.strip()))
    return [media_type for _, media_type in sorted(found, key=lambda x: -x[0])]


def file_name(collections: Sequence[str] | None, format_: Format) -> str:
    """What a browser calls the file: the collection, when it is one."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", collections[0])[:100] if collections and len(collections) == 1 else "items"
    return f"{stem}.{format_.suffix}"
