"""One attempt of a job, from the message in the queue to the accepted outcome."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import procrastinate
from bocage_kit.store import LocalStore
from bocage_processes.process import Quote
from pydantic import ValidationError

from bocage_processing import jobs, staging
from bocage_processing.executor import Executor, Running
from bocage_processing.grants import Grants
from bocage_processing.patience import patiently
from bocage_processing.queue import Connection, Pool, enqueue
from bocage_processing.settings import ProcessingSettings
from bocage_processing.watch import Watch
from bocage_processing.work import REPORT, Report, Trouble

_log = logging.getLogger("bocage.processing.attempt")
LOST = Trouble(
    code="worker-lost",
    detail="The computation was lost several times by no fault of yours. Nothing was charged.",
    remedy="Try again later; if it fails again, report the job's id.",
)


@dataclass
class Attempts:
    """Takes job ids from the queue and runs them, within what the machine has to give."""

    settings: ProcessingSettings
    instance: str
    pool: Pool
    queue: procrastinate.App
    store: LocalStore
    executor: Executor
    grants: Grants
    published: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False
    _watches: set[Watch] = field(default_factory=set)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, job_id: str) -> None:
        """What the queue's message means. Doubles, and messages of ended jobs, do nothing."""
        job = await patiently(self.pool, lambda c: jobs.get(c, UUID(job_id)))
        if job is None or job.state != "accepted":
            return
        async with self.grants.some_cores(job.cores):
            quote = Quote.model_validate(job.quote)
            if (lacking := self.grants.lacking_disk(quote.disk_bytes)) > 0:
                await self._wait_for_disk(job, quote.disk_bytes, lacking)
                return
            if self.stopping:
                return
            attempt = await patiently(
                self.pool, lambda c: jobs.claim(c, job.id, self.instance, self.settings.job_lease_seconds)
            )
            if attempt is None:
                return
            async with self.grants.some_disk(quote.disk_bytes):
                await self._run(job, attempt, quote)

    def stop(self) -> None:
        """End all attempts here in good order; their jobs go back to the queue."""
        self.stopping = True
        for watch in self._watches:
            watch.decide("stopped")

    async def quiet(self, seconds: float) -> None:
        """Return when no attempt is left here, or after some time."""
        if self._watches:
            self._idle.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._idle.wait()

    async def _wait_for_disk(self, job: jobs.Job, wanted: int, lacking: int) -> None:
        reason = (
            f"Waiting for disk: the job needs {wanted / 1e9:.2f} GB where jobs run, {lacking / 1e9:.2f} GB are lacking."
        )

        async def write(connection: Connection) -> None:
            await jobs.wait(connection, job.id, reason)
            await enqueue(self.queue, connection, str(job.id), self.settings.job_wait_seconds)

        await patiently(self.pool, write)

    async def _run(self, job: jobs.Job, attempt: int, quote: Quote) -> None:
        settings = self.settings
        watch = Watch(self.pool, job.id, attempt, settings.job_lease_seconds, settings.job_beat_seconds)
        self._watches.add(watch)
        if self.stopping:
            watch.decide("stopped")
        following = asyncio.create_task(watch.follow())
        folder = staging.job_folder(settings.jobs_root, str(job.id), attempt)
        try:
            trouble = await self._stage(job, attempt)
            if trouble is not None:
                refused = trouble.code == "input-changed"
                await self._fail(job, attempt, watch, trouble, refused=refused, again=not refused)
                return
            watch.phase = "running"
            exit_code, overdue = await self._execute(job, attempt, folder, quote, watch)
            if watch.verdict is not None:
                await self._give_up(job, attempt, watch)
            elif overdue:
                trouble = Trouble(
                    code="time-limit", detail="The computation took far longer than estimated and was stopped.",
                    remedy="Ask for a smaller area, and report the job's id.",
                )  # fmt: skip
                await self._fail(job, attempt, watch, trouble, refused=False, again=False)
            else:
                await self._judge(job, attempt, folder, watch, exit_code)
        finally:
            following.cancel()
            await asyncio.to_thread(staging.empty, folder)
            self._watches.discard(watch)
            if not self._watches:
                self._idle.set()

    async def _stage(self, job: jobs.Job, attempt: int) -> Trouble | None:
        try:
            await asyncio.to_thread(staging.stage, self.settings, self.store, job, attempt)
        except staging.InputChanged as error:
            return Trouble(
                code="input-changed", detail=f"{error} changed after the job was quoted. Nothing was charged.",
                remedy="Submit the job again.",
            )  # fmt: skip
        except OSError:
            _log.exception("staging failed", extra={"job": str(job.id)})
            return LOST
        return None

    async def _execute(
        self, job: jobs.Job, attempt: int, folder: Path, quote: Quote, watch: Watch
    ) -> tuple[int | None, bool]:
        """The exit code, and whether the wall limit passed. On return nothing of the attempt runs any more."""
        limit = max(self.settings.job_wall_factor * quote.seconds, self.settings.job_wall_minimum_seconds)
        running: Running = await self.executor.submit(str(job.id), attempt, folder, job.cores)
        deadline = time.monotonic() + limit
        try:
            while (code := await self.executor.poll(running)) is None and watch.verdict is None:
                if time.monotonic() > deadline:
                    return None, True
                watch.read(folder)
                try:
                    async with asyncio.timeout(self.settings.job_poll_seconds):
                        await watch.must_stop.wait()
                except TimeoutError:
                    pass
            return code, False
        finally:
            await self.executor.kill(running)
            watch.read(folder)

    async def _judge(self, job: jobs.Job, attempt: int, folder: Path, watch: Watch, exit_code: int | None) -> None:
        report = _report(folder)
        if report is None or exit_code != 0:
            how = f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"
            _log.warning("runner died", extra={"job": str(job.id), "attempt": attempt, "how": how})
            watch.unsent.append(("error", f"The computation broke off ({how})."))
            await self._fail(job, attempt, watch, LOST, refused=False, again=True)
        elif report.status == "successful" and report.outcome is not None:
            await self._accept(job, attempt, folder, report, watch)
        else:
            trouble = report.trouble or LOST
            refused = report.status == "refused"
            await self._fail(job, attempt, watch, trouble, refused=refused, again=not refused)

    async def _accept(self, job: jobs.Job, attempt: int, folder: Path, report: Report, watch: Watch) -> None:
        outcome = report.outcome
        assert outcome is not None
        prefix = staging.attempt_prefix(job.process, str(job.id), attempt)
        answer: jobs.End = "refused"
        try:
            if watch.verdict is None:
                results = await asyncio.to_thread(staging.store_outputs, self.store, job, attempt, folder, outcome)
                usage = outcome.usage.model_dump(mode="json")

                async def end(connection: Connection) -> jobs.End:
                    await self._flush(connection, job, attempt, watch)
                    return await jobs.end(connection, job.id, attempt, "successful", usage=usage, results=results)

                answer = await patiently(self.pool, end)
        except (staging.BadOutput, OSError):
            _log.exception("outputs could not be kept", extra={"job": str(job.id)})
            await self._fail(job, attempt, watch, LOST, refused=False, again=True)
            return
        finally:
            if answer in ("refused", "dismissed"):
                await asyncio.to_thread(self.store.delete_prefix, prefix)
        if watch.verdict is not None and answer == "refused":
            await self._give_up(job, attempt, watch)
        if answer == "publishing":
            self.published.set()

    async def _fail(
        self, job: jobs.Job, attempt: int, watch: Watch, trouble: Trouble, *, refused: bool, again: bool
    ) -> None:
        """`refused`: the inputs are at fault; `again`: another try may help. Nothing is charged in any case."""
        if watch.verdict is not None:
            await self._give_up(job, attempt, watch)
            return
        error = problem_of(trouble, refused=refused)

        async def write(connection: Connection) -> None:
            await self._flush(connection, job, attempt, watch)
            if not again:
                await jobs.end(connection, job.id, attempt, "failed", error=error, message=trouble.detail)
                return
            message = f"{trouble.detail} Trying again."
            answer = await jobs.requeue(connection, job.id, attempt, "lost", message, error)
            if answer == "requeued":
                await enqueue(self.queue, connection, str(job.id))

        await patiently(self.pool, write)

    async def _give_up(self, job: jobs.Job, attempt: int, watch: Watch) -> None:
        if watch.verdict == "stop":
            await patiently(self.pool, lambda c: jobs.end(c, job.id, attempt, "dismissed"))
        elif watch.verdict == "stopped":

            async def hand_back(connection: Connection) -> None:
                message = "The platform restarts; the job starts again."
                error = problem_of(LOST, refused=False)
                if await jobs.requeue(connection, job.id, attempt, "stopped", message, error) == "requeued":
                    await enqueue(self.queue, connection, str(job.id))

            await patiently(self.pool, hand_back, seconds=5)

    async def _flush(self, connection: Connection, job: jobs.Job, attempt: int, watch: Watch) -> None:
        if watch.unsent:
            await jobs.add_logs(connection, job.id, attempt, watch.unsent)
            watch.unsent.clear()


def problem_of(trouble: Trouble, *, refused: bool) -> dict[str, Any]:
    """A failed job's cause, as the problem document that its results answer with."""
    detail = " ".join(filter(None, (trouble.detail, trouble.remedy)))
    return {
        "type": f"urn:bocage:problem:{trouble.code}",
        "title": "Input refused" if refused else "Processing failed",
        "status": 422 if refused else 500,
        "detail": detail,
        "code": trouble.code,
        "description": detail,
        "remedy": trouble.remedy,
        **({"facts": trouble.facts} if trouble.facts else {}),
    }


def _report(folder: Path) -> Report | None:
    try:
        return Report.model_validate_json((folder / REPORT).read_bytes())
    except (OSError, ValidationError):
        return None
