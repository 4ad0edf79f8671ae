"""Many items at once: all or nothing with a result for each, or each for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bocage_kit.audience import visible
from bocage_kit.problems import Problem
from fastapi.concurrency import run_in_threadpool

from bocage_catalogue import documents, storing, tombstones
from bocage_catalogue.acceptance import Acceptance, ItemAcceptance
from bocage_catalogue.bodies import Body
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.present import Document
from bocage_catalogue.storing import Holder, StoredItem

MOST_ITEMS = 1000
REQUIRED_FIELD = "bocage:if_match_required"


class Mode(StrEnum):
    """What becomes of the others when one is refused."""

    ALL = "all"
    PARTIAL = "partial"


class Method(StrEnum):
    """What becomes of an item that exists."""

    INSERT = "insert"
    UPSERT = "upsert"


def is_several(body: Any) -> bool:
    """Whether a body is a collection of items."""
    return isinstance(body, dict) and body.get("type") == "FeatureCollection"


def features_of(body: Document) -> list[Any]:
    """The features of a collection of them. Raises Problem 400, 413."""
    features = body.get("features")
    if not isinstance(features, list) or not features:
        raise documents.bad("features must be a list of items, with one at least.")
    if len(features) > MOST_ITEMS:
        raise Problem(
            413,
            "too-many-items",
            f"At most {MOST_ITEMS} items may be sent at once.",
            title="Content Too Large",
            limit=MOST_ITEMS,
        )
    return features


@dataclass
class Batch:
    """The items of one request, and what became of each."""

    acceptance: Acceptance
    collection: Document
    features: Sequence[Any]
    upsert: bool
    nulls: bool
    turn: asyncio.Lock
    """Held while items are accepted. Python works for one batch at a time anyway: taking turns, they do not drive each
    other out of the processor's caches, and the database has one to write while the next is accepted."""
    results: list[Document] = field(default_factory=list)
    withdrawn: set[str] = field(default_factory=set)
    """Ids that are not used again."""

    def names(self) -> list[str]:
        """The ids that are texts, each once."""
        found = (x.get("id") for x in self.features if isinstance(x, dict))
        return sorted({name for name in found if isinstance(name, str)})

    def accept(self, holder: Holder, known: dict[str, Document]) -> tuple[list[StoredItem], list[str]]:
        """The rows to write, in the order of their ids, and the ids of those that they replace; sets `results`."""
        self.results, rows, replaced, seen = [], [], [], set[str]()
        rules = ItemAcceptance(self.acceptance, self.collection)
        for index, body in enumerate(self.features):
            name = body.get("id") if isinstance(body, dict) else None
            result: Document = {"index": index, "id": name if isinstance(name, str) else None}
            self.results.append(result)
            try:
                if isinstance(name, str):
                    if name in seen:
                        raise documents.bad("The same id occurs before in this body.")
                    seen.add(name)
                before = self._before(name, known)
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
        rows.sort(key=lambda row: row.id)
        return rows, replaced

    def _before(self, name: Any, known: dict[str, Document]) -> Document | None:
        """What is replaced. Raises Problem 409, 428."""
        if not isinstance(name, str):
            return None  # which the acceptance refuses
        if name in self.withdrawn:
            raise tombstones.used(str(self.collection["id"]), name)
        before = known.get(name)
        if before is None:
            return None
        if not self.upsert or not visible(self.acceptance.identity, before.get("properties") or {}):
            raise exists(str(self.collection["id"]), name)
        if self.collection.get(REQUIRED_FIELD) is True:
            raise Problem(428, "precondition-required", "This collection takes changes of single items with If-Match.")
        return before

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
    name = str(batch.collection["id"])
    await storing.transaction(database, name, lambda connection: write(connection, batch, mode))


async def known_items(connection: Connection, batch: Batch) -> dict[str, Document]:
    """The items of the batch that exist: held, when they are to be replaced; else that they do is enough."""
    holder, names = str(batch.collection["id"]), batch.names()
    if batch.upsert:
        return {name: document for name, (document, _) in (await storing.locked(connection, holder, names)).items()}
    return {row["id"]: {} for row in await connection.fetch("select catalogue.held($1, $2) as id", holder, names)}


async def write(connection: Connection, batch: Batch, mode: Mode) -> None:
    """Write the batch in this transaction. Raises Problem; NoRoom, Taken for another attempt."""
    holder = await storing.holder_of(connection, str(batch.collection["id"]))
    if holder is None:
        raise Problem(404, "not-found", "The collection does not exist, or you may not see it.")
    known = await known_items(connection, batch)
    batch.withdrawn = await tombstones.taken(connection, holder.name, batch.names())
    async with batch.turn:
        rows, replaced = await run_in_threadpool(batch.accept, holder, known)
    if mode is Mode.ALL and batch.refused():
        raise batch.problem()
    if not rows:
        return
    if replaced:
        await connection.execute(f"delete from {holder.table} where id = any($1)", replaced)  # noqa: S608 - a name of pgSTAC's
    await storing.insert(connection, holder, rows)
    await storing.check_single(connection, holder, [row.id for row in rows])
