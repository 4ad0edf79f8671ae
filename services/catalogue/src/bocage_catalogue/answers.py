"""Answers written once, past FastAPI's encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import Response

from bocage_catalogue.database import Database
from bocage_catalogue.present import JSON


def answer(
    document: Any, media_type: str = JSON, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON that is written once, past FastAPI's encoder; sorted, so that equal documents are equal bytes."""
    return Response(orjson.dumps(document, option=orjson.OPT_SORT_KEYS), status, dict(headers or {}), media_type)


def database_of(request: Request) -> Database:
    found = request.app.state.database
    assert isinstance(found, Database)
    return found
