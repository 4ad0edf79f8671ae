"""Whether an object is valid STAC: core 1.1 and the extensions that it declares, by schemas that are packaged.

What the extensions say is kept short under `schemas/`: fields, where they may stand, which are needed. Schemas are made
of that at first use. An extension that is not known there is nobody's error: its fields pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import resources
from itertools import islice
from typing import Any

import jsonschema_rs
from bocage_kit.problems import Problem

from bocage_catalogue.extension_schemas import combined, is_known, schema_of
from bocage_catalogue.flat_schemas import flat

Document = dict[str, Any]

_STAC = "https://schemas.stacspec.org/v1.1.0"
CORE = {
    "item": f"{_STAC}/item-spec/json-schema/item.json",
    "collection": f"{_STAC}/collection-spec/json-schema/collection.json",
}
_EXTENSION = re.compile(
    r"https://stac-extensions\.github\.io/([a-z0-9-]{1,40})/v([0-9][A-Za-z0-9.-]{0,20})/schema\.json#?"
)
_MOST_ERRORS = 10
_LONGEST_VALUE = 60


def check_item(item: Document) -> None:
    """Raises Problem 400, with each field that is at fault and why."""
    # Null means absent where items are kept; the core schema wants the time's to be seen.
    whole = item.copy()
    whole.pop("collection", None)
    properties = item.get("properties")
    if isinstance(properties, dict) and "datetime" not in properties:
        whole["properties"] = {"datetime": None, **properties}
    _check("item", whole)


def check_collection(collection: Document) -> None:
    """The same for a collection."""
    _check("collection", collection)


def _check(kind: str, document: Document) -> None:
    declared = document.get("stac_extensions")
    uris = tuple([uri for uri in declared if isinstance(uri, str)]) if isinstance(declared, list) else ()
    if _declared(kind, uris).is_valid(document):
        return
    # Something is wrong: each says what, in its own words.
    known = _all_known(uris)
    errors = list(_errors(_core(kind), document, None))
    for name, version in known:
        errors += _errors(_extension(kind, name, version), document, name)
    if errors:
        raise _refusal(kind, errors)


def _refusal(kind: str, errors: Iterable[tuple[str, str]]) -> Problem:
    told = [{"field": field, "reason": reason} for field, reason in dict.fromkeys(errors)][:_MOST_ERRORS]
    first, more = told[0], f" ({len(told) - 1} more)" if len(told) > 1 else ""
    detail = f"The {kind} is not valid STAC: {first['field']}: {first['reason']}{more}."
    return Problem(400, "invalid-object", detail, errors=told)


@lru_cache
def _documents() -> Mapping[str, Document]:
    """The core's and GeoJSON's schemas by their addresses: pystac carries them, nothing is fetched."""
    folder = resources.files("pystac").joinpath("validation/jsonschemas")
    found = {}
    for place in ("geojson", "stac-spec/v1.1.0"):
        for file in folder.joinpath(place).iterdir():
            if file.name.endswith(".json"):
                # Links to tiles have places to fill in, which no IRI has.
                schema = json.loads(file.read_text().replace('"format": "iri-reference",', ""))
                base = str(schema["$id"]).rstrip("#").rpartition("/")[0]
                found[f"{base}/{file.name}"] = schema
    return found


@lru_cache
def _registry() -> jsonschema_rs.Registry:
    return jsonschema_rs.Registry(list(_documents().items()), draft=jsonschema_rs.Draft7)


def _validator(schema: Document) -> Any:
    return jsonschema_rs.Draft7Validator(schema, registry=_registry(), validate_formats=True, offline=True)


@lru_cache
def _core(kind: str) -> Any:
    return _validator({"$ref": CORE[kind]})


@lru_cache(1024)
def _known(uri: str) -> tuple[str, str] | None:
    """The name and version of a declared extension, if it is known."""
    named = _EXTENSION.fullmatch(uri)
    return (named[1], named[2]) if named is not None and is_known(named[1], named[2]) else None


@lru_cache(256)
def _all_known(uris: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Those of the declared extensions that are known, each once."""
    return tuple(sorted({named for uri in uris if (named := _known(uri)) is not None}))


@lru_cache(128)
def _declared(kind: str, uris: tuple[str, ...]) -> Any:
    """The core and what is declared, as far as it is known."""
    return _together(kind, _all_known(uris))


@lru_cache(256)
def _extension(kind: str, name: str, version: str) -> Any:
    return _validator(schema_of(kind, name, version) or {})


@lru_cache(128)
def _together(kind: str, known: tuple[tuple[str, str], ...]) -> Any:
    """The core and several extensions at once."""
    made = combined(kind, known)
    return _validator(flat({**made, "allOf": [{"$ref": CORE[kind]}, *made["allOf"]]}, _documents()))


def _errors(validator: Any, document: Document, extension: str | None) -> Iterator[tuple[str, str]]:
    """(field, reason) of each error, up to a bound; of alternatives, those of the one that comes nearest."""
    for error in islice(validator.iter_errors(document), 10 * _MOST_ERRORS):
        yield from _reasons(error, extension, 0)


def _reasons(error: Any, extension: str | None, depth: int) -> Iterator[tuple[str, str]]:
    kind = error.kind
    alternatives = getattr(kind, "context", None)
    if alternatives and depth < 4 and (error.instance_path or extension is None):
        nearest: list[Any] = max(alternatives, key=lambda errors: (_depth(errors), -len(errors)), default=[])
        if nearest and _depth(nearest) > len(error.instance_path):
            for inner in nearest:
                yield from _reasons(inner, extension, depth + 1)
            return
    yield _field(error), _reason(error, extension)


def _depth(errors: list[Any]) -> int:
    return max((len(error.instance_path) for error in errors), default=0)


def _field(error: Any) -> str:
    path = list(error.instance_path)
    if error.kind.name == "required":
        path.append(error.kind.property)
    if error.kind.name == "propertyNames":
        path.append(str(error.kind.error.instance)[:_LONGEST_VALUE])
    # What an object lacks as a whole, it lacks because of what it declares.
    return ".".join(str(part) for part in path) or "stac_extensions"


def _reason(error: Any, extension: str | None) -> str:
    kind = error.kind
    template = _REASONS.get(kind.name)
    if kind.name == "anyOf" and not error.instance_path and extension is not None:
        return f"declares the extension {extension}, but has none of the fields that it needs"
    if error.instance_path == ["properties", "datetime"] and kind.name in ("not", "required"):
        return "must be a time, or start_datetime and end_datetime must be given"
    if kind.name == "propertyNames":
        return f"is no field of the extension {extension}"
    if template is None:
        return f"is not what {extension or 'STAC'} allows here"
    return template.format(value=_told(kind.value))


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)[:200]
    return str(value)[:_LONGEST_VALUE]


_REASONS: Mapping[str, str] = {
    "additionalProperties": "has unknown members: {value}",
    "const": "must be {value}",
    "contains": "lacks an element that is needed",
    "enum": "must be one of {value}",
    "exclusiveMaximum": "must be less than {value}",
    "exclusiveMinimum": "must be more than {value}",
    "format": "must be a {value}",
    "maxItems": "must have at most {value} elements",
    "maxLength": "must have at most {value} characters",
    "maxProperties": "must have at most {value} members",
    "maximum": "must be at most {value}",
    "minItems": "must have at least {value} elements",
    "minLength": "must have at least {value} characters",
    "minProperties": "must have at least {value} members",
    "minimum": "must be at least {value}",
    "pattern": "must match {value}",
    "required": "is missing",
    "type": "must be of type {value}",
    "uniqueItems": "must not hold the same element twice",
}
