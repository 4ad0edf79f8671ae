"""Logs as one JSON document a line, on standard error."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from functools import lru_cache
from typing import Any, TextIO

from bocage_kit.redaction import redacted

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_HELD_SECONDS, _HELD_LINES = 0.25, 200
_ENCODER = json.JSONEncoder(default=str)


@lru_cache(4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class JsonFormatter(logging.Formatter):
    """Message, level, logger, time and whatever `extra` held."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, object] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}Z",
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


class Together(logging.StreamHandler[TextIO]):
    """Writes what an event loop tells a few times a second: a write for each line takes longer than the line.

    Whoever is killed loses the lines of the last quarter of a second. Warnings are written at once, with what is held.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._held: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._held.append(self.format(record))
            if record.levelno < logging.WARNING and len(self._held) < _HELD_LINES:
                if len(self._held) > 1:
                    return  # the first of them has seen to it
                try:
                    asyncio.get_running_loop().call_later(_HELD_SECONDS, self.flush)
                    return
                except RuntimeError:
                    pass  # nobody would come back to it
            self.flush()
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        self.acquire()
        try:
            held, self._held = self._held, []
            if held:
                self.stream.write("\n".join(held) + "\n")
            super().flush()
        finally:
            self.release()


def configure(service: str, level: str = "INFO") -> None:
    """Logs of this process on standard error. Where a line was written from is not told, so it is not looked up."""
    unused: Any = logging
    unused._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = Together(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn.access").disabled = True
    for noisy in ("httpx", "httpcore", "alembic", "rasterio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
