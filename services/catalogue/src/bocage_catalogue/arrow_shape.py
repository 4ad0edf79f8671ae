"""What kinds of values a set of JSON documents holds, place by place, and the Arrow type that can hold them all.

A place whose values agree on no type (numbers beside texts, objects with members without end) becomes JSON text under
the extension type `arrow.json`: nothing is lost, and the reader knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import orjson

Json = Any

_BOOLEAN, _INTEGER, _NUMBER, _TEXT, _OBJECT, _LIST, _BINARY = (1 << n for n in range(7))
_SAFE_INTEGER = 1 << 53
_LONGEST_INTEGER = 1 << 63
# Columns of a file are held in memory while it is written: their number has to end somewhere.
MOST_MEMBERS = 1000
MOST_PLACES = 20_000
DEEPEST = 24
JSON_TEXT: Mapping[bytes, bytes] = {b"ARROW:extension:name": b"arrow.json", b"ARROW:extension:metadata": b""}


@dataclass
class Budget:
    """How many more places may be told apart in one file."""

    places: int = MOST_PLACES


@dataclass(slots=True)
class Shape:
    """The values seen in one place. `whole`: they are kept as JSON text, whatever they are."""

    kinds: int = 0
    members: dict[str, Shape] = field(default_factory=dict)
    element: Shape | None = None
    largest: int = 0
    whole: bool = False

    def learn(self, value: Json, budget: Budget, depth: int = 0) -> None:
        kind = type(value)
        if kind is str:
            self.kinds |= _TEXT
        elif kind is dict:
            self.kinds |= _OBJECT
            if not self.whole:
                self._learn_members(value, budget, depth)
        elif kind is list:
            self.kinds |= _LIST
            if not self.whole:
                self._learn_elements(value, budget, depth)
        elif kind is bool:
            self.kinds |= _BOOLEAN
        elif kind is int:
            self.kinds |= _INTEGER
            self.largest = max(self.largest, abs(value))
        elif kind is float:
            self.kinds |= _NUMBER
        elif kind is bytes:
            self.kinds |= _BINARY

    def _learn_members(self, value: dict[str, Json], budget: Budget, depth: int) -> None:
        members = self.members
        for name, inner in value.items():
            known = members.get(name)
            if known is None:
                budget.places -= 1
                if budget.places < 0 or len(members) >= MOST_MEMBERS or depth >= DEEPEST:
                    self.keep_whole()
                    return
                known = members[name] = Shape()
            # Most values are texts: a call less for each of them.
            if type(inner) is str:
                known.kinds |= _TEXT
            else:
                known.learn(inner, budget, depth + 1)

    def _learn_elements(self, value: list[Json], budget: Budget, depth: int) -> None:
        if depth >= DEEPEST:
            self.keep_whole()
            return
        if self.element is None:
            self.element = Shape()
        for inner in value:
            self.element.learn(inner, budget, depth + 1)

    def keep_whole(self) -> None:
        self.whole = True
        self.members.clear()
        self.element = None

    @property
    def textual(self) -> bool:
        """Whether every value is a text."""
        return self.kinds == _TEXT

    @property
    def binary(self) -> bool:
        return self.kinds == _BINARY

    def is_json(self) -> bool:
        """Whether the values have no type in common but JSON."""
        if self.whole or self.kinds not in _SINGLE:
            return True
        if self.kinds == _OBJECT:
            return not self.members  # Parquet has no object without members
        return self.kinds & _INTEGER != 0 and self.largest > (
            _SAFE_INTEGER if self.kinds & _NUMBER else _LONGEST_INTEGER - 1
        )


_SINGLE = frozenset({0, _BOOLEAN, _INTEGER, _NUMBER, _INTEGER | _NUMBER, _TEXT, _OBJECT, _LIST, _BINARY})


def arrow_field(name: str, shape: Shape) -> Any:
    """The Arrow field for values of `shape`."""
    pa: Any = import_module("pyarrow")

    if shape.is_json():
        return pa.field(name, pa.string(), metadata=dict(JSON_TEXT))
    return pa.field(name, _type(shape))


def _type(shape: Shape) -> Any:
    pa: Any = import_module("pyarrow")

    if shape.kinds & _NUMBER:
        return pa.float64()
    if shape.kinds == _INTEGER:
        return pa.int64()
    if shape.kinds == _BOOLEAN:
        return pa.bool_()
    if shape.binary:
        return pa.binary()
    if shape.kinds == _OBJECT:
        return pa.struct([arrow_field(name, inner) for name, inner in shape.members.items()])
    if shape.kinds == _LIST:
        return pa.list_(arrow_field("element", shape.element or Shape()))
    return pa.string()  # texts, or nothing but nulls


@dataclass(frozen=True)
class Repair:
    """Where a document has to be changed to fit its Arrow type: into JSON text here, or within."""

    whole: bool = False
    members: tuple[tuple[str, Repair], ...] = ()
    element: Repair | None = None

    def apply(self, value: Json) -> Json:
        """`value` as Arrow takes it; changed in place where it can be."""
        if value is None:
            return None
        if self.whole:
            return orjson.dumps(value).decode()
        if self.element is not None:
            return [self.element.apply(inner) for inner in value]
        for name, repair in self.members:
            if value.get(name) is not None:
                value[name] = repair.apply(value[name])
        return value


def repair_of(shape: Shape) -> Repair | None:
    """What values of `shape` need; None when they are taken as they are."""
    if shape.is_json():
        return Repair(whole=True)
    if shape.element is not None:
        inner = repair_of(shape.element)
        return Repair(element=inner) if inner is not None else None
    members = repairs(shape.members.items())
    return Repair(members=members) if members else None


def repairs(members: Iterable[tuple[str, Shape]]) -> tuple[tuple[str, Repair], ...]:
    found = ((name, repair_of(shape)) for name, shape in members)
    return tuple((name, repair) for name, repair in found if repair is not None)
