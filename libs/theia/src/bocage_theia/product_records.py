"""Reads the records of product lines, which people write as YAML, and refuses what they would not notice."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

Record = Mapping[str, Any]

UNKNOWN = "unknown"
NONE = "none"
FACTS = (
    "status",
    "cds",
    "ces",
    "licence",
    "providers",
    "place",
    "period",
    "gsd",
    "revisit",
    "level",
    "encoding",
    "crs",
)
"""What every record must say something of."""
_NEEDED = (*FACTS, "title", "description", "keywords", "variables", "sources")
_OPTIONAL = (
    "art",
    "processes",
    "platforms",
    "instruments",
    "assets",
    "styles",
    "notes",
    "doi",
    "publications",
    "also_unknown",
    "portals",
)
_KEYS = frozenset((*_NEEDED, *_OPTIONAL))


# The loader in C reads the same ten times as fast.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Strict(_Loader):
    """YAML in which no key stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"{node.start_mark}: {', '.join(map(str, twice))} stands twice")
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


def records() -> dict[str, Record]:
    """The records as they are written, by the id of their collection."""
    found: dict[str, Record] = {}
    for file in sorted(_folder().iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml") and file.name != "shared.yaml":
            for name, record in read(file.read_text("utf-8"), file.name).items():
                if name in found:
                    raise ValueError(f"{file.name}: {name} has a record elsewhere")
                check(record, f"{file.name}: {name}")
                found[name] = record
    return found


def shared_words() -> Record:
    """What records name by key: places, providers, sources, encodings, classes, bands."""
    return read(_folder().joinpath("shared.yaml").read_text("utf-8"), "shared.yaml")


def read(text: str, name: str) -> Record:
    """A file of records; ValueError names what is wrong."""
    found: Record = yaml.load(text, _Strict)  # noqa: S506 (a safe loader)
    _refuse_gaps(found, name)
    return found


def _folder() -> Any:
    return resources.files("bocage_theia").joinpath("products")


def _refuse_gaps(value: Any, place: str) -> None:
    """A comma that is not quoted ends a text in `{…}` and leaves a key without a value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if inner is None:
                raise ValueError(f"{place}: {key!r} has no value; put texts with commas in quotes")
            _refuse_gaps(inner, f"{place}/{key}")
    elif isinstance(value, list):
        for inner in value:
            _refuse_gaps(inner, place)


def check(record: Record, place: str) -> None:
    """Raises ValueError where a record leaves a fact out, or says what no record does."""
    if missing := [key for key in _NEEDED if key not in record]:
        raise ValueError(f"{place} says nothing of {', '.join(missing)}; write unknown, or none where nothing applies")
    if strange := sorted(set(record) - _KEYS):
        raise ValueError(f"{place} has {', '.join(strange)}, which no record has")


def known(fact: Any) -> Any:
    """A fact, or None where it is unknown or there is none."""
    return None if fact in (UNKNOWN, NONE) else fact


def unknown_facts(record: Record) -> list[str]:
    """What no source tells of a product line."""
    told = {"providers": "producer", "place": "extent", "gsd": "resolution"}
    missing = [told.get(fact, fact) for fact in FACTS if record[fact] == UNKNOWN]
    if record["encoding"] == "own":
        missing.append("encoding")
    if str(record["place"]).endswith("?"):
        missing.append("extent")
    producers = [] if record["providers"] == UNKNOWN else record["providers"].values()
    if record["providers"] != UNKNOWN and not any({"producer", "processor"} & set(roles) for roles in producers):
        missing.append("producer")
    for name, asset in (record.get("assets") or {}).items():
        if asset.get("unit") == UNKNOWN:
            missing.append(f"{name} unit")
    return [*missing, *record.get("also_unknown", ())]
