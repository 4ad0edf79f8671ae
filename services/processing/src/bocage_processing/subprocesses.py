"""The environment of runners, and short calls of one: descriptions and pre-checks, kept out of the service itself."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from bocage_processing import work

CHECK_PREFIX = "check-"
_ALLOWED = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "SSL_CERT_FILE")
_log = logging.getLogger("bocage.processing.runner")
Answer = TypeVar("Answer", bound=BaseModel)


class RunnerFailed(Exception):
    """The runner gave no answer."""


class RunnerSlow(RunnerFailed):
    """The runner took too long."""


def environment(home: Path, cores: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """All that a runner is told by its environment: no address, no secret."""
    threads = {name: str(cores) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS")}
    numba = {"NUMBA_NUM_THREADS": str(cores), "NUMBA_CACHE_DIR": str(home)}
    inherited = {name: os.environ[name] for name in _ALLOWED if name in os.environ}
    return {
        **inherited, **threads, **numba, "HOME": str(home), "TMPDIR": str(home), "PYTHONUNBUFFERED": "1",
        **(extra or {}),
    }  # fmt: skip


async def ask(
    what: Literal["describe", "check"], task: work.Work, answer: type[Answer], jobs_root: Path, seconds: float
) -> Answer:
    """Ask a runner of its own, in a folder that is gone afterwards. Raises RunnerFailed, RunnerSlow."""
    with tempfile.TemporaryDirectory(prefix=CHECK_PREFIX, dir=jobs_root, ignore_cleanup_errors=True) as folder:
        out = await _asked(what, task.model_dump_json(by_alias=True), Path(folder), seconds)
    try:
        return answer.model_validate_json(out)
    except ValidationError as error:
        _log.exception("runner answered nonsense")
        raise RunnerFailed from error


async def _asked(what: str, question: str, folder: Path, seconds: float) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bocage_processing.runner", f"--{what}", "--parent", str(os.getpid()),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=environment(folder, 1), cwd=folder, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(question.encode())
    except TimeoutError as error:
        raise RunnerSlow from error
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode != 0:
        reason = err[-2000:].decode("utf-8", "replace")
        _log.error("runner failed", extra={"what": what, "code": process.returncode, "stderr": reason})
        raise RunnerFailed
    return out
