"""The supervisor's process: holds the home's lock for as long as it lives, and runs supervisord in the foreground."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
from pathlib import Path

from supervisor import supervisord

_PR_SET_PDEATHSIG = 1
_LOCK_DESCRIPTOR = 3  # supervisord closes every descriptor from 5 on


def main(arguments: list[str]) -> None:
    """`arguments`: the home, and `--with-parent` when it must not outlive whoever started it."""
    home = Path(arguments[0])
    if "--with-parent" in arguments:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    opened = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"Another Bocage is using {home}. Stop it first: make down.")
    if opened != _LOCK_DESCRIPTOR:
        os.dup2(opened, _LOCK_DESCRIPTOR)
        os.close(opened)
    supervisord.main(["--configuration", str(home / "supervisord.conf")])


if __name__ == "__main__":
    main(sys.argv[1:])
