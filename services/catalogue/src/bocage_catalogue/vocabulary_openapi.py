"""What the operations of the vocabulary and of portals answer, for the document of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]

_JSON, _GEOJSON = "application/json", "application/geo+json"
_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_TEXTS = {"type": "array", "items": _TEXT}
_LINKS = {"type": "array", "items": {"$ref": "#/components/schemas/StacLink"}}
_PORTAL = "/stac/catalogs/{portal_id}"
SCHEMAS: Document = {
    "StacPortals": {
        "type": "object",
        "required": ["catalogs", "links"],
        "properties": {
            "catalogs": {"type": "array", "items": {"$ref": "#/components/schemas/StacCatalog"}},
            "links": _LINKS,
        },
    },
    "StacVocabulary": {
        "type": "object",
        "required": ["schemes", "links"],
        "properties": {
            "schemes": {"type": "array", "items": {"$ref": "#/components/schemas/StacScheme"}},
            "links": _LINKS,
        },
    },
    "StacScheme": {
        "type": "object",
        "required": ["id", "title", "description", "source", "links"],
        "properties": {
            **dict.fromkeys(("id", "title", "description", "source", "parameter"), _TEXT),
            "size": _COUNT,
            "concepts": {"type": "array", "items": {"$ref": "#/components/schemas/StacConcept"}},
            "links": _LINKS,
        },
    },
    "StacConcept": {
        "type": "object",
        "required": ["id", "scheme", "title", "labels", "broader", "narrower", "collections", "links"],
        "properties": {
            **dict.fromkeys(("id", "scheme", "title", "description"), _TEXT),
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            **dict.fromkeys(("broader", "narrower"), _TEXTS),
            "collections": _COUNT,
            "links": _LINKS,
        },
    },
}
ANSWERS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("get", "/stac/vocabulary"): (_JSON, "StacVocabulary"),
    ("get", "/stac/vocabulary/{scheme}"): (_JSON, "StacScheme"),
    ("get", "/stac/vocabulary/{scheme}/{concept}"): (_JSON, "StacConcept"),
    ("get", "/stac/catalogs"): (_JSON, "StacPortals"),
    ("get", _PORTAL): (_JSON, "StacCatalog"),
    ("get", f"{_PORTAL}/collections"): (_JSON, "StacCollections"),
    ("get", f"{_PORTAL}/collections/{{collection_id}}"): (_JSON, "StacCollection"),
    **{(verb, f"{_PORTAL}/search"): (_GEOJSON, "StacItemCollection") for verb in ("get", "post")},
}
