"""What a job made: values, and files that open as datasets."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bocage_client.errors import BocageError, Exit, UsageError
from bocage_client.http import Transport

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

OnBytes = Callable[[int, int], None]
"""Bytes done, bytes in all (0 when unknown)."""
_SUFFIXES = {
    "image/tiff": ".tif",
    "application/json": ".json",
    "application/geo+json": ".geojson",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "application/xml": ".xml",
    "text/plain": ".txt",
}
_QUALIFIERS = {"value", "mediaType", "encoding", "schema", "format"}
_CHUNK = 1 << 20


class Result:
    """One output: a file (`href`) or a value."""

    def __init__(self, transport: Transport, name: str, document: Any) -> None:
        self._transport, self.name, self.document = transport, name, document

    def __repr__(self) -> str:
        return f"<Result {self.name} {self.href or self.document!r}>"

    @property
    def href(self) -> str | None:
        href = self.document.get("href") if isinstance(self.document, dict) else None
        return self._transport.url(href) if isinstance(href, str) else None

    @property
    def media_type(self) -> str:
        if not isinstance(self.document, dict):
            return "application/json"
        if self.href:
            return str(self.document.get("type") or "application/octet-stream")
        return str(self.document.get("mediaType") or "application/json") if self._qualified else "application/json"

    @property
    def _qualified(self) -> bool:
        return isinstance(self.document, dict) and "value" in self.document and self.document.keys() <= _QUALIFIERS

    @property
    def value(self) -> Any:
        """A value as it is; a JSON file parsed."""
        if self.href:
            if "json" not in self.media_type:
                raise UsageError(f"{self.name} is a file: use open() or download().", "not-a-value")
            return json.loads(self.read())
        # an object is qualified, so that it is never taken for a link
        if self._qualified:
            return self.document["value"]
        return self.document

    def read(self) -> bytes:
        """All bytes of the file."""
        with self._transport.download(self._file()) as answer:
            return answer.read()

    def open(self) -> DatasetReader:
        """The file as a rasterio dataset, read where it lies, piece by piece. Needs `bocage-client[raster]`."""
        from bocage_client.datasets import open_dataset

        return open_dataset(self._transport, self._file())

    def download(self, folder: str | Path, on_bytes: OnBytes | None = None) -> Path:
        """Into `folder`; goes on where an earlier try broke off, and checks the size and the checksum."""
        target = Path(folder) / (self.name + _suffix(self.media_type))
        target.parent.mkdir(parents=True, exist_ok=True)
        if not self.href:
            target.write_bytes(self._inline())
            return target
        part = target.with_name(target.name + ".part")
        start = part.stat().st_size if part.exists() else 0
        digest, etag, total = self._fetch(part, start, on_bytes)
        if part.stat().st_size != total or (re.fullmatch(r"[0-9a-f]{64}", etag) and digest != etag):
            part.unlink()
            raise BocageError(Exit.PLATFORM, "broken-download", f"{self.name} came damaged. Try again.")
        part.replace(target)
        return target

    def _inline(self) -> bytes:
        if self._qualified and self.document.get("encoding") == "base64":
            return base64.b64decode(str(self.document["value"]))
        if self._qualified and isinstance(self.value, str) and "json" not in self.media_type:
            return self.value.encode()
        return (json.dumps(self.value, indent=2, ensure_ascii=False) + "\n").encode()

    def _fetch(self, part: Path, start: int, on_bytes: OnBytes | None) -> tuple[str, str, int]:
        digest = hashlib.sha256()
        with self._transport.download(self._file(), start) as answer:
            resumed = answer.status_code == 206
            done = start if resumed else 0
            total = done + int(answer.headers.get("content-length", 0))
            if resumed:
                with part.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        digest.update(chunk)
            with part.open("ab" if resumed else "wb") as file:
                for chunk in answer.iter_bytes(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    if on_bytes:
                        on_bytes(done, total)
            return digest.hexdigest(), answer.headers.get("etag", "").strip('W/"'), total or done

    def _file(self) -> str:
        if not self.href:
            raise UsageError(f"{self.name} is a value, not a file.", "not-a-file")
        return self.href


class Results(Mapping[str, Result]):
    """Results by output id."""

    def __init__(self, transport: Transport, document: Mapping[str, Any]) -> None:
        self.document = dict(document)
        self._results = {name: Result(transport, name, value) for name, value in document.items()}

    def __getitem__(self, name: str) -> Result:
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)


def _suffix(media_type: str) -> str:
    return _SUFFIXES.get(media_type.split(";")[0].strip().lower(), "")
