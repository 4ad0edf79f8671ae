"""Refusals below jobs: counted in memory, written in one batch a second, one example each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bocage_kit.identity import Identity, Level
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

MAX_KINDS = 10_000
KEPT = timedelta(days=400)

_UPSERT = text(
    """insert into denial (minute, level, licence, reason, organisation, category, count, sample)
       select minute, level, licence, reason, organisation, category, count, sample
         from jsonb_to_recordset(cast(:rows as jsonb)) as d (minute timestamptz, level text, licence text, reason text,
              organisation text, category text, count bigint, sample jsonb)
        order by 1, 2, 3, 4, 5, 6
       on conflict (minute, level, licence, reason, organisation, category)
       do update set count = denial.count + excluded.count"""
)
_FORGET = text("delete from denial where minute < now() - cast(:kept as interval)")
_LIST = text(
    """select minute, level, licence, reason, organisation, category, count, sample from denial
        where minute >= :since and minute < :until and (cast(:licence as text) is null or licence = :licence)
        order by minute desc, count desc, level, licence, reason, organisation, category limit :limit"""
)

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[datetime, str, str, str, str, str]


@dataclass
class Denials:
    """At most one second of counts is lost by a kill, and what exceeds MAX_KINDS different refusals within it."""

    engine: AsyncEngine
    _counts: dict[Key, int] = field(default_factory=dict)
    _samples: dict[Key, dict[str, Any]] = field(default_factory=dict)
    _forgotten: datetime = _NEVER

    def add(
        self, caller: Identity, level: Level, terms: Iterable[Mapping[str, Any]], target: str | None = None
    ) -> None:
        """`terms` as a refusal's `required_terms` states them."""
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        who = (caller.organisation or "", caller.category or "")
        for term in terms:
            key = (minute, level.name.lower(), str(term["licence"]), str(term["reason"]), *who)
            if key not in self._counts:
                if len(self._counts) >= MAX_KINDS:
                    continue
                self._samples[key] = {"subject": caller.subject, "purpose": caller.purpose, "target": target}
            self._counts[key] = self._counts.get(key, 0) + 1

    async def flush(self) -> None:
        if not self._counts and datetime.now(UTC) - self._forgotten < timedelta(hours=1):
            return
        counts, samples = self._counts, self._samples
        self._counts, self._samples = {}, {}
        try:
            async with self.engine.begin() as connection:
                if counts:
                    await connection.execute(_UPSERT, {"rows": _rows(counts, samples)})
                if datetime.now(UTC) - self._forgotten >= timedelta(hours=1):
                    await connection.execute(_FORGET, {"kept": KEPT})
                    self._forgotten = datetime.now(UTC)
        except BaseException:
            for key, count in counts.items():
                self._counts[key] = self._counts.get(key, 0) + count
                self._samples.setdefault(key, samples[key])
            raise


def _rows(counts: Mapping[Key, int], samples: Mapping[Key, Mapping[str, Any]]) -> str:
    names = ("level", "licence", "reason", "organisation", "category")
    return json.dumps(
        [
            {"minute": key[0].isoformat(), "count": count, "sample": samples[key]}
            | dict(zip(names, key[1:], strict=True))
            for key, count in counts.items()
        ]
    )


async def listed(
    connection: AsyncConnection, since: datetime, until: datetime, licence: str | None, limit: int
) -> Sequence[Row[Any]]:
    values = {"since": since, "until": until, "licence": licence, "limit": limit}
    return (await connection.execute(_LIST, values)).all()
