"""The catalogue's part of the OpenAPI document: stac-fastapi's, with its faults mended."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI

_VERBS = ("get", "put", "post", "delete", "patch")


def describe(app: FastAPI) -> None:
    """Make `app.openapi` answer a valid document with unique operation ids."""
    made_by_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None or "x-mended" not in app.openapi_schema:
            app.openapi_schema = mended(made_by_fastapi())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def mended(document: dict[str, Any]) -> dict[str, Any]:
    """Schemas that carry definitions of their own get them where references can find them."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    paths = document["paths"]
    if "/stac/" in paths:
        paths["/stac"] = paths.pop("/stac/")
    for path, operations in paths.items():
        for verb in _VERBS:
            if verb in operations:
                operation = operations[verb]
                operation["operationId"] = _name(verb, path)
                _hoist(operation, schemas)
    document["x-mended"] = True
    return document


def _name(verb: str, path: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", path.removeprefix("/stac"))
    return "_".join(["catalogue", verb, *words]) if words else f"catalogue_{verb}_landing_page"


def _hoist(node: Any, schemas: dict[str, Any]) -> None:
    """Move `$defs` into the components and point references there."""
    if isinstance(node, list):
        for inner in node:
            _hoist(inner, schemas)
        return
    if not isinstance(node, dict):
        return
    for name, definition in node.pop("$defs", {}).items():
        _hoist(definition, schemas)
        schemas.setdefault(name, definition)
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        node["$ref"] = "#/components/schemas/" + reference.removeprefix("#/$defs/")
    for inner in node.values():
        _hoist(inner, schemas)
