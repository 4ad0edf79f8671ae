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
# Names that the core has, or writers of items most often.
_USUAL = (
    "href", "type", "title", "description", "roles", "bands", "name", "gsd", "nodata", "data_type", "unit",
    "datetime", "start_datetime", "end_datetime", "created", "updated", "platform", "constellation", "instruments",
    "mission", "license", "keywords", "statistics", "bits_per_sample", "alternate", "bocage:external",
)  # fmt: skip
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


def is_known(extension: str, version: str) -> bool:
    """Whether there is a schema of this version of an extension."""
    facts = _facts(extension)
    return facts is not None and version in facts["versions"]


def combined(kind: str, extensions: Iterable[tuple[str, str]]) -> Schema:
    """One schema of several known extensions. What names there may be is looked at once in each place, for all of them:
    that is what takes longest."""
    definitions: Schema = {}
    names: dict[tuple[str, str | None], tuple[list[str], list[str]]] = {}
    for extension, version in extensions:
        named = f"{extension}-{version}"
        own = json.dumps(schema_of(kind, extension, version, closed=False))
        definitions[named] = json.loads(own.replace('"#/definitions/', f'"#/definitions/{named}/definitions/'))
        said = _said(extension, version)
        if "prefix" in said:
            for place in said.get(kind, ()):
                for inner in dict.fromkeys((None, _bands_at(place, said))):
                    prefixes, fields = names.setdefault((place, inner), ([], []))
                    prefixes.append(said["prefix"])
                    fields += said["fields"]
    clauses = [{"$ref": f"#/definitions/{named}"} for named in definitions]
    for (place, inner), (prefixes, fields) in names.items():
        checked = _names_checked(prefixes, fields)
        clauses.append(_at(place, checked if inner is None else _with_bands({}, checked, inner)))
    return {"definitions": definitions, "allOf": clauses or [{}]}


def _said(extension: str, version: str) -> Schema:
    """What is said of one version of a known extension: of all, but for what is its own."""
    facts = _facts(extension) or {}
    own: Schema = facts["versions"][version]
    fields = {**facts.get("fields", {}), **own.get("fields", {})}
    definitions = {**facts.get("definitions", {}), **own.get("definitions", {})}
    also = [extra for extra in (facts.get("also"), own.get("also")) if extra is not None]
    kept = {name: schema for name, schema in fields.items() if name not in own.get("without", ())}
    return {**facts, **own, "fields": kept, "definitions": definitions, "also": also}


def schema_of(kind: str, extension: str, version: str, *, closed: bool = True) -> Schema | None:
    """The schema of `kind` (item, collection) in one version of an extension; None when it is not known. It is `closed`
    unless other fields of its prefix are left to `combined`."""
    if not is_known(extension, version):
        return None
    said = _said(extension, version)
    fields, prefix = said["fields"], said.get("prefix")
    checked = _checked(fields, prefix if closed else None, said.get("depends"))
    clauses: list[Schema] = []
    for place in said.get(kind, ()):
        bands = _bands_at(place, said)
        clauses.append(_at(place, checked if bands is None else _with_bands(checked, checked, bands)))
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
        clauses.append(_needed(need, fields, said.get("needs_in_bands", said.get("bands"))))
    clauses += [extra[kind] for extra in said["also"] if kind in extra]
    return {"definitions": said["definitions"], "allOf": clauses or [{}]}


def _checked(fields: Schema, prefix: str | None, depends: Schema | None) -> Schema:
    """The fields, where one may stand; of a prefix, no others."""
    made: Schema = {"type": "object", "properties": fields}
    if prefix is not None:
        made["propertyNames"] = _among([prefix], list(fields))
    if depends is not None:
        made["dependencies"] = depends
    return made


def _names_checked(prefixes: list[str], fields: list[str]) -> Schema:
    """That no name is one of the prefixes but no field. To match each name takes long: an object all of whose names are
    known is not asked for them."""
    others = [name for name in (*_USUAL, *_all_fields()) if name.partition(":")[0] not in prefixes]
    known = dict.fromkeys([*others, *fields], True)
    return {
        "anyOf": [
            {"properties": known, "additionalProperties": False},
            {"propertyNames": _among(prefixes, fields)},
        ]
    }


@lru_cache
def _all_fields() -> tuple[str, ...]:
    """The fields of all known extensions, of any version."""
    return tuple(dict.fromkeys(name for known in known_extensions() for name in _said(*known)["fields"]))


def _among(prefixes: list[str], fields: list[str]) -> Schema:
    """Names that are no fields of the prefixes, or these."""
    pattern = f"^{prefixes[0]}:" if len(prefixes) == 1 else f"^({'|'.join(prefixes)}):"
    return {"if": {"pattern": pattern}, "then": {"enum": fields}}


def _bands_at(place: str, said: Schema) -> str | None:
    """The member with the bands of what stands at a place, if an extension's fields may stand in these too."""
    return said.get("bands") if place in said.get("bands_in", ("properties", *_OBJECTS)) else None


def _with_bands(schema: Schema, inner: Schema, bands: str) -> Schema:
    return {**schema, "allOf": [{"properties": {bands: {"type": "array", "items": inner}}}]}


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
