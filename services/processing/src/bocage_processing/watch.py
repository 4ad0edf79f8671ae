"""Follows one attempt from outside: renews its lease, learns whether it must stop, passes on what the runner tells."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import UUID

from bocage_processing import jobs
from bocage_processing.patience import DATABASE_AWAY
from bocage_processing.queue import Pool
from bocage_processing.work import PROGRESS

Verdict = Literal["stop", "fenced", "stopped"]
_MOST_LOG_BYTES = 1 << 20
_LOOK_SECONDS = 0.3


@dataclass(eq=False)
class Watch:
    """`verdict` is set once the attempt must not go on: asked to stop, fenced out, or the dispatcher is stopping."""

    pool: Pool
    job: UUID
    attempt: int
    lease_seconds: float
    beat_seconds: float
    phase: str = "staging"
    percent: int = 0
    message: str = ""
    verdict: Verdict | None = None
    must_stop: asyncio.Event = field(default_factory=asyncio.Event)
    _offset: int = 0
    _logged: int = 0
    _lines: list[tuple[str, str]] = field(default_factory=list)

    def decide(self, verdict: Verdict) -> None:
        if self.verdict is None:
            self.verdict = verdict
            self.must_stop.set()

    async def follow(self) -> None:
        """Beat until cancelled. While the database is away nothing is known, and the work goes on."""
        next_beat = 0.0
        while True:
            try:
                if time.monotonic() >= next_beat:
                    await self.beat()
                    next_beat = time.monotonic() + self.beat_seconds
                else:
                    await self._look()
            except DATABASE_AWAY:
                await asyncio.sleep(0.3)
            await asyncio.sleep(_LOOK_SECONDS)

    async def beat(self) -> None:
        async with self.pool.connection() as connection, connection.transaction():
            answer = await jobs.beat(
                connection, self.job, self.attempt, self.lease_seconds, self.phase, self.percent, self.message
            )
            if answer != "fenced" and self._lines:
                lines, self._lines = self._lines, []
                await jobs.add_logs(connection, self.job, self.attempt, lines)
        if answer != "go on":
            self.decide(answer)

    async def _look(self) -> None:
        """Whether it must stop, more often than the lease wants renewing."""
        query = "select cancel_requested, attempt from job where id = %s"
        async with self.pool.connection() as connection:
            row = await (await connection.execute(query, [self.job])).fetchone()
        if row is None or row["attempt"] != self.attempt:
            self.decide("fenced")
        elif row["cancel_requested"]:
            self.decide("stop")

    def read(self, folder: Path) -> None:
        """What the runner wrote since the last look. A half-written line is left for the next."""
        try:
            with (folder / PROGRESS).open("rb") as handle:
                handle.seek(self._offset)
                chunk = handle.read(_MOST_LOG_BYTES)
        except FileNotFoundError:
            return
        whole = chunk[: chunk.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                document = json.loads(line)
            except ValueError:
                continue
            self._take(document)

    def _take(self, document: dict[str, object]) -> None:
        percent, message, text = document.get("percent"), document.get("message"), document.get("log")
        if isinstance(percent, (int, float)):
            self.percent = max(self.percent, min(99, int(percent)))
            if isinstance(message, str):
                self.message = message
        elif isinstance(text, str) and self._logged < _MOST_LOG_BYTES:
            level = document.get("level")
            self._logged += len(text)
            self._lines.append((level if level in ("info", "warning", "error") else "info", text.replace("\x00", "")))

    @property
    def unsent(self) -> list[tuple[str, str]]:
        return self._lines
