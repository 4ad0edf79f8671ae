"""Many items at once: all or nothing with a result for each, or each for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import Any

import msgspec
from bocage_kit.audience import visible
from bocage_kit.problems import Problem
from fastapi.concurrency import run_in_threadpool

from bocage_catalogue import bodies, documents, storing, tombstones
from bocage_catalogue.acceptance import Acceptance, ItemAcceptance
from bocage_catalogue.bodies import Body
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.present import Document
from bocage_catalogue.storing import Holder, StoredItem

MOST_ITEMS = 1000
REQUIRED_FIELD = "bocage:if_match_required"
Feature = memoryview


class Mode(StrEnum):
    """What becomes of the others when one is refused."""

    ALL = "all"
    PARTIAL = "partial"


class Method(StrEnum):
    """What becomes of an item that exists."""

    INSERT = "insert"
    UPSERT = "upsert"


class _Several(msgspec.Struct):
    """What of a body says whether it holds several items."""

    type: Any = None
    features: msgspec.Raw = msgspec.Raw()


class _Named(msgspec.Struct):
    """What of an item says which one it is."""

    id: Any = None


_several = msgspec.json.Decoder(_Several)
_features = msgspec.json.Decoder(list[msgspec.Raw])
_named = msgspec.json.Decoder(_Named)


def features_of(body: bytes) -> list[Feature] | None:
    """The features of a collection of them, each as its text; None if it is none. Raises Problem 400, 413.

    Each is decoded when its turn comes: all of them take more memory than the processor's caches.
    """
    try:
        str(body, "utf-8")  # what is passed over below is not looked at
        several = _several.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # which the ordinary decoder tells more of
    if several.type != "FeatureCollection":
        return None
    if not bodies.shallow(body):
        documents.check_depth(bodies.parsed(body))
    try:
        features = _features.decode(several.features)
    except msgspec.MsgspecError:
        features = []
    if not features:
        raise documents.bad("features must be a list of items, with one at least.")
    if len(features) > MOST_ITEMS:
        raise Problem(
            413,
            "too-many-items",
            f"At most {MOST_ITEMS} items may be sent at once.",
            title="Content Too Large",
            limit=MOST_ITEMS,
        )
    return [memoryview(feature) for feature in features]


@dataclass
class Batch:
    """The items of one request, and what became of each."""

    acceptance: Acceptance
    collection: Document
    features: Sequence[Feature]
    upsert: bool
    nulls: bool
    turn: asyncio.Lock
    """Held while items are accepted. Python works for one batch at a time anyway: taking turns, they do not drive each
    other out of the processor's caches, and the database has one to write while the next is accepted."""
    careful: bool = False
    """Whether those that exist are looked for before they are inserted: after an attempt that found some."""
    results: list[Document] = field(default_factory=list)
    withdrawn: Set[str] = frozenset()
    """Ids that are not used again, as far as it was asked before the items are accepted."""
    accepted: tuple[Holder, list[StoredItem], list[Document]] | None = None
    """What `accept_new` found, and how the collection stored items then."""

    def names(self) -> list[str]:
        """The ids that are texts, each once."""
        found = set[str]()
        for feature in self.features:
            with suppress(msgspec.MsgspecError):
                if isinstance(name := _named.decode(feature).id, str) and "\0" not in name:
                    found.add(name)
        return sorted(found)

    def is_accepted(self, holder: Holder) -> bool:
        """Whether `accept_new` has found already what it would find."""
        return self.accepted is not None and self.accepted[0] == holder

    def accept_new(self, holder: Holder) -> list[StoredItem]:
        """The rows to write where nothing is replaced; another attempt need not ask again."""
        if self.accepted is None or not self.is_accepted(holder):
            rows, _ = self.accept(holder, {})
            self.accepted = holder, rows, self.results
        _, rows, results = self.accepted
        self.results = [dict(result) for result in results]
        return rows

    def accept(self, holder: Holder, known: Mapping[str, Document]) -> tuple[list[StoredItem], list[str]]:
        """The rows to write, in the order of their ids, and the ids of those that they replace; sets `results`."""
        self.results, rows, replaced, seen = [], [], [], set[str]()
        rules = ItemAcceptance(self.acceptance, self.collection)
        for index, feature in enumerate(self.features):
            result: Document = {"index": index, "id": None}
            self.results.append(result)
            try:
                body = bodies.parsed(feature, "item")
                name = body.get("id") if isinstance(body, dict) else None
                before = None
                if isinstance(name, str):
                    result["id"] = name
                    if name in seen:
                        raise documents.bad("The same id occurs before in this body.")
                    seen.add(name)
                    if name in self.withdrawn:
                        raise tombstones.used(str(self.collection["id"]), name)
                    if (before := known.get(name)) is not None:
                        self._check_replaceable(name, before)
                made = rules.item(Body(body, self.nulls), before)
                if before is not None and made == before:
                    result |= {"status": 200, "unchanged": True}
                    continue
                rows.append(storing.as_stored(holder, made))
                result["status"] = 201 if before is None else 200
                if before is not None:
                    replaced.append(made["id"])
            except Problem as problem:
                result |= refusal(problem)
        rows.sort(key=attrgetter("id"))
        return rows, replaced

    def _check_replaceable(self, name: str, before: Document) -> None:
        """Raises Problem 409, 428."""
        if not visible(self.acceptance.identity, before.get("properties") or {}):
            raise exists(str(self.collection["id"]), name)
        if self.collection.get(REQUIRED_FIELD) is True:
            raise Problem(428, "precondition-required", "This collection takes changes of single items with If-Match.")

    def without(
        self, rows: list[StoredItem], names: Set[str], reason: Callable[[str, str], Problem]
    ) -> list[StoredItem]:
        """`rows` but for those with one of the ids, which are refused."""
        if not names:
            return rows
        for result in self.results:
            if result["id"] in names and result["status"] < 400:
                result |= refusal(reason(str(self.collection["id"]), result["id"]))
        return [row for row in rows if row.id not in names]

    def refused(self) -> bool:
        return any(result["status"] >= 400 for result in self.results)

    def document(self) -> Document:
        """How many of each kind, and each result."""
        done = [result for result in self.results if result["status"] < 400]
        unchanged = sum("unchanged" in result for result in done)
        created = sum(result["status"] == 201 for result in done)
        return {
            "created": created,
            "updated": len(done) - created - unchanged,
            "unchanged": unchanged,
            "refused": len(self.results) - len(done),
            "results": self.results,
        }

    def problem(self) -> Problem:
        """Why nothing was written."""
        faults = [result for result in self.results if result["status"] >= 400]
        statuses = {result["status"] for result in faults}
        first = next((x for x in faults if x["status"] == 400), faults[0])
        for result in self.results:
            if result["status"] < 400:
                result.pop("unchanged", None)
                result |= {"status": 424, "code": "not-written", "detail": "Others of the request were refused."}
        more = (
            f" {len(faults)} of {len(self.results)} items are at fault: see results." if len(self.results) > 1 else ""
        )
        name = first["id"] if first["id"] is not None else f"number {first['index']}"
        return Problem(
            400 if 400 in statuses else first["status"],
            first["code"],
            f"Nothing was written: item {name}: {first['detail']}{more}",
            **self.document(),
        )


def exists(collection: str, name: str) -> Problem:
    return Problem(409, "exists", f"Item {collection}/{name} exists already.")


def refusal(problem: Problem) -> Document:
    """A problem as the result of one item."""
    return {"status": problem.status, "code": problem.code, "detail": problem.detail, **problem.members}


async def load(database: Database, batch: Batch, mode: Mode) -> None:
    """Write the batch, by as many attempts as it takes. Raises Problem."""

    async def attempt(connection: Connection) -> None:
        try:
            await write(connection, batch, mode)
        except storing.Taken:
            batch.careful = True
            raise

    await storing.transaction(database, str(batch.collection["id"]), attempt)


async def write(connection: Connection, batch: Batch, mode: Mode) -> None:
    """Write the batch in this transaction. Raises Problem; NoRoom, Taken for another attempt."""
    holder = await storing.holder_of(connection, str(batch.collection["id"]))
    if holder is None:
        raise Problem(404, "not-found", "The collection does not exist, or you may not see it.")
    replaced: Sequence[str] = ()
    if batch.upsert:
        names = batch.names()
        held = await storing.locked(connection, holder.name, names)
        known = {name: document for name, (document, _) in held.items()}
        batch.withdrawn = await tombstones.taken(connection, holder.name, names)
        async with batch.turn:
            rows, replaced = await run_in_threadpool(batch.accept, holder, known)
    else:
        if batch.is_accepted(holder):  # by an attempt before this one
            rows = batch.accept_new(holder)
        else:
            async with batch.turn:
                rows = await run_in_threadpool(batch.accept_new, holder)
        names = [row.id for row in rows]
        rows = batch.without(rows, await tombstones.taken(connection, holder.name, names), tombstones.used)
        if batch.careful or (mode is Mode.ALL and batch.refused()):  # whoever is refused is told all
            rows = batch.without(rows, await storing.held(connection, holder.name, names), exists)
    if mode is Mode.ALL and batch.refused():
        raise batch.problem()
    if not rows:
        return
    if replaced:
        await connection.execute(f"delete from {holder.table} where id = any($1)", replaced)  # noqa: S608 - a name of pgSTAC's
    await storing.insert(connection, holder, rows)
    await storing.check_single(connection, holder, [row.id for row in rows])
