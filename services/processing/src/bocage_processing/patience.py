"""Rides over a database that restarts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from procrastinate.exceptions import ConnectorException
from psycopg_pool import PoolTimeout

from bocage_processing.queue import Connection, Pool

Answer = TypeVar("Answer")
DATABASE_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, ConnectorException)


async def patiently(pool: Pool, call: Callable[[Connection], Awaitable[Answer]], seconds: float = 120.0) -> Answer:
    """The answer of `call` in a transaction of its own, tried again while the database is away.

    A commit whose answer got lost is tried again too: `call` must bear that.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            async with pool.connection() as connection, connection.transaction():
                return await call(connection)
        except DATABASE_AWAY:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.3)
