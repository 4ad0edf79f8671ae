"""What the command shows: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bocage_client.errors import JsonObject

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Terminal:
    """One run's output. With `as_json`, stdout gets one JSON document and nothing else."""

    def __init__(self, as_json: bool, url: str | None = None) -> None:
        self.as_json, self.url = as_json, url
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last: dict[str, str] = {}
        self._printed = False

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_bars()

    def document(self, document: object) -> None:
        """The one JSON document of this run."""
        if self._printed:
            return
        self._printed = True
        self.stop_bars()
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def result(self, document: object, lines: Iterable[str] = ()) -> None:
        """`document` for programs, `lines` for people (the document itself where there are none)."""
        text = list(lines)
        if self.as_json or not text:
            self.document(document)
            return
        self.stop_bars()
        sys.stdout.write("\n".join(text) + "\n")
        sys.stdout.flush()

    def table(self, document: object, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """`rows` as aligned columns; `document` for programs."""
        if self.as_json:
            self.document(document)
            return
        cells = [[_cell(row.get(name)) for name in columns] for row in rows]
        widths = [max(len(x) for x in column) for column in zip(columns, *cells, strict=True)]
        lines = ["  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)).rstrip() for row in [columns, *cells]]
        self.result(document, lines)

    def say(self, message: str) -> None:
        """To people, on stderr."""
        if self._bars is not None:
            self._bars.console.print(message, markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stderr.write(message + "\n")
            sys.stderr.flush()

    def uploading(self, name: str, done: int, total: int) -> None:
        percent = int(100 * done / total) if total else 100
        if sys.stderr.isatty():
            self._bar(name, done, total, "bytes")
        elif done >= total or percent // 25 > int(self._last.get(name, "-1")):
            self._last[name] = str(percent // 25)
            self.say(f"{name}: {percent} % of {total} bytes")

    def counting(self, name: str, done: int, total: int | None) -> None:
        """Items of which there are `total`, when that is known."""
        if sys.stderr.isatty():
            of = f" of {total:,}" if total is not None else ""
            self._bar(name, done, total, f"{name}: {done:,}{of} items")
        elif total:
            tenth = 10 * done // total
            if tenth > int(self._last.get(name, "0")):
                self._last[name] = str(tenth)
                self.say(f"{name}: {done:,} of {total:,} items")
        elif done // 10_000 > int(self._last.get(name, "0")):
            self._last[name] = str(done // 10_000)
            self.say(f"{name}: {done:,} items")

    def downloads(self, name: str) -> Callable[[int, int], None]:
        """A callback for one file."""
        return lambda done, total: self.uploading(name, done, total or done)

    def job(self, status: JsonObject) -> None:
        """Progress of a job: a bar on a terminal, else a line whenever something changed."""
        percent, message = int(status.get("progress") or 0), str(status.get("message") or "")
        name = str(status.get("jobID", ""))
        text = f"{status.get('status')} {percent} % {message}".rstrip()
        if sys.stderr.isatty():
            self._bar(name, percent, 100, text)
        elif self._last.get(name) != text:
            self._last[name] = text
            self.say(text)

    def stop_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks.clear()

    def _bar(self, name: str, done: int, total: int | None, text: str) -> None:
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bars = Progress(
                TextColumn("{task.fields[text]}", markup=False),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self._bars.start()
        label = f"{name} ({(total or 0) / 1e6:.1f} MB)" if text == "bytes" else text
        if name not in self._tasks:
            whole = None if total is None else max(total, 1)
            self._tasks[name] = self._bars.add_task(name, total=whole, text=label)
        self._bars.update(self._tasks[name], completed=done, text=label)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple | set):
        return ",".join(str(x) for x in value) or "-"
    return str(value)
