"""How the routes are declared: every one for GET and HEAD, open to any verified identity, filtered by the handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bocage_kit.access import ANYONE
from bocage_kit.problems import MEDIA_TYPE
from fastapi import APIRouter, Depends
from fastapi.responses import Response

from bocage_tiles.admission import no_addresses

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
    for status, text in {
        400: "The request cannot be drawn",
        401: "No valid credential",
        403: "Visible, but not usable: required_terms says what is missing",
        404: "No such thing, or not visible to the caller",
        422: "A parameter is not valid, or the asset cannot be read",
    }.items()
}


def new_router() -> APIRouter:
    return APIRouter(prefix="/tiles", dependencies=[Depends(no_addresses), Depends(ANYONE)])


def readable(
    router: APIRouter,
    path: str,
    endpoint: Callable[..., Any],
    *,
    operation: str,
    summary: str,
    tag: str,
    content: Mapping[str, Mapping[str, Any]],
) -> None:
    """Add `endpoint` for GET, described, and for HEAD, which OpenAPI readers need not see."""
    described: dict[int | str, dict[str, Any]] = {
        200: {"description": summary, "content": dict(content)},
        304: {"description": "Not modified"},
    }
    options: dict[str, Any] = {"response_class": Response, "name": operation}
    router.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        operation_id=f"tiles-{operation}",
        summary=summary,
        tags=[tag],
        responses={**described, **_REFUSALS},
        **options,
    )
    router.add_api_route(
        path, endpoint, methods=["HEAD"], operation_id=f"tiles-{operation}-head", include_in_schema=False, **options
    )


IMAGES: Mapping[str, Mapping[str, Any]] = {
    media: {"schema": {"type": "string", "format": "binary"}} for media in ("image/png", "image/jpeg", "image/webp")
}
JSON: Mapping[str, Mapping[str, Any]] = {"application/json": {"schema": {"type": "object"}}}
XML: Mapping[str, Mapping[str, Any]] = {"application/xml": {"schema": {"type": "string"}}}
