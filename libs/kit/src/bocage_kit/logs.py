"""Logs as one JSON document a line, on standard error."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, NamedTuple, TextIO

from bocage_kit.redaction import redacted

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_HELD_SECONDS, _HELD_LINES = 0.25, 200
REQUESTS = "bocage.request"
_ENCODER = json.JSONEncoder(default=str)


@lru_cache(4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _moment(seconds: float) -> str:
    return f"{_second(int(seconds))}.{int(seconds % 1 * 1000):03d}Z"


class Answered(NamedTuple):
    """One answer to a request, as the log tells it."""

    moment: float
    request_id: str
    method: str
    path: str
    status: int
    milliseconds: float
    subject: str


Told = Answered | Callable[[], Answered]
"""An answer, or what makes one of it when it is written."""


class JsonFormatter(logging.Formatter):
    """Message, level, logger, time and whatever `extra` held."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, object] = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                document[name] = value
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return redacted(_ENCODER.encode(document))

    def answered(self, told: Told) -> str:
        """As `format` says a record of the logger `bocage.request` that holds the same."""
        each = told if isinstance(told, Answered) else told()
        return redacted(
            f'{{"time": "{_moment(each.moment)}", "level": "info", "service": {_quoted(self.service)},'
            f' "logger": "{REQUESTS}", "message": "request", "request_id": {_quoted(each.request_id)},'
            f' "method": {_quoted(each.method)}, "path": {_quoted(each.path)}, "status": {each.status},'
            f' "milliseconds": {each.milliseconds!r}, "subject": {_quoted(each.subject)}}}'
        )


class Together(logging.StreamHandler[TextIO]):
    """Writes what an event loop tells a few times a second: a write for each line takes longer than the line.

    Whoever is killed loses the lines of the last quarter of a second. Warnings are written at once, with what is held.
    """

    def __init__(self, stream: TextIO, formatter: JsonFormatter) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self._json = formatter
        self._held: list[str | Told] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.hold(self.format(record), at_once=record.levelno >= logging.WARNING)
        except Exception:
            self.handleError(record)

    def hold(self, line: str | Told, *, at_once: bool = False) -> None:
        """The line of an answer is made when it is written: among others of its kind that takes least."""
        held = self._held
        held.append(line)
        if not at_once and len(held) < _HELD_LINES:
            if len(held) > 1:
                return  # the first of them has seen to it
            try:
                asyncio.get_running_loop().call_later(_HELD_SECONDS, self.flush)
                return
            except RuntimeError:
                pass  # nobody would come back to it
        self.flush()

    def flush(self) -> None:
        self.acquire()
        try:
            held, self._held = self._held, []
            if held:
                lines = [each if isinstance(each, str) else self._json.answered(each) for each in held]
                self.stream.write("\n".join(lines) + "\n")
            super().flush()
        finally:
            self.release()


class Requests:
    """Where services tell what they answered: the handler of this process, or the logger where it has none."""

    def __init__(self) -> None:
        self._handler: Together | None = None
        self._log = logging.getLogger(REQUESTS)

    def attach(self, handler: Together) -> None:
        self._handler = handler

    def answered(self, told: Told) -> None:
        if not self._log.isEnabledFor(logging.INFO):
            return
        if self._handler is not None and self._handler in self._log.root.handlers:
            self._handler.hold(told)
        else:
            each = told if isinstance(told, Answered) else told()
            self._log.info("request", extra=dict(zip(Answered._fields[1:], each[1:], strict=True)))


requests = Requests()


def configure(service: str, level: str = "INFO") -> None:
    """Logs of this process on standard error. Where a line was written from is not told, so it is not looked up."""
    unused: Any = logging
    unused._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = Together(sys.stderr, JsonFormatter(service))
    requests.attach(handler)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn.access").disabled = True
    for noisy in ("httpx", "httpcore", "alembic", "rasterio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
