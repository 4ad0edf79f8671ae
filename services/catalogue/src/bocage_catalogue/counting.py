"""How many items a search finds among what the caller sees: exactly up to a bound, beyond it by a sample.

The sample is of blocks of the table with the whole condition, the audience in it: the planner's own guess would count
what is hidden.
"""

from __future__ import annotations

import asyncio

from bocage_kit.identity import Identity

from bocage_catalogue import tallies
from bocage_catalogue.conditions import Arguments, Search, visible, visible_apart, where
from bocage_catalogue.database import Connection
from bocage_catalogue.kinds import Known
from bocage_catalogue.places import Matched

MOST = 10_000
# Counting is a courtesy: it may take so long, and then a sample is drawn.
_SECONDS = 0.4
_BLOCKS = 1000
_SIZE = "select greatest(pg_relation_size('catalogue.finished_item') / current_setting('block_size')::int, 1)"


async def counted(
    connection: Connection, identity: Identity, unseen: list[str], search: Search, known: Known
) -> Matched | None:
    """The number of items; None when even a sample takes too long."""
    if search == Search(collections=search.collections, sortby=search.sortby):
        return Matched(await tallies.total(connection, identity, unseen, search.collections))
    arguments = Arguments()
    condition = where(search, known, arguments)
    apart = [
        # Apart, since the larger part needs no more than an index.
        f"(select count(*) from (select from catalogue.finished_item f where {part} and {condition}"  # noqa: S608
        f" limit {MOST + 1}) c)"
        for part in visible_apart(identity, unseen, arguments)
    ]
    least = 0
    try:
        async with asyncio.timeout(_SECONDS):
            number = await connection.fetchval(f"select {' + '.join(apart)}", *arguments.values)
        if number <= MOST:
            return Matched(number)
        least = MOST + 1
    except TimeoutError:
        pass
    try:
        async with asyncio.timeout(2 * _SECONDS):
            return await _estimated(connection, identity, unseen, search, known, least)
    except TimeoutError:
        return Matched(least, exact=False) if least else None


async def _estimated(
    connection: Connection, identity: Identity, unseen: list[str], search: Search, known: Known, least: int
) -> Matched:
    blocks = await connection.fetchval(_SIZE)
    share = min(1.0, _BLOCKS / blocks)
    arguments = Arguments()
    condition = f"{visible(identity, unseen, arguments)} and {where(search, known, arguments)}"
    found = await connection.fetchval(
        f"select count(*) from catalogue.finished_item f tablesample system ({share * 100}) repeatable (1)"  # noqa: S608
        f" where {condition}",
        *arguments.values,
    )
    return Matched(max(least, round(found / share)), exact=share == 1.0)
