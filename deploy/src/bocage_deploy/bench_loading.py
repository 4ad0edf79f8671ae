"""Items put in: by pgSTAC's loader as an operator runs it, and through the API; and what is left when it is killed."""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import orjson
import psycopg
from bocage_catalogue.bulk import MOST_ITEMS
from bocage_catalogue.database import Database
from bocage_catalogue.finished import finish

Line = Callable[[str], None]
_PATIENCE_SECONDS = 60.0


def _loader(url: str, kind: str, file: Path, method: str) -> list[str]:
    program = str(Path(sys.executable).parent / "pypgstac")
    return [program, "load", kind, str(file), "--dsn", url, "--method", method]


def pypgstac_load(url: str, kind: str, file: Path, method: str = "insert") -> float:
    """Load a file; the seconds that it took."""
    begun = time.monotonic()
    done = subprocess.run(_loader(url, kind, file, method), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pypgstac load failed: {done.stderr.strip()[-800:]}")
    return time.monotonic() - begun


def killed_load(url: str, file: Path, wait: Callable[[], bool]) -> None:
    """Begin to load a file, and end it without a warning as soon as `wait` says so."""
    quiet = subprocess.DEVNULL
    started = subprocess.Popen(_loader(url, "items", file, "insert"), stdout=quiet, stderr=quiet)
    while started.poll() is None and not wait():
        time.sleep(0.05)
    started.kill()
    started.wait()


def held(url: str, collection: str) -> int:
    """How many items a collection has."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("select count(*) from pgstac.items where collection = %s", [collection]).fetchone()
    assert row is not None
    return int(row[0])


def delete_items(url: str, collection: str) -> None:
    """What an earlier try left of a collection."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("delete from pgstac.items where collection = %s", [collection])


def differences(url: str, collection: str) -> int:
    """Items that pgSTAC has and the catalogue does not find, and the other way round."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "select count(*) from (select id, datetime from pgstac.items where collection = %(c)s) a"
            " full join (select id, datetime from catalogue.finished_item where collection = %(c)s) b"
            " using (id, datetime) where a.id is null or b.id is null",
            {"c": collection},
        ).fetchone()
    assert row is not None
    return int(row[0])


def wait_until_at_rest(url: str, line: Line) -> None:
    """Return when every item is laid out, what the catalogue does of itself, here with some help, and the database has
    seen to its tables, which it would do once a minute, in the middle of something else."""
    begun = time.monotonic()
    asyncio.run(_finish(url, line))
    line(f"  laid out {time.monotonic() - begun:.0f} s after the load")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze")


def wait_until_finished(url: str, line: Line) -> None:
    """The same, and all of it is on the disk."""
    wait_until_at_rest(url, line)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("checkpoint")


async def _finish(url: str, line: Line) -> None:
    told = time.monotonic()
    async with Database.open(url, readers=1, ready=1, writers=1) as database:
        while True:
            async with database.writing() as connection:
                if not await finish(connection, 1000):
                    if not await connection.fetchval(_WAITING):
                        return
                    await asyncio.sleep(0.2)  # others hold what is left
                if time.monotonic() - told > 30:
                    told = time.monotonic()
                    line(f"  … {await connection.fetchval(_WAITING)} items are still to be laid out")


_WAITING = "select count(*) from catalogue.finished_item where body is null"


def bodies(file: Path, items: int) -> Iterator[bytes]:
    """The items of a file of so many, as many in a request as are taken; twenty requests or more."""
    with file.open("rb") as handle:
        while lines := list(islice(handle, min(MOST_ITEMS, items // 20 + 1))):
            yield b'{"type":"FeatureCollection","features":[' + b",".join(line.rstrip() for line in lines) + b"]}"


class Sender:
    """Sends items to one collection, each request over and over until it was taken."""

    def __init__(self, port: int, key: str, collection: str) -> None:
        self._port, self._collection = port, collection
        self._headers = {"X-API-Key": key, "Content-Type": "application/json"}
        self.sent_again = 0

    def send(self, body: bytes) -> None:
        """A batch that was taken before its answer came is refused as a whole the second time: then it is in."""
        deadline, attempts = time.monotonic() + _PATIENCE_SECONDS, 0
        while True:
            attempts += 1
            try:
                status, content = self._post(body)
            except (OSError, http.client.HTTPException) as error:
                status, content = 0, repr(error).encode()
            if status == 201 or (status == 409 and attempts > 1):
                return
            if (status and status < 500) or time.monotonic() > deadline:
                raise RuntimeError(f"a batch was refused: {status} {content[:500]!r}")
            self.sent_again += 1
            time.sleep(0.3)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        try:
            connection.request("POST", f"/stac/collections/{quote(self._collection)}/items", body, self._headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def send_all(self, waiting: Sequence[bytes], senders: int) -> float:
        """Send what is waiting, some at once; the seconds that it took."""
        begun = time.monotonic()
        with ThreadPoolExecutor(senders) as pool:
            list(pool.map(self.send, waiting))
        return time.monotonic() - begun


def missing(url: str, file: Path, collection: str) -> int:
    """How many items of a file are not in the database."""
    with file.open("rb") as handle:
        names = [orjson.loads(line)["id"] for line in handle]
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "select count(*) from unnest(%s::text[]) n (id) where not exists"
            " (select from pgstac.items i where i.collection = %s and i.id = n.id)",
            [names, collection],
        ).fetchone()
    assert row is not None
    return int(row[0])
