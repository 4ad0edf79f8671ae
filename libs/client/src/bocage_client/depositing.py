"""Depositing from files: a collection document, item documents, and the files beside them."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from bocage_client.adopting import EXTERNAL, web
from bocage_client.errors import InputError, JsonObject, UsageError
from bocage_client.http import Transport
from bocage_client.ingest import Reporter, ensure_uploaded
from bocage_client.scene_item import Upload

ROOT = "/stac/deposits"
_FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
_STRUCTURE = frozenset({"self", "root", "parent", "collection", "items", "item", "child"})
_MOST_BYTES = 16 << 20


def deposit_path(deposit: str, *more: str) -> str:
    return "/".join([ROOT, quote(deposit, safe=""), *more])


def read_document(path: Path, kind: str) -> JsonObject:
    """A JSON object of a file. Raises UsageError and InputError."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist.", "no-such-file")
    if path.stat().st_size > _MOST_BYTES:
        raise InputError("too-large", f"{path} is larger than {_MOST_BYTES} bytes, which no {kind} is.")
    try:
        found = json.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError("not-json", f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError("not-stac", f"{path} holds no {kind}.")
    return found


def new_deposit(path: Path, contact: JsonObject | None, supersedes: str | None, identifier: str | None) -> JsonObject:
    """The body that makes a draft, from a collection's file."""
    collection = read_document(path, "STAC collection")
    if collection.get("type") != "Collection":
        raise InputError("not-stac", f"{path} is no STAC collection: its type is not Collection.")
    if identifier is not None:
        collection["id"] = identifier
    collection["links"] = _kept_links(collection)
    made: JsonObject = {"collection": collection}
    if contact is not None:
        made["contact"] = contact
    if supersedes is not None:
        made["supersedes"] = supersedes
    return made


def _kept_links(document: JsonObject) -> list[Any]:
    """Links to files beside it lead nowhere once the document is elsewhere; those of its structure are made anew."""
    links = document.get("links")
    return [
        link
        for link in (links if isinstance(links, list) else ())
        if isinstance(link, dict) and link.get("rel") not in _STRUCTURE and web(str(link.get("href", "")))
    ]


@dataclass(frozen=True)
class ItemFile:
    """An item, and which of its assets are files here."""

    document: JsonObject
    uploads: tuple[Upload, ...]


def read_items(paths: Sequence[Path]) -> list[ItemFile]:
    """All items and files are looked at before anything is sent. Raises UsageError and InputError."""
    made, seen = [], dict[str, Path]()
    for path in paths:
        for document in _items_of(path):
            name = document.get("id")
            if not isinstance(name, str) or not name:
                raise InputError("not-stac", f"{path}: an item has no id.")
            if name in seen:
                raise InputError("same-id", f"{path} and {seen[name]} both hold the item {name}.")
            seen[name] = path
            made.append(ItemFile(document, tuple(_uploads(document, path))))
    return made


def _items_of(path: Path) -> Iterator[JsonObject]:
    found = read_document(path, "STAC item")
    features = found.get("features") if found.get("type") == "FeatureCollection" else [found]
    for document in features if isinstance(features, list) else ():
        if not isinstance(document, dict) or document.get("type") != "Feature":
            raise InputError("not-stac", f"{path} is no STAC item, nor a feature collection of items.")
        yield document


def _uploads(document: JsonObject, path: Path) -> Iterator[Upload]:
    assets = document.get("assets", {})
    if not isinstance(assets, dict):
        raise InputError("not-stac", f"{path}: assets must be an object.")
    for name, asset in assets.items():
        if not isinstance(asset, dict) or not isinstance(asset.get("href"), str):
            raise InputError("not-stac", f"{path}: the asset {name} has no href.")
        href = asset["href"]
        if web(href) or href.startswith("/assets/"):
            continue
        file = path.parent / unquote(urlsplit(href).path)
        if urlsplit(href).scheme not in ("", "file") or not file.is_file():
            raise InputError("no-such-file", f"{path}: the asset {name} is {href}, which is no file here.")
        media_type = asset.get("type") or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        yield Upload(str(name), file, str(media_type), (), str(asset.get("title") or name))


def add(transport: Transport, deposit: str, items: Sequence[ItemFile], reporter: Reporter) -> list[str]:
    """Upload the files, write the items; `deposit/item` of each. Again changes nothing; broken off, it goes on."""
    return [_add(transport, deposit, one, reporter) for one in items]


def _add(transport: Transport, deposit: str, one: ItemFile, reporter: Reporter) -> str:
    name = str(one.document["id"])
    path = f"/stac/collections/{quote(deposit, safe='')}/items"
    own = f"{path}/{quote(name, safe='')}"
    answer = transport.send("GET", own, allow=frozenset({404}))
    existing: JsonObject | None = answer.json() if answer.status_code != 404 else None
    made = {**one.document, "collection": deposit, "links": _kept_links(one.document)}
    made["assets"] = {key: _described(asset) for key, asset in (made.get("assets") or {}).items()}
    for upload in one.uploads:
        checksum = upload.sha256()
        href = ensure_uploaded(transport, upload, checksum, deposit, name, existing, reporter)
        told = {"href": href, "file:size": upload.size, "file:checksum": "1220" + checksum}
        made["assets"][upload.asset] |= told
    if one.uploads:
        extensions = made.get("stac_extensions") or []
        if not any("/file/v" in str(extension) for extension in extensions):
            made["stac_extensions"] = [*extensions, _FILE_EXTENSION]
    reference = f"{deposit}/{name}"
    if existing is None:
        sent = transport.send("POST", path, json=made, repeatable=True, allow=frozenset({409}))
        if sent.status_code != 409 or sent.json().get("code") != "exists":
            transport.checked(sent)
            reporter.say(f"{reference}: added.")
            return reference
    transport.send("PUT", own, json=made)
    reporter.say(f"{reference}: as it is in the file.")
    return reference


def _described(asset: Any) -> JsonObject:
    """An asset as it is sent; what lies on the web stays there."""
    return {**asset, EXTERNAL: True} if web(str(asset["href"])) else dict(asset)
