"""How a stored file leaves: conditional requests, ranges, names and headers."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path, PurePosixPath

from bocage_kit.problems import Problem
from bocage_kit.store import Stored
from fastapi import Request, Response
from fastapi.responses import FileResponse

_MEDIA_TYPE = re.compile(r"^[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?[A-Za-z0-9-]+=[A-Za-z0-9.\"_-]+)*$")
_RANGE = re.compile(r"^\s*bytes\s*=\s*((\d+-\d*|-\d+)\s*(,\s*(\d+-\d*|-\d+)\s*)*)$", re.IGNORECASE)
_SUFFIXES = {"image/tiff": ".tif", "image/jp2": ".jp2", "application/geo+json": ".geojson", "image/jpeg": ".jpg"}
_SHOWN = ("image/png", "image/jpeg", "image/webp", "application/json", "application/geo+json", "text/plain")
OCTETS = "application/octet-stream"
MAX_RANGES = 100


def media_type_of(*declared: object) -> str:
    """The first that is a media type."""
    return next((x for x in declared if isinstance(x, str) and _MEDIA_TYPE.match(x)), OCTETS)


def file_name(item: str, asset: str, key: str, media_type: str) -> str:
    plain = media_type.split(";")[0].strip().lower()
    suffix = PurePosixPath(key).suffix or _SUFFIXES.get(plain) or mimetypes.guess_extension(plain) or ""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{item}-{asset}").lstrip(".") or "file"
    return stem if suffix and stem.lower().endswith(suffix.lower()) else stem + suffix


def matches_any(header: str, etag: str) -> bool:
    """Whether an If-None-Match header names `etag`."""
    return any(tag.strip() in ("*", etag, f"W/{etag}") for tag in header.split(","))


def satisfiable(header: str, size: int) -> bool | None:
    """Whether a Range header can be served from `size` bytes; None when it is to be ignored (RFC 9110, 14.2)."""
    if not (found := _RANGE.match(header)) or header.count(",") >= MAX_RANGES:
        return None
    possible = False
    for part in found.group(1).split(","):
        first, last = part.strip().split("-")
        if first and last and int(last) < int(first):
            return None
        possible |= int(first) < size if first else int(last) > 0 and size > 0
    return possible


def deliver(request: Request, path: Path, stored: Stored, media_type: str, name: str, cache_control: str) -> Response:
    """The file, a part of it, or 304. Raises Problem 416."""
    etag = f'"{stored.sha256}"' if stored.sha256 else f'"{int(stored.modified * 1000):x}-{stored.size:x}"'
    headers = {
        "ETag": etag,
        "Cache-Control": cache_control,
        "X-Content-Type-Options": "nosniff",
        # An uploaded page must not run as one of ours.
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if matches_any(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range")
    if asked is not None:
        whole = request.headers.get("if-range", etag) != etag
        possible = None if whole else satisfiable(asked, stored.size)
        if possible is None:
            request.scope["headers"] = [(n, v) for n, v in request.scope["headers"] if n != b"range"]
        elif not possible:
            raise Problem(
                416,
                "range-not-satisfiable",
                f"The object has {stored.size} bytes.",
                headers={"Content-Range": f"bytes */{stored.size}", "Accept-Ranges": "bytes"},
            )
    disposition = "inline" if media_type.split(";")[0] in _SHOWN else "attachment"
    return FileResponse(
        path, headers=headers, media_type=media_type, filename=name, content_disposition_type=disposition
    )
