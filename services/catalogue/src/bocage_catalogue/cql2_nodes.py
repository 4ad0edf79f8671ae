"""Conditions in CQL2 JSON, as trees: how large they are, and which properties they name."""

from __future__ import annotations

from typing import Any

from bocage_catalogue import areas
from bocage_catalogue.kinds import plain
from bocage_catalogue.refusals import refused

DEPTH = 40
# Planning a condition costs more than its share when it is long: twenty thousand terms take ten seconds.
NODES = 4000


def check_size(node: Any, at: str = "filter") -> None:
    """Raises Problem 400 for a condition that is too long or too deep to be looked at."""
    count, waiting = 0, [(node, 0)]
    while waiting:
        inner, depth = waiting.pop()
        count += 1
        if count > NODES:
            raise refused(at, f"more than {NODES} terms and values; ask in parts")
        if depth > 2 * DEPTH:
            raise refused(at, "nested too deeply")
        if isinstance(inner, dict):
            # Coordinates are counted as positions, where they are looked at.
            shape = inner.get("type") in areas.KINDS
            waiting += [(value, depth + 1) for name, value in inner.items() if not (shape and name == "coordinates")]
        elif isinstance(inner, list):
            waiting += [(value, depth + 1) for value in inner]


def properties(node: Any) -> set[str]:
    """The plain names of all properties that a condition asks for."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            if isinstance(inner.get("property"), str):
                found.add(plain(inner["property"]))
            waiting += inner.values()
        elif isinstance(inner, list):
            waiting += inner
    return found
