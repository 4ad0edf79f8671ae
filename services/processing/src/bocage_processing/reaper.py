"""Heals what kills leave behind: lost attempts, lost messages, orphans, files of attempts that do not count."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import procrastinate
from bocage_kit.store import LocalStore
from procrastinate.jobs import Status

from bocage_processing import instances, jobs, leftovers, staging
from bocage_processing.attempts import LOST, problem_of
from bocage_processing.queue import QUEUE, TASK, Connection, Pool, enqueue
from bocage_processing.settings import ProcessingSettings
from bocage_processing.subprocesses import CHECK_PREFIX

_log = logging.getLogger("bocage.processing.reaper")
_UNCLEAN = """
    select a.job, a.attempt, j.process, a.ended < now() - make_interval(secs => %s) as settled
      from job_attempt a join job j on j.id = a.job
     where not a.cleaned and a.ended is not null
"""
_LOST_MESSAGES = """
    select j.id from job j
     where j.state = 'accepted' and not exists (
           select 1 from procrastinate_jobs p
            where p.task_name = %s and p.status in ('todo', 'doing') and p.args ->> 'job_id' = j.id::text)
       for update skip locked
"""


@dataclass(frozen=True)
class Reaper:
    """Any number may run at once, and each may be killed at any point."""

    settings: ProcessingSettings
    pool: Pool
    queue: procrastinate.App
    store: LocalStore

    async def once(self) -> None:
        async with self.pool.connection() as connection:
            await self._lost_attempts(connection)
            await self._dead_workers(connection)
            await self._lost_messages(connection)
            await self._orphans(connection)
            await self._clean(connection)
            async with connection.transaction():
                await connection.execute("delete from dispatcher where beat < now() - interval '1 day'")
        await asyncio.to_thread(self._old_folders)

    async def _lost_attempts(self, connection: Connection) -> None:
        async with connection.transaction():
            rows = await connection.execute(
                """
                select id, attempt, runner, lease_until < now() as expired from job
                 where state = 'running' and phase <> 'publishing' for update skip locked
                """
            )
            for row in await rows.fetchall():
                dead = await asyncio.to_thread(instances.dead, self.settings.jobs_root, row["runner"])
                if not (row["expired"] or dead):
                    continue
                message = "The computation was lost by no fault of yours; trying again."
                error = problem_of(LOST, refused=False)
                answer = await jobs.requeue(connection, row["id"], row["attempt"], "lost", message, error)
                _log.warning("attempt lost", extra={"job": str(row["id"]), "attempt": row["attempt"], "then": answer})
                if answer == "requeued":
                    await enqueue(self.queue, connection, str(row["id"]))

    async def _dead_workers(self, connection: Connection) -> None:
        """Rows of the queue that a dead dispatcher had fetched; what they asked for is seen to by the job rows."""
        manager = self.queue.job_manager
        stalled = await manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=self.settings.job_stalled_seconds)
        for message in stalled:
            await manager.finish_job(message, Status.FAILED, delete_job=True)

    async def _lost_messages(self, connection: Connection) -> None:
        async with connection.transaction():
            rows = await (await connection.execute(_LOST_MESSAGES, [TASK])).fetchall()
            for row in rows:
                await enqueue(self.queue, connection, str(row["id"]))

    async def _orphans(self, connection: Connection) -> None:
        marks = {mark for _, mark in await asyncio.to_thread(lambda: list(leftovers.marked()))}
        if not marks:
            return
        ids = [UUID(mark.partition(":")[0]) for mark in marks if _is_mark(mark)]
        query = "select id, attempt, state = 'running' and phase <> 'publishing' as live from job where id = any (%s)"
        rows = await (await connection.execute(query, [ids])).fetchall()
        current = {f"{row['id']}:{row['attempt']}" for row in rows if row["live"]}
        ours = {str(row["id"]) for row in rows}
        # Marks of jobs that this database does not know belong to another platform on the machine.
        condemned = {mark for mark in marks if mark.partition(":")[0] in ours} - current
        if condemned:
            killed = await asyncio.to_thread(leftovers.kill, lambda mark: mark in condemned)
            _log.warning("orphans killed", extra={"processes": killed})

    async def _clean(self, connection: Connection) -> None:
        """Take away what attempts that do not count left: for a while, as one that comes back may write once more."""
        rows = await (await connection.execute(_UNCLEAN, [2 * self.settings.job_lease_seconds + 60])).fetchall()
        for row in rows:
            job, attempt = str(row["job"]), int(row["attempt"])
            accepted = await (
                await connection.execute(
                    "select 1 from job where id = %s and ended_attempt = %s"
                    " and (state = 'successful' or phase = 'publishing')",
                    [row["job"], attempt],
                )
            ).fetchone()
            if not accepted:
                prefix = staging.attempt_prefix(row["process"], job, attempt)
                await asyncio.to_thread(self.store.delete_prefix, prefix)
                with suppress(OSError):
                    self.store.path(prefix).parent.rmdir()
            folder = staging.job_folder(self.settings.jobs_root, job, attempt)
            await asyncio.to_thread(staging.empty, folder)
            if row["settled"]:
                async with connection.transaction():
                    await connection.execute(
                        "update job_attempt set cleaned = true where job = %s and attempt = %s", [row["job"], attempt]
                    )

    def _old_folders(self) -> None:
        """What tells of a run is kept for a day."""
        oldest = time.time() - self.settings.job_keep_folder_seconds
        for folder in self.settings.jobs_root.iterdir():
            with suppress(OSError):
                ours = _is_mark(folder.name) or folder.name.startswith(CHECK_PREFIX)
                if ours and folder.stat().st_mtime < oldest and not _busy(folder, oldest):
                    shutil.rmtree(folder, ignore_errors=True)


def _busy(folder: Path, oldest: float) -> bool:
    return any(path.stat().st_mtime > oldest for path in folder.glob("*/*"))


def _is_mark(text: str) -> bool:
    try:
        UUID(text.partition(":")[0])
    except ValueError:
        return False
    return True
