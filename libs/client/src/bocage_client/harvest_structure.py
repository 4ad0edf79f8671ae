"""What items and collections have in common: version, id, assets, links, positions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bocage_client.adopting import web
from bocage_client.errors import JsonObject
from bocage_client.harvest_normalising import NOTHING, Change, Odd, properties

Made = tuple[JsonObject, Sequence[Change]]

VERSION = "1.1.0"
# 1.0 and what led to it say the same as 1.1 in the members that they share.
_OLDER = re.compile(r"1\.[01]\.\d+(?:-[A-Za-z0-9.]+)?\Z")
# The platform's ids are parts of addresses and of keys in a store.
_RIGHTS = tuple(
    f"bocage:{name}"
    for name in (
        "owner", "organisation", "audience", "shared_with", "write_scope", "store", "if_match_required",
        "widest_audience", "terms_accepted", "harvested",
    )
)  # fmt: skip
# Of S3, CloudFront, Google and Azure: what tells that an address is signed, and what belongs to it then.
_SIGNED = frozenset({"x-amz-signature", "x-goog-signature", "signature", "sig"})
_PREFIXES = ("x-amz-", "x-goog-")
_OF_SIGNATURES = frozenset(
    {
        "signature", "expires", "awsaccesskeyid", "key-pair-id", "policy", "googleaccessid", "sig", "se", "st", "sp",
        "sv", "sr", "spr", "skoid", "sktid", "skt", "ske", "sks", "skv",
    }
)  # fmt: skip
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}\Z")


def version(record: JsonObject) -> Made:
    """STAC 1.1 of 1.0 and of its beta versions."""
    said = record.get("stac_version")
    if said == VERSION:
        return record, NOTHING
    if said is not None and not (isinstance(said, str) and _OLDER.match(said)):
        raise Odd("stac-version", f"its stac_version is {said!r}, which is not 1.0 or 1.1")
    before = {"stac_version": said} if said is not None else {}
    detail = f"stac_version {said} became {VERSION}"
    return {**record, "stac_version": VERSION}, (Change("stac-version", detail, before),)


def identity(record: JsonObject) -> Made:
    """Ids are never changed: who knows a record by its id finds it."""
    found = record.get("id")
    if not isinstance(found, str) or not found:
        raise Odd("no-id", "it has no id")
    if not _ID.match(found) or ".." in found:
        raise Odd("id", "its id holds other signs than letters, digits and _ . : - (or is too long)")
    return record, NOTHING


def rights(record: JsonObject) -> Made:
    """Whose a record is at another platform of this kind, and who sees it there, says nothing here."""
    own = properties(record) if record.get("type") == "Feature" else record
    found = [name for name in _RIGHTS if name in own]
    if not found:
        return record, NOTHING
    rest = {name: value for name, value in own.items() if name not in found}
    change = Change("rights", f"{', '.join(found)} are of another platform")
    return ({**record, "properties": rest} if record.get("type") == "Feature" else rest), (change,)


def signatures(record: JsonObject) -> Made:
    """Signatures in the addresses of assets: they end, and would make another record of it each time."""
    found = record.get("assets")
    changed = {}
    for name, asset in found.items() if isinstance(found, dict) else ():
        if isinstance(asset, dict) and isinstance(asset.get("href"), str):
            href = unsigned(asset["href"])
            if href != asset["href"]:
                changed[name] = {**asset, "href": href}
    if not changed:
        return record, NOTHING
    made = {**record, "assets": {**record["assets"], **changed}}
    return made, (Change("signature", f"{len(changed)} addresses were signed"),)


def unsigned(href: str) -> str:
    """An address without its signature; any other as it is."""
    if "?" not in href or not web(href):
        return href
    parts = urlsplit(href)
    members = parse_qsl(parts.query, keep_blank_values=True)
    if not {name.casefold() for name, _ in members} & _SIGNED:
        return href
    kept = [(n, v) for n, v in members if not (n.casefold() in _OF_SIGNATURES or n.casefold().startswith(_PREFIXES))]
    return urlunsplit(parts._replace(query=urlencode(kept)))


def assets(record: JsonObject) -> Made:
    """Assets with an address on the web, or with another one that is; what has none is left out."""
    found = record.get("assets")
    if found is None:
        return record, NOTHING
    if not isinstance(found, dict):
        return {**record, "assets": {}}, (Change("asset-link", "assets were no object", {"assets": found}),)
    kept: JsonObject = {}
    before: JsonObject = {}
    for name, asset in found.items():
        made = _asset(asset)
        if made is not None:
            kept[name] = made
        if made != asset:
            before[f"assets.{name}"] = asset
    if not before:
        return record, NOTHING
    detail = f"{len(before)} assets without an address on the web, or with other faults"
    return {**record, "assets": kept}, (Change("asset-link", detail, before),)


def _asset(asset: Any) -> JsonObject | None:
    if not isinstance(asset, dict) or not isinstance(asset.get("href"), str):
        return None
    made = dict(asset)
    others = asset.get("alternate")
    if others is not None:
        listed = others if isinstance(others, dict) else {}
        usable = {k: v for k, v in listed.items() if isinstance(v, dict) and web(str(v.get("href", "")))}
        if usable != others:
            made["alternate"] = usable
            if not usable:
                del made["alternate"]
        if "://" in asset["href"] and not web(asset["href"]) and usable:
            made["href"] = next(iter(usable.values()))["href"]
    if "://" in made["href"] and not web(made["href"]):
        return None
    if isinstance(made.get("roles"), str):
        made["roles"] = [x for x in re.split(r"[\s,]+", made["roles"]) if x]
    return made


def links(record: JsonObject) -> Made:
    """Links with a relation and an address."""
    found = record.get("links")
    if not isinstance(found, list):
        return {**record, "links": []}, (Change("link", "links were no list", {"links": found}),)
    kept = [x for x in found if isinstance(x, dict) and all(isinstance(x.get(n), str) for n in ("rel", "href"))]
    if len(kept) == len(found):
        return record, NOTHING
    detail = f"{len(found) - len(kept)} links without rel or href were left out"
    return {**record, "links": kept}, (Change("link", detail, {"links": [x for x in found if x not in kept]}),)


def positions(geometry: Any) -> Iterator[list[float]]:
    """The positions of a geometry, whichever it is."""
    waiting: list[Any] = [geometry.get("geometries"), geometry.get("coordinates")]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += [part.get("geometries"), part.get("coordinates")]
        elif isinstance(part, list):
            if len(part) >= 2 and all(type(x) in (int, float) for x in part[:2]):
                yield part
            else:
                waiting += part


def self_link(record: JsonObject) -> str | None:
    """Where a record says that it is published."""
    for link in record.get("links") or ():
        if isinstance(link, dict) and link.get("rel") == "self" and web(str(link.get("href", ""))):
            return str(link["href"])
    return None


def meets(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes have a place in common; west of a box that crosses the antimeridian is greater than east."""
    (west, south, east, north), (west2, south2, east2, north2) = _flat(one), _flat(other)
    if south > north2 or south2 > north:
        return False
    return any(a <= d and c <= b for a, b in _spans(west, east) for c, d in _spans(west2, east2))


def _flat(box: Sequence[float]) -> tuple[float, float, float, float]:
    half = len(box) // 2
    return box[0], box[1], box[half], box[half + 1]


def _spans(west: float, east: float) -> list[tuple[float, float]]:
    return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
