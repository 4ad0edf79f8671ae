"""Where attempts run. `local` is a process group on this machine; a batch scheduler has the same three verbs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bocage_processing import leftovers
from bocage_processing.subprocesses import environment
from bocage_processing.work import MARKER, OUTPUT, marker

_MOST_OUTPUT_BYTES = 8 << 20


class Running(Protocol):
    """An attempt that was submitted."""

    @property
    def reference(self) -> str:
        """What names it where it runs."""


class Executor(Protocol):
    """Three verbs; the files in the job's folder tell the rest."""

    async def submit(self, job: str, attempt: int, folder: Path, cores: int) -> Running: ...

    async def poll(self, running: Running) -> int | None:
        """The exit code, negative for a signal; None while it runs."""

    async def kill(self, running: Running) -> None:
        """Ask it to stop, then kill all of it. Returns when nothing of it is left."""


@dataclass(frozen=True)
class LocalRun:
    process: asyncio.subprocess.Process
    mark: str
    output: Path

    @property
    def reference(self) -> str:
        return str(self.process.pid)


@dataclass(frozen=True)
class LocalExecutor:
    """A session of its own for each attempt, which dies with the dispatcher."""

    grace_seconds: float = 1.0

    async def submit(self, job: str, attempt: int, folder: Path, cores: int) -> LocalRun:
        mark = marker(job, attempt)
        output = folder / OUTPUT
        # In append mode, so that it can be cut back while it is written.
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bocage_processing.runner",
                "--job", job, "--attempt", str(attempt), "--folder", str(folder), "--parent", str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, cwd=folder,
                env=environment(folder, cores, {MARKER: mark}), start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(descriptor)
        return LocalRun(process, mark, output)

    async def poll(self, running: Running) -> int | None:
        assert isinstance(running, LocalRun)
        with suppress(OSError):
            if running.output.stat().st_size > _MOST_OUTPUT_BYTES:
                os.truncate(running.output, 0)
        return running.process.returncode

    async def kill(self, running: Running) -> None:
        assert isinstance(running, LocalRun)
        if running.process.returncode is None:
            _signal(running.process.pid, signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.grace_seconds):
                    await running.process.wait()
        _signal(running.process.pid, signal.SIGKILL)
        await running.process.wait()
        await asyncio.to_thread(leftovers.kill, lambda mark: mark == running.mark)


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
