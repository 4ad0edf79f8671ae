"""The process in which a process runs: no database, no credentials, an environment of its own, and a private folder.

python -m bocage_processing.runner --describe            (a `Work` without inputs on stdin)
python -m bocage_processing.runner --check               (a `Work` on stdin, a `CheckAnswer` on stdout)
python -m bocage_processing.runner --job ID --attempt N --folder DIR [--parent PID]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Literal

from bocage_processes.process import Cancelled, InputRefused, Limits, ProcessError, Provenance, StagedItem
from pydantic import BaseModel, ValidationError

from bocage_processing import work

_PR_SET_PDEATHSIG = 1
_MOST_LOG_LINES = 10_000


@dataclass
class RunnerContext:
    """`bocage_processes.process.Context` over the job's folder."""

    folder: Path
    items: Mapping[str, StagedItem]
    provenance: Provenance
    limits: Limits
    engines: Mapping[str, Path]
    journal: IO[str] | None = None
    _percent: float = field(default=-1.0, init=False)
    _lines: int = field(default=0, init=False)

    def progress(self, percent: float, message: str) -> None:
        percent = min(max(percent, 0.0), 100.0)
        if percent >= self._percent:
            self._percent = percent
            self._tell({"percent": round(percent, 1), "message": message[:500]})

    def log(self, message: str, level: Literal["info", "warning", "error"] = "info") -> None:
        if self._lines < _MOST_LOG_LINES:
            self._lines += 1
            self._tell({"level": level, "log": message[:4000]})

    def _tell(self, document: dict[str, object]) -> None:
        if self.journal is not None:
            self.journal.write(json.dumps(document) + "\n")
            self.journal.flush()


def die_with_parent(parent: int | None) -> None:
    """Be killed when the dispatcher is; covers the moment between its death and this call too."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def run(folder: Path) -> work.Report:
    """Do the work that `folder` describes. Never raises for what the process does."""
    task = work.Work.model_validate_json((folder / work.WORK).read_text())
    scratch = folder / work.SCRATCH
    scratch.mkdir(exist_ok=True)
    with (folder / work.PROGRESS).open("a", encoding="utf-8") as journal:
        context = _context(task, scratch, journal)
        try:
            process = work.load(task.registry)[task.process]
            inputs = process.inputs.model_validate(task.inputs)
            outcome = process.run(inputs, context)
            return work.Report(status="successful", outcome=outcome)
        except Cancelled as error:
            return work.Report(status="cancelled", trouble=_trouble(error))
        except InputRefused as error:
            context.log(error.detail, "error")
            return work.Report(status="refused", trouble=_trouble(error))
        except ProcessError as error:
            context.log(error.detail, "error")
            return work.Report(status="fault", trouble=_trouble(error))
        except Exception:
            # The stack is for the operator, in the folder; the caller is told no more than this.
            traceback.print_exc()
            context.log("The process failed in an unforeseen way.", "error")
            trouble = work.Trouble(
                code="process-failed",
                detail="The process failed in an unforeseen way.",
                remedy="Try again later; if it fails again, report the job's id.",
            )
            return work.Report(status="fault", trouble=trouble)


def check(task: work.Work) -> work.CheckAnswer:
    try:
        process = work.load(task.registry)[task.process]
        inputs = process.inputs.model_validate(task.inputs)
    except ValidationError as error:
        return work.CheckAnswer(errors=_errors(error))
    with tempfile.TemporaryDirectory() as folder:
        try:
            return work.CheckAnswer(quote=process.check(inputs, _context(task, Path(folder), None)))
        except ProcessError as error:
            return work.CheckAnswer(trouble=_trouble(error), refused=isinstance(error, InputRefused))


def describe(task: work.Work) -> work.ProcessDescriptions:
    processes = work.load(task.registry).values()
    return work.ProcessDescriptions(processes=[work.description(process, task.limits) for process in processes])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bocage_processing.runner")
    parser.add_argument("--describe", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--job")
    parser.add_argument("--attempt", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--parent", type=int)
    chosen = parser.parse_args(arguments)
    die_with_parent(chosen.parent)
    if chosen.describe or chosen.check:
        answers = _claim_stdout()
        task = work.Work.model_validate_json(sys.stdin.read())
        _answer(answers, describe(task) if chosen.describe else check(task))
        return 0
    if chosen.folder is None:
        parser.error("--folder is needed")
    os.umask(0o077)
    signal.signal(signal.SIGTERM, _stop)
    report = run(chosen.folder)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pending = chosen.folder / (work.REPORT + ".pending")
    pending.write_text(report.model_dump_json(by_alias=True))
    pending.replace(chosen.folder / work.REPORT)
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Cancelled("cancelled", "The job was asked to stop.")


def _context(task: work.Work, folder: Path, journal: IO[str] | None) -> RunnerContext:
    items = {item.reference: item for item in task.items}
    return RunnerContext(folder, items, task.provenance, task.limits, dict(task.engines), journal)


def _claim_stdout() -> IO[str]:
    """The real standard output, kept from whatever libraries print: they write to standard error from here on."""
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


def _answer(stream: IO[str], document: BaseModel) -> None:
    with stream:
        stream.write(document.model_dump_json(by_alias=True))


def _trouble(error: ProcessError) -> work.Trouble:
    return work.Trouble(code=error.code, detail=error.detail, remedy=error.remedy, facts=error.facts)


def _errors(error: ValidationError) -> list[dict[str, str]]:
    return [{"at": ".".join(["inputs", *map(str, e["loc"])]), "reason": e["msg"]} for e in error.errors()]


if __name__ == "__main__":
    sys.exit(main())
