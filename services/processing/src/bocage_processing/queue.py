"""The queue: it carries job ids from the transaction that wrote the job to a dispatcher, and is never the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import procrastinate
import psycopg
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

QUEUE, TASK = "jobs", "run_job"
Connection = psycopg.AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]


def make_pool(url: str, name: str, size: int = 8) -> Pool:
    """Connections are checked before use, so that a restarted database is ridden over. Not opened yet."""
    options: Mapping[str, Any] = {
        "application_name": name, "connect_timeout": 5, "row_factory": psycopg.rows.dict_row,
        "options": "-c statement_timeout=30000 -c idle_in_transaction_session_timeout=60000",
    }  # fmt: skip
    return AsyncConnectionPool(
        url,
        kwargs=dict(options),
        connection_class=psycopg.AsyncConnection[DictRow],
        min_size=1,
        max_size=size,
        timeout=10,
        reconnect_timeout=3,
        check=AsyncConnectionPool.check_connection,
        open=False,
    )


def make_queue(url: str) -> procrastinate.App:
    connector = procrastinate.PsycopgConnector(conninfo=url, min_size=1, max_size=6, timeout=20)
    return procrastinate.App(connector=connector)


async def enqueue(queue: procrastinate.App, connection: Connection, job: str, delay_seconds: float = 0) -> None:
    """Within the transaction of `connection`: rolled back with it, seen with it."""
    options: dict[str, Any] = {"schedule_in": {"seconds": delay_seconds}} if delay_seconds else {}
    await queue.configure_task(TASK, queue=QUEUE, connection=connection, **options).defer_async(job_id=job)
