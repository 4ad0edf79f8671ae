"""What a load has done so far, so that one that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from bocage_client.errors import UsageError

_DIGITS = 16


def digest_of(text: str) -> int:
    """An item by its bytes: one that was changed since is another one."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:_DIGITS], 16)


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """`BOCAGE_STATE` if set, else `bocage` in the user's folder of states."""
    if named := environment.get("BOCAGE_STATE"):
        return Path(named)
    if folder := environment.get("XDG_STATE_HOME"):
        return Path(folder) / "bocage"
    if sys.platform == "win32" and (folder := environment.get("LOCALAPPDATA")):
        return Path(folder) / "bocage"
    return Path.home() / ".local" / "state" / "bocage"


class Journal:
    """The items that the platform has taken, of one load: from these sources, to that place.

    A line is written when the platform has answered; whoever is killed before that sends the items again, which the
    platform knows by then. So nothing is lost, and nothing is twice.
    """

    def __init__(self, url: str, sources: Sequence[str], options: Sequence[str], folder: Path | None = None) -> None:
        named = json.dumps([url, sorted(sources), sorted(options)])
        name = hashlib.sha256(named.encode()).hexdigest()[:24]
        self.path = (folder or state_folder()) / "loads" / f"{name}.journal"
        self._done: set[int] = set()
        self._file: int | None = None

    def __enter__(self) -> Journal:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock()
        line = b"\n"
        with self.path.open("rb") as file:
            for line in file:
                # one that was cut short tells nothing; its items are sent again
                if len(line) % (_DIGITS + 1) == 0 and line.endswith(b"\n"):
                    self._done.update(int(word, 16) for word in line.split())
        if not line.endswith(b"\n"):
            os.write(self._file, b"\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        import fcntl

        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError("The same load runs already.", "already-running") from error

    def __len__(self) -> int:
        return len(self._done)

    def __contains__(self, digest: int) -> bool:
        return digest in self._done

    def add(self, digests: Iterable[int]) -> None:
        """One write, so that a line is there or is cut short at its end."""
        known = list(digests)
        if known:
            assert self._file is not None
            os.write(self._file, (" ".join(f"{x:0{_DIGITS}x}" for x in known) + "\n").encode())
            self._done.update(known)

    def forget(self) -> None:
        """Begin anew, or be done."""
        self._done.clear()
        if self._file is not None:
            os.ftruncate(self._file, 0)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
