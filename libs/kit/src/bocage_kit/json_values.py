"""What JSON can say and a database or another service cannot take."""

from __future__ import annotations

import math
from typing import Any

MAX_DEPTH = 64


def impossible(value: Any) -> str | None:
    """Why a JSON document cannot be kept, or None: nesting, numbers without end, and characters that are none."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return f"it is nested deeper than {MAX_DEPTH} levels"
        if isinstance(node, dict):
            waiting += [(name, depth + 1) for name in node]
            waiting += [(inner, depth + 1) for inner in node.values()]
        elif isinstance(node, list):
            waiting += [(inner, depth + 1) for inner in node]
        elif isinstance(node, str):
            if "\0" in node:
                return "a text holds a NUL character"
            if not node.isascii() and any("\ud800" <= sign <= "\udfff" for sign in node):
                return "a text holds half of a character (a lone surrogate)"
        elif isinstance(node, float) and not math.isfinite(node):
            return "a number is not finite"
    return None
