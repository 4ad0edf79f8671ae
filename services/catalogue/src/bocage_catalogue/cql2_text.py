"""CQL2 text as CQL2 JSON, by a parser that must be kept from what it does not survive."""

from __future__ import annotations

import re
from typing import Any

from bocage_kit.problems import Problem
from cql2 import Expr

# The parser descends into itself without a bound of its own: deep nesting ends the process, and long chains of signs
# take minutes; each level in parentheses that come to nothing doubles its time. What follows is refused before it gets
# there.
_LONGEST = 8192
_NESTED = 12
_CHAINED = 48
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
_SIGNS = re.compile(r"[+*/^%]|[A-Za-z_)\"']\s*-|\bNOT\b|\bdiv\b", re.IGNORECASE)
_REPEATED = re.compile(r"(?:[-+^]\s*){3}|(?:\bNOT\s*\(?\s*){4}", re.IGNORECASE)
_PLACE = re.compile(r"\s*-->\s*(\d+):(\d+)")
_EXPECTED = re.compile(r"= expected (.+)")


def bad(detail: str, **members: Any) -> Problem:
    return Problem(400, "invalid-request", detail, **members)


def parsed(text: str, at: str = "filter") -> Any:
    """The condition as JSON. Raises Problem 400 that names the line and column."""
    _check(text, at)
    try:
        return Expr(text).to_json()
    except Exception as error:  # cql2 raises bare exceptions
        said = str(error)
        place, expected = _PLACE.match(said), _EXPECTED.search(said)
        if place is None:
            raise bad(f"{at} is not valid CQL2: {said.splitlines()[0][:200]}", at=at) from error
        line, column = place.groups()
        wanted = f"; expected {expected[1][:200]}" if expected else ""
        raise bad(
            f"{at} is not valid CQL2 text at line {line}, column {column}{wanted}.",
            at=at, line=int(line), column=int(column),
        ) from error  # fmt: skip


def _check(text: str, at: str) -> None:
    """Raises Problem 400 for what the parser would not survive."""
    if len(text) > _LONGEST:
        raise bad(f"{at} is longer than {_LONGEST} characters; send it as CQL2 JSON by POST.", at=at)
    bare = _QUOTED.sub('""', text)
    depth = deepest = 0
    for sign in bare:
        depth += (sign in "([") - (sign in ")]")
        deepest = max(deepest, depth)
    if deepest > _NESTED or len(_SIGNS.findall(bare)) > _CHAINED or _REPEATED.search(bare):
        raise bad(f"{at} is nested too deeply or has too many operators; send it as CQL2 JSON by POST.", at=at)
