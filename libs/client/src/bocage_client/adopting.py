"""How a document from elsewhere is made one that the platform takes: its version, its links, its assets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from bocage_client.errors import JsonObject

EXTERNAL = "bocage:external"
_OLDER = re.compile(r"1\.0\.\d+(-[a-z0-9.]+)?\Z")
_VERSION = "1.1.0"
# The platform makes these itself.
_STRUCTURE = frozenset({"self", "root", "parent", "collection", "items", "item", "child", "queryables"})


class NotLoadable(Exception):
    """A document that cannot be loaded; says why, to whoever has it."""


def web(href: str) -> bool:
    try:
        parts = urlsplit(href)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def item(found: Any, place: str, collection: str | None, platform: str) -> JsonObject:
    """A found item as it is sent. `place` is where it was found, `platform` the platform's own address."""
    if not isinstance(found, dict) or found.get("type") != "Feature":
        raise NotLoadable("it is not a STAC item: its type is not Feature")
    made = _lifted(found)
    if not isinstance(made.get("id"), str) or not made["id"]:
        raise NotLoadable("the item has no id")
    holder = collection or made.get("collection")
    if not isinstance(holder, str) or not holder:
        raise NotLoadable("the item names no collection: say --collection")
    made["collection"] = holder
    base = _base(found, place)
    made["links"] = _links(found.get("links"), base)
    made["assets"] = _assets(found.get("assets"), base, platform)
    return made


def collection(found: JsonObject, place: str, platform: str) -> JsonObject:
    """The same for a collection."""
    if not isinstance(found.get("id"), str) or not found["id"]:
        raise NotLoadable("the collection has no id")
    made = _lifted(found)
    base = _base(found, place)
    made["links"] = _links(found.get("links"), base)
    if found.get("assets") is not None:
        made["assets"] = _assets(found["assets"], base, platform)
    return made


def _lifted(found: JsonObject) -> JsonObject:
    """STAC 1.0 says the same as 1.1 in the members that both have."""
    if _OLDER.match(str(found.get("stac_version", ""))):
        return {**found, "stac_version": _VERSION}
    return dict(found)


def _base(found: Mapping[str, Any], place: str) -> str | None:
    """What its relative links lead from: where it was found on the web, else where it says that it is published."""
    if web(place):
        return place
    for link in found.get("links") or ():
        if isinstance(link, dict) and link.get("rel") == "self" and web(str(link.get("href", ""))):
            return str(link["href"])
    return None


def _links(links: Any, base: str | None) -> list[JsonObject]:
    made = []
    for link in links if isinstance(links, list) else ():
        if not isinstance(link, dict) or link.get("rel") in _STRUCTURE or not isinstance(link.get("href"), str):
            continue
        href = link["href"] if base is None else urljoin(base, link["href"])
        # a relative link of a file on this machine leads nowhere once the document is elsewhere
        if web(href):
            made.append({**link, "href": href})
    return made


def _assets(assets: Any, base: str | None, platform: str) -> JsonObject:
    if assets is None:
        return {}
    if not isinstance(assets, dict):
        raise NotLoadable("its assets are not an object")
    made = {}
    for name, asset in assets.items():
        if not isinstance(asset, dict) or not isinstance(asset.get("href"), str):
            raise NotLoadable(f"the asset {name} has no href")
        href = asset["href"] if base is None else urljoin(base, asset["href"])
        if href.startswith(platform.rstrip("/") + "/assets/"):
            made[name] = {**asset, "href": href}
        elif web(href):
            made[name] = {**asset, "href": href, EXTERNAL: True}
        else:
            raise NotLoadable(
                f"the asset {name} is {href}, which is no address on the web: upload images with bocage ingest, or put"
                " the address where it is published into the item"
            )
    return made


def equal(existing: Any, sent: Any) -> bool:
    """Whether the platform's item says all that was sent; it may say more."""
    from bocage_client.scene_item import holds

    ours = {**sent, "properties": _without(sent.get("properties")), "assets": sent.get("assets") or {}}
    ours.pop("stac_extensions", None)
    if set(existing.get("assets") or {}) != set(ours["assets"]):
        return False
    for name, asset in ours["assets"].items():
        if asset.get(EXTERNAL) and existing["assets"][name].get("href") != asset["href"]:
            return False
    return holds(existing, ours)


def _without(properties: Any) -> JsonObject:
    """Who owns an item, and how one gets its files, is the platform's to say; what is null, it does not keep."""
    said = properties if isinstance(properties, dict) else {}
    own = ("bocage:owner", "bocage:organisation", "auth:schemes")
    return {name: value for name, value in said.items() if name not in own and value is not None}
