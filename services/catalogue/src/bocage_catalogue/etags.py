"""Entity tags: `"<revision>-<digest>"`, the revision that writes compare and a digest of the bytes that were sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b

from bocage_kit.problems import Problem
from fastapi import Request
from fastapi.responses import Response

_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)')
_REVISION = re.compile(r"([0-9]{1,18})-[0-9a-f]+")
_LONGEST = 8192
KEPT = "private, no-cache"
"""What a shared cache may keep depends on who asks: it has to ask again each time."""


def etag(revision: int, body: bytes) -> str:
    """The strong tag of one representation."""
    return f'"{revision}-{blake2b(body, digest_size=8).hexdigest()}"'


def _tags(field: str, name: str) -> list[tuple[bool, str]]:
    """(weak, opaque) of each tag in a list. Raises Problem 400."""
    found, at = [], 0
    while at < len(field):
        tag = _TAG.match(field, at) if len(field) <= _LONGEST else None
        if tag is None:
            raise Problem(400, "invalid-header", f"{name} must be * or a list of entity tags in double quotes.")
        found.append((tag[1] is not None, tag[2]))
        at = tag.end()
    return found


def tagged(
    request: Request,
    body: bytes,
    revision: int,
    media_type: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`body` with its tag; to a read whose `If-None-Match` names it, 304 without the body."""
    tag = etag(revision, body)
    fields = {**(headers or {}), "ETag": tag}
    if request.method in ("GET", "HEAD"):
        fields.setdefault("Cache-Control", KEPT)
        known = request.headers.getlist("if-none-match")
        if known:
            field = ", ".join(known)
            if field.strip() == "*" or any(opaque == tag[1:-1] for _, opaque in _tags(field, "If-None-Match")):
                return Response(status_code=304, headers=fields)
    return Response(body, status, fields, media_type)


def check_match(request: Request, revision: int, *, required: bool = False) -> None:
    """Raises Problem 412 unless `If-Match` names `revision`, 428 when one is required and there is none.

    The revision alone decides, not the digest: what another caller was shown is the same object.
    """
    asked, unwanted = request.headers.getlist("if-match"), request.headers.getlist("if-none-match")
    if unwanted:
        field = ", ".join(unwanted)
        if field.strip() == "*" or any(_revision(o) == revision for _, o in _tags(field, "If-None-Match")):
            raise Problem(412, "precondition-failed", "It exists, and If-None-Match asks that it does not.")
    if not asked:
        if required:
            raise Problem(
                428,
                "precondition-required",
                "This collection takes changes with If-Match alone: read the object and send its ETag.",
            )
        return
    field = ", ".join(asked)
    if field.strip() == "*":
        return
    if not any(not weak and _revision(opaque) == revision for weak, opaque in _tags(field, "If-Match")):
        raise Problem(
            412,
            "precondition-failed",
            "It was changed since: If-Match names no tag of its present revision. Read it again.",
        )


def _revision(opaque: str) -> int | None:
    found = _REVISION.fullmatch(opaque)
    return int(found[1]) if found else None
