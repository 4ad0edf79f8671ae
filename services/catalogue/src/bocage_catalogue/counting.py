"""How many items a search finds among what the caller sees: exactly up to a bound, beyond it by a sample.

The sample is asked with the whole condition, the audience in it: the planner's own guess would count what is hidden.
What indexes tell alone is sampled by an index, one item in sixteen; all else by blocks of the table.
"""

from __future__ import annotations

import asyncio
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


async def counted(
    connection: Connection, identity: Identity, unseen: list[str], search: Search, known: Known
) -> Matched | None:
    """The number of items; None when even a sample takes too long."""
    if search == Search(collections=search.collections, sortby=search.sortby):
        return Matched(await tallies.total(connection, identity, unseen, search.collections))
    sample = await _sampled(connection, identity, unseen, search, known)
    if sample is not None and sample.hits > _GOOD:
        return Matched(sample.hits * _ONE_IN, exact=False)
    arguments = Arguments()
    seen = visible(identity, unseen, arguments)
    # Where the period holds few, to look at all of it is less work than to find the area first.
    walked = sample is not None and sample.among is not None and sample.among * _ONE_IN <= _WALKED
    found = [
        f"({clause.sql}) is true" if walked and clause.name in _SPATIAL else f"({clause.sql})"
        for clause in clauses(search, known, arguments)
    ]
    least = 0
    try:
        async with asyncio.timeout(_SECONDS):
            number = await connection.fetchval(
                f"select count(*) from (select from catalogue.finished_item f where {' and '.join([seen, *found])}"  # noqa: S608
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


@dataclass(frozen=True)
class Sample:
    """How many of the sample are hits; and among how many that lie in the period, when these were all looked at."""

    hits: int
    among: int | None


async def _sampled(
    connection: Connection, identity: Identity, unseen: list[str], search: Search, known: Known
) -> Sample | None:
    """What is found in the sample; None when indexes do not tell, or it would take long."""
    arguments = Arguments()
    seen = visible(identity, unseen, arguments)
    found = clauses(search, known, arguments)
    if any("f.content" in clause.sql or "f.geometry" in clause.sql for clause in found):
        return None
    walked = search.period is not None and search.period[0] is not None
    spatial = [f"({clause.sql})" for clause in found if walked and clause.name in _SPATIAL] or ["true"]
    rest = [f"({clause.sql})" for clause in found if not (walked and clause.name in _SPATIAL)]
    sql = (
        f"select count(*) filter (where {' and '.join(spatial)}) as hits, count(*) as among"  # noqa: S608
        f" from catalogue.finished_item f where {' and '.join([_IN_SAMPLE, seen, *rest])}"
    )
    try:
        async with asyncio.timeout(_SECONDS):
            rows = await connection.fetch(sql, *arguments.values)
    except TimeoutError:
        return None
    return Sample(rows[0]["hits"], rows[0]["among"] if walked else None)


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
