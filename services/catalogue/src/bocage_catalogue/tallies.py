"""How many items of which collection a caller sees: exactly, from sums that follow the log of changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import date

from bocage_kit.identity import Identity

from bocage_catalogue.conditions import Arguments, eyes
from bocage_catalogue.database import Connection, Database

_log = logging.getLogger("bocage.catalogue")
# Whoever counts adds what is not folded yet, and whoever follows the changes waits for it.
_BATCH = 2000
_PAUSE, _PAUSE_AFTER_FAILURE = 0.5, 5.0

Counts = dict[str, dict[date, int]]


# What Python can hold; what is loaded past the API may lie in other ages.
_FIRST, _LAST = "'0001-01-01'::date", "'9999-12-01'::date"
_TALLIED = "catalogue.tallied($1, $2, $3, $4, $5, $6)"


async def counts(
    connection: Connection, identity: Identity, unseen: Sequence[str], among: Sequence[str] | None = None
) -> Counts:
    """How many items the caller sees, by collection and month.

    `among` are the collections that are asked for, None all; `unseen` those that are hidden from the caller.
    """
    sql = f"select in_collection, least(greatest(in_month, {_FIRST}), {_LAST}) as in_month, seen from {_TALLIED}"  # noqa: S608
    rows = await connection.fetch(sql, among, unseen, *eyes(identity))
    found: Counts = {}
    for row in rows:
        by_month = found.setdefault(row["in_collection"], {})
        by_month[row["in_month"]] = by_month.get(row["in_month"], 0) + row["seen"]
    return found


def total_sql(identity: Identity, unseen: Sequence[str], among: Sequence[str] | None, arguments: Arguments) -> str:
    """The same altogether, as a statement."""
    sees_all, person, organisation, names = eyes(identity)
    given = [
        arguments.add(None if among is None else list(among), "text[]"),
        arguments.add(list(unseen), "text[]"),
        arguments.add(sees_all, "boolean"),
        arguments.add(person, "text"),
        arguments.add(organisation, "text"),
        arguments.add(names, "text[]"),
    ]
    return f"select coalesce(sum(seen), 0)::bigint from catalogue.tallied({', '.join(given)})"  # noqa: S608 - bound


async def fold(database: Database) -> int:
    """Put committed changes into their order and into the sums; how many. Some may be left."""
    async with database.writing() as connection:
        return int(await connection.fetchval("select catalogue.order_changes($1)", _BATCH))


async def keep_folding(database: Database) -> None:
    """Do so again and again, until cancelled. Any number of copies may do so at once: one works, the others wait."""
    while True:
        pause = _PAUSE
        try:
            if await fold(database) >= _BATCH:
                pause = 0
        except Exception as error:  # whatever it is, it is tried again
            _log.warning("changes are not folded", extra={"reason": type(error).__name__})
            pause = _PAUSE_AFTER_FAILURE
        await asyncio.sleep(pause)
