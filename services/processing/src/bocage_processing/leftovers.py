"""Processes of an attempt, found by the mark in their environment: children that left their group cannot hide."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from bocage_processing.work import MARKER

_MARK = f"{MARKER}=".encode()
_ROUNDS = 20


def marked() -> Iterator[tuple[int, str]]:
    """(process id, mark) of every living process that carries one and that this user may look at."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            for variable in (entry / "environ").read_bytes().split(b"\0"):
                if variable.startswith(_MARK):
                    yield int(entry.name), variable[len(_MARK) :].decode("ascii", "replace")


def kill(condemned: Callable[[str], bool]) -> int:
    """Kill every process whose mark is condemned, until none is left; how many there were."""
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        found = [pid for pid, mark in marked() if condemned(mark)]
        if not found:
            break
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed.update(found)
        time.sleep(0.02)
    return len(killed)
