"""The catalogue's part of the OpenAPI document: what each operation can answer, and the frameworks' faults mended."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI

from bocage_catalogue import deposit_openapi, vocabulary_openapi

Document = dict[str, Any]

_VERBS = ("get", "put", "post", "delete", "patch")
_JSON, _GEOJSON, _PROBLEM = "application/json", "application/geo+json", "application/problem+json"
_SCHEMA, _LINES = "application/schema+json", "application/x-ndjson"
_LINKED = "application/ld+json"

_STATUSES = {
    304: "Not changed since: `If-None-Match` names what there is",
    400: "The request makes no sense; `detail` says where",
    401: "No valid credential, where one is needed",
    403: "The licence, the purpose or the scopes do not allow it; see `required_terms`",
    404: "It does not exist, or the caller may not see it",
    405: "No such operation here",
    409: "It exists already, or a test of the patch failed",
    406: "None of the formats is accepted",
    410: "What is asked for is not kept any more",
    412: "It was changed since: `If-Match` names an older revision",
    413: "More than is taken at once",
    415: "Not a kind of body that is taken",
    428: "The collection takes changes with `If-Match` alone",
    429: "A quota is used up; `Retry-After` tells for how long",
    431: "The headers are too large",
    502: "The service broke off before it answered",
    503: "The database does not answer, or the question takes too long; `Retry-After` tells when to try again",
    504: "The answer took too long",
}
_ALWAYS = (400, 401, 403, 404, 405, 429, 431, 502, 503, 504)
# What is no request of HTTP at all is answered in a line of text.
_OF_HTTP = (400, 431)
_OF_BODIES = (413, 415)
_OF_WRITES = (409, 412, 428)
_TAGGED = frozenset(
    (
        *("/stac/collections/{collection_id}", "/stac/collections/{collection_id}/items/{item_id}"),
        *("/stac/vocabulary", "/stac/vocabulary/{scheme}", "/stac/vocabulary/{scheme}/{concept}"),
        "/stac/catalogs/{portal_id}/collections/{collection_id}",
    )
)

_LINKS = {"type": "array", "items": {"$ref": "#/components/schemas/StacLink"}}
_COUNT = {"type": "integer", "minimum": 0}
_TEXT: Document = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_SCHEMAS: Document = {
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string"},
        },
    },
    "StacLink": {
        "type": "object",
        "required": ["rel", "href"],
        "properties": {
            "rel": {"type": "string"},
            "href": {"type": "string", "format": "uri"},
            "type": {"type": "string"},
            "title": {"type": "string"},
            "method": {"type": "string"},
            "hreflang": {"type": "string"},
        },
    },
    "StacCatalog": {
        "type": "object",
        "required": ["type", "stac_version", "id", "description", "links", "conformsTo"],
        "properties": {
            "type": {"const": "Catalog"},
            "stac_version": {"type": "string"},
            "id": {"type": "string"},
            "title": {"type": "string"},
            "description": {"type": "string"},
            "conformsTo": {"type": "array", "items": {"type": "string"}},
            "links": _LINKS,
        },
    },
    "StacConformance": {
        "type": "object",
        "required": ["conformsTo"],
        "properties": {"conformsTo": {"type": "array", "items": {"type": "string"}}},
    },
    # With `fields` an object is told in part: what it has to have, it has when it is told whole.
    "StacCollection": {
        "type": "object",
        "required": ["id"],
        "properties": {
            "type": {"const": "Collection"},
            "stac_version": {"type": "string"},
            "id": {"type": "string"},
            "title": {"type": "string"},
            "description": {"type": "string"},
            "keywords": {"type": "array", "items": {"type": "string"}},
            "license": {"type": "string"},
            "extent": {"type": "object"},
            "summaries": {"type": "object"},
            "bocage:terms_accepted": {"type": "boolean"},
            "links": _LINKS,
        },
    },
    "StacItem": {
        "type": "object",
        "required": ["id"],
        "properties": {
            "type": {"const": "Feature"},
            "stac_version": {"type": "string"},
            "id": {"type": "string"},
            "collection": {"type": "string"},
            "geometry": {"type": ["object", "null"]},
            "bbox": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6},
            "properties": {"type": "object"},
            "assets": {"type": "object"},
            "links": _LINKS,
        },
    },
    "StacCollections": {
        "type": "object",
        "required": ["collections", "links", "numberMatched", "numberReturned"],
        "properties": {
            "collections": {"type": "array", "items": {"$ref": "#/components/schemas/StacCollection"}},
            "links": _LINKS,
            "numberMatched": _COUNT,
            "numberReturned": _COUNT,
        },
    },
    "StacChildren": {
        "type": "object",
        "required": ["children", "links"],
        "properties": {
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/StacCollection"}},
            "links": _LINKS,
        },
    },
    "StacItemCollection": {
        "type": "object",
        "required": ["type", "features", "links", "numberReturned"],
        "properties": {
            "type": {"const": "FeatureCollection"},
            "features": {"type": "array", "items": {"$ref": "#/components/schemas/StacItem"}},
            "links": _LINKS,
            "numberMatched": _COUNT,
            "numberReturned": _COUNT,
        },
    },
    "StacAggregations": {
        "type": "object",
        "required": ["type", "aggregations"],
        "properties": {
            "type": {"const": "AggregationCollection"},
            "aggregations": {"type": "array", "items": {"type": "object", "required": ["name", "data_type"]}},
            "links": _LINKS,
        },
    },
    "StacChanges": {
        "type": "object",
        "required": ["changes", "cursor", "links", "numberReturned"],
        "properties": {
            "changes": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["type", "collection", "time"],
                    "properties": {
                        "type": {"enum": ["created", "updated", "deleted"]},
                        "collection": {"type": "string"},
                        "id": {"type": "string"},
                        "time": {"type": "string", "format": "date-time"},
                        "revision": _COUNT,
                        "links": _LINKS,
                        "item": {"$ref": "#/components/schemas/StacItem"},
                    },
                },
            },
            "cursor": {"type": "string"},
            "links": _LINKS,
            "numberReturned": _COUNT,
        },
    },
    "StacWritten": {
        "type": "object",
        "required": ["created", "updated", "unchanged", "refused", "results"],
        "properties": {
            **dict.fromkeys(("created", "updated", "unchanged", "refused"), _COUNT),
            "results": {"type": "array", "items": {"type": "object", "required": ["index", "status"]}},
        },
    },
    "StacSchema": {"type": "object", "required": ["$schema", "$id", "type", "properties"]},
    **deposit_openapi.SCHEMAS,
    **vocabulary_openapi.SCHEMAS,
}
# What succeeds, by verb and path: the type of the answer and its schema.
_COLLECTION, _ITEM = "/stac/collections/{collection_id}", "/stac/collections/{collection_id}/items/{item_id}"
_AGGREGATE = (("get", "aggregate"), ("post", "aggregate"))
_ANSWERS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("get", "/stac"): (_JSON, "StacCatalog"),
    ("get", "/stac/conformance"): (_JSON, "StacConformance"),
    ("get", "/stac/children"): (_JSON, "StacChildren"),
    ("get", "/stac/collections"): (_JSON, "StacCollections"),
    ("get", "/stac/search"): (_GEOJSON, "StacItemCollection"),
    ("post", "/stac/search"): (_GEOJSON, "StacItemCollection"),
    ("get", f"{_COLLECTION}/items"): (_GEOJSON, "StacItemCollection"),
    **{(verb, _COLLECTION): (_JSON, "StacCollection") for verb in ("get", "put", "patch")},
    ("post", "/stac/collections"): (_JSON, "StacCollection"),
    **{(verb, _ITEM): (_GEOJSON, "StacItem") for verb in ("get", "put", "patch")},
    **{("get", f"{at}/queryables"): (_SCHEMA, "StacSchema") for at in ("/stac", _COLLECTION)},
    **{("get", f"{at}/sortables"): (_SCHEMA, "StacSchema") for at in ("/stac", _COLLECTION)},
    **{
        (verb, f"{at}/{name}"): (_JSON, "StacAggregations")
        for at in ("/stac", _COLLECTION) for verb, name in (("get", "aggregations"), *_AGGREGATE)
    },
    ("get", "/stac/changes"): (_JSON, "StacChanges"),
    **deposit_openapi.ANSWERS,
    **vocabulary_openapi.ANSWERS,
}  # fmt: skip
_LANGUAGE: Document = {
    "name": "language",
    "in": "query",
    "required": False,
    "description": "The language of titles and descriptions, in the place of the header Accept-Language.",
    "schema": {"type": "string", "maxLength": 35, "examples": ["fr"]},
}
_REPORT = {_JSON: {"schema": {"$ref": "#/components/schemas/StacWritten"}}}
_WRITTEN: Mapping[int, Document] = {
    200: {"description": "Of several items all were there, and replaced", "content": _REPORT},
    201: {
        "description": "The item, or of several what became of each",
        "content": {_GEOJSON: {"schema": {"$ref": "#/components/schemas/StacItem"}}, **_REPORT},
    },
    207: {"description": "With `mode=partial`: what became of each item", "content": _REPORT},
}


def describe(app: FastAPI) -> None:
    """Make `app.openapi` answer a valid document with unique operation ids."""
    made_by_fastapi = app.openapi

    def openapi() -> Document:
        if app.openapi_schema is None or "x-mended" not in app.openapi_schema:
            app.openapi_schema = mended(made_by_fastapi())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def mended(document: Document) -> Document:
    """Schemas that carry definitions of their own get them where references can find them; all answers are told."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(_SCHEMAS)
    paths = document["paths"]
    if "/stac/" in paths:
        paths["/stac"] = paths.pop("/stac/")
    for path, operations in paths.items():
        for verb in _VERBS:
            if verb in operations:
                operation = operations[verb]
                operation["operationId"] = _name(verb, path)
                operation["responses"] = _responses(verb, path, operation["responses"])
                _mended_parameters(operation)
                if verb == "get":
                    operation["parameters"] = [*operation.get("parameters", ()), _LANGUAGE]
                _hoist(operation, schemas)
    document["x-mended"] = True
    return document


def _responses(verb: str, path: str, declared: Document) -> Document:
    """Every status that an operation can answer, in order."""
    made = {int(status): response for status, response in declared.items() if int(status) < 400}
    if (verb, path) in _ANSWERS:
        media_type, schema = _ANSWERS[verb, path]
        success = min(status for status in made if 200 <= status < 300)
        content = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        if path == "/stac/changes":
            content[_LINES] = {"schema": {"type": "string"}}
        if path.startswith("/stac/vocabulary"):
            content[_LINKED] = {"schema": {"type": "object"}}
        made[success] = {"description": made[success].get("description", "Successful Response"), "content": content}
    for status in _failures(verb, path):
        made[status] = _problem(status)
    if (verb, path) == ("post", f"{_COLLECTION}/items"):
        made |= _WRITTEN
    if path == deposit_openapi.LANDING:
        made[200] = {"description": "As Accept says", "content": deposit_openapi.LANDING_CONTENT}
        made[410]["content"]["text/html"] = {"schema": {"type": "string"}}
    if verb == "get" and path in _TAGGED:
        made[304] = {"description": _STATUSES[304]}
    return {str(status): made[status] for status in sorted(made)}


def _mended_parameters(operation: Document) -> None:
    """Examples that hold no text are none: a query is text."""
    for parameter in operation.get("parameters", ()):
        examples = parameter.get("examples")
        if isinstance(examples, dict):
            told = {name: example for name, example in examples.items() if isinstance(example.get("value"), str)}
            parameter.pop("examples")
            if told:
                parameter["examples"] = told


def _failures(verb: str, path: str) -> Iterable[int]:
    stored = "/collections" in path or "/deposits" in path
    writes = verb != "get" and stored and not path.endswith("/aggregate")
    if path == "/stac/changes" or (verb == "get" and (path in _TAGGED or path == f"{_COLLECTION}/items")):
        return (*_ALWAYS, 410)
    if verb == "get" and "/deposits/" in path:
        return (*_ALWAYS, 409, *((410,) if path == deposit_openapi.LANDING else ()))
    if path.endswith("/withdrawal"):
        return (*_ALWAYS, 409, 410, 412, *_OF_BODIES)
    always = (*_ALWAYS, 406) if path == "/stac/export" else _ALWAYS
    return (*always, *(_OF_BODIES if verb in ("post", "put", "patch") else ()), *(_OF_WRITES if writes else ()))


def _problem(status: int) -> Document:
    content: Document = {_PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if status in _OF_HTTP:
        content["text/plain"] = {"schema": {"type": "string"}}
    return {"description": _STATUSES[status], "content": content}


def _name(verb: str, path: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", path.removeprefix("/stac"))
    return "_".join(["catalogue", verb, *words]) if words else f"catalogue_{verb}_landing_page"


def _hoist(node: Any, schemas: Document) -> None:
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
