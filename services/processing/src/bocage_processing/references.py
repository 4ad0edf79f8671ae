"""Finds the catalogue items that inputs name, by the process's JSON Schema: no code of the process is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

FORMAT = "stac-item-reference"


def item_references(inputs: Any, schema: Mapping[str, Any]) -> list[str]:
    """References in the order given, each once."""
    return list(dict.fromkeys(_walk(inputs, schema, schema)))


def input_errors(inputs: Any, schema: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is wrong with `inputs`: where, and why."""
    found = Draft202012Validator(dict(schema)).iter_errors(inputs)
    ordered = sorted(found, key=lambda error: [str(part) for part in error.absolute_path])
    return [told for error in ordered for told in _told(error)][:20]


def _told(error: ValidationError) -> Iterator[dict[str, str]]:
    at = ".".join(["inputs", *map(str, error.absolute_path)])
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        listed = ", ".join(known)
        for name in error.instance.keys() - known.keys():
            yield {"at": f"{at}.{name}", "reason": f"there is no such input; there are: {listed}"}
    elif error.validator == "required" and isinstance(error.instance, Mapping):
        # One error for each that is missing, each with the whole list.
        name = error.message.split("'")[1]
        yield {"at": f"{at}.{name}", "reason": "it is required"}
    elif error.validator in ("minItems", "maxItems") and isinstance(error.instance, list):
        bound = "at least {} are needed" if error.validator == "minItems" else "at most {} are taken"
        yield {"at": at, "reason": f"{bound.format(error.validator_value)}, {len(error.instance)} given"}
    else:
        yield {"at": at, "reason": error.message[:500]}


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
