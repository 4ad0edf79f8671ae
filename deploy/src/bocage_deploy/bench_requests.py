"""What is asked in the measurement of the catalogue: each request drawn anew, with the plain SQL that is its floor."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from bocage_deploy.bench_items import DAYS, FRANCE, SINCE

# As pgSTAC keeps it: what the catalogue keeps is packed.
_TEXT = (
    "select (select i.content::text from pgstac.items i where i.collection = f.collection and i.id = f.id"
    " and i.datetime = f.datetime), id, collection, datetime from catalogue.finished_item f where "
)
_ORDER = " order by datetime desc, collection desc, id desc limit %(most)s"
_PLACE = "geometry && st_makeenvelope(%(w)s, %(s)s, %(e)s, %(n)s, 4326) and st_intersects(geometry, st_makeenvelope(%(w)s, %(s)s, %(e)s, %(n)s, 4326))"  # noqa: E501
_TIME = "datetime <= %(until)s::timestamptz and end_datetime >= %(since)s::timestamptz"
_AFTER = "(datetime, collection, id) < (%(moment)s, %(holder)s, %(last)s)"
_CLOUD = "(content -> 'properties' ->> 'eo:cloud_cover')::float"


@dataclass(frozen=True)
class Bound:
    """Ours takes at most the peer's time divided by `peer`, and that of its faster setting divided by `faster`."""

    peer: float
    faster: float | None = None


@dataclass(frozen=True)
class Asked:
    """One request, relative to the root of a STAC API, and the statement that finds the same in our database."""

    path: str
    body: Mapping[str, Any] | None
    floor: str
    values: Mapping[str, Any]


def period(dice: random.Random, days: int) -> tuple[str, str]:
    since = SINCE + timedelta(seconds=dice.randrange((DAYS - days) * 86_400))
    return f"{since:%Y-%m-%dT%H:%M:%SZ}", f"{since + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def box(dice: random.Random, size: float) -> tuple[float, float, float, float]:
    west, south, east, north = FRANCE.area
    x, y = round(dice.uniform(west, east - size), 4), round(dice.uniform(south, north - size), 4)
    return x, y, round(x + size, 4), round(y + size, 4)


def _placed(bounds: tuple[float, float, float, float]) -> dict[str, float]:
    return dict(zip("wsen", bounds, strict=True))


def _collections(_dice: random.Random, _counts: Mapping[str, int]) -> Asked:
    return Asked("/collections", None, "select content::text, id from pgstac.collections order by id", {})


def _items(dice: random.Random, counts: Mapping[str, int]) -> Asked:
    holder = dice.choice([name for name, count in counts.items() if count > 50])
    return Asked(
        f"/collections/{holder}/items?limit=10", None, f"{_TEXT} collection = %(holder)s{_ORDER}",
        {"holder": holder, "most": 10},
    )  # fmt: skip


def _placed_and_dated(most: int) -> Callable[[random.Random, Mapping[str, int]], Asked]:
    def draw(dice: random.Random, _counts: Mapping[str, int]) -> Asked:
        holder, bounds, (since, until) = FRANCE.collections[0][0], box(dice, 1.5), period(dice, 150)
        return Asked(
            "/search",
            {"collections": [holder], "bbox": bounds, "datetime": f"{since}/{until}", "limit": most},
            f"{_TEXT} collection = %(holder)s and {_TIME} and {_PLACE}{_ORDER}",
            {"holder": holder, "since": since, "until": until, "most": most, **_placed(bounds)},
        )

    return draw


def _everywhere(dice: random.Random, _counts: Mapping[str, int]) -> Asked:
    bounds, (since, until) = box(dice, 3.0), period(dice, 365)
    return Asked(
        "/search",
        {"bbox": bounds, "datetime": f"{since}/{until}", "limit": 10},
        f"{_TEXT} {_TIME} and {_PLACE}{_ORDER}",
        {"since": since, "until": until, "most": 10, **_placed(bounds)},
    )


def _unfiltered(_dice: random.Random, _counts: Mapping[str, int]) -> Asked:
    return Asked("/search?limit=10", None, f"{_TEXT} true{_ORDER}", {"most": 10})


def _cloudless(dice: random.Random, counts: Mapping[str, int]) -> Asked:
    most = round(dice.uniform(9, 10), 5)
    holder = dice.choice([name for name, count in counts.items() if count > 1000] or list(counts))
    return Asked(
        "/search",
        {
            "collections": [holder],
            "filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, most]},
            "filter-lang": "cql2-json",
            "sortby": [{"field": "eo:cloud_cover", "direction": "asc"}],
            "limit": 10,
        },
        f"{_TEXT} collection = %(holder)s and {_CLOUD} < %(cloud)s order by {_CLOUD} limit 10",
        {"holder": holder, "cloud": most},
    )


DRAWN: dict[str, tuple[Bound, Callable[[random.Random, Mapping[str, int]], Asked]]] = {
    "collections": (Bound(6), _collections),
    "items, limit 10": (Bound(12, 4), _items),
    "bbox + datetime, limit 10": (Bound(12, 4), _placed_and_dated(10)),
    "bbox + datetime, limit 100": (Bound(50, 15), _placed_and_dated(100)),
    "no filter, limit 10": (Bound(5, 1), _unfiltered),
    "3° + one year, limit 10": (Bound(5, 1), _everywhere),
    "cloud cover < 10, sorted by it": (Bound(5, 1), _cloudless),
}
ONE_ITEM, DEEP_PAGE = "one item", "page 50 and on, limit 10"
BOUNDS = {name: bound for name, (bound, _) in DRAWN.items()} | {ONE_ITEM: Bound(6), DEEP_PAGE: Bound(5, 1)}


def one_item(holder: str, name: str) -> Asked:
    return Asked(
        f"/collections/{quote(holder)}/items/{quote(name)}", None,
        f"{_TEXT} id = %(item)s and collection = %(holder)s", {"holder": holder, "item": name},
    )  # fmt: skip


def first_page(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """A search with many pages, and its period."""
    since, until = period(dice, 2000)
    query = urlencode({"datetime": f"{since}/{until}", "limit": 10})
    return f"/search?{query}", {"since": since, "until": until}


def page_after(path: str, dated: Mapping[str, Any], last: Mapping[str, Any]) -> Asked:
    """The page behind a link, after the item that ended the one before."""
    place = {"moment": last["properties"]["datetime"], "holder": last["collection"], "last": last["id"]}
    return Asked(path, None, f"{_TEXT} {_TIME} and {_AFTER}{_ORDER}", {**dated, "most": 10, **place})


def encoded(asked: Asked) -> bytes | None:
    return None if asked.body is None else json.dumps(asked.body).encode()
