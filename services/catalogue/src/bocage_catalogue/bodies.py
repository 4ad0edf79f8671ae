"""Bodies of writes as they were sent: a model would add members and rewrite values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from bocage_kit.problems import Problem
from fastapi import Request

from bocage_catalogue import documents

MOST_BYTES = 16 * 1024 * 1024
MERGE_PATCH, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
OBJECTS = frozenset({"application/json", "application/geo+json"})
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
PATCHES = frozenset({"application/json", MERGE_PATCH, JSON_PATCH})


@dataclass(frozen=True)
class Body:
    """What was sent, and whether it may hold nulls: most do not, and are not searched for them."""

    document: Any
    nulls: bool = True


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()


async def content_of(request: Request, types: frozenset[str] = OBJECTS) -> bytes:
    """The body as it was sent. Raises Problem 413, 415."""
    kind = _kind(request)
    if kind not in types:
        raise Problem(
            415, "unsupported-media-type", f"The body must be one of {', '.join(sorted(types))}, not {kind[:60]!r}."
        )
    if int(request.headers.get("content-length", "0")) > MOST_BYTES:
        raise _too_large()
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


async def body_of(request: Request, types: frozenset[str] = OBJECTS) -> Body:
    """The decoded body. Raises Problem 400, 413, 415."""
    body = await content_of(request, types)
    document, kind = decoded(body), _kind(request)
    if kind == JSON_PATCH and not isinstance(document, list):
        raise documents.bad("A JSON patch is a list of operations.")
    if kind == MERGE_PATCH and not isinstance(document, dict):
        raise documents.bad("A merge patch of an object is an object.")
    return Body(document, b"null" in body)


def decoded(body: bytes) -> Any:
    """The JSON of `body`. Raises Problem 400."""
    document = parsed(body)
    if not shallow(body):
        documents.check_depth(document)
    return document


def parsed(text: bytes | memoryview, what: str = "body") -> Any:
    """The same, however deep it is."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise documents.bad(f"The {what} is not JSON: {str(error)[:200]}.") from error


def shallow(body: bytes) -> bool:
    """Whether JSON is certainly not too deep, by its brackets alone; those within texts may make it look deeper."""
    brackets = body.translate(None, _NO_BRACKETS)
    for _ in range(documents.DEEPEST):
        brackets, before = brackets.replace(b"{}", b"").replace(b"[]", b""), brackets
        if brackets == before:
            break
    return not brackets


def _too_large() -> Problem:
    return Problem(
        413,
        "body-too-large",
        f"The body is larger than the {MOST_BYTES} bytes that are taken; send less at once.",
        title="Content Too Large",
        limit=MOST_BYTES,
    )
