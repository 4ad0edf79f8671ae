"""One schema that says the same as several, so that each part of an object is walked through once.

A validator goes through an object again for each `$ref` and each member of `allOf`: ten times through every band of
every asset. Here references are put in their places, and what `allOf` says of the same member is said together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

Schema = dict[str, Any]

_SAID_ASIDE = frozenset({"$schema", "$id", "$comment", "title", "description", "default", "examples", "definitions"})
_OF_ONE = frozenset({"additionalProperties", "items", "contains", "propertyNames", "not", "if", "then", "else"})
_OF_SEVERAL = frozenset({"oneOf", "anyOf"})
_BY_NAME = frozenset({"properties", "patternProperties", "dependencies"})
_NAMED = frozenset({"properties", "patternProperties"})


def flat(schema: Schema, documents: Mapping[str, Schema]) -> Schema:
    """`schema` (draft 7) without references to itself or to `documents`. One that leads into itself, as bands do into
    bands, is put in its place twice and then stays."""
    made = _flat(schema, "", {**documents, "": schema}, ())
    return {**made, "definitions": schema.get("definitions", {})}


def _flat(schema: Any, base: str, documents: Mapping[str, Schema], within: tuple[str, ...]) -> Any:
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:  # beside which nothing counts
        uri = urljoin(base, schema["$ref"]) if base else schema["$ref"]
        address, fragment = urldefrag(uri)
        if within.count(uri) > 1 or address not in documents:
            return {"$ref": uri}
        target: Any = documents[address]
        for part in filter(None, fragment.split("/")):
            target = target[unquote(part).replace("~1", "/").replace("~0", "~")]
        return _flat(target, address, documents, (*within, uri))

    def inner(one: Any) -> Any:
        return _flat(one, base, documents, within)

    made: Any = {}
    for keyword, value in schema.items():
        if keyword in _OF_ONE:
            made[keyword] = inner(value)
        elif keyword in _OF_SEVERAL:
            made[keyword] = [inner(one) for one in value]
        elif keyword in _BY_NAME:
            made[keyword] = {name: inner(one) for name, one in value.items()}
        elif keyword != "allOf" and keyword not in _SAID_ASIDE:
            made[keyword] = value
    for one in schema.get("allOf", ()):
        made = _both(made, inner(one))
    return made


def _both(one: Any, other: Any) -> Any:
    """What says that both hold: keywords that go together are said once, whatever else is left as it is."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return {"allOf": [one, other]}
    if not one or not other:
        return one or other
    made, left = dict(one), dict(other)
    # Which members are additional depends on those that are named beside.
    closed = "additionalProperties" in one or "additionalProperties" in other
    if not (closed and (_NAMED & one.keys() or _NAMED & other.keys())):
        if "properties" in left:
            made["properties"] = dict(one.get("properties", {}))
            for name, value in left.pop("properties").items():
                known = made["properties"]
                known[name] = _both(known[name], value) if name in known else value
        if "additionalProperties" in left:
            value = left.pop("additionalProperties")
            made["additionalProperties"] = _both(one.get("additionalProperties", {}), value)
    if isinstance(left.get("items"), dict) and isinstance(one.get("items", {}), dict):
        made["items"] = _both(one.get("items", {}), left.pop("items"))
    if "required" in left:
        made["required"] = sorted({*one.get("required", ()), *left.pop("required")})
    if "type" in left and left["type"] == one.get("type", left["type"]):
        made["type"] = left.pop("type")
    apart = left.pop("allOf", [])
    if left:
        apart = [left, *apart]
    if apart:
        made["allOf"] = [*made.get("allOf", ()), *apart]
    return made
