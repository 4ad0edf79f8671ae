"""Records that break the standard made ones that hold it: one rule a function, each telling what it changed."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bocage_client.errors import JsonObject


class Kind(enum.StrEnum):
    """Whose dialect a source speaks."""

    STAC = "stac"
    THEIA = "theia"
    GEODES = "geodes"
    HYDROWEB = "hydroweb"
    DINAMIS = "dinamis"


class Odd(Exception):
    """A record that can't be taken: which rule says so, and why."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule, self.detail = rule, detail


@dataclass(frozen=True)
class Change:
    """What a rule did. `before`: the members that it changed or took off, as they were."""

    rule: str
    detail: str
    before: Mapping[str, Any] = field(default_factory=dict)
    flag: bool = False
    """Nothing was changed, but somebody should look."""


Rule = Callable[[JsonObject], tuple[JsonObject, Sequence[Change]]]


@dataclass(frozen=True)
class Normalised:
    record: JsonObject
    changes: tuple[Change, ...]

    @property
    def rules(self) -> list[str]:
        return sorted({x.rule for x in self.changes if not x.flag})

    @property
    def before(self) -> JsonObject:
        """The first value of each member that was changed, as the source said it."""
        made: JsonObject = {}
        for change in self.changes:
            for name, value in change.before.items():
                made.setdefault(name, value)
        return made


def run(record: Any, rules: Iterable[Rule]) -> Normalised:
    """Raises Odd. The record that is given is left as it is."""
    if not isinstance(record, dict):
        raise Odd("not-an-object", f"it is {kind_of(record)}, not an object")
    made: JsonObject = dict(record)
    changes: list[Change] = []
    for rule in rules:
        made, found = rule(made)
        changes += found
    return Normalised(made, tuple(changes))


NOTHING: tuple[Change, ...] = ()


def kind_of(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}.get(
        type(value), "a number"
    )


def properties(item: JsonObject) -> JsonObject:
    found = item.get("properties")
    return found if isinstance(found, dict) else {}


def put(item: JsonObject, changed: Mapping[str, Any], rule: str, detail: str) -> tuple[JsonObject, Sequence[Change]]:
    """`item` with other properties; those that are None go."""
    old = properties(item)
    before = {name: old[name] for name in changed if name in old and old[name] is not None}
    new = {name: value for name, value in {**old, **changed}.items() if value is not None or name not in changed}
    if "datetime" in changed and changed["datetime"] is None:
        new["datetime"] = None
    return {**item, "properties": new}, (Change(rule, detail, before),)
