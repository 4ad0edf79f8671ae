"""JSON schemas of STAC's extensions, made of what `schemas/` says of each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from typing import Any

Schema = dict[str, Any]

# Members of an object by which its fields are reached: each value of an object, or each element of a list.
_OBJECTS, _LISTS = ("assets", "item_assets"), ("links", "providers")
_PRODUCERS: Schema = {"required": ["roles"], "properties": {"roles": {"contains": {"enum": ["producer", "processor"]}}}}


@lru_cache
def _facts(extension: str) -> Schema | None:
    file = resources.files("bocage_catalogue").joinpath("schemas", f"{extension}.json")
    return dict(json.loads(file.read_text())) if file.is_file() else None


def known_extensions() -> Iterable[tuple[str, str]]:
    """(name, version) of all that are known."""
    for file in sorted(resources.files("bocage_catalogue").joinpath("schemas").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".json"):
            name = file.name.removesuffix(".json")
            for version in (_facts(name) or {})["versions"]:
                yield name, version


def schema_of(kind: str, extension: str, version: str) -> Schema | None:
    """The schema of `kind` (item, collection) in one version of an extension; None when it is not known."""
    facts = _facts(extension)
    if facts is None or version not in facts["versions"]:
        return None
    own: Schema = facts["versions"][version]
    said: Schema = {**facts, **own}
    fields: Schema = {**facts.get("fields", {}), **own.get("fields", {})}
    fields = {name: schema for name, schema in fields.items() if name not in own.get("without", ())}
    prefix, bands = said.get("prefix"), said.get("bands")
    checked = _checked(fields, prefix, said.get("depends"))
    clauses: list[Schema] = []
    for place in said.get(kind, ()):
        banded = bands is not None and place in said.get("bands_in", ("properties", *_OBJECTS))
        clauses.append(_at(place, _with_bands(checked, str(bands)) if banded else checked))
    if "references" in said:
        pointing = _checked(said["references"], prefix, None)
        inner = {name: part for name, part in pointing.items() if name != "type"}
        pointing = {**pointing, "allOf": [{"properties": {"alternate": {"additionalProperties": inner}}}]}
        places = ("assets", "links") if kind == "item" else ("assets", "item_assets", "links")
        clauses += [_at(place, pointing) for place in places]
    if kind == "collection" and said.get("summaries"):
        values = {name: {"type": ["array", "object"], "items": schema} for name, schema in fields.items()}
        clauses.append(_at("summaries", {"properties": values}))
    need = said.get("needs", {}).get(kind)
    if need is not None:
        clauses.append(_needed(need, fields, said.get("needs_in_bands", bands)))
    clauses += [extra[kind] for extra in (facts.get("also", {}), own.get("also", {})) if kind in extra]
    definitions = {**facts.get("definitions", {}), **own.get("definitions", {})}
    return {"definitions": definitions, "allOf": clauses or [{}]}


def _checked(fields: Schema, prefix: str | None, depends: Schema | None) -> Schema:
    """The fields, where one may stand; of a prefix, no others."""
    made: Schema = {"type": "object", "properties": fields}
    if prefix is not None:
        made["propertyNames"] = {"if": {"pattern": f"^{prefix}:"}, "then": {"enum": list(fields)}}
    if depends is not None:
        made["dependencies"] = depends
    return made


def _with_bands(schema: Schema, bands: str) -> Schema:
    return {**schema, "allOf": [{"properties": {bands: {"type": "array", "items": schema}}}]}


def _at(place: str, schema: Schema) -> Schema:
    """`schema`, of what stands at `place`, if anything does."""
    if place == "self":
        return schema
    if place in _OBJECTS:
        return {"properties": {place: {"type": "object", "additionalProperties": schema}}}
    if place in _LISTS:
        return {"properties": {place: {"type": "array", "items": schema}}}
    return {"properties": {place: schema}}


def _needed(need: Schema, fields: Schema, bands: str | None) -> Schema:
    """That one place at least has the fields which an object of the extension needs."""
    if "all" in need:
        wanted: Schema = {"required": need["all"]}
    else:
        names = list(fields) if need["any"] == "*" else need["any"]
        wanted = {"anyOf": [{"required": [name]} for name in names]}
    in_bands = {"required": [bands], "properties": {bands: {"contains": wanted}}}
    if "all" in need and need["in"] == ["properties"]:
        return _at("properties", wanted)
    if "all" in need and need["in"] == ["self"]:
        return wanted
    either = wanted if bands is None else {"anyOf": [wanted, in_bands]}
    return {"anyOf": [_has(place, wanted, either, in_bands) for place in need["in"]]}


def _has(place: str, wanted: Schema, either: Schema, in_bands: Schema) -> Schema:
    if place == "self":
        return wanted
    if place == "self bands":
        return in_bands
    if place in _OBJECTS:
        return {"required": [place], "properties": {place: {"not": {"additionalProperties": {"not": either}}}}}
    if place == "links":
        return {"required": [place], "properties": {place: {"contains": wanted}}}
    if place == "producers":
        return {"required": ["providers"], "properties": {"providers": {"contains": {"allOf": [_PRODUCERS, wanted]}}}}
    return {"required": [place], "properties": {place: either}}
