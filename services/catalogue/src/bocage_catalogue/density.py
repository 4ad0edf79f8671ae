"""About how many items begin in a period: it decides how they are looked for, never what is found."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bocage_catalogue.database import Connection

_SECONDS = 60.0
_SQL = """
select collection, (extract(year from month) * 12 + extract(month from month))::int as month,
    sum(items)::bigint as items
from catalogue.tally where isfinite(month) group by 1, 2 order by 1, 2
"""


@dataclass(frozen=True)
class Months:
    """How many items begin until the end of each month in which some do."""

    months: tuple[int, ...]
    until: tuple[int, ...]

    def between(self, since: datetime | None, until: datetime | None) -> int:
        """How many begin in the months that a period touches."""
        first = 0 if since is None else bisect_left(self.months, _month(since))
        end = len(self.months) if until is None else bisect_right(self.months, _month(until))
        if end <= first:
            return 0
        return self.until[end - 1] - (self.until[first - 1] if first else 0)


def _month(moment: datetime) -> int:
    return moment.year * 12 + moment.month


def by_collection(rows: list[tuple[str, int, int]]) -> dict[str | None, Months]:
    """Of each collection, and (None) of all; `rows` are collection, month and number."""
    counted: dict[str | None, dict[int, int]] = {None: {}}
    for collection, month, items in rows:
        for holder in (collection, None):
            of = counted.setdefault(holder, {})
            of[month] = of.get(month, 0) + items
    made: dict[str | None, Months] = {}
    for holder, of in counted.items():
        months = sorted(of)
        made[holder] = Months(tuple(months), tuple(accumulate(of[month] for month in months)))
    return made


class Density:
    """Reads the sums now and then."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._read_at: float | None = None
        self._months: Mapping[str | None, Months] = {}

    async def entries(
        self,
        connection: Connection,
        collections: tuple[str, ...] | None,
        since: datetime | None,
        until: datetime | None,
    ) -> int | None:
        """About how many items of one collection, or of all, begin in a period; None when nobody knows."""
        now = self._clock()
        if self._read_at is None or now - self._read_at > _SECONDS:
            self._read_at = now
            rows = await connection.fetch(_SQL)
            self._months = by_collection([(row["collection"], row["month"], row["items"]) for row in rows])
        months = self._months.get(collections[0] if collections else None)
        return None if months is None or not months.months else months.between(since, until)
