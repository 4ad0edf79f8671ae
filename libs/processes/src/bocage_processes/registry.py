"""The processes that there are, and their descriptions as OGC API - Processes wants them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from bocage_processes import dsm, echo, hillshade
from bocage_processes.process import Limits, Process


def processes() -> dict[str, Process]:
    """All processes, by id."""
    return {found.id: found for found in (echo.process(), hillshade.process(), dsm.process())}


def summarise(process: Process) -> dict[str, Any]:
    """Process summary: an entry of the process list, without links."""
    return {
        "id": process.id,
        "version": process.version,
        "title": process.title,
        "description": process.description,
        "keywords": list(process.keywords),
        "jobControlOptions": [mode for mode in ("sync-execute", "async-execute") if mode in process.modes]
        + ["dismiss"],
        "outputTransmission": ["value", "reference"],
    }


def describe(process: Process, limits: Limits) -> dict[str, Any]:
    """Process description, without links: JSON schemas with nothing left to look up elsewhere."""
    schema = process.inputs.model_json_schema()
    definitions = schema.get("$defs", {})
    required = set(schema.get("required", ()))
    description = summarise(process) | {
        "inputs": {
            name: _input(name, _inlined(fields, definitions), name in required)
            for name, fields in schema.get("properties", {}).items()
        },
        "outputs": {
            name: {"title": output.title, "description": output.description or output.title, "schema": output.schema_}
            for name, output in process.outputs.items()
        },
    }
    if process.id == dsm.ID:
        description["description"] += (
            f" At most {limits.max_megapixels:g} million cells, times image pairs, are computed in one job."
        )
        description["additionalParameters"] = {
            "title": "Limits",
            "parameters": [
                {"name": "max_megapixels", "value": [limits.max_megapixels]},
                {"name": "max_memory_bytes", "value": [limits.max_memory_bytes]},
            ],
        }
    if process.licence:
        description.setdefault("metadata", []).append(
            {"title": f"Results are under {process.licence}, besides their inputs' terms", "role": "license"}
        )
    return description


def _input(name: str, fields: dict[str, Any], required: bool) -> dict[str, Any]:
    description = fields.pop("description", name)
    fields.pop("title", None)
    return {
        "title": name,
        "description": description,
        "schema": fields,
        "minOccurs": int(required),
        "maxOccurs": 1,
    }


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """The schema with its references replaced, and `null` (= not given) taken out."""
    if isinstance(node, list):
        return [_inlined(entry, definitions) for entry in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        found = deepcopy(definitions[node["$ref"].rpartition("/")[2]])
        return _inlined({**found, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    plain = {key: _inlined(value, definitions) for key, value in node.items()}
    if plain.get("default", 0) is None:
        del plain["default"]
    options = plain.get("anyOf")
    if isinstance(options, list):
        kept = [option for option in options if option != {"type": "null"}]
        if len(kept) == 1:
            del plain["anyOf"]
            return {**kept[0], **plain}
        plain["anyOf"] = kept
    return plain
