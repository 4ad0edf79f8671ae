"""The folder that holds a platform's state: layout, format version, secrets, and its one owner's lock."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FORMAT = "1"
MAX_SOCKET_PATH = 100  # the kernel allows 107 bytes


class HomeError(Exception):
    """The state folder cannot be used."""


@dataclass(frozen=True)
class Home:
    """Paths below `$BOCAGE_HOME`."""

    root: Path

    @property
    def sockets(self) -> Path:
        return self.root / "run"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def cluster(self) -> Path:
        return self.root / "postgres"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def identity(self) -> Path:
        return self.root / "identity"

    def make(self) -> None:
        """Create what is missing; refuses a home of another format or one whose path is too long for sockets."""
        if len(str(self.sockets / "processing.sock")) > MAX_SOCKET_PATH:
            raise HomeError(f"BOCAGE_HOME is too long a path for unix sockets: {self.root}. Choose a shorter one.")
        self.root.mkdir(parents=True, exist_ok=True)
        # The database's own user must be able to walk through, not to list.
        self.root.chmod(0o711)
        stamp = self.root / "format"
        if stamp.exists() and stamp.read_text().strip() != FORMAT:
            raise HomeError(
                f"{self.root} is of format {stamp.read_text().strip()}, this version knows {FORMAT}. "
                "Move it away, or run the version that made it."
            )
        for folder in (self.sockets, self.secrets, self.logs, self.jobs, self.store, self.identity):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)
        self.cluster.mkdir(exist_ok=True)
        self.cluster.chmod(0o711)
        stamp.write_text(FORMAT + "\n")

    def secret(self, name: str, value: str | None = None) -> str:
        """The content of a secret file, made (from `value`, else at random) when it is not there."""
        path = self.secrets / name
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as handle:
                handle.write(value if value is not None else secrets.token_urlsafe(32))
        return path.read_text()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home for oneself. Raises HomeError when somebody else holds it."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HomeError(f"Another Bocage is using {self.root}. Stop it first: make down.") from error
            yield


def default_home() -> Path:
    """`$BOCAGE_HOME`, else the user's state folder, else `/var/lib/bocage` for root."""
    if configured := os.environ.get("BOCAGE_HOME"):
        return Path(configured).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/bocage")
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "bocage"
