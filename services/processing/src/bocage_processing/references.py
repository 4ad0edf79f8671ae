"""Finds the catalogue items that inputs name, by the process's JSON Schema: no code of the process is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

FORMAT = "stac-item-reference"


def item_references(inputs: Any, schema: Mapping[str, Any]) -> list[str]:
    """References in the order given, each once."""
    return list(dict.fromkeys(_walk(inputs, schema, schema)))


def input_errors(inputs: Any, schema: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is wrong with `inputs`: where, and why."""
    found = Draft202012Validator(dict(schema)).iter_errors(inputs)
    return [
        {"at": ".".join(["inputs", *map(str, error.absolute_path)]), "reason": error.message[:500]}
        for error in sorted(found, key=lambda error: [str(part) for part in error.absolute_path])
    ][:20]


def _walk(value: Any, schema: Any, root: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    if isinstance(pointer := schema.get("$ref"), str) and pointer.startswith("#/"):
        target: Any = root
        for part in pointer[2:].split("/"):
            target = target.get(part, {}) if isinstance(target, Mapping) else {}
        yield from _walk(value, target, root)
    for keyword in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(keyword, ()):
            yield from _walk(value, option, root)
    if schema.get("format") == FORMAT and isinstance(value, str):
        yield value
    if isinstance(value, list):
        for position, element in enumerate(value):
            prefix = schema.get("prefixItems", ())
            yield from _walk(element, prefix[position] if position < len(prefix) else schema.get("items"), root)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            known = schema.get("properties", {})
            yield from _walk(inner, known.get(name, schema.get("additionalProperties")), root)
