"""Starts an engine in a process group of its own and takes the whole group along when it ends.

Run as a script, by the interpreter alone: `python -I guard.py USAGE_FILE PARENT_PID COMMAND…`. It dies with its
parent, even if that one is killed without warning, kills every process of the group first, and leaves what the engine
used in USAGE_FILE as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1


def _end(signum: int, frame: FrameType | None) -> None:
    os.killpg(0, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    usage_file, parent, command = Path(arguments[0]), int(arguments[1]), arguments[2:]
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, _end)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the line above
        return 1
    code = subprocess.call(command, stdin=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    usage_file.write_text(
        json.dumps({"cpu_seconds": used.ru_utime + used.ru_stime, "peak_bytes": used.ru_maxrss * 1024}), "utf-8"
    )
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
