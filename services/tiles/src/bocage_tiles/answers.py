"""Answers that caches may keep: entity tags known before anything is drawn, and who may keep what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bocage_kit.identity import Identity
from fastapi import Request
from fastapi.responses import Response

from bocage_tiles import VERSION
from bocage_tiles.assets import Source

_VARY = "X-API-Key, Authorization"
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp"}


def entity_tag(request: Request, revision: str, sources: Sequence[Source], tongue: str = "") -> str:
    """Changes with the item, the stored files, the request and the service's version; not with the token.

    `tongue`: the language of an answer that has one.
    """
    digest = hashlib.sha256(f"{VERSION}\n{revision}\n{request.scope['path']}\n{tongue}\n".encode())
    for name, value in sorted(request.query_params.multi_items()):
        if name != "token":
            digest.update(f"{name!r}={value!r}\n".encode())
    for source in sources:
        digest.update(f"{source.name!r} {source.size} {source.modified}\n".encode())
    return f'"{digest.hexdigest()[:32]}"'


def headers_of(identity: Identity, tag: str, *, by_language: bool = False) -> dict[str, str]:
    """Shared caches may keep what anybody may have; the rest stays with the caller, for a minute."""
    everybody = identity.anonymous and identity.tiles is None
    keep = "public, max-age=300" if everybody else "private, max-age=60"
    return {"ETag": tag, "Cache-Control": keep, "Vary": f"Accept-Language, {_VARY}" if by_language else _VARY}


def not_modified(request: Request, headers: Mapping[str, str]) -> Response | None:
    """304 when the client holds this very answer."""
    held = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if headers["ETag"] in held or "*" in held:
        return Response(status_code=304, headers=dict(headers))
    return None


def document(
    request: Request,
    identity: Identity,
    content: Any,
    media_type: str = "application/json",
    *,
    by_language: bool = False,
) -> Response:
    """A small document, tagged by its own bytes (links and token included)."""
    body = content if isinstance(content, bytes) else json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
    headers = headers_of(identity, f'"{hashlib.sha256(body).hexdigest()[:32]}"', by_language=by_language)
    return not_modified(request, headers) or Response(body, media_type=media_type, headers=headers)
