"""What a large catalogue is asked through the gateway, one request at a time, and how long each takes."""

from __future__ import annotations

import http.client
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from bocage_deploy.bench_items import WORLD
from bocage_deploy.bench_requests import period

_SEARCHES, _WALKS, _PAGES, _AGGREGATIONS = 500, 12, 100, 30
Line = Callable[[str], None]


class Client:
    """One connection with a key."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"X-API-Key": key, "Content-Type": "application/json"}

    def ask(self, path: str, body: Any = None) -> tuple[float, int, Any]:
        """Milliseconds, status and document."""
        sent = None if body is None else json.dumps(body).encode()
        begun = time.perf_counter()
        self._connection.request("GET" if sent is None else "POST", path, sent, self._headers)
        response = self._connection.getresponse()
        content = response.read()
        return (time.perf_counter() - begun) * 1000, response.status, json.loads(content)

    def well(self, path: str, body: Any = None) -> tuple[float, Any]:
        taken, status, document = self.ask(path, body)
        if status != 200:
            raise RuntimeError(f"{status} to {path} {body}: {str(document)[:400]}")
        return taken, document


def _box(dice: random.Random) -> list[float]:
    west, south, east, north = WORLD.area
    size = dice.uniform(1, 12)
    x, y = round(dice.uniform(west, east - size), 4), round(dice.uniform(south, north - size), 4)
    return [x, y, round(x + size, 4), round(y + size, 4)]


def search(dice: random.Random) -> dict[str, Any]:
    """Place, time and cloud cover, in some collections or all."""
    names = [name for name, _ in WORLD.collections]
    since, until = period(dice, dice.randrange(20, 500))
    among = {"collections": dice.sample(names, dice.choice([1, 3]))} if dice.random() < 0.6 else {}
    return {
        **among,
        "bbox": _box(dice),
        "datetime": f"{since}/{until}",
        "filter-lang": "cql2-json",
        "filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, round(dice.uniform(5, 60), 3)]},
        "limit": 10,
    }


def figures(taken: Sequence[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "n": len(ordered),
        "p50": statistics.median(ordered),
        "p95": ordered[int(len(ordered) * 0.95)],
        "p99": ordered[int(len(ordered) * 0.99)],
        "max": ordered[-1],
    }


def measured(client: Client, line: Line) -> dict[str, Any]:
    """Every measurement of searches; one that the catalogue does not answer says so."""
    dice = random.Random(21)  # noqa: S311 - repeatable, not secret
    for _ in range(20):
        client.well("/stac/search", search(dice))
    taken, hits = [], 0
    for _ in range(_SEARCHES):
        milliseconds, document = client.well("/stac/search", search(dice))
        taken.append(milliseconds)
        hits += len(document["features"])
    found: dict[str, Any] = {"search": figures(taken) | {"hits": hits / _SEARCHES}}
    line(f"  place, time and cloud cover: {found['search']}")
    first, last = _walked(client, dice)
    found["first"], found["last"] = figures(first), figures(last)
    line(f"  first page {found['first']['p50']:.1f} ms, page {_PAGES} {found['last']['p50']:.1f} ms")
    for name, query in _AGGREGATED.items():
        found[name] = _aggregated(client, query, dict)
        found[f"{name}, filtered"] = _aggregated(client, query, lambda: _narrowing(dice))
        line(f"  {name}: {found[name]}; filtered: {found[f'{name}, filtered']}")
    return found


def _walked(client: Client, dice: random.Random) -> tuple[list[float], list[float]]:
    """What first pages and hundredth pages take, each of a search of its own."""
    first, last = [], []
    for _ in range(_WALKS):
        since, until = period(dice, 1500)
        path = "/stac/search?" + urlencode({"datetime": f"{since}/{until}", "limit": 10})
        for number in range(1, _PAGES + 1):
            milliseconds, document = client.well(path)
            if number == 1:
                first.append(milliseconds)
            if number > _PAGES - 3:
                last.append(milliseconds)
            following = [link["href"] for link in document["links"] if link["rel"] == "next"]
            if not following:
                break
            parts = urlsplit(following[0])
            path = f"{parts.path}?{parts.query}"
        for _ in range(2):  # as many of the one as of the other
            since, until = period(dice, 1500)
            first.append(client.well("/stac/search?" + urlencode({"datetime": f"{since}/{until}", "limit": 10}))[0])
    return first, last


_AGGREGATED = {
    "by month": {"aggregations": "datetime_frequency", "datetime_frequency_interval": "month"},
    "by collection": {"aggregations": "collection_frequency"},
}


def _narrowing(dice: random.Random) -> dict[str, str]:
    since, until = period(dice, 700)
    return {"bbox": ",".join(str(x) for x in _box(dice)), "datetime": f"{since}/{until}"}


def _aggregated(client: Client, query: dict[str, str], more: Callable[[], dict[str, str]]) -> dict[str, Any]:
    taken = []
    for _ in range(_AGGREGATIONS):
        milliseconds, status, document = client.ask("/stac/aggregate?" + urlencode({**query, **more()}))
        if status != 200:
            return {"refused": f"{status} {str(document.get('detail'))[:200]}"}
        taken.append(milliseconds)
    return figures(taken)
