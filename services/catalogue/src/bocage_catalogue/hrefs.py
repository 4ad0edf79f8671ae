"""Where the assets and links of a written object may point: the write rules, as pure functions over one object."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from bocage_kit.problems import Problem
from bocage_kit.store import (
    SCHEME,
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
    """Turns the hrefs of assets of a collection's items into what is stored, or refuses them by name."""

    def __init__(
        self,
        collection: str,
        *,
        base: str,
        service: bool,
        exists: Callable[[str], bool],
        store: str | None = None,
    ) -> None:
        self.collection, self.base, self.service, self.exists = collection, base, service, exists
        self.store = store
        """The bucket that holds the collection's files; None for the local store."""
        self.host = _host(base + "/")

    def resolve(self, item: str, assets: Any, stored: Document) -> Document:
        """The assets of `item` as they are stored; shares those that are as they were sent. Raises Problem 400."""
        if not isinstance(assets, dict):
            raise Problem(400, "invalid-object", "assets must be an object.")
        resolved: Document = {}
        for name, asset in assets.items():
            if not isinstance(asset, dict) or not isinstance(href := asset.get("href"), str):
                raise _refused(name, "it has no href.")
            if "alternate" in asset:
                _check_alternates(name, asset["alternate"])
            if "/assets/" in href and (named := asset_of(href, [self.base])) is not None:
                kept = self._uploaded(item, name, named, stored.get(name))
            elif is_stored(href):
                self._check_internal(name, href)
                kept = href
            else:
                self._check_external(name, asset, href)
                # Tiles, jobs and signatures ask the mark alone: it says what the href is, whoever wrote it.
                resolved[name] = asset if EXTERNAL_FIELD in asset else {**asset, EXTERNAL_FIELD: True}
                continue
            if kept != href or EXTERNAL_FIELD in asset:
                asset = {**asset, "href": kept}
                asset.pop(EXTERNAL_FIELD, None)
            resolved[name] = asset
        return resolved

    @cached_property
    def _prefixes(self) -> tuple[str, str]:
        return collection_prefix(self.collection), results_prefix(self.collection)

    def _check_external(self, name: str, asset: Document, href: str) -> None:
        if (host := _host(href)) is None:
            raise _refused(name, "its href is neither this item's own /assets/ link nor an http(s) link.")
        if asset.get(EXTERNAL_FIELD, host != self.host) is not True:
            raise _refused(
                name,
                f'a link that is not this item\'s own /assets/ link needs "{EXTERNAL_FIELD}": true; without that field'
                " it is understood of other hosts. To host the file here, upload it.",
            )

    def _uploaded(self, item: str, name: str, named: tuple[str, str, str], stored: Document | None) -> str:
        if named[0] != self.collection:
            raise _refused(name, "its href names an asset of another collection.")
        if named != (self.collection, item, name):
            raise _refused(name, "its href names another asset than itself.")
        if stored is not None and is_stored(str(stored.get("href", ""))):
            return str(stored["href"])
        try:
            key = upload_key(self.collection, item, name)
        except BadKey as error:
            raise _refused(name, "its name can't be that of an uploaded file.") from error
        if self.store is not None:
            # The catalogue has no key of the store: what is not there is 404 when it is read.
            return bucket_href(self.store, key)
        if not self.exists(key):
            raise _refused(name, "nothing was uploaded under its link; PUT the file there first.")
        return href_of(key)

    def _check_internal(self, name: str, href: str) -> None:
        if not self.service:
            raise _refused(name, "internal hrefs are the platform's own; use the item's /assets/ link.")
        store, key = (None, key_of_href(href)) if href.startswith(SCHEME) else in_bucket(href) or (None, None)
        if key is None:
            raise _refused(name, "its internal href is malformed.")
        if store not in (None, self.store):
            raise _refused(name, "its href lies in another store than the collection's.")
        if not key.startswith(self._prefixes):
            raise _refused(name, "its href lies outside of the collection's own prefixes.")


def _check_alternates(name: str, alternates: Any) -> None:
    for other in alternates.values() if isinstance(alternates, dict) else ():
        if not isinstance(other, dict) or _host(str(other.get("href", ""))) is None:
            raise _refused(name, "its alternate links must be http(s) links.")


def stored_links(links: Any, base: str) -> list[Document]:
    """The links that are kept: not those that the server makes itself. Links of our own are kept as paths."""
    kept: list[Document] = []
    own = base.rstrip("/")
    below = own + "/"
    for link in links or ():
        if not isinstance(link, dict) or not isinstance(link.get("href"), str) or not isinstance(link.get("rel"), str):
            raise Problem(400, "invalid-object", "Every link needs a rel and an href.")
        href, rel = link["href"], link["rel"]
        path = href.removeprefix(own) if href.startswith(below) else href
        if rel in SERVER_RELATIONS or rel.endswith(("/rel/ogc/1.0/queryables", "/rel/ogc/1.0/sortables")):
            continue
        if (rel == "license" and "/rights/licences/" in path) or legend_links.is_made(rel, path):
            continue
        if not (_host(path) is not None or (path.startswith("/") and not path.startswith("//"))):
            raise Problem(400, "invalid-object", f"The link {rel} must be an http(s) link or a path of this platform.")
        kept.append(link if path is href else {**link, "href": path})
    return kept
