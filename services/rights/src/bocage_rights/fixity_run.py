"""All stored objects read again, collection by collection, with what was found told on the way.

What was read is recorded batch by batch: who is broken off goes on from there (`since`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
from bocage_kit.store import bucket_href, collection_prefix, href_of, results_prefix
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bocage_rights import fixity
from bocage_rights.fixity import LOCAL, OUTCOMES, WELL, Finding, Named, Reading
from bocage_rights.fixity_reading import BucketObjects, Held, LocalObjects, Objects, Pace, folders
from bocage_rights.state import RightsState

_BATCH = 100
_BEAT_SECONDS = 2.0
# Files come before the items that name them.
_FRESH_SECONDS = 3600
_PATH = "select set_config('search_path', 'rights, pgstac, public', true)"
_COLLECTIONS = "select id, content ->> 'bocage:store' as store from pgstac.collections order by id"
_ITEMS = """
select i.id, pgstac.content_hydrate(i) as document from pgstac.items i
where i.collection = :collection and i.id > :after order by i.id limit :most
"""
_NAMED = """
select distinct h #>> '{}' as href from pgstac.items i, jsonb_path_query(i.content -> 'assets', '$.*.href') h
where i.collection = :collection and h #>> '{}' = any(:hrefs)
"""
_KNOWN = """
select coalesce(f.store, '') as store, coalesce(f.key, u.key) as key, u.sha256 as uploaded, f.sha256 as before, f.at,
    f.outcome
from (select * from fixity_check where (store, key) in (select * from unnest(
    cast(:stores as text[]), cast(:keys as text[])))) f
full join (select * from upload where key = any(:local)) u on f.store = '' and f.key = u.key
"""
_RECORD = """
insert into fixity_check (store, key, collection, item, asset, outcome, sha256, size)
values (:store, :key, :collection, :item, :asset, :outcome, :sha256, :size)
on conflict (store, key) do update set collection = excluded.collection, item = excluded.item, asset = excluded.asset,
    at = now(), outcome = excluded.outcome, sha256 = coalesce(excluded.sha256, fixity_check.sha256),
    size = coalesce(excluded.size, fixity_check.size)
"""

Event = dict[str, Any]


@dataclass(frozen=True)
class Scope:
    """What is to be read."""

    collections: Sequence[str] | None
    """None is all."""
    since: datetime | None
    """What was found well since then is passed over."""
    rate: float
    """Bytes a second."""


@dataclass
class Tally:
    """How far it is."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    collections: int = 0
    items: int = 0
    bytes: int = 0
    passed_over: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))

    def document(self) -> Event:
        return {
            "started": self.started.isoformat(),
            "collections": self.collections,
            "items": self.items,
            "bytes": self.bytes,
            "passed_over": self.passed_over,
            "outcomes": dict(self.outcomes),
        }

    def wrong(self) -> int:
        return sum(number for outcome, number in self.outcomes.items() if outcome not in WELL)


class Run:
    """One reading of the stores."""

    def __init__(self, state: RightsState, scope: Scope) -> None:
        self._engine: AsyncEngine = state.engine
        self._root, self._scope = state.store.root, scope
        self._objects: dict[str, Objects] = {LOCAL: LocalObjects(state.store)}
        self._objects |= {name: BucketObjects(bucket) for name, bucket in state.object_stores.items()}
        self.tally = Tally()
        self._pace = Pace(scope.rate, self._beat)

    def _beat(self, size: int) -> None:
        self.tally.bytes += size

    async def events(self) -> AsyncGenerator[Event, None]:
        """`started`, then `finding` and `progress` in between, and `finished`."""
        yield {"event": "started", "started": self.tally.started.isoformat()}
        async with self._engine.connect() as connection:
            rows = (await connection.execute(text(_COLLECTIONS))).all()
        stores: dict[str, str] = {row.id: row.store or LOCAL for row in rows}
        asked = stores if self._scope.collections is None else self._scope.collections
        for name in asked:
            if name in stores:
                async with aclosing(self._beating(self._collection(name))) as found:
                    async for event in found:
                        yield event
                self.tally.collections += 1
        strays = set(folders(self._root, "collections")) | set(folders(self._root, "results"))
        if self._scope.collections is not None:
            strays &= set(self._scope.collections)
        for name in sorted(strays | set(asked)):
            async with aclosing(self._beating(self._orphans(name, stores.get(name, LOCAL)))) as found:
                async for event in found:
                    yield event
        finished = datetime.now(UTC).isoformat()
        yield {"event": "finished", "finished": finished, "wrong": self.tally.wrong(), **self.tally.document()}

    async def _beating(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """`events`, with progress told in between also while a large object is being read."""
        async with aclosing(events):
            ahead: asyncio.Task[Event] | None = None
            try:
                while True:
                    ahead = ahead or asyncio.ensure_future(anext(events))
                    done, _ = await asyncio.wait({ahead}, timeout=_BEAT_SECONDS)
                    if not done:
                        yield {"event": "progress", **self.tally.document()}
                        continue
                    try:
                        event = ahead.result()
                    except StopAsyncIteration:
                        return
                    ahead = None
                    yield event
            finally:
                if ahead is not None:
                    # It has to have ended before what it reads from is closed.
                    ahead.cancel()
                    with anyio.CancelScope(shield=True):
                        await asyncio.gather(ahead, return_exceptions=True)

    async def _collection(self, name: str) -> AsyncGenerator[Event, None]:
        after = ""
        while True:
            async with self._engine.begin() as connection:
                await connection.execute(text(_PATH))
                rows = (
                    await connection.execute(text(_ITEMS), {"collection": name, "after": after, "most": _BATCH})
                ).all()
            if not rows:
                return
            after = rows[-1].id
            named = [one for row in rows for one in fixity.named_objects(name, row.id, row.document)]
            async for event in self._checked(name, named):
                yield event
            self.tally.items += len(rows)
            yield {"event": "progress", **self.tally.document()}

    async def _checked(self, collection: str, named: list[Named]) -> AsyncIterator[Event]:
        """One batch of objects: read, judged, recorded, told."""
        known = await self._known(named)
        found: list[tuple[Named, Reading, Finding]] = []
        for one in named:
            about = known.get(one.place, {})
            since = self._scope.since
            if since is not None and about.get("at") is not None and about["at"] >= since and about["outcome"] in WELL:
                self.tally.passed_over += 1
                continue
            reading = await self._read(one)
            found.append((one, reading, fixity.judged(one, reading, about.get("uploaded"), about.get("before"))))
        still = await self._still_named(collection, [one for one, _, finding in found if finding.outcome not in WELL])
        kept = [each for each in found if each[2].outcome in WELL or each[0].place in still]
        await self._record(kept)
        for one, _, finding in kept:
            self.tally.outcomes[finding.outcome] += 1
            if finding.outcome != "ok":
                yield self._told(finding, one.store, one.key, one.collection, one.item, one.asset)

    async def _read(self, one: Named) -> Reading:
        objects = self._objects.get(one.store)
        if objects is None:
            return Reading(there=True, why=f"the store {one.store} is not set up on this platform")
        if not one.key.startswith((collection_prefix(one.collection), results_prefix(one.collection))):
            return Reading(there=True, why="it lies outside of what its collection owns")
        return await objects.read(one.key, fixity.functions_for(one), self._pace)

    async def _known(self, named: list[Named]) -> dict[tuple[str, str], Mapping[str, Any]]:
        if not named:
            return {}
        values = {
            "stores": [one.store for one in named],
            "keys": [one.key for one in named],
            "local": [one.key for one in named if one.store == LOCAL],
        }
        async with self._engine.connect() as connection:
            rows = (await connection.execute(text(_KNOWN), values)).mappings().all()
        return {(row["store"], row["key"]): dict(row) for row in rows}

    async def _still_named(self, collection: str, named: list[Named]) -> set[tuple[str, str]]:
        """Those that items name yet: one that was deleted meanwhile took its files along."""
        by_href = {_href(one.store, one.key): one.place for one in named}
        return {by_href[href] for href in await self._named(collection, list(by_href))}

    async def _named(self, collection: str, hrefs: list[str]) -> set[str]:
        """Those of the hrefs that some item of the collection names."""
        if not hrefs:
            return set()
        async with self._engine.connect() as connection:
            rows = await connection.execute(text(_NAMED), {"collection": collection, "hrefs": hrefs})
            return {row.href for row in rows}

    async def _record(self, found: list[tuple[Named, Reading, Finding]]) -> None:
        values = [
            {
                "store": one.store,
                "key": one.key,
                "collection": one.collection,
                "item": one.item,
                "asset": one.asset,
                "outcome": finding.outcome,
                "sha256": reading.sha256,
                "size": reading.size,
            }
            for one, reading, finding in found
        ]
        if values:
            async with self._engine.begin() as connection:
                await connection.execute(text(_RECORD), values)

    async def _orphans(self, collection: str, store: str) -> AsyncGenerator[Event, None]:
        """What lies in the store, in the collection's place, and no item of it names."""
        objects = self._objects.get(store)
        for where, held_by in {(LOCAL, self._objects[LOCAL]), (store, objects)}:
            if held_by is None:
                continue
            for prefix in (collection_prefix(collection), results_prefix(collection)):
                async with aclosing(held_by.held(prefix)) as batches:
                    async for batch in batches:
                        async for event in self._unnamed(collection, where, batch):
                            yield event

    async def _unnamed(self, collection: str, store: str, batch: list[Held]) -> AsyncIterator[Event]:
        old = {_href(store, one.key): one for one in batch if time.time() - one.modified > _FRESH_SECONDS}
        named = await self._named(collection, list(old))
        for href, one in old.items():
            if href not in named:
                self.tally.outcomes["orphaned"] += 1
                yield self._told(Finding("orphaned", "no item names it"), store, one.key, collection, size=one.size)

    @staticmethod
    def _told(
        finding: Finding,
        store: str,
        key: str,
        collection: str,
        item: str | None = None,
        asset: str | None = None,
        size: int | None = None,
    ) -> Event:
        told: Event = {"event": "finding", "outcome": finding.outcome, "reason": finding.reason, "key": key}
        told |= {"store": store or "local", "collection": collection, "item": item, "asset": asset, "size": size}
        return {name: value for name, value in told.items() if value is not None}


def _href(store: str, key: str) -> str:
    return bucket_href(store, key) if store else href_of(key)
