"""Where a record came from, kept on it; and whether the one that is there came from the same place, and is the same."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from bocage_client.errors import JsonObject
from bocage_client.harvest_normalising import Normalised

FIELD = "bocage:harvested"


class Standing(enum.StrEnum):
    """What the platform's record is to the one that was read."""

    NEW = "new"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    FOREIGN = "foreign"
    """Somebody made it, or it was harvested from elsewhere."""


def stamped(made: JsonObject, normalised: Normalised, source: str, origin: str, at: str) -> JsonObject:
    """`made` with what tells its origin: a link `via`, and what was changed on the way."""
    link = {
        "rel": "via",
        "href": origin,
        "type": "application/geo+json" if made["type"] == "Feature" else "application/json",
        "title": f"{normalised.record['id']} at {urlsplit(origin).netloc.rpartition('@')[2]}",
    }
    links = [x for x in made["links"] if not (x.get("rel") == "via" and x.get("href") == origin)]
    linked = {**made, "links": [*links, link]}
    stamp: JsonObject = {"source": source, "at": at}
    if normalised.rules:
        stamp |= {"rules": normalised.rules, "before": normalised.before}
    if flags := sorted({x.rule for x in normalised.changes if x.flag}):
        stamp["flags"] = flags
    stamp["digest"] = _digest(linked, stamp)
    if linked["type"] == "Feature":
        return {**linked, "properties": {**linked["properties"], FIELD: stamp}}
    return {**linked, FIELD: stamp}


def _digest(record: JsonObject, stamp: JsonObject) -> str:
    """Raises ValueError for what JSON does not hold: NaN, infinity, half a surrogate."""
    said = [record, {name: value for name, value in stamp.items() if name != "at"}]
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def stamp_of(record: Mapping[str, Any]) -> JsonObject:
    holder = record.get("properties") if record.get("type") == "Feature" or "properties" in record else record
    found = holder.get(FIELD) if isinstance(holder, dict) else None
    return found if isinstance(found, dict) else {}


def standing(existing: Mapping[str, Any] | None, made: JsonObject) -> Standing:
    if existing is None:
        return Standing.NEW
    there, ours = stamp_of(existing), stamp_of(made)
    if there.get("source") != ours["source"]:
        return Standing.FOREIGN
    return Standing.UNCHANGED if there.get("digest") == ours["digest"] else Standing.CHANGED


def size(record: JsonObject) -> int:
    return len(json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())
