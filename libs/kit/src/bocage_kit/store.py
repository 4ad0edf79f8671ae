"""Where objects lie: keys below a root folder, or in a bucket.

Stored hrefs are `store:<key>` or, of a bucket, `s3:<store>:<key>`; they never leave the platform.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SCHEME = "store:"
_BUCKET_HREF = re.compile(r"^s3:([a-z][a-z0-9-]{0,39}):(?!//)(.+)\Z", re.DOTALL)
# File systems take names of 255 bytes; the checksum beside an object has a name longer by eight.
_SEGMENT = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,239}\Z")


class BadKey(ValueError):
    """Not a key: segments are letters, digits and `_.:-`, and none starts with a dot."""


@dataclass(frozen=True)
class Stored:
    """What is known of an object."""

    key: str
    size: int
    sha256: str | None
    modified: float


def key_of(*segments: str) -> str:
    for segment in segments:
        if not _SEGMENT.match(segment) or ".." in segment:
            raise BadKey(segment)
    return "/".join(segments)


def check_key(key: str) -> str:
    return key_of(*key.split("/"))


def href_of(key: str) -> str:
    return SCHEME + check_key(key)


def key_of_href(href: str) -> str | None:
    """The key of a stored href; None for any other href or a malformed one."""
    if not href.startswith(SCHEME):
        return None
    try:
        return check_key(href.removeprefix(SCHEME))
    except BadKey:
        return None


def bucket_href(store: str, key: str) -> str:
    """The stored href of an object in the bucket of a named store."""
    href = f"s3:{store}:{check_key(key)}"
    if _BUCKET_HREF.match(href) is None:
        raise BadKey(store)
    return href


def in_bucket(href: str) -> tuple[str, str] | None:
    """(store, key) of the stored href of an object in a bucket; None for any other href or a malformed one."""
    if (found := _BUCKET_HREF.match(href)) is None:
        return None
    try:
        return found[1], check_key(found[2])
    except BadKey:
        return None


def is_stored(href: str) -> bool:
    """Whether an href is one that never leaves the platform."""
    return href.startswith(SCHEME) or _BUCKET_HREF.match(href) is not None


def upload_key(collection: str, item: str, asset: str) -> str:
    """Where an uploaded asset lies: within its collection's prefix."""
    return key_of("collections", collection, item, asset)


def collection_prefix(collection: str) -> str:
    return key_of("collections", collection) + "/"


def results_prefix(collection: str) -> str:
    """Where results published in `collection` lie, below it one folder per job and attempt."""
    return key_of("results", collection) + "/"


class LocalStore:
    """A folder. Objects appear whole, by rename, or not at all; a `.sha256` beside each holds its checksum."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        return self.root / check_key(key)

    def head(self, key: str) -> Stored | None:
        path = self.path(key)
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not path.is_file():
            return None
        checksum = self._checksum_path(path)
        digest = checksum.read_text().strip() if checksum.is_file() else None
        return Stored(key, status.st_size, digest, status.st_mtime)

    async def write(self, key: str, chunks: AsyncIterator[bytes], limit: int | None = None) -> Stored:
        """Stream to `key`; raises ValueError when more than `limit` bytes come. Nothing is left of a broken write."""
        digest = hashlib.sha256()
        size = 0
        with self._pending(key) as (pending, handle):
            async for chunk in chunks:
                size += len(chunk)
                if limit is not None and size > limit:
                    raise ValueError("too large")
                digest.update(chunk)
                handle.write(chunk)
            handle.flush()
            self._publish(key, pending, digest.hexdigest())
        return Stored(key, size, digest.hexdigest(), self.path(key).stat().st_mtime)

    def put_file(self, key: str, source: Path) -> Stored:
        """Copy a file to `key`."""
        digest = hashlib.sha256()
        with self._pending(key) as (pending, handle), source.open("rb") as reader:
            while chunk := reader.read(1 << 20):
                digest.update(chunk)
                handle.write(chunk)
            handle.flush()
            self._publish(key, pending, digest.hexdigest())
        return Stored(key, source.stat().st_size, digest.hexdigest(), self.path(key).stat().st_mtime)

    def delete_prefix(self, prefix: str) -> None:
        shutil.rmtree(self.path(prefix.rstrip("/")), ignore_errors=True)

    def delete_uploads(self, collection: str, *item: str) -> None:
        """What was uploaded to a collection, or to one item of it; for an id that no key can hold there is nothing."""
        with suppress(BadKey):
            self.delete_prefix(key_of("collections", collection, *item))

    def delete(self, key: str) -> None:
        path = self.path(key)
        path.unlink(missing_ok=True)
        self._checksum_path(path).unlink(missing_ok=True)

    @contextmanager
    def _pending(self, key: str) -> Iterator[tuple[Path, IO[bytes]]]:
        folder = self.path(key).parent
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".pending-", dir=folder)
        pending = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                yield pending, handle
        finally:
            pending.unlink(missing_ok=True)

    def _publish(self, key: str, pending: Path, digest: str) -> None:
        path = self.path(key)
        checksum = self._checksum_path(path)
        fresh = pending.with_name(pending.name + ".sum")
        fresh.write_text(digest + "\n")
        fresh.replace(checksum)
        pending.replace(path)

    @staticmethod
    def _checksum_path(path: Path) -> Path:
        return path.with_name(f".{path.name}.sha256")
