"""Takes jobs from the queue and runs them, heals, publishes: `python -m bocage_processing.dispatcher`."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import procrastinate
from bocage_kit import logs
from bocage_kit.database import wait_until_ready
from bocage_kit.peers import Peers
from bocage_kit.store import LocalStore

from bocage_processing import instances, publisher
from bocage_processing.attempts import Attempts
from bocage_processing.descriptions import Descriptions
from bocage_processing.executor import LocalExecutor
from bocage_processing.grants import Grants
from bocage_processing.patience import patiently
from bocage_processing.publisher import Publisher
from bocage_processing.queue import QUEUE, TASK, Connection, Pool, make_pool, make_queue
from bocage_processing.reaper import Reaper
from bocage_processing.settings import ProcessingSettings

_log = logging.getLogger("bocage.processing.dispatcher")


async def dispatch(settings: ProcessingSettings, free_disk: Callable[[], int] | None = None) -> None:
    """Run until SIGTERM or SIGINT; what runs then goes back to the queue."""
    settings.jobs_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    await wait_until_ready(settings.database)
    pool = make_pool(settings.database, "bocage-dispatcher", size=6 + settings.job_slots)
    queue = make_queue(settings.database)
    store = LocalStore(settings.store_root)
    peers = Peers(settings.sockets, settings.secret("processing.key"))
    async with AsyncExitStack() as stack:
        instance = stack.enter_context(instances.hold(settings.jobs_root))
        await pool.open()
        stack.push_async_callback(pool.close, 2)
        stack.push_async_callback(peers.close)
        await stack.enter_async_context(queue.open_async())
        grants = Grants(
            settings.job_cores,
            settings.job_spare_disk_bytes,
            free_disk or (lambda: shutil.disk_usage(settings.jobs_root).free),
        )
        executor = LocalExecutor(settings.job_grace_seconds)
        attempts = Attempts(settings, instance, pool, queue, store, executor, grants)
        queue.task(name=TASK, queue=QUEUE)(_task(attempts))
        reaper = Reaper(settings, pool, queue, store)
        descriptions = Descriptions(settings)
        publishing = Publisher(settings, pool, peers, descriptions.one, descriptions.all)
        await _until_stopped(
            attempts,
            asyncio.create_task(_work(queue, settings)),
            asyncio.create_task(_regularly(reaper.once, settings.job_reap_seconds)),
            asyncio.create_task(publisher.run(publishing, attempts.published)),
            asyncio.create_task(_regularly(publishing.claim_names, settings.claim_names_seconds)),
            asyncio.create_task(_regularly(lambda: _heartbeat(pool, instance), 1.0)),
        )


def _task(attempts: Attempts) -> Callable[..., Awaitable[None]]:
    async def run_job(job_id: str) -> None:
        try:
            await attempts.take(job_id)
        except Exception:
            # The reaper sees to the job; the message has done its work.
            _log.exception("attempt broke", extra={"job": job_id})

    return run_job


async def _work(queue: procrastinate.App, settings: ProcessingSettings) -> None:
    await queue.run_worker_async(
        queues=[QUEUE],
        concurrency=settings.job_slots,
        install_signal_handlers=False,
        delete_jobs="always",
        fetch_job_polling_interval=2.0,
        update_heartbeat_interval=max(0.5, settings.job_stalled_seconds / 5),
        stalled_worker_timeout=settings.job_stalled_seconds,
        shutdown_graceful_timeout=5.0,
    )


async def _until_stopped(attempts: Attempts, work: asyncio.Task[None], *loops: asyncio.Task[None]) -> None:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    asking = asyncio.create_task(asked.wait())
    await asyncio.wait({asking, work, *loops}, return_when=asyncio.FIRST_COMPLETED)
    attempts.stop()
    await attempts.quiet(8.0)
    for task in (work, *loops):
        task.cancel()
    ended = await asyncio.gather(work, *loops, return_exceptions=True)
    asking.cancel()
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def _regularly(what: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        try:
            await what()
        except Exception:
            _log.exception("stumbled; goes on")
        await asyncio.sleep(seconds)


async def _heartbeat(pool: Pool, instance: str) -> None:
    async def beat(connection: Connection) -> None:
        await connection.execute(
            "insert into dispatcher (instance) values (%s) on conflict (instance) do update set beat = now()",
            [instance],
        )

    await patiently(pool, beat, seconds=5)


def main() -> None:
    settings = ProcessingSettings()
    logs.configure("dispatcher", settings.log_level)
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    os.umask(0o077)
    with suppress(KeyboardInterrupt):
        asyncio.run(dispatch(settings))


if __name__ == "__main__":
    main()
