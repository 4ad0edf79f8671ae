"""From files on any machine to items in the catalogue. Doing it again changes nothing; broken off, it goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from bocage_client import licences, scene_item
from bocage_client.errors import BocageError, Exit, InputError, Refused, UsageError
from bocage_client.http import Transport
from bocage_client.scene_item import DEFAULT_LICENCE, Details, Scene, Upload

_CHUNK = 1 << 20
_UPLOAD_PATIENCE = 60.0


@dataclass(frozen=True)
class Options:
    """`licence`: of a new collection, and of the items where an existing collection has another one."""

    licence: str | None = None
    title: str | None = None
    id_prefix: str = ""
    details: Details = field(default_factory=Details)


class Reporter(Protocol):
    """Told of what happens; by default nobody is."""

    def say(self, message: str) -> None: ...

    def uploading(self, name: str, done: int, total: int) -> None: ...


class Silent:
    """Nobody is told."""

    def say(self, message: str) -> None: ...

    def counting(self, name: str, done: int, total: int | None) -> None: ...

    def uploading(self, name: str, done: int, total: int) -> None: ...


def read_scenes(images: Sequence[Path], geomodels: Sequence[Path] = (), options: Options | None = None) -> list[Scene]:
    """Look at all files before anything is sent. Raises UsageError and InputError."""
    options = options or Options()
    if not images:
        raise UsageError("No image was given.")
    if len(geomodels) > len(images):
        raise UsageError(f"{len(geomodels)} RPC files for {len(images)} images.")
    for path in geomodels:
        if not path.is_file():
            raise UsageError(f"{path} does not exist.", "no-such-file")
    side_cars = _assigned(images, geomodels)
    scenes = [
        scene_item.read_scene(path, side_car, options.id_prefix, options.details)
        for path, side_car in zip(images, side_cars, strict=True)
    ]
    seen: dict[str, Path] = {}
    for scene in scenes:
        path = scene.uploads[0].path
        if (other := seen.setdefault(scene.id, path)) is not path:
            raise UsageError(f"{path} and {other} would both become the item {scene.id}: rename one.", "same-id")
    return scenes


def ingest(
    transport: Transport,
    scenes: Sequence[Scene],
    collection: str,
    options: Options | None = None,
    reporter: Reporter | None = None,
) -> list[str]:
    """The items, as `collection/item`."""
    options, reporter = options or Options(), reporter or Silent()
    scene_item.check_collection_id(collection)
    held = _ensure_collection(transport, collection, scenes, options, reporter)
    if DEFAULT_LICENCE in held:
        _accept_own_terms(transport, reporter)
    own = options.licence if options.licence and options.licence not in held else None
    licence = {"bocage:licences": [own]} if own else {}
    stereo = scene_item.stereo_fields(scenes)
    return [
        _ingest_scene(
            transport,
            scene,
            collection,
            {**licence, **stereo.get(scene.id, {})},
            scene_item.partner_links(scene.id, collection, stereo),
            reporter,
        )
        for scene in scenes
    ]


def _assigned(images: Sequence[Path], geomodels: Sequence[Path]) -> list[Path | None]:
    """RPC files by equal stems first, then in the order given."""
    left = list(geomodels)
    found: list[Path | None] = []
    for image in images:
        stem = re.sub(r"^IMG_", "RPC_", image.stem, flags=re.IGNORECASE)
        match = next((x for x in left if x.stem in (image.stem, stem)), None)
        if match:
            left.remove(match)
        found.append(match)
    rest = iter(left)
    return [x or next(rest, None) for x in found]


def _ensure_collection(
    transport: Transport, collection: str, scenes: Sequence[Scene], options: Options, reporter: Reporter
) -> list[str]:
    """Licences of the collection, which is made when it is not there."""
    path = f"/stac/collections/{quote(collection, safe='')}"
    existing = transport.send("GET", path, allow=frozenset({404}))
    if existing.status_code == 404:
        licence = options.licence or DEFAULT_LICENCE
        document = scene_item.collection(collection, options.title, licence, scenes)
        made = transport.send("POST", "/stac/collections", json=document, repeatable=True, allow=frozenset({409}))
        if made.status_code != 409:
            reporter.say(f"Made the collection {collection} (licence {licence}, seen by your organisation).")
            return [licence]
        existing = transport.send("GET", path, allow=frozenset({404}))
        if existing.status_code == 404:
            raise BocageError(
                Exit.NOT_ALLOWED,
                "collection-taken",
                f"The collection {collection} belongs to somebody else: choose another name.",
                status=403,
            )
    held = existing.json().get("bocage:licences")
    return [str(x) for x in held] if isinstance(held, list) else []


def _accept_own_terms(transport: Transport, reporter: Reporter) -> None:
    """The default terms keep an organisation's images to itself; it must say yes to them before it may use them."""
    try:
        terms = licences.read(transport, DEFAULT_LICENCE)
        if not terms.acceptable:
            return
        licences.accept(transport, terms, for_organisation=terms.needs == "organisation")
    except Refused as error:
        # the images can be stored all the same, and whoever may accept can do so later
        reporter.say(
            f"The terms {DEFAULT_LICENCE} are not accepted: {error.detail} See: bocage accept {DEFAULT_LICENCE}"
        )
        return
    reporter.say(f"Accepted the terms {DEFAULT_LICENCE}, version {terms.version}, for your own images.")


def _ingest_scene(
    transport: Transport,
    scene: Scene,
    collection: str,
    more: dict[str, Any],
    partners: list[dict[str, Any]],
    reporter: Reporter,
) -> str:
    path = f"/stac/collections/{quote(collection, safe='')}/items"
    known = transport.send("GET", f"{path}/{scene.id}", allow=frozenset({404}))
    existing: dict[str, Any] | None = known.json() if known.status_code != 404 else None
    hrefs, checksums = {}, {}
    for upload in scene.uploads:
        checksum = upload.sha256()
        hrefs[upload.asset] = ensure_uploaded(transport, upload, checksum, collection, scene.id, existing, reporter)
        checksums[upload.asset] = checksum
    wanted = {**scene_item.item(scene, collection, hrefs, checksums, more), "links": partners}
    reference = f"{collection}/{scene.id}"
    if existing is not None and scene_item.holds(existing, wanted) and not _missing(existing, partners):
        reporter.say(f"{reference}: nothing new.")
        return reference
    if existing is None:
        made = transport.send("POST", path, json=wanted, repeatable=True, allow=frozenset({409}))
        if made.status_code != 409:
            reporter.say(f"{reference}: made.")
            return reference
        existing = transport.get(f"{path}/{scene.id}")
    transport.send("PUT", f"{path}/{scene.id}", json=_merged(existing or {}, wanted))
    reporter.say(f"{reference}: brought up to date.")
    return reference


def _merged(existing: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """What others added to an item stays."""
    extensions = dict.fromkeys([*existing.get("stac_extensions", []), *wanted["stac_extensions"]])
    return {
        **existing,
        **wanted,
        "stac_extensions": list(extensions),
        "properties": {**existing.get("properties", {}), **wanted["properties"]},
        "assets": {**existing.get("assets", {}), **wanted["assets"]},
        "links": [*existing.get("links", []), *_missing(existing, wanted["links"])],
    }


def _missing(existing: dict[str, Any], links: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of `links`, by relation and path, that an item does not have."""
    held = {(link.get("rel"), urlsplit(str(link.get("href"))).path) for link in existing.get("links", [])}
    return [link for link in links if not any(rel == link["rel"] and path.endswith(link["href"]) for rel, path in held)]


def ensure_uploaded(
    transport: Transport,
    upload: Upload,
    checksum: str,
    collection: str,
    item: str,
    existing: dict[str, Any] | None,
    reporter: Reporter,
) -> str:
    """The asset's link, as a path, for the platform may have another public address than the one used here.

    Bytes are sent only when the platform does not hold the very same.
    """
    path = f"/assets/{quote(collection, safe='')}/{quote(item, safe='')}/{upload.asset}"
    name = f"{item}/{upload.path.name}"
    asset = ((existing or {}).get("assets") or {}).get(upload.asset) or {}
    # 403: the terms of the collection are not accepted yet, which does not keep its owner from writing
    head = transport.send("HEAD", path, allow=frozenset({403, 404}))
    there = head.headers.get("etag", "").removeprefix("W/").strip('"') if head.status_code < 400 else ""
    if there == checksum or (head.status_code == 403 and asset.get("file:checksum") == "1220" + checksum):
        reporter.say(f"{name}: already there.")
        return path
    total = upload.size
    try:
        answer = transport.send(
            "PUT",
            path,
            body=lambda: _chunks(upload.path, name, total, reporter),
            headers={
                "Content-SHA256": checksum,
                "Content-Length": str(total),
                "Content-Type": upload.media_type,
            },
            patience=max(_UPLOAD_PATIENCE, transport.patience),
        )
    except FileNotFoundError as error:
        raise UsageError(f"{upload.path} is gone.", "no-such-file") from error
    except Refused as error:
        if error.status == 413:
            raise InputError(
                "too-large", f"{upload.path.name} is larger than the platform takes. {error.detail}"
            ) from error
        raise
    stored = answer.json() if answer.content else {}
    if stored.get("sha256", checksum) != checksum:
        raise BocageError(Exit.PLATFORM, "broken-upload", f"{upload.path.name} arrived damaged. Try again.")
    return path


def _chunks(path: Path, name: str, total: int, reporter: Reporter) -> Iterator[bytes]:
    done = 0
    reporter.uploading(name, 0, total)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
            done += len(chunk)
            reporter.uploading(name, done, total)
