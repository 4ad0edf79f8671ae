"""Which dispatchers of this machine live: each holds a lock on a file of its own, which its death releases."""

from __future__ import annotations

import fcntl
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER = ".dispatchers"


def _host() -> str:
    return socket.gethostname().replace("/", "_")


@contextmanager
def hold(jobs_root: Path) -> Iterator[str]:
    """The name of this dispatcher, held for as long as it lives."""
    name = f"{_host()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    folder = jobs_root / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield name
        finally:
            path.unlink(missing_ok=True)


def dead(jobs_root: Path, name: str) -> bool:
    """Whether a dispatcher is certainly dead. Of another machine's, or of a stopped one, that is not known."""
    if name.split(".")[0] != _host().split(".")[0]:
        return False
    try:
        with (jobs_root / _FOLDER / name).open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    (jobs_root / _FOLDER / name).unlink(missing_ok=True)
    return True
