"""Where the assets and links of a written object may point: the write rules, as pure functions over one object."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from bocage_kit.problems import Problem
from bocage_kit.store import (
    BadKey,
    bucket_href,
    collection_prefix,
    href_of,
    in_bucket,
    is_stored,
    key_of_href,
    results_prefix,
    upload_key,
)
from bocage_kit.urls import asset_of

from bocage_catalogue import legend_links
from bocage_catalogue.present import SERVER_RELATIONS

Document = dict[str, Any]

EXTERNAL_FIELD = "bocage:external"


def _refused(asset: str, reason: str) -> Problem:
    return Problem(400, "asset-href", f"Asset {asset}: {reason}", asset=asset)


_PLAIN_WEB = re.compile(r"https?://([A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{1,5})?)[/?#]")


def _host(href: str) -> str | None:
    """The host, and the port if there is one, of an http(s) link; None of anything else."""
    if (plain := _PLAIN_WEB.match(href)) is not None:
        return plain[1].lower()
    try:
        parts = urlsplit(href)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return None
        return parts.netloc.rpartition("@")[2].lower()
    except ValueError:
        return None


class AssetHrefs:
    """Turns the hrefs of one item's assets into what is stored, or refuses them by name."""

    def __init__(
        self,
        collection: str,
        item: str,
        *,
        base: str,
        service: bool,
        exists: Callable[[str], bool],
        store: str | None = None,
    ) -> None:
        self.collection, self.item, self.base, self.service, self.exists = collection, item, base, service, exists
        self.store = store
        """The bucket that holds the collection's files; None for the local store."""
        self.host = _host(base + "/")

    def resolve(self, assets: Any, stored: Document) -> Document:
        """The assets as they are stored. Raises Problem 400."""
        if not isinstance(assets, dict):
            raise Problem(400, "invalid-object", "assets must be an object.")
        resolved: Document = {}
        for name, asset in assets.items():
            if not isinstance(asset, dict) or not isinstance(asset.get("href"), str):
                raise _refused(name, "it has no href.")
            alternates = asset.get("alternate")
            for other in alternates.values() if isinstance(alternates, dict) else ():
                if not isinstance(other, dict) or _host(str(other.get("href", ""))) is None:
                    raise _refused(name, "its alternate links must be http(s) links.")
            href = self._href(name, asset, stored.get(name))
            resolved[name] = made = {**asset, "href": href}
            # Tiles, jobs and signatures ask the mark alone: it says what the href is, whoever wrote it.
            if not is_stored(href):
                made[EXTERNAL_FIELD] = True
            elif EXTERNAL_FIELD in made:
                del made[EXTERNAL_FIELD]
        return resolved

    def _href(self, name: str, asset: Document, stored: Document | None) -> str:
        href = str(asset["href"])
        if "/assets/" in href and (named := asset_of(href, [self.base])) is not None:
            return self._uploaded(name, named, stored)
        if is_stored(href):
            return self._internal(name, href)
        if (host := _host(href)) is None:
            raise _refused(name, "its href is neither this item's own /assets/ link nor an http(s) link.")
        marked = asset.get(EXTERNAL_FIELD, host != self.host)
        if marked is not True:
            raise _refused(
                name,
                f'a link that is not this item\'s own /assets/ link needs "{EXTERNAL_FIELD}": true; without that field'
                " it is understood of other hosts. To host the file here, upload it.",
            )
        return href

    def _uploaded(self, name: str, named: tuple[str, str, str], stored: Document | None) -> str:
        if named[0] != self.collection:
            raise _refused(name, "its href names an asset of another collection.")
        if named != (self.collection, self.item, name):
            raise _refused(name, "its href names another asset than itself.")
        if stored is not None and is_stored(str(stored.get("href", ""))):
            return str(stored["href"])
        try:
            key = upload_key(self.collection, self.item, name)
        except BadKey as error:
            raise _refused(name, "its name can't be that of an uploaded file.") from error
        if self.store is not None:
            # The catalogue has no key of the store: what is not there is 404 when it is read.
            return bucket_href(self.store, key)
        if not self.exists(key):
            raise _refused(name, "nothing was uploaded under its link; PUT the file there first.")
        return href_of(key)

    def _internal(self, name: str, href: str) -> str:
        if not self.service:
            raise _refused(name, "internal hrefs are the platform's own; use the item's /assets/ link.")
        store, key = in_bucket(href) or (None, key_of_href(href))
        if key is None:
            raise _refused(name, "its internal href is malformed.")
        if store not in (None, self.store):
            raise _refused(name, "its href lies in another store than the collection's.")
        if not key.startswith((collection_prefix(self.collection), results_prefix(self.collection))):
            raise _refused(name, "its href lies outside of the collection's own prefixes.")
        return href_of(key) if store is None else bucket_href(store, key)


def stored_links(links: Any, base: str) -> list[Document]:
    """The links that are kept: not those that the server makes itself. Links of our own are kept as paths."""
    kept: list[Document] = []
    for link in links or ():
        if not isinstance(link, dict) or not isinstance(link.get("href"), str) or not isinstance(link.get("rel"), str):
            raise Problem(400, "invalid-object", "Every link needs a rel and an href.")
        href, rel = link["href"], link["rel"]
        path = href.removeprefix(base.rstrip("/")) if href.startswith(base.rstrip("/") + "/") else href
        if rel in SERVER_RELATIONS or rel.endswith(("/rel/ogc/1.0/queryables", "/rel/ogc/1.0/sortables")):
            continue
        if (rel == "license" and "/rights/licences/" in path) or legend_links.is_made(rel, path):
            continue
        if not (_host(path) is not None or (path.startswith("/") and not path.startswith("//"))):
            raise Problem(400, "invalid-object", f"The link {rel} must be an http(s) link or a path of this platform.")
        kept.append({**link, "href": path})
    return kept
