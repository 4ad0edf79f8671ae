"""Stereo images that are told to belong together: by one group, so that a job finds all of them from any of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from bocage_client import harvest_extensions
from bocage_client.errors import JsonObject
from bocage_client.harvest_normalising import NOTHING, Change, properties, put

EXTENSION = "https://stac-extensions.github.io/stereo-imagery/v1.0.0/schema.json"
_NAME = "https://stac-extensions.github.io/stereo-imagery/"
_GROUP, _COUNT, _NUMBER = "stereo-img:group", "stereo-img:count", "stereo-img:number"


def stereo(item: JsonObject) -> tuple[JsonObject, Sequence[Change]]:
    """Group, count and number of a couple or triplet, from its links to the others where the item lacks them.

    Nothing is guessed from footprints and times: what the source does not couple stays alone.
    """
    own = properties(item)
    others = _others(item)
    if own.get(_COUNT) is None and not others:
        return item, NOTHING
    ids = sorted({str(item.get("id")), *others})
    changed: JsonObject = {}
    if own.get(_GROUP) is None and len(ids) > 1:
        changed[_GROUP] = "+".join(ids)
    if own.get(_COUNT) is None and len(ids) > 1:
        changed[_COUNT] = len(ids)
    if own.get(_NUMBER) is None and len(ids) > 1:
        taken = set(others.values())
        changed[_NUMBER] = next(n for n in range(1, len(ids) + 1) if n not in taken or n == len(ids))
    known = harvest_extensions.listed(item)
    declared = [x for x in known if isinstance(x, str) and not x.startswith(_NAME)]
    declared.append(EXTENSION)
    if not changed:
        if EXTENSION in known and sum(str(x).startswith(_NAME) for x in known) == 1:
            return item, NOTHING
        detail = "it has fields of the extension stereo-imagery, whose version 1.0.0 it declares now"
        return {**item, "stac_extensions": declared}, (Change("stereo", detail),)
    made, changes = put(item, changed, "stereo", f"{', '.join(changed)}: from its links to the other images")
    return {**made, "stac_extensions": declared}, changes


def _others(item: JsonObject) -> dict[str, Any]:
    """The other images of the couple, by the links that number them."""
    made = {}
    links = item.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "related" and type(link.get(_NUMBER)) is int:
            path = urlsplit(str(link.get("href", ""))).path.rstrip("/")
            if name := unquote(path.rpartition("/")[2]).removesuffix(".json"):
                made[name] = link[_NUMBER]
    return made
