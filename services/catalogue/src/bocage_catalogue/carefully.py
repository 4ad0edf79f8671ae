"""Searches over shapes that nobody can relate: tried the fast way, and after that failed the slow one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from bocage_catalogue.conditions import Search
from bocage_catalogue.database import UnrelatedError

Found = TypeVar("Found")


async def carefully(search: Search, ask: Callable[[Search], Awaitable[Found]]) -> Found:
    """What `ask` finds, asked again with care when the database could not relate what it met."""
    try:
        return await ask(search)
    except UnrelatedError:
        return await ask(replace(search, careful=True))
