"""How stored objects look to a caller: public links, licence links, gated assets, the caller's language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bocage_kit.audience import AUDIENCE_FIELD, SHARED_FIELD, sees_shares
from bocage_kit.identity import Identity, Level
from bocage_kit.licences import decide, item_licences, licences_of
from bocage_kit.store import is_stored
from bocage_kit.urls import asset_url, public_url

from bocage_catalogue import concepts, language, legend_links, process_links
from bocage_catalogue.language import say

Document = dict[str, Any]
Link = dict[str, Any]

JSON = "application/json"
GEOJSON = "application/geo+json"
AUTHENTICATION = "https://stac-extensions.github.io/authentication/v1.1.0/schema.json"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
STORAGE = "https://stac-extensions.github.io/storage/v2.0.0/schema.json"
# Version 2 forbids proj:epsg, which GDAL before 3.10 and stackstac read; 1.2.0 has both.
PROJECTION_WITH_EPSG = "https://stac-extensions.github.io/projection/v1.2.0/schema.json"
SCHEME_NAME = "apiKey"
API_KEY: Mapping[str, str] = {
    "type": "apiKey",
    "in": "header",
    "name": "X-API-Key",
    "description": "A key of an account that accepted the licences.",
}
STORAGE_NAME = "bocage"
TERMS_FIELD = "bocage:terms_accepted"
SERVER_RELATIONS = frozenset(
    (
        "self",
        "root",
        "parent",
        "collection",
        "items",
        "item",
        "child",
        "queryables",
        "sortables",
        "aggregate",
        "aggregations",
    )
)
QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
SORTABLES = "http://www.opengis.net/def/rel/ogc/1.0/sortables"
_EPSG = re.compile(r"^EPSG:([0-9]{1,9})$", re.IGNORECASE)
# Licences under which nobody needs an account to fetch the bytes.
OPEN_LICENCES = frozenset(
    (
        *("CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0"),
        *("PDDL-1.0", "ODC-By-1.0", "ODbL-1.0", "etalab-2.0", "OGL-UK-3.0"),
    )
)


def stac(base: str, *segments: str) -> str:
    return public_url(base, "stac", *segments)


def licence_url(base: str, licence: str) -> str:
    return public_url(base, "rights", "licences", licence)


def link(rel: str, href: str, type_: str = JSON, title: str | None = None, **members: Any) -> Link:
    made: Link = {"rel": rel, "href": href, "type": type_}
    if title is not None:
        made["title"] = title
    return made | members


def public_href(base: str, href: str) -> str:
    """Stored links of our own are paths; they get the base by which the caller came."""
    return base.rstrip("/") + href if href.startswith("/") else href


def _stored_links(base: str, links: Any) -> list[Link]:
    return [
        {**stored, "href": public_href(base, str(stored.get("href", "")))}
        for stored in (links if isinstance(links, list) else ())
        if isinstance(stored, dict) and str(stored.get("rel")) not in SERVER_RELATIONS
    ]


# What is loaded past the API may be anything, and one odd object must not take the page with it.


def _members(value: Any) -> Document:
    return value if isinstance(value, dict) else {}


def _extensions(document: Mapping[str, Any]) -> list[Any]:
    declared = document.get("stac_extensions")
    return list(declared) if isinstance(declared, list) else []


def licence_links(base: str, licences: Iterable[str]) -> list[Link]:
    return [link("license", licence_url(base, name), JSON, name) for name in licences]


def is_gated(identity: Identity, licences: tuple[str, ...], audience: Any) -> bool:
    """Whether an account's key is needed to fetch the bytes, or this caller's is not enough."""
    if audience not in (None, "public") or not OPEN_LICENCES.issuperset(licences):
        return True
    return not decide(identity, licences, Level.ASSET).allowed


def terms_accepted(identity: Identity, licences: Iterable[str]) -> bool | None:
    """Whether the caller holds what `licences` ask to be accepted; None where nothing is."""
    asking = [name for name in licences if name not in OPEN_LICENCES]
    return decide(identity, asking, Level.ASSET).allowed if asking else None


def storage_scheme(base: str) -> Document:
    """Where gated files lie, as the storage extension describes it: behind links of the platform's own."""
    return {"type": "bocage", "platform": public_url(base, "assets"), "title": "The platform's own store"}


def stores(document: Mapping[str, Any], holder: Mapping[str, Any]) -> bool:
    """Whether an object says itself how its files are stored: then nothing is added."""
    return any("/storage/v" in str(name) for name in _extensions(document)) or any(
        name.startswith("storage:")
        for member in (holder, *_members(document.get("assets")).values())
        if isinstance(member, dict)
        for name in member
    )


def with_epsg(holder: Document) -> bool:
    """Add `proj:epsg` beside an EPSG `proj:code`; whether there is one."""
    found = _EPSG.match(str(holder.get("proj:code", "")))
    if found:
        holder["proj:epsg"] = int(found[1])
    return bool(found)


def without_epsg(holder: Document) -> bool:
    """Undo `with_epsg`; whether there was something to undo."""
    found = _EPSG.match(str(holder.get("proj:code", "")))
    if found and holder.get("proj:epsg") == int(found[1]):
        del holder["proj:epsg"]
        return True
    return False


def declare(document: Document, *, add: str, instead_of: str | None = None) -> None:
    """Put `add` into `stac_extensions`, in the place of another or at the end."""
    declared = _extensions(document)
    if add in declared:
        return
    if instead_of is not None:
        if instead_of in declared:
            declared[declared.index(instead_of)] = add
            document["stac_extensions"] = declared
        return
    document["stac_extensions"] = [*declared, add]


def item_links(base: str, holder: str, name: str) -> list[Link]:
    """The links that every item has."""
    parent = stac(base, "collections", holder)
    return [
        link("self", stac(base, "collections", holder, "items", name), GEOJSON),
        link("root", stac(base)),
        link("parent", parent),
        link("collection", parent),
    ]


def item(stored: Document, collection: Mapping[str, Any], identity: Identity, tongue: str = "en") -> Document:
    """An item as `identity` sees it; `collection` says under which licences its collection is."""
    base, name, holder = identity.public_base, str(stored["id"]), str(stored["collection"])
    made = dict(stored)
    properties = dict(_members(made.get("properties")))
    made["properties"] = properties
    # pgSTAC drops members that are null; this one STAC asks for.
    properties.setdefault("datetime", None)
    properties.pop(TERMS_FIELD, None)
    if not sees_shares(identity, properties):
        properties.pop(SHARED_FIELD, None)
    internal = identity.has("service:assets")
    concepts.show(properties, base, tongue)
    epsg = with_epsg(properties)
    gated, stores_itself = False, stores(stored, properties)
    assets: dict[str, Any] = {}
    for key, asset in _members(stored.get("assets")).items():
        if not isinstance(asset, dict):
            assets[key] = asset
            continue
        shown = dict(asset)
        epsg |= with_epsg(shown)
        if is_stored(str(shown.get("href", ""))):
            if not internal:
                shown["href"] = asset_url(base, holder, name, key)
            if is_gated(identity, licences_of(collection, stored, asset), properties.get(AUDIENCE_FIELD)):
                refs = shown.get("auth:refs")
                others = [r for r in refs if r != SCHEME_NAME] if isinstance(refs, list) else []
                shown["auth:refs"] = [*others, SCHEME_NAME]
                if not stores_itself:
                    shown["storage:refs"] = [STORAGE_NAME]
                gated = True
        assets[key] = shown
    made["assets"] = assets
    if gated:
        properties["auth:schemes"] = {**_members(properties.get("auth:schemes")), SCHEME_NAME: dict(API_KEY)}
        declare(made, add=AUTHENTICATION)
        if not stores_itself:
            properties["storage:schemes"] = {STORAGE_NAME: storage_scheme(base)}
            declare(made, add=STORAGE)
    if epsg:
        declare(made, add=PROJECTION_WITH_EPSG, instead_of=PROJECTION)
    licences = item_licences(collection, stored)
    if (accepted := terms_accepted(identity, licences)) is not None:
        properties[TERMS_FIELD] = accepted
    if language.show(properties, tongue):
        declare(made, add=language.EXTENSION)
    made["links"] = [
        *item_links(base, holder, name),
        *licence_links(base, licences),
        *process_links.of(base, stored, collection, tongue),
        *_stored_links(base, stored.get("links")),
    ]
    return made


def collection(stored: Document, identity: Identity, tongue: str = "en") -> Document:
    """A collection as `identity` sees it."""
    licences = licences_of(stored)
    gated = is_gated(identity, licences, stored.get(AUDIENCE_FIELD))
    accepted = terms_accepted(identity, licences)
    return collection_for(stored, identity.public_base, tongue, gated=gated, accepted=accepted)


def collection_for(stored: Document, base: str, tongue: str, *, gated: bool, accepted: bool | None) -> Document:
    """A collection as it is seen by callers of whom the same is decided."""
    name, licences = str(stored["id"]), licences_of(stored)
    made = dict(stored)
    if gated:
        made["auth:schemes"] = {**_members(made.get("auth:schemes")), SCHEME_NAME: dict(API_KEY)}
        declare(made, add=AUTHENTICATION)
    if accepted is not None:
        made[TERMS_FIELD] = accepted
    if language.show(made, tongue):
        declare(made, add=language.EXTENSION)
    concepts.show(made, base, tongue)
    own = stac(base, "collections", name)
    made["links"] = [
        link("self", own),
        link("root", stac(base)),
        link("parent", stac(base)),
        link("items", own + "/items", GEOJSON, say("Items", tongue)),
        link(QUERYABLES, own + "/queryables", "application/schema+json", say("Queryables", tongue)),
        link(SORTABLES, own + "/sortables", "application/schema+json", say("Sortables", tongue)),
        link("aggregate", own + "/aggregate", JSON, say("Aggregate", tongue)),
        link("aggregations", own + "/aggregations", JSON, say("Aggregations", tongue)),
        *licence_links(base, licences),
        *legend_links.of(base, stored, tongue),
        *_stored_links(base, stored.get("links")),
    ]
    return made
