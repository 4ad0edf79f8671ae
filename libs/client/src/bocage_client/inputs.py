"""Inputs as text (`-i name=value`) made into what a process description asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bocage_client.errors import JsonObject, UsageError


def parse_inputs(
    assignments: Sequence[str], schemas: Mapping[str, Mapping[str, Any]], document: Mapping[str, Any] | None = None
) -> JsonObject:
    """`document` (of --inputs) first, then the assignments; a name given twice makes a list where lists are asked for.

    A value is `@file` (JSON in a file), a JSON literal, or text read by the input's schema: lists are separated by
    commas. Raises UsageError.
    """
    found: JsonObject = dict(document or {})
    given: dict[str, list[Any]] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise UsageError(f"-i {assignment!r} is not name=value.", "bad-input")
        given.setdefault(name.strip(), []).append(_value(name, text, schemas.get(name.strip(), {})))
    for name, values in given.items():
        if len(values) == 1:
            found[name] = values[0]
        elif "array" in _types(schemas.get(name, {})):
            found[name] = [x for value in values for x in (value if isinstance(value, list) else [value])]
        else:
            raise UsageError(f"The input {name} is given {len(values)} times.", "bad-input")
    return found


def read_json(path: Path) -> Any:
    """Raises UsageError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist.", "no-such-file") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not JSON.", "bad-input") from error


def schemas_of(description: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Schema by input, of an OGC process description."""
    inputs = description.get("inputs") or {}
    return {name: _schema(value) for name, value in inputs.items() if isinstance(value, dict)}


def _schema(described: Mapping[str, Any]) -> Mapping[str, Any]:
    own = described.get("schema") or {}
    schema: dict[str, Any] = _inlined(own, own.get("$defs") or {})
    # an OGC description may repeat an input instead of asking for an array
    most = described.get("maxOccurs", 1)
    if most == "unbounded" or (isinstance(most, int) and most > 1):
        return {"type": "array", "items": schema} if "array" not in _types(schema) else schema
    return schema


def _inlined(schema: Any, definitions: Mapping[str, Any], depth: int = 0) -> Any:
    """With its `$ref`s replaced by what they name; recursive schemas are followed some steps only."""
    if isinstance(schema, list):
        return [_inlined(x, definitions, depth) for x in schema]
    if not isinstance(schema, dict):
        return schema
    named = str(schema.get("$ref", "")).rpartition("/")[2]
    if named in definitions and depth < 5:
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return _inlined({**definitions[named], **rest}, definitions, depth + 1)
    return {name: _inlined(value, definitions, depth) for name, value in schema.items() if name != "$defs"}


def _types(schema: Mapping[str, Any]) -> set[str]:
    declared = schema.get("type")
    found = {declared} if isinstance(declared, str) else set(declared or ())
    for key in ("anyOf", "oneOf", "allOf"):
        for inner in schema.get(key) or ():
            found |= _types(inner)
    return found


def _items(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(own := schema.get("items"), dict):
        return own
    inner = [_items(x) for key in ("anyOf", "oneOf", "allOf") for x in schema.get(key) or ()]
    return next((x for x in inner if x), {})


def _value(name: str, text: str, schema: Mapping[str, Any]) -> Any:
    if text.startswith("@"):
        return read_json(Path(text[1:]))
    types = _types(schema)
    literal, is_literal = _literal(text)
    if is_literal and (isinstance(literal, dict | list) or _fits(literal, types)):
        return literal
    if "string" in types and "array" not in types:
        return text
    if "array" in types:
        return [_value(name, part.strip(), _items(schema)) for part in text.split(",")] if text else []
    if "boolean" in types and text.lower() in ("true", "false", "yes", "no", "on", "off"):
        return text.lower() in ("true", "yes", "on")
    # what does not fit is sent as it is: the platform names the fault better than we could
    return literal if is_literal and not types else text


def _literal(text: str) -> tuple[Any, bool]:
    try:
        # NaN and Infinity are no JSON
        return json.loads(text, parse_constant=_refuse), True
    except ValueError:
        return None, False


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _fits(value: Any, types: set[str]) -> bool:
    if isinstance(value, bool):
        return "boolean" in types
    if isinstance(value, int):
        return bool(types & {"integer", "number"})
    if isinstance(value, float):
        return "number" in types
    if isinstance(value, str):
        return "string" in types
    return value is None and "null" in types
