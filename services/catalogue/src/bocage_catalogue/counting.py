"""How many items a search finds among what the caller sees: exactly up to a bound, beyond it by a sample.

The sample is asked with the whole condition, the audience in it: the planner's own guess would count what is hidden.
What indexes tell alone is sampled by an index, one item in sixteen; all else by blocks of the table.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from bocage_kit.identity import Identity

from bocage_catalogue import tallies
from bocage_catalogue.conditions import Arguments, Search, clauses, visible, where
from bocage_catalogue.database import Connection
from bocage_catalogue.kinds import Known
from bocage_catalogue.places import Matched

MOST = 10_000
# Counting is a courtesy: it may take so long, and then a sample is drawn.
_SECONDS = 0.4
_BLOCKS = 1000
# As the index has it; from so many hits a sample is out by an eighth or less two times in three.
_ONE_IN, _GOOD = 16, 64
_IN_SAMPLE = f"hashtext(f.id) & {_ONE_IN - 1} = 0"
_WALKED = 20_000
_SPATIAL = frozenset(("bbox", "intersects"))
_SIZE = "select greatest(pg_relation_size('catalogue.finished_item') / current_setting('block_size')::int, 1)"


@dataclass(frozen=True)
class Beside:
    """What is asked beside a page, in the same statement: hits, and among how many they are; only if there is more."""

    sql: str
    exact: bool
    """The hits are all that there are; else those of the sample."""
    walked: bool
    """Whether the sample was looked at for hits from one end of the period to the other."""


@dataclass(frozen=True)
class Found:
    """What was found beside a page that is full."""

    hits: int
    among: int | None


def beside(identity: Identity, unseen: list[str], search: Search, known: Known, arguments: Arguments) -> Beside | None:
    """The sums when only collections are asked for, a sample where indexes tell; else None."""
    if search == Search(collections=search.collections, sortby=search.sortby):
        total = tallies.total_sql(identity, unseen, search.collections, arguments)
        return Beside(f"select ({total}) as hits, null::bigint as among", exact=True, walked=False)
    held = len(arguments.values)
    seen = visible(identity, unseen, arguments)
    found = clauses(search, known, arguments)
    if any("f.content" in clause.sql or "f.geometry" in clause.sql for clause in found):
        del arguments.values[held:]
        return None
    walked = search.period is not None and search.period[0] is not None
    spatial = [f"({clause.sql})" for clause in found if walked and clause.name in _SPATIAL] or ["true"]
    rest = [f"({clause.sql})" for clause in found if not (walked and clause.name in _SPATIAL)]
    return Beside(
        f"select count(*) filter (where {' and '.join(spatial)}) as hits, count(*) as among"  # noqa: S608
        f" from catalogue.finished_item f where {' and '.join([_IN_SAMPLE, seen, *rest])}",
        exact=False,
        walked=walked,
    )


async def counted(
    connection: Connection, identity: Identity, unseen: list[str], search: Search, known: Known, found: Found | None
) -> Matched | None:
    """The number of items; `found` is what was found beside a page. None when even a sample takes too long."""
    arguments = Arguments()
    asked = beside(identity, unseen, search, known, arguments)
    if asked is not None and found is None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS):
                row = (await connection.fetch(asked.sql, *arguments.values))[0]
            found = Found(row["hits"], row["among"])
    if asked is not None and found is not None:
        if asked.exact:
            return Matched(found.hits)
        if found.hits > _GOOD:
            return Matched(found.hits * _ONE_IN, exact=False)
    arguments = Arguments()
    seen = visible(identity, unseen, arguments)
    # Where the period holds few, to look at all of it is less work than to find the area first.
    among = found.among if asked is not None and asked.walked and found is not None else None
    walked = among is not None and among * _ONE_IN <= _WALKED
    conditions = [
        f"({clause.sql}) is true" if walked and clause.name in _SPATIAL else f"({clause.sql})"
        for clause in clauses(search, known, arguments)
    ]
    least = 0
    try:
        async with asyncio.timeout(_SECONDS):
            number = await connection.fetchval(
                f"select count(*) from (select from catalogue.finished_item f where {' and '.join([seen, *conditions])}"  # noqa: S608
                f" limit {MOST + 1}) c",
                *arguments.values,
            )
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
