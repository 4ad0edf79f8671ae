"""The catalogue through the gateway with an API key, beside the software that it is built on and beside plain SQL.

All in one run, in turn, on the same items. Every request is drawn anew, and answers must be the same items in the same
order.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from bocage_deploy import bench_items, bench_peer
from bocage_deploy.bench_items import FRANCE
from bocage_deploy.bench_loading import pypgstac_load, wait_until_finished
from bocage_deploy.bench_processes import Meter, below
from bocage_deploy.bench_requests import (
    BOUNDS,
    DEEP_PAGE,
    DRAWN,
    ONE_ITEM,
    Asked,
    Bound,
    encoded,
    first_page,
    one_item,
    page_after,
)  # fmt: skip
from bocage_deploy.cluster import Cluster, install_programs
from bocage_deploy.home import Home
from bocage_deploy.platform import Platform

Line = Callable[[str], None]
ITEMS, ROUNDS = 100_000, 100
_PAGES, _MEASURED_PAGES = 49, 10
_PORTS = {"ours": 8795, "peer": 8796, "faster": 8797}
_PARTS = ("gateway", "catalogue", "rights")
# What a server still does after its last byte belongs to the request.
_AFTERWARDS = 0.002


@dataclass
class Side:
    """One of those that are measured: where it answers and which processes work for it."""

    name: str
    port: int
    prefix: str
    headers: Mapping[str, str]
    meter: Meter
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def fetch(self, path: str, body: bytes | None) -> bytes:
        headers = dict(self.headers) | ({"Content-Type": "application/json"} if body is not None else {})
        self.connection.request("POST" if body is not None else "GET", self.prefix + path, body, headers)
        response = self.connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{self.name}: {response.status} to {path}: {content[:300]!r}")
        return content


@dataclass
class Figures:
    """What one side took for one kind of request."""

    seconds: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return statistics.median(self.seconds) * 1000

    @property
    def cpu(self) -> float:
        return statistics.median(sum(each.values()) for each in self.parts) * 1000

    def part(self, name: str) -> float:
        return statistics.median(each.get(name, 0.0) for each in self.parts) * 1000


@dataclass
class Bench:
    """All sides over the same items."""

    sides: dict[str, Side]
    sql: psycopg.Connection[tuple[Any, ...]]
    floor: Meter
    counts: Mapping[str, int]
    turns: random.Random
    """Who comes first is drawn each time: that one finds the processor's caches full of this process's own work."""
    figures: dict[str, dict[str, Figures]] = field(default_factory=dict)

    def ask(self, kind: str, paths: Mapping[str, str], asked: Asked, *, counted: bool) -> dict[str, Any]:
        """Send one request to every side, in any order, compare what comes back, and return the answers."""
        contents: dict[str, bytes] = {}
        kept = self.figures.setdefault(kind, {}) if counted else {}
        body = encoded(asked)
        for side in self.turns.sample(list(self.sides.values()), len(self.sides)):
            name = side.name
            side.meter.begin()
            begun = time.perf_counter()
            contents[name] = side.fetch(paths.get(name, asked.path), body)
            taken = time.perf_counter() - begun
            time.sleep(_AFTERWARDS)
            figures = kept.setdefault(name, Figures())
            figures.parts.append(side.meter.end())
            figures.seconds.append(taken)
        self.floor.begin()
        begun = time.perf_counter()
        rows = self.sql.execute(asked.floor, dict(asked.values), prepare=True).fetchall()
        "".join(row[0] for row in rows)
        taken = time.perf_counter() - begun
        time.sleep(_AFTERWARDS)
        figures = kept.setdefault("floor", Figures())
        figures.parts.append(self.floor.end())
        figures.seconds.append(taken)
        answers = {name: json.loads(content) for name, content in contents.items()}
        expected = [row[1] for row in rows]
        for name, answer in answers.items():
            if _names(answer) != expected:
                raise AssertionError(f"{name} answers otherwise than plain SQL: {asked}\n{_names(answer)}\n{expected}")
        return answers


def _names(answer: Mapping[str, Any]) -> list[str]:
    if "collections" in answer:  # in no promised order
        return sorted(each["id"] for each in answer["collections"])
    return [each["id"] for each in answer["features"]] if "features" in answer else [answer["id"]]


def _share_collections(ours: str, theirs: str) -> None:
    """The platform has collections of its own, for results: the peer gets them too."""
    with psycopg.connect(ours) as mine, psycopg.connect(theirs) as his:
        his.execute("set search_path = pgstac, public")
        for (content,) in mine.execute("select content::text from pgstac.collections"):
            his.execute("select pgstac.upsert_collection(%s)", [content])


@contextmanager
def running(count: int, line: Line) -> Iterator[Bench]:
    """Make both, load both, serve both."""
    bench_peer.python()
    folder = Path(tempfile.mkdtemp(prefix="bocage-bench-", dir="/tmp"))
    folder.chmod(0o711)  # the database's own user walks through
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOCAGE_")}
    environment |= {"BOCAGE_PORT": str(_PORTS["ours"])}
    environment.pop("DATABASE_URL", None)
    platform = Platform(Home(folder / "ours"), environment, lambda text: None)
    try:
        begun = time.monotonic()
        collections, items = bench_items.write(FRANCE, count, folder)
        size = items.stat().st_size / count / 1000
        line(f"catalogue, {count} items of {size:.1f} kB in {len(FRANCE.collections)} collections")
        line(f"  items made in {time.monotonic() - begun:.0f} s")
        platform.start(with_parent=True, with_engine=False)
        key = platform.demonstration_accounts().researcher
        cluster = Cluster(platform.home, install_programs())
        url = cluster.url(platform.database_name)
        with bench_peer.database(folder / "peer") as held:
            seconds = {}
            for name, address in (("peer", held.url), ("ours", url)):
                pypgstac_load(address, "collections", collections)
                seconds[name] = pypgstac_load(address, "items", items)
            _share_collections(url, held.url)
            items.unlink()
            line(f"  pypgstac load, bare {count / seconds['peer']:7.0f} items/s")
            ratio = seconds["ours"] / seconds["peer"]
            line(f"  pypgstac load, ours {count / seconds['ours']:7.0f} items/s   {ratio:.2f} × as long")
            bench_peer.register_numbers(held.url, "eo:cloud_cover")
            with psycopg.connect(held.url, autocommit=True) as connection:
                connection.execute("vacuum analyze")
                connection.execute("checkpoint")
            wait_until_finished(url, line)
            ports = {name: _PORTS[name] for name in bench_peer.SETTINGS}
            with bench_peer.serving(held, ports, folder) as processes, psycopg.connect(url, autocommit=True) as sql:
                for setting in ("plan_cache_mode = force_custom_plan", "jit = off", "search_path = catalogue, public"):
                    sql.execute(f"set {setting}")
                supervisor = int(platform.pid_file.read_text())
                server = below(supervisor, "postgres -D")
                sides = {
                    "ours": Side(
                        "ours", _PORTS["ours"], "/stac", {"X-API-Key": key},
                        Meter(
                            {part: below(supervisor, f"-m bocage_{part}") for part in _PARTS} | {"database": server}
                        ),
                    )
                }  # fmt: skip
                for name, port in ports.items():
                    meter = Meter({"application": processes[name], "database": held.process})
                    sides[name] = Side(name, port, "", {}, meter)
                turns = random.Random(13)  # noqa: S311 - repeatable, not secret
                yield Bench(sides, sql, Meter({"database": sql.info.backend_pid}), FRANCE.counts(count), turns)
    finally:
        platform.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _rounds(bench: Bench, rounds: int) -> None:
    dice = random.Random(11)  # noqa: S311 - repeatable, not secret
    walk = Walk(bench, random.Random(12))  # noqa: S311
    for number in range(-3, rounds):
        counted = number >= 0
        for side in bench.sides.values():
            side.meter.refresh()
        kinds = list(DRAWN.items())
        for kind, (_, draw) in bench.turns.sample(kinds, len(kinds)):
            bench.ask(kind, {}, draw(dice, bench.counts), counted=counted)
        holder = dice.choices(list(bench.counts), list(bench.counts.values()))[0]
        name = str(bench_items.item(FRANCE, holder, dice.randrange(bench.counts[holder]))["id"])
        bench.ask(ONE_ITEM, {}, one_item(holder, name), counted=counted)
        if counted:
            walk.measure()


class Walk:
    """Deep pages, reached as a client reaches them: by the links of the pages before."""

    def __init__(self, bench: Bench, dice: random.Random) -> None:
        self._bench, self._dice = bench, dice
        self._left = 0
        self._dated: Mapping[str, Any] = {}
        self._pages: dict[str, Any] = {}

    def measure(self) -> None:
        if self._left == 0:
            self._begin()
        self._left -= 1
        last = self._pages["ours"]["features"][-1]
        self._pages = self._bench.ask(DEEP_PAGE, self._following(), page_after("", self._dated, last), counted=True)

    def _begin(self) -> None:
        path, self._dated = first_page(self._dice)
        sides = self._bench.sides
        self._pages = {name: json.loads(sides[name].fetch(path, None)) for name in ("ours", "faster")}
        pages = min(_PAGES, sum(self._bench.counts.values()) // 50)
        for _ in range(pages - 1):
            links = self._following()
            self._pages = {name: json.loads(sides[name].fetch(links[name], None)) for name in ("ours", "faster")}
        self._left = _MEASURED_PAGES

    def _following(self) -> dict[str, str]:
        """Where each side's next page is. Both of the peer's processes know each other's links: it is one database."""
        found = {}
        for name in ("ours", "faster"):
            href = next(link["href"] for link in self._pages[name]["links"] if link["rel"] == "next")
            parts = urlsplit(href)
            found[name] = f"{parts.path.removeprefix(self._bench.sides[name].prefix)}?{parts.query}"
        return found | {"peer": found["faster"]}


def verdict(bound: Bound, ours: float, peer: float, faster: float) -> tuple[float, bool]:
    """How much ours may take, and whether it takes no more."""
    most = peer / bound.peer
    if bound.faster is not None:
        most = min(most, faster / bound.faster)
    return most, ours <= most


def measure(line: Line, count: int = ITEMS, rounds: int = ROUNDS) -> bool:
    """Load, compare every answer, print the table; whether every bound holds."""
    with running(count, line) as bench:
        _rounds(bench, rounds)
        figures = bench.figures
    line(f"  {rounds} requests of each kind, one at a time, kinds and sides in any order; ms p50 (CPU)")
    line("  every answer the same items in the same order")
    sides = ("peer", "faster", "floor", "ours")
    titles = ("peer", "USE_API_HYDRATE", "plain SQL", "ours, with a key")
    line(f"  {'':32}" + "".join(f"{title:>17}" for title in titles) + f"{'at most':>17}")
    well = True
    for kind, bound in BOUNDS.items():
        found = figures[kind]
        wall = verdict(bound, found["ours"].p50, found["peer"].p50, found["faster"].p50)
        cpu = verdict(bound, found["ours"].cpu, found["peer"].cpu, found["faster"].cpu)
        well = well and wall[1] and cpu[1]
        cells = [f"{found[side].p50:.2f} ({found[side].cpu:.2f})" for side in sides] + [f"{wall[0]:.2f} ({cpu[0]:.2f})"]
        says = "holds" if wall[1] and cpu[1] else "FAILS"
        line(f"  {kind:32}" + "".join(f"{cell:>17}" for cell in cells) + f"  {says}")
    line("  ours by part, ms CPU" + "".join(f"{part:>12}" for part in (*_PARTS, "database")))
    for kind in BOUNDS:
        mine = figures[kind]["ours"]
        line(f"  {kind:32}" + "".join(f"{mine.part(part):>12.2f}" for part in (*_PARTS, "database")))
    return well
