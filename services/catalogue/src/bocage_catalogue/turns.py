"""Searches of one caller take turns: whoever asks many slow ones waits for them alone, and others find a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bocage_kit.problems import Problem

# Of ten connections that read. Two cores answer no more at once anyway.
OF_ONE_CALLER = 4
_SECONDS = 10.0


class Turns:
    """How many searches of each caller run now, and who waits."""

    def __init__(self, most: int = OF_ONE_CALLER) -> None:
        self._most = most
        self._callers: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def taken(self, subject: str) -> AsyncIterator[None]:
        """Raises Problem 503 when the caller's own searches take too long."""
        turn, present = self._callers.get(subject) or (asyncio.Semaphore(self._most), 0)
        self._callers[subject] = turn, present + 1
        try:
            try:
                async with asyncio.timeout(_SECONDS if turn.locked() else None):
                    await turn.acquire()
            except TimeoutError:
                raise Problem(
                    503,
                    "searches-busy",
                    f"At most {self._most} searches of one caller run at once, and those that do take long; try again.",
                    headers={"Retry-After": "5"},
                ) from None
            try:
                yield
            finally:
                turn.release()
        finally:
            turn, present = self._callers[subject]
            if present == 1:
                del self._callers[subject]
            else:
                self._callers[subject] = turn, present - 1
