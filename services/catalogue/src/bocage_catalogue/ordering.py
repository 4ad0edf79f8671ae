"""The order of what is found, and what comes after or before a place in it.

Items without a value come last, whichever way is sorted; equal ones follow their collection and id. A first key that
may be absent is searched in two parts, with a value and without, so that an index serves each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from bocage_catalogue.conditions import Arguments, SortKey
from bocage_catalogue.kinds import BOOLEAN, COLUMNS, MOMENT, NUMBER, SCALARS, TEXT, Known, reading
from bocage_catalogue.refusals import refused

# Longer texts are sorted by their beginning, so that places in the order stay small.
_LONGEST = 200
_TYPES = {MOMENT: "timestamptz", NUMBER: "numeric", TEXT: "text", BOOLEAN: "boolean"}
FIRST, LAST = "'0001-01-01T00:00:00Z'::timestamptz", "'9999-12-31T23:59:59.999999Z'::timestamptz"
DEFAULT = (SortKey("datetime", descending=True),)


@dataclass(frozen=True)
class Key:
    """What is sorted by."""

    name: str
    kind: str
    descending: bool

    @property
    def always(self) -> bool:
        """Whether every item has it."""
        return self.name in COLUMNS

    def sql(self, arguments: Arguments) -> str:
        found = reading(self.name, self.kind, arguments)
        return found if self.always or self.kind != TEXT else f"left({found}, {_LONGEST})"

    def told(self, expression: str) -> str:
        """Its value as Python can hold it: what is loaded past the API may lie in other ages."""
        # Of properties, which may be absent, moment_of sees to it.
        return f"least(greatest({expression}, {FIRST}), {LAST})" if self.kind == MOMENT and self.always else expression


def keys(sortby: Sequence[SortKey], known: Known, chosen: Sequence[str] = ()) -> tuple[Key, ...]:
    """A total order; `chosen` are the kinds that an earlier page was sorted by. Raises Problem 400."""
    found: list[Key] = []
    for place, asked in enumerate(sortby or DEFAULT):
        at = f"sortby[{place}]"
        name, kinds = known.of(asked.name, at)
        possible = [kind for kind in SCALARS if kind in kinds]
        if not possible:
            raise refused(at, f"{name} can't be sorted by: /stac/sortables lists what can")
        earlier = chosen[place] if place < len(chosen) else None
        if name not in {key.name for key in found}:
            found.append(Key(name, earlier if earlier in possible else possible[0], asked.descending))
    for name in ("collection", "id"):
        if name not in {key.name for key in found}:
            found.append(Key(name, TEXT, found[0].descending))
    return tuple(found)


def written(key: Key, value: Any) -> Any:
    """A value of a key as JSON."""
    return value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, Decimal) else value


def read(key: Key, value: Any) -> Any:
    """The value that was written. Raises ValueError."""
    if value is None and not key.always:
        return None
    if key.kind == BOOLEAN and isinstance(value, bool):
        return value
    if isinstance(value, str) and "\0" not in value:
        if key.kind == TEXT:
            return value
        if key.kind == MOMENT:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment
        if key.kind == NUMBER:
            try:
                number = Decimal(value)
            except InvalidOperation as error:
                raise ValueError(value) from error
            if number.is_finite() and abs(number.adjusted()) < 1000:
                return number
    raise ValueError(value)


def _bound(key: Key, value: Any, arguments: Arguments) -> str:
    return arguments.add(value, _TYPES[key.kind])


def order(ordered: Sequence[Key], sql: Sequence[str], *, backwards: bool, first_has_value: bool) -> str:
    """The ORDER BY of a page."""
    parts = []
    for place, (key, expression) in enumerate(zip(ordered, sql, strict=True)):
        descending = key.descending != backwards
        part = f"{expression} desc" if descending else expression
        if not (key.always or (first_has_value and place == 0)):
            part += " nulls first" if backwards else " nulls last"
        parts.append(part)
    return ", ".join(parts)


def beyond(
    ordered: Sequence[Key],
    sql: Sequence[str],
    values: Sequence[Any],
    arguments: Arguments,
    *,
    backwards: bool,
    first_has_value: bool,
) -> str:
    """What comes after a place in the order, or before it."""
    descending = {key.descending for key in ordered}
    has_value = ordered[0].always or first_has_value
    if len(descending) == 1 and has_value and all(key.always for key in ordered[1:]):
        sign = "<" if ordered[0].descending != backwards else ">"
        bounds = ", ".join(_bound(key, value, arguments) for key, value in zip(ordered, values, strict=True))
        return f"({', '.join(sql)}) {sign} ({bounds})"
    either, equal = [], ""
    for key, expression, value in zip(ordered, sql, values, strict=True):
        if value is None:
            later = f"{expression} is not null" if backwards else "false"
            same = f"{expression} is null"
        else:
            bound = _bound(key, value, arguments)
            later = f"{expression} {'<' if key.descending != backwards else '>'} {bound}"
            if not key.always and not backwards:
                later = f"({later} or {expression} is null)"
            same = f"{expression} = {bound}"
        either.append(f"({equal}{later})")
        equal += f"{same} and "
    return f"({' or '.join(either)})"


def parts(
    ordered: Sequence[Key], sql: Sequence[str], values: Sequence[Any] | None, arguments: Arguments, *, backwards: bool
) -> Iterable[tuple[str, str]]:
    """The condition and the order of each part of what is searched through, first to last."""
    first, expression = ordered[0], sql[0]
    if first.always:
        condition = (
            "true"
            if values is None
            else beyond(ordered, sql, values, arguments, backwards=backwards, first_has_value=True)
        )
        yield condition, order(ordered, sql, backwards=backwards, first_has_value=True)
        return
    rest = ordered[1:], sql[1:]
    absent, present = f"{expression} is null", f"{expression} is not null"
    with_value = order(ordered, sql, backwards=backwards, first_has_value=True)
    without = order(*rest, backwards=backwards, first_has_value=False)
    if values is None:
        yield present, with_value
        yield absent, without
    elif values[0] is None:
        yield (
            f"{absent} and {beyond(*rest, values[1:], arguments, backwards=backwards, first_has_value=False)}",
            without,
        )
        if backwards:
            yield present, with_value
    else:
        # The bound on the first key is said again, by itself, for the index.
        sign = "<=" if first.descending != backwards else ">="
        start = f"{expression} {sign} {_bound(first, values[0], arguments)}"
        yield (
            f"{start} and {beyond(ordered, sql, values, arguments, backwards=backwards, first_has_value=True)}",
            with_value,
        )
        if not backwards:
            yield absent, without
