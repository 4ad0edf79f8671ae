"""How far a harvest has come, and up to when one has come: so that it goes on where it was, and reads what is new."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bocage_client.errors import UsageError
from bocage_client.harvest_http import Asked
from bocage_client.load_journal import state_folder

_TABLES = """
create table if not exists progress (
  collection text primary key, since text, asked text, count integer not null, newest text, started text not null,
  done integer not null
);
create table if not exists seen (collection text, id text, primary key (collection, id)) without rowid;
create table if not exists watermark (collection text primary key, moment text not null);
"""


@dataclass(frozen=True)
class Progress:
    """Of one collection. `asked`: the request for what comes next."""

    since: str | None
    asked: Asked | None
    count: int
    newest: str | None
    started: str
    done: bool


class Journal:
    """Of one source, one platform and one narrowing. A page is entered when the platform has taken it."""

    def __init__(self, named: Iterable[str], folder: Path | None = None, lasting: bool = True) -> None:
        digest = hashlib.sha256(json.dumps(list(named)).encode()).hexdigest()[:24]
        self.path = (folder or state_folder()) / "harvests" / f"{digest}.sqlite" if lasting else None
        self._open: sqlite3.Connection | None = None

    def __enter__(self) -> Journal:
        if self.path is not None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
        # Without a name it is a file that vanishes.
        self._open = sqlite3.connect(self.path or "", timeout=0, isolation_level=None)
        try:
            self._open.execute("pragma locking_mode = exclusive")
            self._open.execute("begin exclusive")
            self._open.execute("commit")
            self._open.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            self._open.close()
            if "locked" in str(error):
                raise UsageError("The same harvest runs already.", "already-running") from error
            raise UsageError(f"{self.path} is no journal of a harvest: remove it.", "bad-journal") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._open = None

    @property
    def _connection(self) -> sqlite3.Connection:
        assert self._open is not None
        return self._open

    @contextmanager
    def _whole(self) -> Iterator[None]:
        self._connection.execute("begin")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    def progress(self, collection: str) -> Progress | None:
        row = self._connection.execute(
            "select since, asked, count, newest, started, done from progress where collection = ?", (collection,)
        ).fetchone()
        if row is None:
            return None
        asked = Asked(**json.loads(row[1])) if row[1] is not None else None
        return Progress(row[0], asked, row[2], row[3], row[4], bool(row[5]))

    def going_on(self) -> int:
        """How many records an earlier run read that did not come to its end."""
        found: int = self._connection.execute("select coalesce(sum(count), 0) from progress").fetchone()[0]
        return found

    def enter(self, collection: str, progress: Progress, ids: Iterable[str]) -> None:
        """A page is done: all of this at once, or nothing."""
        asked = json.dumps(progress.asked.document()) if progress.asked is not None else None
        values = (progress.since, asked, progress.count, progress.newest, progress.started, progress.done)
        with self._whole():
            self._connection.executemany("insert or ignore into seen values (?, ?)", ((collection, x) for x in ids))
            self._connection.execute(
                "insert or replace into progress values (?, ?, ?, ?, ?, ?, ?)", (collection, *values)
            )

    def seen(self, collection: str, name: str) -> bool:
        row = self._connection.execute("select 1 from seen where collection = ? and id = ?", (collection, name))
        return row.fetchone() is not None

    def count(self, collection: str) -> int:
        """How many different records came."""
        row = self._connection.execute("select count(*) from seen where collection = ?", (collection,))
        found: int = row.fetchone()[0]
        return found

    def forget(self, collection: str | None = None) -> None:
        """The progress of one collection, or of all; what was read up to when stays."""
        where, values = ("where collection = ?", (collection,)) if collection is not None else ("", ())
        with self._whole():
            self._connection.execute(f"delete from progress {where}", values)  # noqa: S608
            self._connection.execute(f"delete from seen {where}", values)  # noqa: S608

    def watermark(self, collection: str) -> str | None:
        row = self._connection.execute("select moment from watermark where collection = ?", (collection,)).fetchone()
        return str(row[0]) if row is not None else None

    def mark(self, collection: str, moment: str) -> None:
        """Never backwards."""
        self._connection.execute(
            "insert into watermark values (?, ?) on conflict (collection) do update"
            " set moment = max(moment, excluded.moment)",
            (collection, moment),
        )
