"""What a written item or collection must be, and the members that reading added and writing takes off again."""

from __future__ import annotations

import math
import re
from typing import Any

from bocage_kit.problems import Problem
from bocage_kit.store import BadKey, key_of

from bocage_catalogue import language, wkb
from bocage_catalogue.present import (
    AUTHENTICATION,
    PROJECTION,
    PROJECTION_WITH_EPSG,
    SCHEME_NAME,
    STORAGE,
    STORAGE_NAME,
    TERMS_FIELD,
    declare,
    without_epsg,
)

Document = dict[str, Any]

STAC_VERSION = "1.1.0"
_OLDER = re.compile(r"1\.0\.[0-9]")
# What stores, lays out and reads an object descends into it.
DEEPEST = 64
# A page holds a hundred items in memory, for each of those that read it.
MOST_BYTES = 2 * 1024 * 1024
# Members, what they are, and what they hold.
_SHAPE: tuple[tuple[str, type, type | None], ...] = (
    ("properties", dict, None),
    ("assets", dict, dict),
    ("item_assets", dict, dict),
    ("links", list, dict),
    ("stac_extensions", list, str),
)
_ID = re.compile(r"[A-Za-z0-9_.:-]+")


def bad(detail: str) -> Problem:
    return Problem(400, "invalid-object", detail)


def check_id(name: Any, what: str) -> str:
    """Ids are path segments, of links and of stored keys alike. Raises Problem 400."""
    try:
        return key_of(name)
    except (BadKey, TypeError) as error:
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise bad(f"The {what} id must consist of letters, digits and the signs _ . : -") from error
        raise bad(f"The {what} id must begin with a letter, a digit or _, and have at most 255 characters.") from error


def lift(document: Document) -> None:
    """Make STAC 1.1 of STAC 1.0, in place: it says the same in the members that both have."""
    version = document.get("stac_version")
    if version != STAC_VERSION and isinstance(version, str) and _OLDER.fullmatch(version):
        document["stac_version"] = STAC_VERSION


def _check_version(document: Document) -> None:
    if document.get("stac_version") != STAC_VERSION:
        raise bad(f"stac_version must be {STAC_VERSION}, or 1.0.x, which is kept as {STAC_VERSION}.")


def check_shape(document: Any, what: str) -> None:
    """Raises Problem 400 unless the members that are read before all is validated are what they should be."""
    if not isinstance(document, dict):
        raise bad(f"The body must be an {what}." if what == "item" else f"The body must be a {what}.")
    for name, kind, inner in _SHAPE:
        member = document.get(name)
        if member is None:
            continue
        if not isinstance(member, kind):
            raise bad(f"{name} must be {'a list' if kind is list else 'an object'}.")
        if inner is None:
            continue
        among: Any = member.values() if isinstance(member, dict) else member
        for one in among:
            if type(one) is not inner:
                raise bad(f"{name} must hold {'texts' if inner is str else 'objects'} alone.")
    for holder in (document, document.get("properties") or {}):
        for member in ("auth:schemes", "storage:schemes"):
            if member in holder and not isinstance(holder[member] or {}, dict):
                raise bad(f"{member} must be an object.")
        if (fault := language.fault(holder)) is not None:
            raise bad(fault)


def check_item(document: Document, collection: str, name: str | None) -> str:
    """The id of what is an item of `collection`; `name` is the one in the path. Raises Problem 400."""
    if document.get("type") != "Feature":
        raise bad("An item's type must be Feature.")
    found = check_id(document.get("id"), "item")
    if name is not None and found != name:
        raise bad(f"The item's id {found} is not that of the path, {name}.")
    if document.get("collection") not in (None, collection):
        raise bad(f"The item's collection is not that of the path, {collection}.")
    _check_version(document)
    return found


def check_place(document: Document) -> None:
    """Raises Problem 400 unless a valid item lies somewhere on Earth."""
    _check_geometry(document.get("geometry"))
    _check_bbox(document.get("bbox"))


def check_collection(document: Document, name: str | None) -> str:
    """The same for a collection."""
    if document.get("type") != "Collection":
        raise bad("A collection's type must be Collection.")
    found = check_id(document.get("id"), "collection")
    if name is not None and found != name:
        raise bad(f"The collection's id {found} is not that of the path, {name}.")
    _check_version(document)
    return found


def _check_geometry(geometry: Any) -> None:
    positions = wkb.positions(geometry) if isinstance(geometry, dict) else []
    if not positions:
        raise bad("The item needs a geometry with at least one position.")
    for position in positions:
        # That they are numbers has been validated; one that is not finite lies outside.
        if not (-180 <= position[0] <= 180 and -90 <= position[1] <= 90):
            raise bad("geometry: longitudes lie within ±180 and latitudes within ±90 degrees.")
        if len(position) > 2 and not math.isfinite(position[2]):
            raise bad("geometry: a position needs two or three finite numbers.")


def _check_bbox(bbox: Any) -> None:
    if bbox is None:
        return
    numbers = isinstance(bbox, list) and len(bbox) in (4, 6) and set(map(type, bbox)) <= {int, float}
    if not numbers or not all(map(math.isfinite, bbox)):
        raise bad("bbox must hold four or six finite numbers.")
    half = len(bbox) // 2
    if abs(bbox[0]) > 180 or abs(bbox[half]) > 180 or not -90 <= bbox[1] <= bbox[half + 1] <= 90:
        raise bad("bbox must lie within ±180 and ±90 degrees, south before north.")


def undress(document: Document) -> Document:
    """`document` without what `present` adds, so that a body that was read may be written back.

    It and its properties are the caller's to change; the rest is shared with `document` where nothing is taken off.
    """
    made = dict(document)
    holder = made
    if made.get("type") == "Feature":
        holder = made["properties"] = dict(made.get("properties") or {})
    epsg = holder is not made and "proj:epsg" in holder and without_epsg(holder)
    holder.pop(TERMS_FIELD, None)
    if language.native(holder):
        _undeclare(made, language.EXTENSION)
    for member, own, extension in (
        ("auth:schemes", SCHEME_NAME, AUTHENTICATION),
        ("storage:schemes", STORAGE_NAME, STORAGE),
    ):
        if member not in holder:
            continue
        schemes = dict(holder[member] or {})
        if schemes.pop(own, None) is not None:
            if schemes:
                holder[member] = schemes
            else:
                del holder[member]
                _undeclare(made, extension)
    for name, asset in (made.get("assets") or {}).items():
        if "proj:epsg" in asset or "auth:refs" in asset or "storage:refs" in asset:
            if made["assets"] is document["assets"]:
                made["assets"] = dict(document["assets"])
            made["assets"][name] = bare = dict(asset)
            epsg |= "proj:epsg" in bare and without_epsg(bare)
            for member, own in (("auth:refs", SCHEME_NAME), ("storage:refs", STORAGE_NAME)):
                refs = bare.get(member)
                if isinstance(refs, list) and own in refs:
                    bare[member] = [ref for ref in refs if ref != own]
                    if not bare[member]:
                        del bare[member]
    if epsg:
        declare(made, add=PROJECTION, instead_of=PROJECTION_WITH_EPSG)
    return made


def check_depth(document: Any) -> None:
    """Raises Problem 400 for what is nested deeper than those who store and read it descend."""
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        level = [
            inner
            for node in level
            for inner in (node.values() if type(node) is dict else node if type(node) is list else ())
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    raise bad(f"It is nested in more than {DEEPEST} levels.")


def without_nulls(value: Any) -> Any:
    """`value` as pgSTAC keeps it: without members that are null; elements of lists stay. Shares what is equal."""
    kept = value
    if type(value) is dict:
        for name, inner in value.items():
            if inner is None:
                kept = dict(value) if kept is value else kept
                del kept[name]
            elif type(inner) is dict or type(inner) is list:
                bare = without_nulls(inner)
                if bare is not inner:
                    kept = dict(value) if kept is value else kept
                    kept[name] = bare
    elif type(value) is list:
        for place, inner in enumerate(value):
            if type(inner) is dict or type(inner) is list:
                bare = without_nulls(inner)
                if bare is not inner:
                    kept = list(value) if kept is value else kept
                    kept[place] = bare
    return kept


def _undeclare(document: Document, extension: str) -> None:
    declared = document.get("stac_extensions")
    if isinstance(declared, list):
        document["stac_extensions"] = [name for name in declared if name != extension]
