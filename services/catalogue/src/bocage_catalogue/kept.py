"""Connections of a pool that are kept between questions: to take one and give it back costs as much as to ask."""

from __future__ import annotations

from typing import Any

import asyncpg.exceptions

_MOST = 3
_SECONDS = 10.0


class Kept:
    """Some of a pool's connections, lent to one question after the other."""

    def __init__(self, pool: Any, most: int = _MOST) -> None:
        self._pool, self._most = pool, most
        self._idle: list[Any] = []
        self._waiting = 0

    async def __aenter__(self) -> Kept:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        self._most = 0
        while self._idle:
            await self._pool.release(self._idle.pop())

    async def take(self) -> Any:
        """A connection. Raises what the driver raises when there is none."""
        while self._idle:
            connection = self._idle.pop()
            if _is_open(connection):
                return connection
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=_SECONDS)
        finally:
            self._waiting -= 1

    async def give(self, connection: Any) -> None:
        """It goes to whoever waits for one, if anybody does."""
        if self._waiting or len(self._idle) >= self._most:
            await self._pool.release(connection)
        else:
            self._idle.append(connection)

    async def drop(self, connection: Any) -> None:
        """After something went wrong: the pool sees to it that what was asked ends, and that the connection is good."""
        await self._pool.release(connection)


def _is_open(connection: Any) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.exceptions.InterfaceError:
        return False  # the pool has noticed already
