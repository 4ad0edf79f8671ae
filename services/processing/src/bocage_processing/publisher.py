"""Puts accepted results in the catalogue, through its API, for as long as it takes; again does no harm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from bocage_kit.peers import Peers

from bocage_processing import inheritance, jobs
from bocage_processing.item import WRITE_SCOPE_FIELD, collection_of, item_of
from bocage_processing.jobs import Job
from bocage_processing.patience import patiently
from bocage_processing.queue import Connection, Pool
from bocage_processing.settings import ProcessingSettings
from bocage_processing.work import ProcessDescription

_log = logging.getLogger("bocage.processing.publisher")
_NEXT = """
    update outbox set tries = tries + 1, next_try = now() + make_interval(secs => %s)
     where job = (select job from outbox where done is null and next_try <= now()
                   order by next_try limit 1 for update skip locked)
    returning job, attempt, tries
"""


class Refused(Exception):
    """The catalogue answered something else than success."""


@dataclass(frozen=True)
class Publisher:
    """`describe` gives the description of a process by id, `describe_all` all of them."""

    settings: ProcessingSettings
    pool: Pool
    peers: Peers
    describe: Callable[[str], Awaitable[ProcessDescription]]
    describe_all: Callable[[], Awaitable[Mapping[str, ProcessDescription]]]

    async def once(self) -> bool:
        """Try the next result that is due; False when there is none."""
        lease = self.settings.publish_backoff_seconds

        async def take(connection: Connection) -> tuple[Job, int, int] | None:
            row = await (await connection.execute(_NEXT, [lease])).fetchone()
            if row is None:
                return None
            job = await jobs.get(connection, row["job"])
            assert job is not None
            return job, row["attempt"], row["tries"]

        due = await patiently(self.pool, take)
        if due is None:
            return False
        job, attempt, tries = due
        try:
            await inheritance.release(self.peers, job)
            await self._publish(job)
        except inheritance.Held as held:
            _log.info("held", extra={"job": str(job.id), "tries": tries})
            message = str(held)
            wait = self.settings.publish_held_seconds
            await patiently(self.pool, lambda c: _postpone(c, job, wait, message))
            await patiently(self.pool, lambda c: jobs.hold(c, job.id, message))
        except (httpx.HTTPError, Refused, RuntimeError, ValueError, KeyError, OSError) as error:
            wait = min(self.settings.publish_backoff_seconds, 0.5 * 2 ** min(tries - 1, 10))
            _log.warning("not published yet", extra={"job": str(job.id), "tries": tries, "reason": repr(error)[:500]})
            reason = f"{type(error).__name__}: {error}"[:500]
            await patiently(self.pool, lambda c: _postpone(c, job, wait, reason))
        else:
            await patiently(self.pool, lambda c: jobs.publish(c, job.id, attempt))
            _log.info("published", extra={"job": str(job.id), "tries": tries})
        return True

    async def _publish(self, job: Job) -> None:
        catalogue = self.peers.client("catalogue")
        items = f"/stac/collections/{quote(job.process)}/items"
        item = f"{items}/{job.id}"
        document = item_of(job)
        answer = await catalogue.put(item, json=document, headers=await self.peers.own_headers())
        if answer.status_code == 404:
            await self._ensure_collection(job.process)
            answer = await catalogue.post(items, json=document, headers=await self.peers.own_headers())
            if answer.status_code == 409:
                answer = await catalogue.put(item, json=document, headers=await self.peers.own_headers())
        _expect_success(answer)
        # Successful means readable, not merely written.
        _expect_success(await catalogue.get(item, headers=await self.peers.own_headers()))

    async def claim_names(self) -> None:
        """Have the collections of results before an account takes their names."""
        for process in (await self.describe_all()).values():
            if process.publishes:
                await self._ensure_collection(process.id)

    async def _ensure_collection(self, process: str) -> None:
        catalogue = self.peers.client("catalogue")
        path = f"/stac/collections/{quote(process)}"
        document = collection_of(await self.describe(process))
        known = await catalogue.get(path, headers=await self.peers.own_headers())
        if known.status_code != 404:
            _expect_success(known)
            if known.json().get(WRITE_SCOPE_FIELD) != "service":
                # An account took the name first; whoever owns the collection could delete what is published in it.
                _log.warning("took over a collection", extra={"collection": process})
                _expect_success(await catalogue.put(path, json=document, headers=await self.peers.own_headers()))
            return
        answer = await catalogue.post("/stac/collections", json=document, headers=await self.peers.own_headers())
        if answer.status_code != 409:
            _expect_success(answer)


async def run(publisher: Publisher, wake: asyncio.Event) -> None:
    """Publish for ever; `wake` is set when there is something new."""
    while True:
        try:
            while await publisher.once():
                pass
        except Exception:
            _log.exception("publisher stumbled")
            await asyncio.sleep(1)
        wake.clear()
        try:
            async with asyncio.timeout(0.5):
                await wake.wait()
        except TimeoutError:
            pass


async def _postpone(connection: Connection, job: Job, seconds: float, reason: str) -> None:
    await connection.execute(
        "update outbox set next_try = now() + make_interval(secs => %s), last_error = %s"
        " where job = %s and done is null",
        [seconds, reason, job.id],
    )


def _expect_success(answer: httpx.Response) -> None:
    if not answer.is_success:
        problem: Any = answer.text[:300]
        raise Refused(f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {problem}")
