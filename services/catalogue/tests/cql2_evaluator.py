"""CQL2 in memory, over the JSON of items: written from what the language says, not from how the catalogue does it.

True, False or None, which is unknown: what is absent, null, or of another kind than it is compared with.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from shapely import MultiPolygon, Point, Polygon, box
from shapely.geometry import LineString, shape

Truth = bool | None
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
INSTANTS = {"datetime", "start_datetime", "end_datetime", "created", "updated"}
ZONED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
DAY = re.compile(r"\d{4}-\d\d-\d\d")


def both(values: list[Truth]) -> Truth:
    return False if False in values else None if None in values else True


def either(values: list[Truth]) -> Truth:
    return True if True in values else None if None in values else False


def moment(text: Any) -> tuple[datetime, datetime] | None:
    """A written instant, or a whole day."""
    if not isinstance(text, str):
        return None
    try:
        if DAY.fullmatch(text):
            start = datetime.fromisoformat(text).replace(tzinfo=UTC)
            return start, start + timedelta(days=1, microseconds=-1)
        if ZONED.fullmatch(text):
            found = datetime.fromisoformat(text)
            return found, found
    except ValueError:
        pass
    return None


class Value:
    """One of: text, number, boolean, span (two instants, either unknown), list, shape; or nothing."""

    def __init__(self, kind: str | None, value: Any = None, name: str | None = None) -> None:
        self.kind, self.value, self.name = kind, value, name


NOTHING = Value(None)


def of_json(value: Any, name: str | None = None) -> Value:
    if isinstance(value, bool):
        return Value("boolean", value, name)
    if isinstance(value, int | float):
        return Value("number", Fraction(repr(value)), name)
    if isinstance(value, str):
        return Value("text", value, name)
    if isinstance(value, list):
        return Value("list", value, name)
    return Value(None, None, name)


class Evaluator:
    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item

    def property(self, name: str) -> Value:
        name = name.removeprefix("properties.")
        if name in ("id", "collection"):
            return Value("text", self.item[name], name)
        if name == "geometry":
            return Value("shape", [shape(self.item["geometry"])], name)
        found = self.item["properties"].get(name)
        if name == "datetime" and found is None:
            found = self.item["properties"].get("start_datetime")
        if name in INSTANTS:
            span = moment(found)
            return Value(None, None, name) if span is None else Value("span", (span[0], span[0]), name)
        return of_json(found, name)

    def value(self, node: Any) -> Value:
        if isinstance(node, dict):
            if "property" in node:
                return self.property(node["property"])
            if "timestamp" in node or "date" in node:
                return Value("span", moment(node.get("timestamp") or node.get("date")))
            if "interval" in node:
                return Value("span", tuple(self.end(x, n) for n, x in enumerate(node["interval"])))
            if "bbox" in node:
                return Value("shape", _boxes(node["bbox"]))
            if node.get("type") and "op" not in node:
                return Value("shape", [shape(node)])
            if node["op"] in ("casei", "accenti"):
                inner = self.value(node["args"][0])
                if inner.kind != "text":
                    return NOTHING
                return Value("text", inner.value.lower() if node["op"] == "casei" else _bare(inner.value))
            if node["op"] in CALCULATIONS:
                left, right = (self.value(x) for x in node["args"])
                if left.kind != "number" or right.kind != "number":
                    return NOTHING
                result = CALCULATIONS[node["op"]](left.value, right.value)
                return NOTHING if result is None else Value("number", result)
            truth = self.truth(node)
            return NOTHING if truth is None else Value("boolean", truth)
        return of_json(node)

    def end(self, node: Any, which: int) -> datetime | None:
        if node == "..":
            return (FIRST, LAST)[which]
        if isinstance(node, str):
            span = moment(node)
            assert span is not None
            return span[which]
        found = self.span(self.value(node))
        return found[which]

    @staticmethod
    def span(value: Value) -> tuple[datetime | None, datetime | None]:
        if value.kind == "span":
            return value.value  # type: ignore[no-any-return]
        if value.kind == "text":
            found = moment(value.value)
            if found is not None:
                return (found[0], found[0]) if value.name else found  # of a property, a day is its first instant
        return None, None

    def truth(self, node: Any) -> Truth:
        if isinstance(node, bool):
            return node
        if "property" in node:
            found = self.value(node)
            return found.value if found.kind == "boolean" else None
        operator, arguments = node["op"].lower(), node["args"]
        if operator == "and":
            return both([self.truth(x) for x in arguments])
        if operator == "or":
            return either([self.truth(x) for x in arguments])
        if operator == "not":
            truth = self.truth(arguments[0])
            return None if truth is None else not truth
        if operator == "isnull":
            return self.absent(arguments[0])
        if operator == "in":
            subject = self.value(arguments[0])
            return either([self.compared("=", subject, self.value(x)) for x in arguments[1]])
        if operator == "between":
            subject, low, high = (self.value(x) for x in arguments)
            return both([self.compared(">=", subject, low), self.compared("<=", subject, high)])
        if operator == "like":
            subject, pattern = (self.value(x) for x in arguments)
            return None if subject.kind != "text" else bool(_pattern(pattern.value).fullmatch(subject.value))
        if operator in COMPARISONS:
            return self.compared(operator, *(self.value(x) for x in arguments))
        if operator.startswith("t_"):
            return TIMES[operator](*self.span(self.value(arguments[0])), *self.span(self.value(arguments[1])))
        if operator.startswith("s_"):
            left, right = (self.value(x).value for x in arguments)
            if operator in ("s_intersects", "s_disjoint"):
                meet = any(a.intersects(b) for a in left for b in right)
                return meet if operator == "s_intersects" else not meet
            return bool(getattr(_whole(left), operator[2:])(_whole(right)))
        left, right = (self.value(x) for x in arguments)
        if left.kind != "list" or right.kind != "list":
            return None
        one, other = ({(type(x) is bool, isinstance(x, str), x) for x in side.value} for side in (left, right))
        return {
            "a_contains": one >= other, "a_containedby": one <= other, "a_equals": one == other,
            "a_overlaps": bool(one & other),
        }[operator]  # fmt: skip

    def absent(self, node: Any) -> bool:
        if isinstance(node, dict) and "property" in node:
            name = node["property"].removeprefix("properties.")
            if name in ("id", "collection", "geometry", "datetime"):
                return False
            return self.item["properties"].get(name) is None
        return self.value(node).kind is None

    def compared(self, operator: str, left: Value, right: Value) -> Truth:
        if "span" in (left.kind, right.kind) or INSTANTS & {left.name, right.name}:
            (a, b), (c, d) = self.span(left), self.span(right)
            if a is None or b is None or c is None or d is None:
                return None
            if a == b and c != d:
                return _with_day(operator, a, c, d)
            if a != b and c == d:
                return _with_day(MIRRORED[operator], c, a, b)
            return COMPARISONS[operator](a, c)
        if left.kind not in ("text", "number", "boolean") or left.kind != right.kind:
            return None
        return COMPARISONS[operator](left.value, right.value)


def _with_day(operator: str, x: datetime, low: datetime, high: datetime) -> bool:
    return {
        "=": low <= x <= high, "<>": not low <= x <= high, "<": x < low, "<=": x <= high, ">": x > high, ">=": x >= low,
    }[operator]  # fmt: skip


MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
COMPARISONS: dict[str, Any] = {
    "=": lambda a, b: a == b, "<>": lambda a, b: a != b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip
CALCULATIONS: dict[str, Any] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: None if b == 0 else a / b,
    "div": lambda a, b: None if b == 0 else Fraction(int(a / b)),
    "%": lambda a, b: None if b == 0 else a - b * int(a / b),
    "^": lambda a, b: None if a == 0 and b < 0 else Fraction(a) ** int(b),
}  # fmt: skip


def _timed(decide: Any, *pairs: tuple[int, int]) -> Any:
    """A relation of two spans, whose comparisons are unknown where an end is."""

    def truth(*ends: datetime | None) -> Truth:
        found = [None if ends[i] is None or ends[j] is None else test(ends[i], ends[j]) for i, test, j in decide]
        return (either if pairs else both)(found)

    return truth


def _rules(**written: str) -> dict[str, Any]:
    """`a<b` and the like, of the first span from a to b and the second from c to d."""
    made = {}
    for name, text in written.items():
        signs = {"<": COMPARISONS["<"], ">": COMPARISONS[">"], "=": COMPARISONS["="], "{": COMPARISONS["<="]}
        tests = [("abcd".index(t[0]), signs[t[1]], "abcd".index(t[2])) for t in text.lstrip("|").split()]
        made[f"t_{name}"] = _timed(tests, *([(0, 0)] if text.startswith("|") else []))
    return made


TIMES = _rules(
    after="a>d", before="b<c", contains="a<c b>d", disjoint="|b<c a>d", during="a>c b<d", equals="a=c b=d",
    finishedby="a<c b=d", finishes="a>c b=d", intersects="a{d c{b", meets="b=c", metby="a=d",
    overlappedby="a>c a<d b>d", overlaps="a<c b>c b<d", startedby="a=c b>d", starts="a=c b<d",
)  # fmt: skip


def _bare(text: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFD", text) if not "\u0300" <= sign <= "\u036f")


def _pattern(written: str) -> re.Pattern[str]:
    made, signs = "", iter(written)
    for sign in signs:
        made += re.escape(next(signs)) if sign == "\\" else {"%": ".*", "_": "."}.get(sign, re.escape(sign))
    return re.compile(made, re.DOTALL)


def _boxes(corners: list[float]) -> list[Any]:
    west, south, east, north = corners if len(corners) == 4 else (*corners[:2], *corners[3:5])
    pieces = [(west, east)] if west <= east else [(west, 180), (-180, east)]
    found: list[Any] = []
    for left, right in pieces:
        if left == right and south == north:
            found.append(Point(left, south))
        elif left == right or south == north:
            found.append(LineString([(left, south), (right, north)]))
        else:
            found.append(box(left, south, right, north))
    return found


def _whole(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    assert all(isinstance(part, Polygon) for part in parts)
    return MultiPolygon(parts)


def selects(expression: Any, item: dict[str, Any]) -> bool:
    return Evaluator(item).truth(expression) is True
