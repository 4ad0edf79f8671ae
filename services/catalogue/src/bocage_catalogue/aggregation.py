"""What is found, in numbers: how many items, of when, of which collections and of what kind.

Without a condition the numbers come from sums that are kept; with one, a single pass over what is found makes them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from bocage_kit.identity import Identity

from bocage_catalogue import finished, tallies
from bocage_catalogue.conditions import Arguments, Search, visible, where
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.default_search import left_out, narrowed
from bocage_catalogue.ordering import FIRST, LAST
from bocage_catalogue.present import Document
from bocage_catalogue.refusals import refused
from bocage_catalogue.tallies import Counts
from bocage_catalogue.visibility import CollectionRow

INTERVALS = ("year", "month", "day")
MOST_PRECISION = 6
# Of each frequency so many buckets, those of most items; the rest is the overflow.
MOST_BUCKETS = 10_000
_STEP = 10  # of cloud cover, in percent

_COUNT, _FIRST, _LAST = "total_count", "datetime_min", "datetime_max"
_COLLECTIONS, _MOMENTS, _CLOUDS = "collection_frequency", "datetime_frequency", "cloud_cover_frequency"
_PLACES = "centroid_geohash_grid_frequency"
_SINGLE = {_COUNT: "integer", _FIRST: "datetime", _LAST: "datetime"}
_TERMS = {
    "platform_frequency": "platform",
    "constellation_frequency": "constellation",
    "grid_code_frequency": "grid:code",
}
NAMES: Mapping[str, str] = {
    **_SINGLE,
    _COLLECTIONS: "string",
    _MOMENTS: "interval",
    _CLOUDS: "numeric",
    **dict.fromkeys(_TERMS, "string"),
    _PLACES: "string",
}
_KEPT = frozenset((_COUNT, _FIRST, _LAST, _COLLECTIONS, _MOMENTS))


@dataclass(frozen=True)
class Wanted:
    """Which numbers are asked for, and how fine."""

    names: tuple[str, ...]
    interval: str = "month"
    precision: int = 3


@dataclass
class Numbers:
    """What was counted: altogether, from when to when, and by the keys of each frequency."""

    total: int
    first: datetime | None
    last: datetime | None
    by: dict[str, dict[str, int]]


def wanted(given: Mapping[str, Any]) -> Wanted:
    """From parameters or members of a body. Raises Problem 400."""
    names = given.get("aggregations")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise refused("aggregations", f"it must name some of {', '.join(NAMES)}")
    for name in names:
        if name not in NAMES:
            raise refused("aggregations", f"{name[:60]!r} is none of {', '.join(NAMES)}")
    interval = given.get(f"{_MOMENTS}_interval") or "month"
    if interval not in INTERVALS:
        raise refused(f"{_MOMENTS}_interval", f"it must be one of {', '.join(INTERVALS)}")
    precision = given.get(f"{_PLACES}_precision")
    precision = 3 if precision is None else precision
    if not isinstance(precision, int) or isinstance(precision, bool) or not 1 <= precision <= MOST_PRECISION:
        raise refused(f"{_PLACES}_precision", f"it must be a whole number from 1 to {MOST_PRECISION}")
    return Wanted(tuple(dict.fromkeys(names)), interval, precision)


def is_kept(search: Search, asked: Wanted) -> bool:
    """Whether the sums that are kept hold the answer."""
    plain = Search(collections=search.collections, sortby=search.sortby) == search
    return plain and _KEPT.issuperset(asked.names) and (_MOMENTS not in asked.names or asked.interval != "day")


async def numbers(
    database: Database, identity: Identity, rows: Mapping[str, CollectionRow], search: Search, asked: Wanted
) -> Numbers:
    """What the caller may count. Raises Problem 400."""
    hidden, unseen = [name for name, row in rows.items() if not row.visible], left_out(search, rows)
    search = narrowed(search, rows)
    async with database.reading() as connection:
        if not is_kept(search, asked):
            return await _counted(connection, identity, hidden, unseen, search, asked)
        counts = await tallies.counts(connection, identity, unseen, search.collections)
        found = _summed(counts, asked)
        months = [month for by_month in counts.values() for month in by_month]
        if months and {_FIRST, _LAST} & set(asked.names):
            found.first = await _edge(connection, identity, sorted(counts), "min", min(months))
            found.last = await _edge(connection, identity, sorted(counts), "max", max(months))
    return found


def _summed(counts: Counts, asked: Wanted) -> Numbers:
    moments: dict[str, int] = {}
    for by_month in counts.values():
        for month, number in by_month.items():
            key = f"{month:%Y-%m}-01T00:00:00Z" if asked.interval == "month" else f"{month:%Y}-01-01T00:00:00Z"
            moments[key] = moments.get(key, 0) + number
    collections = {name: sum(by_month.values()) for name, by_month in counts.items()}
    by = {_COLLECTIONS: collections, _MOMENTS: moments}
    return Numbers(sum(collections.values()), None, None, by)


async def _edge(
    connection: Connection, identity: Identity, among: Sequence[str], which: str, month: date
) -> datetime | None:
    """The first or the last moment, which is known to lie in a month."""
    arguments = Arguments()
    begin = datetime(month.year, month.month, 1, tzinfo=UTC)
    sql = f"""
        select {which}(least(greatest(f.datetime, {FIRST}), {LAST})) from catalogue.finished_item f
        where {visible(identity, (), arguments)} and f.collection = any({arguments.add(list(among), "text[]")})
            and f.datetime >= {arguments.add(begin, "timestamptz")}
            and f.datetime < {arguments.add(begin, "timestamptz")} + interval '31 days'"""  # noqa: S608
    found: datetime | None = await connection.fetchval(sql, *arguments.values)
    return found


def _key(name: str, asked: Wanted, arguments: Arguments) -> str:
    """The key under which a hit is counted, as text; null where there is none."""
    if name == _COLLECTIONS:
        return "hit.collection"
    if name == _MOMENTS:
        return f"""to_char(date_trunc('{asked.interval}', hit.datetime at time zone 'UTC'), 'YYYY-MM-DD"T00:00:00Z"')"""
    if name == _CLOUDS:
        cover = f"hit.properties -> {arguments.add('eo:cloud_cover', 'text')}"
        step = f"least(floor(({cover})::float8 / {_STEP}), {100 // _STEP - 1})::text"
        within = f"case when ({cover})::numeric between 0 and 100 then {step} end"
        return f"case when jsonb_typeof({cover}) = 'number' then {within} end"
    if name == _PLACES:
        centre = "public.st_centroid(hit.geometry)"
        # What was loaded past the API may lie outside the world.
        return f"""case when public.st_x({centre}) between -180 and 180 and public.st_y({centre}) between -90 and 90
            then public.st_geohash({centre}, {asked.precision}) end"""
    term = f"hit.properties -> {arguments.add(_TERMS[name], 'text')}"
    return f"case when jsonb_typeof({term}) = 'string' then ({term}) #>> '{{}}' end"


async def _counted(
    connection: Connection,
    identity: Identity,
    hidden: Sequence[str],
    unseen: Sequence[str],
    search: Search,
    asked: Wanted,
) -> Numbers:
    known = await finished.known_to(connection, identity, hidden, search)
    arguments = Arguments()
    frequencies = [name for name in asked.names if name not in _SINGLE]
    columns = "".join(f"{_key(name, asked, arguments)} as k{n}, " for n, name in enumerate(frequencies))
    keys = [f"k{n}" for n in range(len(frequencies))]
    listed = ", ".join(keys)
    which, key = (f"grouping({listed})", f"coalesce({listed})") if keys else ("0", "null::text")
    sql = f"""
        with grouped as (
            select {which} as which, {key} as key, count(*) as items, min(moment) as first, max(moment) as last
            from (
                -- The offset keeps the properties from being unpacked for each of their uses.
                select f.collection, least(greatest(f.datetime, {FIRST}), {LAST}) as datetime, f.geometry,
                    f.content -> 'properties' as properties
                from catalogue.finished_item f
                where {visible(identity, unseen, arguments)} and {where(search, known, arguments)} offset 0
            ) hit
            cross join lateral (select {columns}hit.datetime as moment) k
            group by grouping sets ({", ".join(["()", *(f"({k})" for k in keys)])})
        ), ranked as (
            select *, row_number() over (partition by which order by items desc, key) as place from grouped
        )
        select which, key, items, first, last from ranked where place <= {MOST_BUCKETS}"""  # noqa: S608
    rows = await connection.fetch(sql, *arguments.values)
    everything = (1 << len(keys)) - 1
    whole = next(row for row in rows if row["which"] == everything)
    found = Numbers(whole["items"], whole["first"], whole["last"], {name: {} for name in frequencies})
    for n, name in enumerate(frequencies):
        alone = everything & ~(1 << (len(keys) - 1 - n))
        found.by[name] = {r["key"]: r["items"] for r in rows if r["which"] == alone and r["key"] is not None}
    return found


def told(found: Numbers, asked: Wanted) -> list[Document]:
    """The numbers as the extension writes them, in the order in which they were asked for."""
    return [_aggregation(name, found, asked) for name in asked.names]


def _instant(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    text = moment.astimezone(UTC).isoformat(timespec="auto" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def _aggregation(name: str, found: Numbers, asked: Wanted) -> Document:
    if name in _SINGLE:
        values = {_COUNT: found.total, _FIRST: _instant(found.first), _LAST: _instant(found.last)}
        return {"name": name, "data_type": _SINGLE[name], "value": values[name]}
    counted = found.by[name]
    kind = f"interval_{asked.interval}" if name == _MOMENTS else NAMES[name]
    if name == _CLOUDS:
        buckets = [_cloudy(int(step), number) for step, number in sorted(counted.items(), key=lambda x: int(x[0]))]
    else:
        # Moments in their order, terms by how frequent they are.
        ordered = sorted(counted.items(), key=lambda x: x if name == _MOMENTS else (-x[1], x[0]))
        data_type = "datetime" if name == _MOMENTS else "string"
        buckets = [{"key": key, "data_type": data_type, "frequency": number} for key, number in ordered]
    return {"name": name, "data_type": kind, "buckets": buckets, "overflow": found.total - sum(counted.values())}


def _cloudy(step: int, number: int) -> Document:
    low, high = step * _STEP, (step + 1) * _STEP
    # The last one holds a hundred percent too: it is open.
    bounds: Document = {"from": low} if high == 100 else {"from": low, "to": high}
    return {"key": f"{low}-{high}", "data_type": "numeric", "frequency": number, **bounds}
