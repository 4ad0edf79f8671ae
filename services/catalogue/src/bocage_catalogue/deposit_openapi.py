"""What the operations of deposits and withdrawals answer, for the document of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bocage_catalogue.deposits import DATACITE, STATES

Document = dict[str, Any]

_JSON = "application/json"
_TEXT, _COUNT, _MOMENT = (
    {"type": "string"},
    {"type": "integer", "minimum": 0},
    {"type": "string", "format": "date-time"},
)
_LINKS = {"type": "array", "items": {"$ref": "#/components/schemas/StacLink"}}
_FINDINGS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["at", "code", "reason"],
        "properties": {"at": _TEXT, "code": _TEXT, "reason": _TEXT},
    },
}
SCHEMAS: Document = {
    "StacDeposit": {
        "type": "object",
        "required": ["id", "state", "version", "links"],
        "properties": {
            "id": _TEXT,
            "state": {"enum": list(STATES)},
            "version": _TEXT,
            "identifier": _TEXT,
            "citation": _TEXT,
            "published": _MOMENT,
            "withdrawn": _MOMENT,
            "history": {"type": "array", "items": {"type": "object", "required": ["at", "actor", "to"]}},
            "links": _LINKS,
        },
    },
    "StacDeposits": {
        "type": "object",
        "required": ["deposits", "links", "numberMatched", "numberReturned"],
        "properties": {
            "deposits": {"type": "array", "items": {"$ref": "#/components/schemas/StacDeposit"}},
            "links": _LINKS,
            "numberMatched": _COUNT,
            "numberReturned": _COUNT,
        },
    },
    "StacDepositReport": {
        "type": "object",
        "required": ["deposit", "valid", "errors", "warnings"],
        "properties": {
            "deposit": _TEXT,
            "valid": {"type": "boolean"},
            **dict.fromkeys(("items", "assets", "error_count", "warning_count"), _COUNT),
            **dict.fromkeys(("errors", "warnings"), _FINDINGS),
            "links": _LINKS,
        },
    },
    "StacWithdrawn": {
        "type": "object",
        "required": ["collection", "reason", "withdrawn"],
        "properties": {
            **dict.fromkeys(("collection", "id", "reason", "successor"), _TEXT),
            "withdrawn": _MOMENT,
        },
    },
    "DataCite": {"type": "object", "required": ["doi", "creators", "titles", "publisher", "publicationYear", "types"]},
}
_ONE = "/stac/deposits/{deposit_id}"
ANSWERS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("get", "/stac/deposits"): (_JSON, "StacDeposits"),
    ("post", "/stac/deposits"): (_JSON, "StacDeposit"),
    ("get", _ONE): (_JSON, "StacDeposit"),
    ("get", f"{_ONE}/validation"): (_JSON, "StacDepositReport"),
    **{("post", f"{_ONE}/{step}"): (_JSON, "StacDeposit") for step in ("submission", "review", "publication")},
    ("get", f"{_ONE}/datacite"): (DATACITE, "DataCite"),
    ("post", "/stac/collections/{collection_id}/withdrawal"): (_JSON, "StacWithdrawn"),
    ("post", "/stac/collections/{collection_id}/items/{item_id}/withdrawal"): (_JSON, "StacWithdrawn"),
}
LANDING = f"{_ONE}/landing"
LANDING_CONTENT: Document = {
    "text/html": {"schema": _TEXT},
    DATACITE: {"schema": {"$ref": "#/components/schemas/DataCite"}},
    "application/ld+json": {"schema": {"type": "object"}},
    _JSON: {"schema": {"$ref": "#/components/schemas/StacDeposit"}},
}
