"""Places in an order of items, as tokens that lead from one page to the next: values, so that no item need exist."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from bocage_kit.problems import Problem

from bocage_catalogue import ordering
from bocage_catalogue.conditions import SortKey
from bocage_catalogue.kinds import Known
from bocage_catalogue.ordering import Key

_LONGEST = 32_768
_NEXT, _PREVIOUS = "next", "prev"


@dataclass(frozen=True)
class Matched:
    """How many items there are altogether; an estimate unless it is exact."""

    number: int
    exact: bool = True


@dataclass(frozen=True)
class Place:
    """Where a page begins: after, or before when going backwards, the values of an item's keys."""

    backwards: bool
    values: tuple[Any, ...]
    # What the first page counted, for this very search of this very caller.
    matched: Matched | None


def refusal() -> Problem:
    return Problem(400, "invalid-request", "The paging token is not valid for this search and order: start it again.")


def token(place: Place, keys: Sequence[Key], asked: str) -> str:
    """A place as text; `asked` tells one search and caller from others."""
    matched = [place.matched.number, place.matched.exact] if place.matched else None
    order = [[key.name, key.kind, key.descending] for key in keys]
    values = [ordering.written(key, value) for key, value in zip(keys, place.values, strict=True)]
    text = urlsafe_b64encode(orjson.dumps([order, values, asked, matched])).decode().rstrip("=")
    return f"{_PREVIOUS if place.backwards else _NEXT}:{text}"


def place(text: str, sortby: Sequence[SortKey], known: Known, asked: str) -> tuple[Place, tuple[Key, ...]]:
    """The place that a token says, and the order. Raises Problem 400 for a token of another order, or none of ours."""
    direction, _, coded = text.partition(":")
    if direction not in (_NEXT, _PREVIOUS) or len(text) > _LONGEST or not coded.isascii():
        raise refusal()
    try:
        order, values, of, matched = orjson.loads(urlsafe_b64decode(coded + "=" * (-len(coded) % 4)))
        keys = ordering.keys(sortby, known, [str(kind) for _, kind, _ in order])
        if order != [[key.name, key.kind, key.descending] for key in keys]:
            raise refusal()
        found = tuple(ordering.read(key, value) for key, value in zip(keys, values, strict=True))
        counted = None
        if matched is not None and of == asked:
            number, exact = matched
            if type(number) is not int or type(exact) is not bool or not 0 <= number < 10**15:
                raise refusal()
            counted = Matched(number, exact)
    except (ValueError, TypeError) as error:
        raise refusal() from error
    return Place(direction == _PREVIOUS, found, counted), keys
