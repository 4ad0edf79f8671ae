"""Connections and migrations. Passwords stay in a passfile that libpq reads; they are in no URL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from alembic import command, context
from alembic.config import Config
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def sqlalchemy_url(url: str) -> str:
    """A libpq URL as SQLAlchemy wants it, with psycopg 3 as the driver."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url)


def with_options(url: str, options: Mapping[str, str]) -> str:
    """`url` with query options added or replaced."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | dict(options)
    return urlunsplit(parts._replace(query=urlencode(query)))


def engine(url: str, *, name: str, pool_size: int = 8, statement_timeout_ms: int = 30_000) -> AsyncEngine:
    """An engine whose connections are checked before use, so that a restarted database is ridden over."""
    made = create_async_engine(
        sqlalchemy_url(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_recycle=600,
        connect_args={"application_name": name, "connect_timeout": 5},
    )

    @event.listens_for(made.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"set statement_timeout = {int(statement_timeout_ms)}")
        connection.commit()

    return made


async def wait_until_ready(url: str, seconds: float = 60.0) -> None:
    """Return when the database answers. Raises the last error after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(url, connect_timeout=3):
                return
        except psycopg.OperationalError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.2)


async def answers(made: AsyncEngine) -> bool:
    """Whether the database answers now."""
    try:
        async with asyncio.timeout(2), made.connect() as connection:
            await connection.execute(text("select 1"))
    except Exception:
        return False
    return True


def migrate(url: str, package: str, schema: str) -> None:
    """Bring `schema` to the newest revision of `package`'s migrations; a lock lets two runs follow each other."""
    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    config.attributes |= {"url": sqlalchemy_url(url), "schema": schema}
    command.upgrade(config, "head")


def run_migrations() -> None:
    """What each package's `migrations/env.py` calls."""
    attributes = context.config.attributes
    schema: str = attributes["schema"]
    made = create_engine(attributes["url"])
    try:
        with made.connect() as connection:
            connection.execute(text("select pg_advisory_lock(hashtext(:name))"), {"name": f"migrate {schema}"})
            connection.execute(text("set lock_timeout = '10s'"))
            connection.commit()
            context.configure(connection=connection, version_table_schema=schema, include_schemas=True)
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()
    finally:
        made.dispose()
