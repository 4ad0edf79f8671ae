"""Objects read from end to end, as fast as is allowed: from the local store, and from buckets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import obstore
from bocage_kit.store import BadKey, LocalStore, Stored
from obstore.exceptions import BaseError

from bocage_rights.fixity import Reading
from bocage_rights.object_stores import Bucket

_CHUNK = 4 << 20
_LISTED = 500


@dataclass
class Pace:
    """So many bytes a second at most, over all that is read; `beat` is called while it goes on."""

    rate: float
    beat: Callable[[int], None]
    _began: float = field(default_factory=time.monotonic)
    _read: int = 0

    async def passed(self, size: int) -> None:
        self._read += size
        self.beat(size)
        ahead = self._read / self.rate - (time.monotonic() - self._began)
        while ahead > 0:
            await asyncio.sleep(min(ahead, 1.0))
            self.beat(0)
            ahead = self._read / self.rate - (time.monotonic() - self._began)


@dataclass(frozen=True)
class Held:
    """An object that lies in a store, whoever names it."""

    key: str
    size: int
    modified: float


class Objects(Protocol):
    """What is asked of a store."""

    async def read(self, key: str, functions: Iterable[str], pace: Pace) -> Reading: ...

    def held(self, prefix: str) -> AsyncGenerator[list[Held], None]: ...


def _hashers(functions: Iterable[str]) -> dict[str, Any]:
    return {name: hashlib.new(name, usedforsecurity=False) for name in functions}


class LocalObjects:
    """The local store."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    async def read(self, key: str, functions: Iterable[str], pace: Pace) -> Reading:
        functions = list(functions)
        reading = Reading(there=False)
        for _ in range(3):
            before = await asyncio.to_thread(self._head, key)
            if before is None:
                return Reading(there=False)
            reading = await self._read(key, before, functions, pace)
            # One that was replaced meanwhile is neither what it was nor what it is.
            if await asyncio.to_thread(self._head, key) == before:
                break
        return reading

    def _head(self, key: str) -> Stored | None:
        try:
            return self._store.head(key)
        except (BadKey, OSError):
            return None

    async def _read(self, key: str, stored: Stored, functions: list[str], pace: Pace) -> Reading:
        hashers = _hashers(functions)
        size = 0
        try:
            handle = await asyncio.to_thread(_opened, self._store.path(key))
            with handle:

                def some() -> int:
                    chunk = handle.read(_CHUNK)
                    for hasher in hashers.values():
                        hasher.update(chunk)
                    return len(chunk)

                while got := await asyncio.to_thread(some):
                    size += got
                    await pace.passed(got)
        except FileNotFoundError:
            return Reading(there=False)
        except OSError as error:
            return Reading(there=True, size=stored.size, kept=stored.sha256, why=error.strerror)
        return Reading(True, size, {name: hasher.hexdigest() for name, hasher in hashers.items()}, stored.sha256)

    async def held(self, prefix: str) -> AsyncGenerator[list[Held], None]:
        found = _walked(self._store.root, prefix)
        while batch := await asyncio.to_thread(_some, found):
            yield batch


def _opened(path: Path) -> Any:
    """A file whose bytes come from where they are kept, not from memory, as far as the system heeds that."""
    handle = path.open("rb", buffering=0)
    with contextlib.suppress(OSError, AttributeError):
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return handle


def _some(found: Iterator[Held]) -> list[Held]:
    made = []
    for one in found:
        made.append(one)
        if len(made) == _LISTED:
            break
    return made


def _walked(root: Path, prefix: str) -> Iterator[Held]:
    """The objects below a folder; what begins with a dot is the store's own."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(root / prefix) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            below = f"{prefix.rstrip('/')}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _walked(root, below)
            else:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield Held(below, status.st_size, status.st_mtime)


def folders(root: Path, below: str) -> list[str]:
    """The names of the folders in a folder."""
    try:
        with os.scandir(root / below) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


class BucketObjects:
    """A bucket. It keeps no checksum that we could ask for: items tell theirs."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def read(self, key: str, functions: Iterable[str], pace: Pace) -> Reading:
        hashers = _hashers(functions)
        size = 0
        try:
            found = await obstore.get_async(self._bucket.inside, key)
            async for chunk in found.stream(min_chunk_size=_CHUNK):
                for hasher in hashers.values():
                    hasher.update(chunk)
                size += len(chunk)
                await pace.passed(len(chunk))
        except FileNotFoundError:
            return Reading(there=False)
        except (BaseError, OSError):
            # The error's own text holds inner addresses.
            return Reading(there=True, why="the store's server did not send it to its end")
        return Reading(True, size, {name: hasher.hexdigest() for name, hasher in hashers.items()})

    async def held(self, prefix: str) -> AsyncGenerator[list[Held], None]:
        async for batch in obstore.list(self._bucket.inside, prefix, chunk_size=_LISTED):
            yield [Held(str(one["path"]), int(one["size"]), one["last_modified"].timestamp()) for one in batch]
