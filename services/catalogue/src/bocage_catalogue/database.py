"""pgSTAC's connections: those that read, and those that write; a restart of the database is ridden over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
import orjson
from bocage_kit.problems import Problem

from bocage_catalogue.density import Density
from bocage_catalogue.holders import Holders
from bocage_catalogue.kept import Kept
from bocage_catalogue.packing import Dictionaries
from bocage_catalogue.turns import Turns

_log = logging.getLogger("bocage.catalogue")
_ACQUIRE_SECONDS = 10.0
# What libpq knows and asyncpg would send to the server as a setting, which the server would refuse.
_LIBPQ_ONLY = frozenset({"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"})
_AWAY = (
    OSError,
    asyncpg.exceptions.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.exceptions.InternalClientError,
    asyncio.TimeoutError,
)
# pgSTAC makes partitions as items come; two that make the same one meet each other half-way.
_CONTENDED = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.UndefinedTableError,
    asyncpg.DuplicateTableError,
)
_ATTEMPTS = 4
# More than there are of those that one plan serves.
_STATEMENTS = 200


def asyncpg_url(url: str) -> str:
    """A libpq URL without the options that asyncpg does not understand."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in _LIBPQ_ONLY]
    return urlunsplit(parts._replace(query=urlencode(query)))


def unavailable() -> Problem:
    return Problem(
        503,
        "database-unavailable",
        "The catalogue's database does not answer; try again.",
        headers={"Retry-After": "2"},
    )


def refused(error: asyncpg.exceptions.PostgresError) -> Problem:
    """What pgSTAC refuses is the request's fault; only its own sentences are passed on, never the server's."""
    if isinstance(error, asyncpg.QueryCanceledError):
        return Problem(503, "too-slow", "The search took too long; narrow it by collection, area or time.")
    if isinstance(error, asyncpg.RaiseError):
        at = getattr(error, "detail", None)
        return Problem(400, "invalid-request", str(error).splitlines()[0][:300], **({"at": at} if at else {}))
    state = str(getattr(error, "sqlstate", ""))
    if state.startswith(("08", "53", "55", "57", "58")):
        return unavailable()
    if state.startswith(("22", "23", "42")):
        return _senseless()
    if state == "XX000":  # of GEOS, which some rings that cross themselves are too much for
        raise UnrelatedError from error
    raise error


class UnrelatedError(Exception):
    """Geometries were met that can't be related the fast way."""


def _senseless() -> Problem:
    return Problem(400, "invalid-request", "The database can't make sense of a value or an operator of the request.")


class Connection(Protocol):
    """What of asyncpg's connection is used here; asyncpg itself is not typed."""

    async def execute(self, query: str, *arguments: Any) -> str: ...
    async def fetch(self, query: str, *arguments: Any) -> list[Any]: ...
    async def fetchval(self, query: str, *arguments: Any) -> Any: ...
    def transaction(self, *, readonly: bool = False) -> Any: ...
    def cursor(self, query: str, *arguments: Any, prefetch: int) -> AsyncIterator[Any]: ...


class Database:
    """Connections to pgSTAC. Counts are computed for each search: pgSTAC's remembered counts would lag behind."""

    def __init__(self, reading: Kept, ready: Kept, writing: Any) -> None:
        self._reading, self._ready, self._writing = reading, ready, writing
        self.turns, self.holders, self.density = Turns(), Holders(), Density()
        self.dictionaries = Dictionaries()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, readers: int = 10, ready: int = 10, writers: int = 5) -> AsyncIterator[Database]:
        common = {"search_path": "pgstac,public", "application_name": "bocage_catalogue", "jit": "off"}
        reading = {
            **common,
            "pgstac.readonly": "true",
            "pgstac.context": "on",
            "pgstac.context_stats_ttl": "0 seconds",
            "plan_cache_mode": "force_custom_plan",
            "statement_timeout": "30s",
            # To start workers takes longer than most searches, and they take the cores of other callers.
            "max_parallel_workers_per_gather": "0",
        }
        # Whatever the tables hold or held when the plan was made: an index finds it, and no other way grows with them.
        planned = {
            **reading,
            "plan_cache_mode": "force_generic_plan",
            **dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin"), "off"),
        }
        writing = {**common, "statement_timeout": "60s", "lock_timeout": "20s"}
        dsn = asyncpg_url(url)
        create: Any = asyncpg.create_pool
        as_it_is = {"dsn": dsn, "min_size": 1, "init": _as_json, "reset": _as_it_is}
        async with (
            create(**as_it_is, max_size=readers, server_settings=reading) as read,
            create(**as_it_is, max_size=ready, server_settings=planned) as plain,
            create(dsn, min_size=0, max_size=writers, init=_as_json, server_settings=writing) as write,
            Kept(read) as kept_read,
            Kept(plain, prepared=_STATEMENTS) as kept_plain,
        ):
            yield cls(kept_read, kept_plain, write)

    def reading(self) -> Asking:
        """A connection for questions. Raises Problem 503 while the database is away, 400 for what it refuses."""
        return Asking(self._reading)

    def ready(self) -> Asking:
        """One for questions of which one plan, by indexes alone, serves whatever they are asked with."""
        return Asking(self._ready)

    @property
    def ready_at_once(self) -> bool:
        """Whether `ready` gives one without waiting, if it is asked now."""
        return self._ready.at_once

    async def call(self, function: str, *arguments: Any) -> Any:
        """The value of one of pgSTAC's functions."""
        places = ", ".join(f"${n + 1}" for n in range(len(arguments)))
        async with self.reading() as connection:
            return await connection.fetchval(f"select * from pgstac.{function}({places})", *arguments)  # noqa: S608 - names of our own

    @asynccontextmanager
    async def writing(self, *locks: str, shared: str | None = None) -> AsyncIterator[Connection]:
        """A transaction in which nobody else writes what `locks` name, nor locks what is `shared` for itself."""
        try:
            async with _held(self._writing) as connection, connection.transaction():
                for lock in sorted(locks):
                    await connection.execute("select pg_advisory_xact_lock(hashtextextended($1, 7))", lock)
                if shared is not None:
                    await connection.execute("select pg_advisory_xact_lock_shared(hashtextextended($1, 7))", shared)
                yield connection
        except _AWAY as error:
            raise unavailable() from error
        except asyncpg.UniqueViolationError as error:
            raise Problem(409, "exists", "An object with this id exists already.") from error
        except asyncpg.ForeignKeyViolationError as error:
            raise Problem(404, "not-found", "The collection does not exist, or you may not see it.") from error
        except _CONTENDED as error:
            raise Contended from error
        except asyncpg.exceptions.PostgresError as error:
            raise refused(error) from error

    async def answers(self) -> bool:
        """Whether the database answers now."""
        try:
            async with asyncio.timeout(2), self.reading() as connection:
                await connection.fetchval("select pgstac.get_version()")
        except Exception:
            return False
        return True


class Contended(Exception):
    """The transaction lost against another one and may be tried again."""


def attempts() -> range:
    """How often a transaction that loses is tried."""
    return range(_ATTEMPTS)


async def pause(attempt: int, seconds: float = 0.05) -> None:
    """Before another attempt, twice as long each time. Raises Problem 503 after the last."""
    if attempt + 1 >= _ATTEMPTS:
        raise Problem(503, "contended", "Others write to this collection now; try again.", headers={"Retry-After": "1"})
    await asyncio.sleep(seconds * 2**attempt)


class Asking:
    """A connection for the time of a question; what goes wrong meanwhile is told as a problem."""

    __slots__ = ("_connection", "_kept")

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._connection: Any = None

    async def __aenter__(self) -> Connection:
        try:
            self._connection = await self._kept.take()
        except (*_AWAY, asyncpg.exceptions.PostgresError) as error:
            raise _away(error) from error
        connection: Connection = self._connection
        return connection

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        connection, self._connection = self._connection, None
        if error is None:
            await self._kept.give(connection)
            return
        await self._kept.drop(connection)
        if isinstance(error, asyncpg.exceptions.DataError):
            raise _senseless() from error
        if isinstance(error, _AWAY):
            raise _away(error) from error
        if isinstance(error, asyncpg.exceptions.PostgresError):
            raise refused(error) from error


def _away(error: BaseException) -> Problem:
    _log.warning("database away", extra={"reason": type(error).__name__})
    return unavailable()


@asynccontextmanager
async def _held(pool: Any) -> AsyncIterator[Any]:
    """A connection of `pool`. Whatever stands in the way of one is an outage, not the request's fault."""
    try:
        connection = await pool.acquire(timeout=_ACQUIRE_SECONDS)
    except (*_AWAY, asyncpg.exceptions.PostgresError) as error:
        raise _away(error) from error
    try:
        yield connection
    finally:
        await pool.release(connection)


async def _as_json(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=_text, decoder=orjson.loads, schema="pg_catalog")


async def _as_it_is(_connection: Any) -> None:
    """Reading leaves nothing behind in a session: a question less to the database each time."""


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
