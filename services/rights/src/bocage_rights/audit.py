"""The audit chain: rows written by the database's triggers, sealed by hash, listed and verified."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Kind = Literal["job", "money", "administration", "acceptance"]
HEAD_LOGGED_SECONDS = 60.0
_log = logging.getLogger("bocage.rights.audit")

_LIST = text(
    """select id, at, actor, kind, action, target, detail, seq, encode(hash, 'hex') as hash from audit
        where id > :after
          and (cast(:since as timestamptz) is null or at >= cast(:since as timestamptz))
          and (cast(:until as timestamptz) is null or at < cast(:until as timestamptz))
          and (cast(:kind as text) is null or kind = cast(:kind as text))
          and (cast(:actor as text) is null or actor = cast(:actor as text))
        order by id limit :limit"""
)

_HEAD = text("select seq, encode(hash, 'hex') as hash from audit where seq is not null order by seq desc limit 1")


async def note(
    connection: AsyncConnection, kind: Kind, action: str, target: str, detail: Mapping[str, Any], actor: str
) -> None:
    """A row for what no table shows: a refused job, held results, a delivered register."""
    await connection.execute(
        text("select audit_note(:kind, :action, :target, cast(:detail as jsonb), :actor)"),
        {"kind": kind, "action": action, "target": target, "detail": json.dumps(dict(detail)), "actor": actor},
    )


async def listed(
    connection: AsyncConnection,
    *,
    after: int,
    since: datetime | None,
    until: datetime | None,
    kind: str | None,
    actor: str | None,
    limit: int,
) -> Sequence[Row[Any]]:
    values = {"after": after, "since": since, "until": until, "kind": kind, "actor": actor, "limit": limit}
    return (await connection.execute(_LIST, values)).all()


@dataclass(frozen=True)
class Verdict:
    """`broken` names the first row that does not fit, or the noted head that is no longer there."""

    sealed: int
    pending: int
    head: str | None
    broken: Mapping[str, Any] | None


async def verify(connection: AsyncConnection, noted: tuple[int, str] | None = None) -> Verdict:
    """Recompute the whole chain. `noted` is a head seen earlier, as (seq, hash): only it shows a shortened chain."""
    await connection.execute(text("set local statement_timeout = '10min'"))
    row = (await connection.execute(text("select * from verify_audit()"))).one()
    broken: dict[str, Any] | None = None
    if row.reason is not None:
        broken = {"seq": row.broken_seq, "id": row.broken_id, "reason": row.reason}
    elif noted is not None:
        found = await connection.execute(
            text("select 1 from audit where seq = :seq and hash = decode(:hash, 'hex')"),
            {"seq": noted[0], "hash": noted[1]},
        )
        if found.first() is None:
            broken = {"seq": noted[0], "id": None, "reason": "the head noted earlier is not in the chain"}
    head = None if row.head_seq is None else f"{row.head_seq}:{row.head_hash}"
    return Verdict(row.sealed, row.pending, head, broken)


class Sealer:
    """Seals what can be sealed. Several may run: a lock in the database lets one at a time work."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._logged = 0.0
        self._moved = True

    async def __call__(self) -> None:
        async with self._engine.begin() as connection:
            sealed: int = (await connection.execute(text("select seal_audit()"))).scalar_one()
        self._moved |= sealed > 0
        if self._moved and time.monotonic() - self._logged >= HEAD_LOGGED_SECONDS:
            await self._log_head()

    async def _log_head(self) -> None:
        # A copy of the head outside the database: who rewrites the whole chain there cannot rewrite the logs too.
        async with self._engine.connect() as connection:
            row = (await connection.execute(_HEAD)).one_or_none()
        if row is not None:
            _log.info("audit head", extra={"head": f"{row.seq}:{row.hash}"})
        self._logged, self._moved = time.monotonic(), False
