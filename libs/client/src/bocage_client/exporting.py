"""A search's items into a file. The file has its name only when it is whole."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from bocage_client.errors import BocageError, Exit, JsonObject, Unreachable, UsageError
from bocage_client.http import Transport

_SUFFIXES = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".geojsonl": "ndjson",
    ".geojsons": "geojsonseq",
    ".parquet": "geoparquet",
    ".geoparquet": "geoparquet",
}
FORMATS = tuple(dict.fromkeys(_SUFFIXES.values()))
# An export is one state of the catalogue: what broke off is begun again, never pieced together of two states.
_ATTEMPTS = 3
_CHUNK = 1 << 16
_LONGEST_ADDRESS = 4000


class Counter(Protocol):
    def say(self, message: str) -> None: ...

    def counting(self, name: str, done: int, total: int | None) -> None: ...

    def uploading(self, name: str, done: int, total: int) -> None: ...


@dataclass
class Exported:
    """What came of it."""

    format: str
    file: str | None
    bytes: int = 0
    items: int | None = None
    begun: bool = False

    def document(self) -> JsonObject:
        return {"file": self.file, "format": self.format, "items": self.items, "bytes": self.bytes}


def format_of(named: str | None, target: Path | None) -> str:
    """The format that was asked for, else by the file's name, else NDJSON. Raises UsageError."""
    if named is not None:
        if named not in FORMATS:
            raise UsageError(f"--format is one of {', '.join(FORMATS)}.")
        return named
    if target is None:
        return "ndjson"
    found = _SUFFIXES.get(target.suffix.lower())
    if found is None:
        raise UsageError(f"{target.name} tells no format: end it in .ndjson or .parquet, or say --format.")
    return found


def export(
    transport: Transport, question: Mapping[str, Any], format_: str, target: Path | None, counter: Counter
) -> Exported:
    """`target` None is standard output."""
    total = _total(transport, question)
    if target is None:
        made = Exported(format_, None)
        try:
            _receive(transport, question, made, sys.stdout.buffer, total, counter)
        except Unreachable as error:
            raise _cut_off(error) from error
        sys.stdout.buffer.flush()
        return made
    for attempt in range(1, _ATTEMPTS + 1):
        made = Exported(format_, str(target))
        try:
            with whole_file(target) as file:
                _receive(transport, question, made, file, total, counter)
            return made
        except Unreachable as error:
            if attempt == _ATTEMPTS or not made.begun:
                raise
            counter.say(f"The export broke off ({error.detail}) and begins again.")
    raise AssertionError("unreachable")


def _cut_off(error: Unreachable) -> BocageError:
    return BocageError(
        Exit.PLATFORM, "broken-off", f"The export broke off: what was written is not the whole. {error.detail}"
    )


def _total(transport: Transport, question: Mapping[str, Any]) -> int | None:
    """How many items there will be, for the bar; a search that is refused is refused here."""
    asked: dict[str, str | int] = {"limit": 1}
    for name in ("collections", "ids", "bbox", "datetime", "filter", "filter-lang", "q"):
        value = question.get(name)
        if value is not None:
            asked[name] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if sum(len(str(value)) for value in asked.values()) > _LONGEST_ADDRESS:
        return None
    found = transport.get("/stac/search", params=asked).get("numberMatched")
    if not isinstance(found, int):
        return None
    limit = question.get("limit")
    return min(found, limit) if isinstance(limit, int) else found


def _receive(
    transport: Transport,
    question: Mapping[str, Any],
    made: Exported,
    file: BinaryIO,
    total: int | None,
    counter: Counter,
) -> None:
    lines = made.format != "geoparquet"
    made.items = 0 if lines else None
    with transport.stream("POST", "/stac/export", json=dict(question), params={"f": made.format}) as answer:
        made.begun = True
        for chunk in answer.iter_bytes(_CHUNK):
            file.write(chunk)
            made.bytes += len(chunk)
            if made.items is not None:
                made.items += chunk.count(b"\n")
                counter.counting("exported", made.items, total)
            else:
                counter.uploading("exported", made.bytes, 0)
    if made.items is not None:
        counter.counting("exported", made.items, made.items)


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """A file beside `target` that takes its name at the end, and vanishes when something goes wrong before."""
    if not target.parent.is_dir():
        raise UsageError(f"The folder {target.parent} does not exist.", "no-such-folder")
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}-", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    # there is no way to read it but to set it
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
