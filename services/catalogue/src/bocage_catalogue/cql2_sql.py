"""CQL2 as SQL over finished items: conditions in, SQL with bound arguments out.

Logic is that of SQL: what is compared with an absent value, or with one of another kind, is unknown, and so is its
negation. Every node is checked against what is known of the properties; what makes no sense is refused with its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from bocage_catalogue import areas, moments
from bocage_catalogue.cql2_nodes import DEPTH
from bocage_catalogue.cql2_operators import (
    AGAINST_DAY,
    ARRAYS,
    CALCULATIONS,
    COMPARISONS,
    LOGIC,
    MIRRORED,
    NAMES,
    OPERATORS,
    SPATIAL,
    TEMPORAL,
    TEXTS,
    TYPES,
)
from bocage_catalogue.kinds import (
    ARRAY,
    BOOLEAN,
    COLUMNS,
    GEOMETRY,
    MOMENT,
    NUMBER,
    SCALARS,
    TEXT,
    Known,
    presence,
    reading,
)
from bocage_catalogue.moments import Span
from bocage_catalogue.refusals import refused
from bocage_catalogue.sql_arguments import Arguments

_CALCULATIONS = 64
_LONGEST_TEXT = 8192


class End:
    """An end of a span: its SQL is made when it is needed, since not every relation asks for all four."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make, self._made = make, ""

    def __str__(self) -> str:
        self._made = self._made or self._make()
        return self._made


_FOREVER = (End(lambda: "'-infinity'::timestamptz"), End(lambda: "'infinity'::timestamptz"))


@dataclass(frozen=True)
class Operand:
    """A value in SQL: of one kind when it was made, of those that are known when it is a property."""

    kinds: frozenset[str]
    sql: str | End = ""
    name: str | None = None
    text: str | None = None  # of a literal
    span: tuple[End, End] | None = None


class Compiler:
    """Makes SQL of conditions; what they compare with is added to `arguments`."""

    def __init__(self, known: Known, arguments: Arguments) -> None:
        self._known, self._arguments, self._calculations = known, arguments, 0

    def condition(self, node: Any, at: str, depth: int = 0) -> str:
        """What is true, false or unknown of an item. Raises Problem 400."""
        if depth > DEPTH:
            raise refused(at, "nested too deeply")
        if isinstance(node, bool):
            return "true" if node else "false"
        if isinstance(node, dict) and "property" in node:
            found = self._property(node, at)
            return self._as(found, BOOLEAN, at)
        operator, arguments = self._operation(node, at)
        if operator in LOGIC:
            if operator == "not":
                self._count(arguments, 1, operator, at)
                return f"(not {self.condition(arguments[0], f'{at}.args[0]', depth + 1)})"
            if not arguments:
                raise refused(at, f"{operator} needs at least one condition")
            inner = [self.condition(x, f"{at}.args[{n}]", depth + 1) for n, x in enumerate(arguments)]
            return f"({f' {operator} '.join(inner)})"
        for names, make in self._makers:
            if operator in names:
                return make(self, operator, arguments, at, depth)
        raise refused(at, f"{operator} gives a value, where a condition is needed")

    # -- conditions ----------------------------------------------------------------------------------------------

    def _compared(self, operator: str, arguments: list[Any], at: str, depth: int) -> str:
        self._count(arguments, 2, operator, at)
        left, right = (self._value(x, f"{at}.args[{n}]", depth + 1) for n, x in enumerate(arguments))
        return self._comparison(operator, left, right, at)

    def _between(self, operator: str, arguments: list[Any], at: str, depth: int) -> str:
        self._count(arguments, 3, operator, at)
        subject, low, high = (self._value(x, f"{at}.args[{n}]", depth + 1) for n, x in enumerate(arguments))
        return (
            f"({self._comparison('>=', subject, low, f'{at}.args[1]')}"
            f" and {self._comparison('<=', subject, high, f'{at}.args[2]')})"
        )

    def _in(self, operator: str, arguments: list[Any], at: str, depth: int) -> str:
        self._count(arguments, 2, operator, at)
        subject, values = self._value(arguments[0], f"{at}.args[0]", depth + 1), arguments[1]
        if not isinstance(values, list) or not values:
            raise refused(f"{at}.args[1]", "in takes a list of at least one value")
        kind = _kind_of_all(values)
        if kind is not None and subject.kinds == {kind}:
            place = self._arguments.add(
                [_bound(x, f"{at}.args[1][{n}]") for n, x in enumerate(values)], f"{TYPES[kind]}[]"
            )
            return f"({self._as(subject, kind, at)} = any({place}))"
        each = [
            self._comparison("=", subject, self._value(x, f"{at}.args[1][{n}]", depth + 2), f"{at}.args[1][{n}]")
            for n, x in enumerate(values)
        ]
        return f"({' or '.join(each)})"

    def _like(self, operator: str, arguments: list[Any], at: str, depth: int) -> str:
        self._count(arguments, 2, operator, at)
        _check_pattern(arguments[1], f"{at}.args[1]")
        subject, pattern = (self._value(x, f"{at}.args[{n}]", depth + 1) for n, x in enumerate(arguments))
        return f"({self._as(subject, TEXT, f'{at}.args[0]')} like {self._as(pattern, TEXT, f'{at}.args[1]')})"

    def _is_null(self, operator: str, arguments: list[Any], at: str, depth: int) -> str:
        self._count(arguments, 1, operator, at)
        subject = self._value(arguments[0], f"{at}.args[0]", depth + 1)
        if subject.name is not None:
            return f"({presence(subject.name, self._arguments)} is null)"
        return f"({subject.span[0] if subject.span else subject.sql} is null)"

    def _temporal(self, operator: str, arguments: list[Any], at: str, depth: int) -> str:
        self._count(arguments, 2, operator, at)
        spans: list[End] = []
        for n, node in enumerate(arguments):
            place = f"{at}.args[{n}]"
            spans += self._span(self._value(node, place, depth + 1), place)
        return TEMPORAL[operator].format(*spans)

    def _spatial(self, operator: str, arguments: list[Any], at: str, depth: int) -> str:
        self._count(arguments, 2, operator, at)
        if operator in ("s_intersects", "s_disjoint"):
            found = " or ".join(
                self._arguments.meet(left, right)
                for left in self._areas(arguments[0], f"{at}.args[0]", collections=True)
                for right in self._areas(arguments[1], f"{at}.args[1]", collections=True)
            )
            return f"(not ({found}))" if operator == "s_disjoint" else f"({found})"
        left, right = (self._whole(node, f"{at}.args[{n}]") for n, node in enumerate(arguments))
        return f"({self._arguments.near(left, right)} and catalogue.related('{operator}', {left}, {right}))"

    def _arrays(self, operator: str, arguments: list[Any], at: str, depth: int) -> str:
        self._count(arguments, 2, operator, at)
        sides = []
        for n, node in enumerate(arguments):
            place = f"{at}.args[{n}]"
            if isinstance(node, list):
                for m, value in enumerate(node):
                    if not isinstance(value, str | int | float):
                        raise refused(f"{place}[{m}]", "a list holds text, numbers, true and false")
                    _bound(value, f"{place}[{m}]")
                sides.append(self._arguments.add(node, "jsonb"))
            else:
                sides.append(self._as(self._value(node, place, depth + 1), ARRAY, place))
        return ARRAYS[operator].format(*sides)

    _makers: tuple[tuple[Any, Callable[..., str]], ...] = (
        (COMPARISONS, _compared), (("between",), _between), (("in",), _in), (("like",), _like), (("isnull",), _is_null),
        (TEMPORAL, _temporal), (SPATIAL, _spatial), (ARRAYS, _arrays),
    )  # fmt: skip

    # -- values --------------------------------------------------------------------------------------------------

    def _value(self, node: Any, at: str, depth: int) -> Operand:
        if depth > DEPTH:
            raise refused(at, "nested too deeply")
        if isinstance(node, bool):
            return Operand(frozenset((BOOLEAN,)), "true" if node else "false")
        if isinstance(node, str):
            text = str(_bound(node, at))
            return Operand(frozenset((TEXT,)), End(lambda: self._arguments.add(text, "text")), text=text)
        if isinstance(node, int | float):
            return Operand(frozenset((NUMBER,)), self._arguments.add(_bound(node, at), "numeric"))
        if isinstance(node, dict):
            if "property" in node:
                return self._property(node, at)
            for name, make in (("timestamp", moments.instant), ("date", moments.day)):
                if name in node:
                    if not isinstance(node[name], str) or len(node) > 1:
                        raise refused(at, f"{name} takes a text")
                    made = make(node[name], at)
                    return self._instants(made if isinstance(made, Span) else Span(made, made))
            if "interval" in node:
                return self._interval(node, at, depth)
            if "op" in node:
                return self._made(node, at, depth)
            if node.get("type") in areas.KINDS or "bbox" in node:
                raise refused(at, "a geometry goes with the spatial operators only")
        if node is None:
            raise refused(at, "nothing equals null; ask with isNull")
        raise refused(at, "a value or a property is needed here")

    def _made(self, node: dict[str, Any], at: str, depth: int) -> Operand:
        operator, arguments = self._operation(node, at)
        if operator in TEXTS:
            self._count(arguments, 1, operator, at)
            inner = self._as(self._value(arguments[0], f"{at}.args[0]", depth + 1), TEXT, f"{at}.args[0]")
            return Operand(frozenset((TEXT,)), TEXTS[operator].format(inner))
        if operator in CALCULATIONS:
            self._calculations += 1
            if self._calculations > _CALCULATIONS:
                raise refused(at, f"more than {_CALCULATIONS} calculations")
            self._count(arguments, 2, operator, at)
            sides = [
                self._as(self._value(x, f"{at}.args[{n}]", depth + 1), NUMBER, f"{at}.args[{n}]")
                for n, x in enumerate(arguments)
            ]
            return Operand(frozenset((NUMBER,)), CALCULATIONS[operator].format(*sides))
        return Operand(frozenset((BOOLEAN,)), self.condition(node, at, depth))

    def _property(self, node: Mapping[str, Any], at: str) -> Operand:
        name, kinds = self._known.of(node["property"], at)
        return Operand(kinds, name=name)

    def _instants(self, span: Span) -> Operand:
        low = self._instant(span.start)
        return Operand(frozenset((MOMENT,)), span=(low, low if span.start == span.end else self._instant(span.end)))

    def _instant(self, value: datetime | None) -> End:
        return End(lambda: self._arguments.add(value, "timestamptz"))

    def _interval(self, node: Mapping[str, Any], at: str, depth: int) -> Operand:
        ends = node["interval"]
        if not isinstance(ends, list) or len(ends) != 2:
            raise refused(at, "an interval has a start and an end")
        sides: list[End] = []
        fixed: list[datetime | None] = []
        for n, end in enumerate(ends):
            place = f"{at}.interval[{n}]"
            if end == "..":
                sides.append(_FOREVER[n])
                continue
            if isinstance(end, str):
                span = moments.instant_or_day(end, place)
                side = span.end if n else span.start
                fixed.append(side)
                sides.append(self._instant(side))
                continue
            operand = self._value(end, place, depth + 1)
            if "interval" in operand.kinds:
                raise refused(place, "an interval ends at instants")
            sides.append(self._span(operand, place)[n])
        if len(fixed) == 2 and fixed[0] is not None and fixed[1] is not None and fixed[0] > fixed[1]:
            raise refused(at, "the interval ends before it starts")
        return Operand(frozenset(("interval",)), span=(sides[0], sides[1]))

    def _span(self, operand: Operand, at: str) -> tuple[End, End]:
        if operand.span is not None:
            return operand.span
        if operand.text is not None:
            found = self._instants(moments.instant_or_day(operand.text, at)).span
            assert found is not None
            return found
        self._check_kind(operand, MOMENT, at)
        moment = End(lambda: self._as(operand, MOMENT, at))
        return moment, moment

    def _areas(self, node: Any, at: str, *, collections: bool) -> list[str]:
        """A geometry in parts that are searched one by one: a box across the antimeridian has two."""
        if isinstance(node, dict) and set(node) == {"bbox"}:
            return [
                areas.box_sql(part, at, self._arguments) for part in areas.boxes(areas.box(node["bbox"], f"{at}.bbox"))
            ]
        return [self._whole(node, at, collections=collections)]

    def _whole(self, node: Any, at: str, *, collections: bool = False) -> str:
        if isinstance(node, dict) and "property" in node:
            name, kinds = self._known.of(node["property"], at)
            if kinds != {GEOMETRY}:
                raise refused(at, f"{name} is no geometry")
            return COLUMNS[name][1]
        if isinstance(node, dict) and set(node) == {"bbox"}:
            node = areas.outline(areas.box(node["bbox"], f"{at}.bbox"))
        text = areas.geometry(node, at)
        if node["type"] == "GeometryCollection" and not collections:
            raise refused(at, "a collection of geometries goes with s_intersects and s_disjoint only")
        return self._arguments.area(text, at, plain=areas.is_plain(node))

    # -- kinds ---------------------------------------------------------------------------------------------------

    def _as(self, operand: Operand, kind: str, at: str) -> str:
        """An operand read as one kind. Raises Problem 400 when it never is."""
        self._check_kind(operand, kind, at)
        return str(operand.sql) if operand.name is None else reading(operand.name, kind, self._arguments)

    def _check_kind(self, operand: Operand, kind: str, at: str) -> None:
        written = kind == MOMENT and TEXT in operand.kinds and operand.name is not None and operand.name not in COLUMNS
        if not (written or (kind in operand.kinds and operand.span is None)):
            raise refused(at, f"{self._called(operand)}, where {NAMES[kind]} is needed")

    @staticmethod
    def _called(operand: Operand) -> str:
        what = " or ".join(sorted(NAMES[kind] for kind in operand.kinds))
        return what if operand.name is None else f"{operand.name} is {what}"

    def _comparison(self, operator: str, left: Operand, right: Operand, at: str) -> str:
        common = [kind for kind in SCALARS if kind in left.kinds and kind in right.kinds]
        either = left.kinds | right.kinds
        if not common and MOMENT in either and TEXT in left.kinds | right.kinds and "interval" not in either:
            common = [MOMENT]
        if not common:
            raise refused(at, f"{self._called(left)} and {self._called(right)} can't be compared")
        if common == [BOOLEAN] and operator not in ("=", "<>"):
            raise refused(at, f"true and false have no order: {operator} is no question")
        if operator not in ("=", "<>"):
            common = [kind for kind in common if kind != BOOLEAN]
        made = [self._of_kind(operator, left, right, kind, at) for kind in common]
        return made[0] if len(made) == 1 else f"coalesce({', '.join(made)})"

    def _of_kind(self, operator: str, left: Operand, right: Operand, kind: str, at: str) -> str:
        if kind != MOMENT:
            return f"({self._as(left, kind, at)} {operator} {self._as(right, kind, at)})"
        (low, high), (other_low, other_high) = self._span(left, at), self._span(right, at)
        if low is high and other_low is not other_high:
            return AGAINST_DAY[operator].format(x=low, low=other_low, high=other_high)
        if low is not high and other_low is other_high:
            return AGAINST_DAY[MIRRORED[operator]].format(x=other_low, low=low, high=high)
        return f"({low} {operator} {other_low})"

    # -- shapes of nodes -----------------------------------------------------------------------------------------

    @staticmethod
    def _operation(node: Any, at: str) -> tuple[str, list[Any]]:
        if not isinstance(node, dict) or not isinstance(node.get("op"), str):
            raise refused(at, "a condition is needed here: an object with op and args")
        operator, arguments = node["op"].lower(), node.get("args")
        if operator not in OPERATORS:
            close = get_close_matches(operator[:60], OPERATORS, 1)
            meant = f"; perhaps {close[0]} was meant" if close else ""
            raise refused(at, f"the operator {node['op'][:60]!r} is not known here{meant}")
        if not isinstance(arguments, list):
            raise refused(f"{at}.args", "args must be a list")
        return operator, arguments

    @staticmethod
    def _count(arguments: list[Any], wanted: int, operator: str, at: str) -> None:
        if len(arguments) != wanted:
            raise refused(f"{at}.args", f"{operator} takes {wanted} argument{'s' * (wanted > 1)}, not {len(arguments)}")


def _bound(value: Any, at: str) -> Any:
    """A literal as the driver takes it."""
    if isinstance(value, str):
        if "\0" in value or len(value) > _LONGEST_TEXT:
            raise refused(at, f"a text has at most {_LONGEST_TEXT} characters, none of them null")
        return value
    if isinstance(value, bool):
        return value
    return Decimal(repr(value))


def _kind_of_all(values: list[Any]) -> str | None:
    """The kind of literals that are all alike."""
    if all(isinstance(value, str) for value in values):
        return TEXT
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return NUMBER
    return None


def _check_pattern(node: Any, at: str) -> None:
    """A pattern is a literal, perhaps without case or accents. Raises Problem 400."""
    while isinstance(node, dict) and str(node.get("op")).lower() in TEXTS and isinstance(node.get("args"), list):
        node = node["args"][0] if node["args"] else None
    if not isinstance(node, str):
        raise refused(at, "like takes a pattern, which is a text")
    if (len(node) - len(node.rstrip("\\"))) % 2:
        raise refused(at, "the pattern ends in the middle of \\ and what it protects")
