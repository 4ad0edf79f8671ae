"""Where items to load come from: files of several formats, static catalogues, addresses on the web."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

import httpx

from bocage_client.adopting import web
from bocage_client.errors import BocageError, Exit, InputError, JsonObject, UsageError
from bocage_client.http import REDIRECTS, Transport

_LINES = frozenset({".ndjson", ".jsonl", ".geojsonl", ".geojsons", ".ndgeojson"})
_PARQUET = frozenset({".parquet", ".geoparquet"})
_DOCUMENTS = frozenset({".json", ".geojson"})
LARGEST_DOCUMENT = 256 << 20
_LONGEST_LINE = 64 << 20
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Found:
    """A document, or why there is none. `where` is for people, `place` is what its relative links lead from."""

    where: str
    place: str
    document: Any = None
    problem: str | None = None
    holder: str | None = None
    """The collection in whose part of a static catalogue it was found."""


class Web:
    """Fetches what the user named an address of. The key goes to the platform alone."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def pieces(self, url: str) -> Iterator[bytes]:
        """The content. Raises InputError for what is not there, Unreachable."""
        for _ in range(5):
            with self._transport.stream("GET", url) as answer:
                location = answer.headers.get("location")
                if answer.status_code in REDIRECTS and location:
                    url = urljoin(url, location)
                    if not web(url):
                        break
                    continue
                yield from answer.iter_bytes(_BLOCK)
                return
        raise InputError("too-many-redirects", f"{url} leads nowhere.")

    def content(self, url: str) -> bytes:
        made = bytearray()
        for piece in self.pieces(url):
            made += piece
            if len(made) > LARGEST_DOCUMENT:
                raise InputError("too-large", f"{url} is larger than {LARGEST_DOCUMENT >> 20} MiB.")
        return bytes(made)


def canonical(source: str) -> str:
    """A source by a name that is the same from every folder."""
    return source if web(source) else str(Path(source).resolve())


def total(sources: Sequence[str]) -> int | None:
    """How many items there are, when that is quickly known."""
    counted = 0
    for source in sources:
        path = Path(source)
        if web(source) or not path.is_file():
            return None
        if path.suffix.lower() in _LINES:
            with path.open("rb") as file:
                counted += sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))
        elif path.suffix.lower() in _PARQUET:
            from bocage_client import geoparquet

            counted += geoparquet.count(path)
        else:
            return None
    return counted


def check(sources: Sequence[str]) -> None:
    """Raises UsageError for what is no source, before anything is sent."""
    if not sources:
        raise UsageError("No file and no address was given.")
    for source in sources:
        suffix = Path(urlsplit(source).path if web(source) else source).suffix.lower()
        if "://" in source and not web(source):
            raise UsageError(f"{source} is no address on the web: only http and https are read.", "bad-address")
        if not web(source) and not Path(source).exists():
            raise UsageError(f"{source} does not exist.", "no-such-file")
        if suffix in _PARQUET:
            from bocage_client import geoparquet

            geoparquet.check_installed()
        if not web(source) and Path(source).is_file() and suffix not in _LINES | _PARQUET | _DOCUMENTS:
            known = ", ".join(sorted(_LINES | _PARQUET | _DOCUMENTS))
            raise UsageError(f"{source} tells no format: its name ends in none of {known}.", "unknown-format")


def read(sources: Sequence[str], transport: Transport) -> Iterator[Found]:
    """All documents of all sources, in order."""
    for source in sources:
        yield from _read_web(source, Web(transport)) if web(source) else _read_path(Path(source))


def _read_path(path: Path) -> Iterator[Found]:
    from bocage_client import static_catalogue

    if path.is_dir():
        root = next((path / x for x in ("catalog.json", "collection.json") if (path / x).is_file()), None)
        if root is None:
            raise InputError("no-catalogue", f"{path} holds neither catalog.json nor collection.json.")
        path = root
    suffix = path.suffix.lower()
    if suffix in _LINES:
        with path.open("rb") as file:
            yield from _lines(file, str(path))
    elif suffix in _PARQUET:
        yield from _parquet(path, str(path))
    else:
        if path.stat().st_size > LARGEST_DOCUMENT:
            raise InputError("too-large", f"{path} is larger than {LARGEST_DOCUMENT >> 20} MiB: write it as NDJSON.")
        yield from _document(path.read_bytes(), str(path), static_catalogue.Files())


def _read_web(url: str, fetch: Web) -> Iterator[Found]:
    from bocage_client import static_catalogue

    suffix = Path(urlsplit(url).path).suffix.lower()
    if suffix in _LINES or suffix in _PARQUET:
        # As a file: an upload that waits must not let the download run into its end of patience.
        with tempfile.NamedTemporaryFile(suffix=suffix) as file:
            for piece in fetch.pieces(url):
                file.write(piece)
            file.flush()
            file.seek(0)
            yield from _lines(file, url) if suffix in _LINES else _parquet(Path(file.name), url)  # type: ignore[arg-type]
    else:
        yield from _document(fetch.content(url), url, static_catalogue.Pages(fetch, url))


def _lines(file: BinaryIO, place: str) -> Iterator[Found]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        where = f"{place}:{number}"
        if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            raise InputError("too-large", f"{where} is longer than {_LONGEST_LINE >> 20} MiB.")
        text = line.removeprefix(b"\xef\xbb\xbf").removeprefix(b"\x1e").strip()
        if text:
            yield parsed(text, where, place)


def parsed(text: bytes, where: str, place: str, holder: str | None = None) -> Found:
    try:
        return Found(where, place, json.loads(text), holder=holder)
    except (ValueError, RecursionError) as error:
        return Found(where, place, problem=f"it is not JSON ({error})", holder=holder)


def _parquet(path: Path, place: str) -> Iterator[Found]:
    from bocage_client import geoparquet

    for number, document in enumerate(geoparquet.documents(path)):
        yield Found(f"{place} (row {number})" if document.get("type") == "Feature" else place, place, document)


def _document(text: bytes, place: str, tree: Any) -> Iterator[Found]:
    found = parsed(text, place, place)
    document = found.document
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "FeatureCollection":
        features = document.get("features")
        if not isinstance(features, list):
            raise InputError("not-stac", f"{place} has no list of features.")
        for number, feature in enumerate(features):
            yield Found(f"{place} (feature {number})", place, feature)
    elif kind in ("Catalog", "Collection"):
        yield from tree.walk(document, place)
    elif kind == "Feature" or found.problem:
        yield found
    else:
        raise InputError("not-stac", f"{place} is no item, no collection, no catalogue and no feature collection.")


def json_object(found: Found) -> JsonObject | None:
    return found.document if isinstance(found.document, dict) else None


def unreadable(error: Exception) -> str:
    """Why a document of a tree could not be read."""
    if isinstance(error, BocageError):
        if error.exit_code == Exit.PLATFORM and error.status is None:
            raise error
        return f"it cannot be read: {error.detail}"
    if isinstance(error, httpx.HTTPError):
        return f"it cannot be read: {type(error).__name__}"
    return f"it cannot be read: {getattr(error, 'strerror', None) or error}"
