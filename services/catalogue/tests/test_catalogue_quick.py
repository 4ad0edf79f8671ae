"""What is answered before there is a request says what the application says, byte for byte; the rest is left to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from bocage_catalogue.database import Database
from bocage_kit.identity import HEADER, Identity, LinkScope, TileScope, sign

_NUMBERS = itertools.count()
_DROP = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and usename = 'bocage_catalogue'"


class Speaker:
    """Speaks to the catalogue as the gateway does, on one connection."""

    def __init__(self, catalogue: Any, identity: Identity, **headers: str) -> None:
        self.catalogue = catalogue
        self.token = sign(identity, catalogue.key)
        self.headers = headers
        host, port = catalogue.url.removeprefix("http://").split(":")
        self.come = b""
        self.socket = socket.create_connection((host, int(port)), 20)

    def block(self, **more: str) -> str:
        named = {"host": "catalogue", **self.headers, **more, HEADER.lower(): self.token}
        return "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())

    def send(self, path: str, **more: str) -> None:
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nx-request-id: 0123456789\r\n{self.block(**more)}\r\n".encode())

    def read(self) -> bytes:
        """One answer, with another date. What comes after it is the next one."""
        while b"\r\n\r\n" not in self.come:
            self._more()
        head = self.come.partition(b"\r\n\r\n")[0]
        length = re.search(rb"(?i)content-length: (\d+)", head)
        size = int(length[1]) if length is not None else 0
        end = len(head) + 4 + size
        while len(self.come) < end:
            self._more()
        answer, self.come = self.come[:end], self.come[end:]
        return re.sub(rb"date: [^\r]+", b"date: now", answer, count=1)

    def _more(self) -> None:
        piece = self.socket.recv(1 << 20)
        assert piece, "the connection ended"
        self.come += piece

    def ask(self, path: str, **more: str) -> bytes:
        self.send(path, **more)
        return self.read()

    def the_long_way(self, path: str) -> bytes:
        """With headers that were never seen, which the parser reads, and the application answers."""
        return self.ask(path, x_never_seen=str(next(_NUMBERS)))

    def quickly(self, path: str) -> tuple[bytes, bool]:
        """With the same headers again; and whether it was begun before there was a request."""
        self.ask(path)
        before = len(self.catalogue.quickly)
        answer = self.ask(path)
        return answer, len(self.catalogue.quickly) > before


@pytest.fixture(scope="module")
def holding(catalogue: Any) -> Any:
    for name in ("open", "closed"):
        members = {"bocage:audience": "owner"} if name == "closed" else {"bocage:audience": "public"}
        told = {"bocage:translations": {"fr": {"title": "Un titre"}}}
        made = catalogue.researcher.post("/stac/collections", json=catalogue.collection(name, **members, **told))
        assert made.status_code == 201, made.text
        audiences = ["public", "organisation", "owner"]
        catalogue.put_file(f"{name}/a.tif")
        items = [catalogue.item(f"{name}-{n}", **{"bocage:audience": audience}) for n, audience in enumerate(audiences)]
        items[0]["assets"] = {"a": {"href": "https://data.example.org/a.tif", "type": "image/tiff"}}
        items += [catalogue.item("with:colon_and.dots-1", **{"bocage:audience": "public"})]
        for item in items:
            sent = catalogue.researcher.post(f"/stac/collections/{name}/items", json=item)
            assert sent.status_code == 201, sent.text
    return catalogue


@pytest.fixture
def speaker(holding: Any) -> Iterator[Any]:
    made: list[Speaker] = []

    def speak(identity: Identity, **headers: str) -> Speaker:
        made.append(Speaker(holding, identity, **headers))
        return made[-1]

    yield speak
    for each in made:
        each.socket.close()


PATHS = [
    "/stac/collections",
    *(f"/stac/collections/{c}/items/{c}-{n}" for c in ("open", "closed") for n in range(3)),
    "/stac/collections/open/items/with:colon_and.dots-1",
    "/stac/collections/open/items/none",
    "/stac/collections/none/items/none",
    "/stac/collections/open/items/" + "x" * 300,
]


@pytest.mark.parametrize(
    "person", ["anonymous", "researcher", "colleague", "reader", "stranger", "administrator", "service"]
)
@pytest.mark.parametrize("headers", [{}, {"accept_language": "fr, en;q=0.5"}])
def test_both_ways_say_the_same(holding: Any, speaker: Any, person: str, headers: dict[str, str]) -> None:
    for base in (holding.base, "https://hub.example.org/theia/bocage"):
        spoken = speaker(holding.identities[person].model_copy(update={"public_base": base}), **headers)
        good = 0
        for path in PATHS:
            shown, quickly = spoken.quickly(path)
            assert shown == spoken.the_long_way(path), path
            assert quickly == (len(path) < 250), path
            good += shown.startswith(b"HTTP/1.1 200 ")
        assert good >= 3


@pytest.mark.parametrize(
    "headers",
    [{"if_none_match": "*"}, {"if_none_match": '"nothing"'}, {"range": "bytes=0-1"}, {"if_modified_since": "x"}],
)
def test_conditions_are_for_the_application(holding: Any, speaker: Any, headers: dict[str, str]) -> None:
    spoken = speaker(holding.identities["anonymous"], **headers)
    shown, quickly = spoken.quickly("/stac/collections/open/items/open-0")
    assert not quickly and shown == spoken.the_long_way("/stac/collections/open/items/open-0")
    assert shown.startswith(b"HTTP/1.1 304 ") == (headers.get("if_none_match") == "*")


def test_what_else_is_not_plain(holding: Any, speaker: Any) -> None:
    spoken = speaker(holding.identities["anonymous"])
    for path in ("/stac/collections?limit=1", "/stac/collections?", "/stac/collections/open", "/stac/collections/"):
        shown, quickly = spoken.quickly(path)
        assert not quickly and shown == spoken.the_long_way(path)


def test_who_may_not_is_refused(holding: Any, speaker: Any) -> None:
    now = int(time.time())
    kinds = {
        "tiles": TileScope(collections=frozenset({"open"})),
        "link": LinkScope(collection="open", signed=now, expires=now + 60),
    }
    for name, scope in kinds.items():
        spoken = speaker(holding.identities["researcher"].model_copy(update={name: scope}))
        for path in PATHS[:2]:
            shown, quickly = spoken.quickly(path)
            assert not quickly and shown.startswith(b"HTTP/1.1 403 ")
    spoken = speaker(holding.identities["anonymous"])
    spoken.token = spoken.token[:-4] + "AAAA"
    shown, quickly = spoken.quickly(PATHS[0])
    assert not quickly and shown.startswith(b"HTTP/1.1 401 ")


def test_an_identity_ends(holding: Any, speaker: Any) -> None:
    spoken = speaker(holding.identities["anonymous"])
    spoken.token = sign(holding.identities["anonymous"], holding.key, ends=int(time.time()) + 3)
    assert spoken.quickly(PATHS[0])[1]
    time.sleep(3)
    shown = spoken.ask(PATHS[0])
    assert shown.startswith(b"HTTP/1.1 401 ") and b"www-authenticate" in shown.lower()


def test_what_changed_is_seen_at_once(holding: Any, speaker: Any) -> None:
    spoken = speaker(holding.identities["stranger"])
    path = "/stac/collections/open/items/open-0"
    tags = set()
    for n in range(3):
        changed = holding.researcher.patch(path, json={"properties": {"title": f"Title {n}"}})
        assert changed.status_code == 200, changed.text
        shown, quickly = spoken.quickly(path)
        assert quickly and f"Title {n}".encode() in shown
        tags.add(re.search(rb"etag: ([^\r]+)", shown)[1])  # type: ignore[index]
    assert len(tags) == 3
    hidden = holding.researcher.patch("/stac/collections/open", json={"bocage:audience": "owner"})
    assert hidden.status_code == 200, hidden.text
    assert spoken.ask(path).startswith(b"HTTP/1.1 404 ") and b'"open"' not in spoken.ask("/stac/collections")
    assert holding.researcher.patch("/stac/collections/open", json={"bocage:audience": "public"}).status_code == 200
    assert spoken.ask(path).startswith(b"HTTP/1.1 200 ")


def test_the_log_tells_the_same(holding: Any, speaker: Any, caplog: pytest.LogCaptureFixture) -> None:
    identity = holding.identities["reader"].model_copy(update={"public_base": "https://hub.example.org/theia"})
    spoken, path = speaker(identity), PATHS[1]
    spoken.quickly(path)
    with caplog.at_level(logging.INFO, "bocage.request"):
        for _ in range(2):
            caplog.clear()
            spoken.ask(path)
            spoken.the_long_way(path)
            while len(caplog.records) < 2:
                time.sleep(0.01)
            names = ("request_id", "method", "path", "status", "subject", "levelname", "name")
            quick, long = ([getattr(record, name) for name in names] for record in caplog.records)
            assert quick == long == ["0123456789", "GET", "/theia" + path, 200, "reader", "INFO", "bocage.request"]


@contextlib.contextmanager
def locked(admin_url: str, table: str) -> Iterator[None]:
    """While this lasts, nobody reads the table."""
    with psycopg.connect(admin_url) as connection:
        connection.execute(f"lock table {table} in access exclusive mode")
        yield


def waiting(admin_url: str) -> int:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        row = connection.execute("select count(*) from pg_stat_activity where wait_event_type = 'Lock'").fetchone()
        assert row is not None
        return int(row[0])


def wait_for(done: Any) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def test_requests_in_a_row_are_answered_in_theirs(holding: Any, speaker: Any, module_database: Any) -> None:
    spoken = speaker(holding.identities["anonymous"])
    first, second, third = PATHS[1], PATHS[0], PATHS[1] + "-none"
    expected = [spoken.quickly(path)[0] for path in (first, second, third)]
    with locked(module_database.admin_url, "catalogue.finished_item"):
        for path in (first, second, third):
            spoken.send(path)
            time.sleep(0.05)
    assert [spoken.read() for _ in range(3)] == expected
    with locked(module_database.admin_url, "catalogue.finished_item"):
        for path in (third, second, first):
            spoken.send(path)
            time.sleep(0.05)
    assert [spoken.read() for _ in range(3)] == expected[::-1]


def test_who_leaves_takes_no_connection_along(holding: Any, speaker: Any, module_database: Any) -> None:
    for _ in range(4):
        leaving = [speaker(holding.identities["anonymous"]) for _ in range(12)]
        for each in leaving:
            assert each.quickly(PATHS[1])[0].startswith(b"HTTP/1.1 200 ")
        with locked(module_database.admin_url, "catalogue.finished_item"):
            for each in leaving:
                each.send(PATHS[1])
            wait_for(lambda: waiting(module_database.admin_url) >= 10)
            for each in leaving:
                each.socket.close()
        wait_for(lambda: waiting(module_database.admin_url) == 0)
    assert speaker(holding.identities["anonymous"]).quickly(PATHS[1])[1]


def test_connections_that_the_database_dropped(holding: Any, speaker: Any, module_database: Any) -> None:
    spoken = speaker(holding.identities["anonymous"])
    expected = [spoken.quickly(path)[0] for path in PATHS[:2]]
    for _ in range(3):
        with psycopg.connect(module_database.admin_url, autocommit=True) as connection:
            connection.execute(_DROP, [module_database.name])
        time.sleep(0.2)
        assert [spoken.ask(path) for path in PATHS[:2]] == expected
    # In the middle of a question the application asks again, and may find another connection that it does not know of.
    with locked(module_database.admin_url, "catalogue.finished_item"):
        spoken.send(PATHS[1])
        wait_for(lambda: waiting(module_database.admin_url) >= 1)
        with psycopg.connect(module_database.admin_url, autocommit=True) as connection:
            connection.execute(_DROP, [module_database.name])
        time.sleep(0.2)
    shown = spoken.read()
    assert shown == expected[1] or shown.startswith(b"HTTP/1.1 503 ")
    assert spoken.quickly(PATHS[1]) == (expected[1], True)


def test_tables_that_change_under_what_was_prepared(holding: Any, speaker: Any, module_database: Any) -> None:
    spoken = speaker(holding.identities["anonymous"])
    expected = [spoken.quickly(path)[0] for path in PATHS[:2]]
    with psycopg.connect(module_database.admin_url, autocommit=True) as connection:
        for change in ("add column a_test integer", "drop column a_test"):
            connection.execute(f"alter table catalogue.finished_item {change}")
            connection.execute(f"alter table catalogue.finished_collection {change}")
            assert [spoken.ask(path) for path in PATHS[:2]] == expected
    assert [spoken.quickly(path) for path in PATHS[:2]] == [(text, True) for text in expected]


@pytest.mark.parametrize(
    "spoilt",
    ["deallocate all", "alter table a_test alter column n type bigint", "discard plans"],
)
def test_what_was_prepared_is_prepared_anew(database: Any, admin: Any, spoilt: str) -> None:
    admin.execute("create table public.a_test (n integer)")
    admin.execute("insert into public.a_test values (7)")
    admin.execute("grant select on public.a_test to public")

    async def look() -> None:
        async with Database.open(database.url("catalogue")) as catalogue:
            for _ in range(3):
                for _ in range(2):
                    async with catalogue.ready() as connection:
                        rows = await connection.fetch("select n, $1::text[] as given from public.a_test", ["x"])
                        assert [(row["n"], row["given"]) for row in rows] == [(7, ["x"])]
                if spoilt.startswith("alter"):
                    await asyncio.to_thread(admin.execute, spoilt.replace("a_test", "public.a_test"))
                else:
                    async with catalogue.ready() as connection:
                        await connection.execute(spoilt)

    asyncio.run(look())


def test_more_statements_than_are_kept(database: Any) -> None:
    async def look() -> None:
        async with Database.open(database.url("catalogue"), ready=1) as catalogue:
            for n in [*range(300), *range(300)]:
                async with catalogue.ready() as connection:
                    assert (await connection.fetch(f"select {n} + $1::integer as n", 1))[0]["n"] == n + 1
            async with catalogue.ready() as connection:
                held = await connection.fetchval("select count(*) from pg_prepared_statements")
            assert 200 <= held <= 310

    asyncio.run(look())


def test_what_was_prepared_outlasts_a_stay_in_the_pool(database: Any) -> None:
    """However many ask at once, and wherever their connections went meanwhile."""

    async def look() -> None:
        async with Database.open(database.url("catalogue"), ready=8) as catalogue:

            async def ask(n: int) -> int:
                async with catalogue.ready() as connection:
                    return int((await connection.fetch("select $1::integer + 1 as n, pg_sleep(0.01)", n))[0]["n"])

            for _ in range(4):
                assert await asyncio.gather(*map(ask, range(32))) == list(range(1, 33))
            made = set()
            for _ in range(12):
                async with contextlib.AsyncExitStack() as stack:
                    every = [await stack.enter_async_context(catalogue.ready()) for _ in range(8)]
                    for connection in every:
                        held = "select name from pg_prepared_statements where statement like '%pg_sleep(0.01)%'"
                        made.add(
                            (await connection.fetchval("select pg_backend_pid()"), await connection.fetchval(held))
                        )
            assert len(made) == 8 and all(name for _, name in made)

    asyncio.run(look())
