"""The catalogue's answers beside `pgstac.search()` called by plain SQL in the same database, in turn."""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
from bocage_kit.identity import HEADER, Identity, new_key, sign
from joserfc.jwk import OKPKey
from psycopg.types.json import Jsonb
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

from bocage_deploy.cluster import Cluster, install_programs
from bocage_deploy.database import DATABASE, SERVICES, Access, provision, role_of
from bocage_deploy.home import Home

ITEMS, COLLECTIONS, ROUNDS = 20_000, 4, 30
_BANDS = ("B01", "B02", "B03", "B04", "B05", "B08", "B8A", "B11", "B12", "SCL")
_SINCE = datetime(2018, 1, 1, tzinfo=UTC)
_DAYS = 2200
_BASE = "http://127.0.0.1:8000"


def a_collection(number: int) -> dict[str, Any]:
    """A collection that says of its items' assets what is common to them."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": f"scenes-{number}",
        "title": f"Scenes {number}",
        "description": "Scenes made up for a measurement.",
        "license": "other",
        "bocage:licences": ["etalab-2.0"],
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [[_SINCE.isoformat(), None]]},
        },
        "links": [],
        "item_assets": {
            band: {"type": "image/tiff; application=geotiff", "roles": ["data"], "title": f"Band {band}", "gsd": 10}
            for band in _BANDS
        },
    }


def an_item(number: int, dice: random.Random) -> dict[str, Any]:
    """An item like those of optical missions, of some five kilobytes; one in twenty is its owner's alone."""
    west, south = dice.uniform(-170, 168), dice.uniform(-70, 69)
    east, north = west + dice.uniform(0.9, 1.3), south + dice.uniform(0.9, 1.1)
    collection, name = f"scenes-{number % COLLECTIONS}", f"scene-{number:07d}"
    moment = _SINCE + timedelta(seconds=dice.randrange(_DAYS * 86_400))
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"],
        "id": name,
        "collection": collection,
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
        },
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": moment.isoformat().replace("+00:00", "Z"),
            "platform": f"mission-{dice.choice('abc')}",
            "eo:cloud_cover": round(dice.uniform(0, 100), 2),
            "proj:code": f"EPSG:326{dice.randrange(1, 61):02d}",
            "view:sun_elevation": round(dice.uniform(10, 70), 3),
            "bocage:audience": "owner" if number % 20 == 0 else "public",
            "bocage:owner": "somebody",
            "statistics": {band: [round(dice.gauss(1000, 300), 2) for _ in range(8)] for band in _BANDS},
        },
        "assets": {
            band: {
                "href": f"store:collections/{collection}/{name}/{band}",
                "type": "image/tiff; application=geotiff",
                "roles": ["data"],
                "title": f"Band {band}",
                "gsd": 10,
                "file:size": dice.randrange(10**8),
                "file:checksum": f"1220{dice.getrandbits(256):064x}",
            }
            for band in _BANDS
        },
        "links": [],
    }


class Anonymous(httpx.Auth):
    """A token of nobody in particular, made anew before it ends."""

    def __init__(self, key: OKPKey) -> None:
        self._key, self._token, self._made = key, "", -60.0

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        if time.monotonic() - self._made > 20:
            self._token = sign(Identity(subject="anonymous", public_base=_BASE), self._key)
            self._made = time.monotonic()
        request.headers[HEADER] = self._token
        yield request


@dataclass(frozen=True)
class Bench:
    """A catalogue that runs over a database of its own, an anonymous client of it, and SQL as the same role."""

    client: httpx.Client
    sql: psycopg.Connection[tuple[Any, ...]]
    admin_url: str


@contextmanager
def running(count: int, line: Callable[[str], None]) -> Iterator[Bench]:
    """Load `count` items, half of them without the triggers and then again with them, and serve them."""
    folder = Path(tempfile.mkdtemp(prefix="bocage-bench-", dir="/tmp"))
    home = Home(folder)
    home.make()
    cluster = Cluster(home, install_programs())
    cluster.make()
    server = cluster.start()
    service: subprocess.Popen[bytes] | None = None
    try:
        passwords = {name: cluster.set_passfile(role_of(name)) for name in SERVICES}
        provision(Access(cluster.url, lambda name, database: cluster.url(database, role_of(name)), passwords))
        admin = cluster.url(DATABASE)
        _load(admin, count, line)
        key = new_key()
        (home.identity / "public-keys.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
        mine = cluster.url(DATABASE, role_of("catalogue"))
        environment = os.environ | {"BOCAGE_HOME": str(folder), "BOCAGE_DATABASE": mine}
        service = subprocess.Popen([sys.executable, "-m", "bocage_catalogue"], env=environment)
        transport = httpx.HTTPTransport(uds=str(home.sockets / "catalogue.sock"))
        with (
            httpx.Client(transport=transport, base_url="http://catalogue", timeout=60, auth=Anonymous(key)) as client,
            psycopg.connect(mine, autocommit=True) as sql,
        ):
            _wait(client, service)
            for setting in ("pgstac.readonly = true", "pgstac.context = 'on'", "pgstac.context_stats_ttl = '0 seconds'",
                            "plan_cache_mode = force_custom_plan", "jit = off"):  # fmt: skip
                sql.execute(f"set {setting}")
            yield Bench(client, sql, admin)
    finally:
        if service is not None:
            service.terminate()
            service.wait(20)
        cluster.stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(client: httpx.Client, service: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and service.poll() is None:
        try:
            client.get("/healthz").raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError("the catalogue did not start")


def _load(admin: str, count: int, line: Callable[[str], None]) -> None:
    dice = random.Random(7)  # noqa: S311 - repeatable, not secret
    items = [an_item(number, dice) for number in range(count)]
    half = len(items) // 2
    with PgstacDB(dsn=admin) as db:
        loader = Loader(db)
        loader.load_collections(iter([a_collection(n) for n in range(COLLECTIONS)]), Methods.upsert)
        seconds: list[float] = []
        for part in (items[:half], items[half:]):
            with psycopg.connect(admin, autocommit=True) as connection:
                verb = "enable" if seconds else "disable"
                connection.execute(f"alter table pgstac.items {verb} trigger keep_finished")
            begun = time.monotonic()
            loader.load_items(iter(part), Methods.insert)
            seconds.append(time.monotonic() - begun)
    with psycopg.connect(admin, autocommit=True) as connection:
        while connection.execute("select catalogue.enter_more(1000)").fetchone() != (0,):
            pass
        begun = time.monotonic()
        while connection.execute("select catalogue.finish_more(1000)").fetchone() != (0,):
            pass
        finished = time.monotonic() - begun
        connection.execute("vacuum analyze")
        sizes = connection.execute(
            "select pg_total_relation_size('catalogue.finished_item'), (select sum(pg_total_relation_size(inhrelid)) "
            "from pg_inherits where inhparent = 'pgstac.items'::regclass)"
        ).fetchone()
    assert sizes is not None
    line(f"catalogue, {count} items of {len(json.dumps(items[0])) / 1000:.1f} kB in {COLLECTIONS} collections")
    line(f"  pypgstac load, bare          {half / seconds[0]:7.0f} items/s")
    line(f"  pypgstac load, entering      {half / seconds[1]:7.0f} items/s   {seconds[1] / seconds[0]:.2f} × as long")
    line(f"  finishing them afterwards    {count / finished:7.0f} items/s")
    line(f"  size                         {sizes[0] / 1e6:7.0f} MB beside {float(sizes[1]) / 1e6:.0f} MB of pgSTAC")


_SEEN = {"op": "or", "args": [{"op": "isNull", "args": [{"property": "bocage:audience"}]},
                              {"op": "=", "args": [{"property": "bocage:audience"}, "public"]}]}  # fmt: skip


def _searches(dice: random.Random) -> dict[str, dict[str, Any]]:
    """One search of each kind, never the same twice."""
    west, south = dice.uniform(-170, 160), dice.uniform(-70, 69)
    since = _SINCE + timedelta(days=dice.randrange(_DAYS - 1000))
    period = f"{since.strftime('%Y-%m-%dT%H:%M:%SZ')}/{(since + timedelta(days=1000)).strftime('%Y-%m-%dT%H:%M:%SZ')}"
    where = {"collections": [f"scenes-{dice.randrange(COLLECTIONS)}"], "datetime": period}
    narrow, wide = [west, south, west + 3, south + 3], [west, south, min(180.0, west + 100), min(90.0, south + 40)]
    cloud = round(dice.uniform(5, 10), 4)
    return {
        "items, limit 10": {"collections": where["collections"], "limit": 10},
        "bbox + datetime, limit 10": {**where, "bbox": wide, "limit": 10},
        "bbox + datetime, limit 100": {**where, "bbox": wide, "limit": 100},
        "3° and a period, everywhere": {"bbox": narrow, "datetime": period, "limit": 10},
        "no filter, limit 10": {"limit": 10},
        "no filter, limit 100": {"limit": 100},
        "cloud cover, sorted by it": {
            "filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, cloud]},
            "filter-lang": "cql2-json",
            "sortby": [{"field": "eo:cloud_cover", "direction": "asc"}],
            "limit": 10,
        },
    }


def measure(line: Callable[[str], None], count: int = ITEMS) -> None:
    """Load, compare every answer, print medians and ratios."""
    with running(count, line) as bench:
        times: dict[str, tuple[list[float], list[float]]] = {}
        dice = random.Random(11)  # noqa: S311 - repeatable, not secret
        for number in range(ROUNDS + 3):
            for name, search in _searches(dice).items():
                ours, theirs = _compared(bench, search)
                if number >= 3:
                    times.setdefault(name, ([], []))
                    times[name][0].append(ours)
                    times[name][1].append(theirs)
        for _ in range(ROUNDS):
            found = dice.randrange(count)
            found += found % 20 == 0
            mine, theirs = _one(bench, f"scenes-{found % COLLECTIONS}", f"scene-{found:07d}")
            times.setdefault("one item", ([], []))
            times["one item"][0].append(mine)
            times["one item"][1].append(theirs)
    line("  p50, the service at its socket beside pgstac.search() by SQL; answers equal, in order")
    for name, (ours_, theirs_) in times.items():
        mine, his = statistics.median(ours_), statistics.median(theirs_)
        line(f"  {name:30} {mine * 1000:7.2f} ms {his * 1000:8.2f} ms   {his / mine:6.1f} ×")


def _compared(bench: Bench, search: dict[str, Any]) -> tuple[float, float]:
    begun = time.perf_counter()
    answer = bench.client.post("/stac/search", json=search)
    ours = time.perf_counter() - begun
    wanted = {"op": "and", "args": [_SEEN, search["filter"]]} if "filter" in search else _SEEN
    begun = time.perf_counter()
    row = bench.sql.execute(
        "select pgstac.search(%s)", [Jsonb({**search, "filter": wanted, "filter-lang": "cql2-json"})]
    ).fetchone()
    theirs = time.perf_counter() - begun
    assert row is not None
    found, expected = answer.raise_for_status().json(), row[0]
    if [x["id"] for x in found["features"]] != [x["id"] for x in expected["features"]]:
        raise AssertionError(f"the answers differ: {search}")
    if found["numberMatched"] != expected["numberMatched"]:
        raise AssertionError(f"the counts differ: {search}")
    return ours, theirs


def _one(bench: Bench, collection: str, name: str) -> tuple[float, float]:
    begun = time.perf_counter()
    answer = bench.client.get(f"/stac/collections/{collection}/items/{name}")
    ours = time.perf_counter() - begun
    begun = time.perf_counter()
    row = bench.sql.execute(
        "select pgstac.search(%s)", [Jsonb({"collections": [collection], "ids": [name], "limit": 1})]
    ).fetchone()
    theirs = time.perf_counter() - begun
    assert row is not None
    if answer.raise_for_status().json()["properties"]["datetime"] != row[0]["features"][0]["properties"]["datetime"]:
        raise AssertionError(f"the answers differ: {collection}/{name}")
    return ours, theirs
