"""Connections of a pool that are kept between questions: to take one and give it back costs as much as to ask."""

from __future__ import annotations

from typing import Any

import asyncpg.exceptions

_MOST = 3
_SECONDS = 10.0
# What was prepared is there no more, or answers in another form: somebody changed a table, or the session.
_CHANGED = (
    asyncpg.exceptions.InvalidCachedStatementError,
    asyncpg.exceptions.InvalidSQLStatementNameError,
)


class Session:
    """A connection while it is kept: what is asked again and again is prepared once, and asked of the driver's core.

    The driver's own way to it passes a dozen calls, which take as long as the question.
    """

    __slots__ = ("_ask", "_prepared", "_raw", "_room", "cursor", "execute", "fetchval", "pooled", "transaction")

    def __init__(self, raw: Any, room: int) -> None:
        self._raw, self._room = raw, room
        self._ask: Any = raw._protocol.bind_execute
        self._prepared: dict[str, Any] = {}
        self.pooled: Any = None
        """As the pool handed it out last, and takes it back."""
        self.execute, self.fetchval, self.cursor = raw.execute, raw.fetchval, raw.cursor
        self.transaction = raw.transaction

    @property
    def is_open(self) -> bool:
        return not self._raw.is_closed()

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """The rows that a statement finds. Raises what the driver raises."""
        try:
            return await self._fetched(query, arguments)
        except _CHANGED:
            self._prepared.clear()
            return await self._fetched(query, arguments)
        except asyncpg.exceptions.OutdatedSchemaCacheError:
            self._prepared.clear()
            await self._raw.reload_schema_state()  # as the driver does: the next question finds it right
            raise

    async def _fetched(self, query: str, arguments: tuple[Any, ...]) -> list[Any]:
        statement = self._prepared.get(query)
        if statement is None:
            if len(self._prepared) >= self._room:
                return list(await self._raw.fetch(query, *arguments))
            statement = self._prepared[query] = await self._raw.prepare(query)
        rows: list[Any] = await self._ask(statement._state, arguments, "", 0, False, None)
        return rows


class Kept:
    """Some of a pool's connections, lent to one question after the other."""

    def __init__(self, pool: Any, most: int = _MOST, *, prepared: int = 0) -> None:
        """`prepared`: how many statements each connection keeps, where they are few and come again."""
        self._pool, self._most, self._prepared = pool, most, prepared
        self._idle: list[Session] = []
        self._sessions: dict[Any, Session] = {}
        """By connection: what was prepared outlasts a stay in the pool."""
        self._waiting = 0

    async def __aenter__(self) -> Kept:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        self._most = 0
        while self._idle:
            await self._pool.release(self._idle.pop().pooled)

    @property
    def at_once(self) -> bool:
        """Whether one can be taken without waiting."""
        return bool(self._idle) and self._idle[-1].is_open

    async def take(self) -> Session:
        """A connection. Raises what the driver raises when there is none."""
        while self._idle:
            session = self._idle.pop()
            if session.is_open:
                return session
            await self._pool.release(session.pooled)
        self._waiting += 1
        try:
            return self._session(await self._pool.acquire(timeout=_SECONDS))
        finally:
            self._waiting -= 1

    def _session(self, pooled: Any) -> Session:
        raw = pooled._con
        session = self._sessions.get(raw)
        if session is None:
            for closed in [each for each in self._sessions if each.is_closed()]:
                del self._sessions[closed]
            session = self._sessions[raw] = Session(raw, self._prepared)
        session.pooled = pooled
        return session

    async def give(self, session: Session) -> None:
        """It goes to whoever waits for one, if anybody does."""
        if self._waiting or len(self._idle) >= self._most:
            await self._pool.release(session.pooled)
        else:
            self._idle.append(session)

    async def drop(self, session: Session) -> None:
        """After something went wrong: the pool sees to it that what was asked ends, and that the connection is good."""
        await self._pool.release(session.pooled)
