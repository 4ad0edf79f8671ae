"""Values that go beside a statement, never into it."""

from __future__ import annotations

from typing import Any


class Arguments:
    """Collects them in order; each is known in the statement by its number and its type."""

    def __init__(self, *given: Any) -> None:
        self.values: list[Any] = list(given)

    def add(self, value: Any, type_: str) -> str:
        """The place of a value in the statement, such as `$3::text`."""
        self.values.append(value)
        return f"${len(self.values)}::{type_}"
