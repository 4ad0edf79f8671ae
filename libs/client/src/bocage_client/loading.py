"""Items from files and addresses into the platform: in batches, several on their way at once; killed, it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from bocage_client import adopting, load_batches, sources
from bocage_client.adopting import NotLoadable
from bocage_client.errors import BocageError, JsonObject, UsageError
from bocage_client.http import Transport
from bocage_client.load_batches import Failure, Manner, Outcome, Ready
from bocage_client.load_journal import Journal, digest_of
from bocage_client.sources import Found

_BATCH_BYTES = 8 << 20
_IN_FLIGHT = 4
MOST_IN_A_BATCH = 1000
# More failures than these are counted, and written to the file of failures, but not kept.
_KEPT_FAILURES = 100


class Reporter(Protocol):
    def say(self, message: str) -> None: ...

    def counting(self, name: str, done: int, total: int | None) -> None: ...


@dataclass(frozen=True)
class Options:
    collection: str | None = None
    manner: Manner = field(default_factory=Manner)
    batch: int = 1000
    failures: Path | None = None
    restart: bool = False


@dataclass
class Loaded:
    """What came of a load."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    before: int = 0
    """Taken by an earlier run of the same load."""
    failed: int = 0
    collections: dict[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def document(self) -> JsonObject:
        names = ("new", "updated", "unchanged", "before", "failed")
        return {
            "items": {name: getattr(self, name) for name in names},
            "collections": self.collections,
            "failures": [failure.document() for failure in self.failures],
        }

    def lines(self) -> list[str]:
        counted = [f"{self.new:,} new", f"{self.updated:,} updated", f"{self.unchanged:,} unchanged"]
        if self.before:
            counted.append(f"{self.before:,} by an earlier run")
        counted.append(f"{self.failed:,} failed")
        return [f"Items: {', '.join(counted)}.", *(f"Collection {c}: {what}." for c, what in self.collections.items())]


def load(transport: Transport, named: Sequence[str], options: Options, reporter: Reporter) -> Loaded:
    """Without `partial`, what can't be loaded ends the load; what was loaded before stays."""
    if not 1 <= options.batch <= MOST_IN_A_BATCH:
        raise UsageError(f"--batch is from 1 to {MOST_IN_A_BATCH}.")
    sources.check(named)
    said = [options.collection or "", "upsert" if options.manner.upsert else "insert"]
    with Journal(transport.base, [sources.canonical(x) for x in named], said) as journal:
        if options.restart:
            journal.forget()
        elif len(journal):
            reporter.say(f"Going on: an earlier run loaded {len(journal):,} items.")
        run = _Run(transport, options, reporter, journal, sources.total(named))
        try:
            run.all(sources.read(named, transport))
        finally:
            run.close()
        if not run.made.failed:
            journal.remove()
        return run.made


@dataclass
class _Batch:
    """Items of one collection that wait for more, by id."""

    items: dict[str, Ready] = field(default_factory=dict)
    size: int = 0


class _Run:
    """One run: reads, keeps batches on their way, takes down what came of them. All but sending is in one thread."""

    def __init__(
        self, transport: Transport, options: Options, reporter: Reporter, journal: Journal, total: int | None
    ) -> None:
        self._transport, self._options, self._reporter, self._journal = transport, options, reporter, journal
        self._total = total
        self._batches: dict[str, _Batch] = {}
        self._pool = ThreadPoolExecutor(_IN_FLIGHT)
        self._sent: set[Future[Outcome]] = set()
        self._failures = options.failures.open("w", encoding="utf-8") if options.failures else None
        self.made = Loaded()

    def all(self, found: Iterator[Found]) -> None:
        for one in found:
            self._take(one)
            if self._ended():
                break
        else:
            for collection in list(self._batches):
                self._send(collection)
        self._settle()

    def close(self) -> None:
        """What is on its way arrives, and is taken down; what waits does not leave."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        try:
            for future in list(self._sent):
                if not future.cancelled() and future.exception() is None:
                    self._note(future)
        finally:
            if self._failures is not None:
                self._failures.close()

    def _ended(self) -> bool:
        return self.made.failed > 0 and not self._options.manner.partial

    def _take(self, found: Found) -> None:
        document = sources.json_object(found)
        try:
            if found.problem is not None:
                raise NotLoadable(found.problem)
            if document is not None and document.get("type") == "Collection":
                self._take_collection(document, found)
            else:
                self._take_item(found)
        except NotLoadable as error:
            named = document.get("id") if document is not None else None
            self._fail(Failure(found.where, str(error), id=named if isinstance(named, str) else None))

    def _take_item(self, found: Found) -> None:
        document = found.document
        if found.holder is not None and isinstance(document, dict):
            document = {"collection": found.holder} | document
        made = adopting.item(document, found.place, self._options.collection, self._transport.base)
        collection = str(made["collection"])
        try:
            text = json.dumps(made, separators=(",", ":"), sort_keys=True, allow_nan=False)
        except ValueError as error:
            raise NotLoadable("it holds a number that is none (NaN or infinity)") from error
        ready = Ready(found.where, str(made["id"]), text, digest_of(text), made)
        if ready.digest in self._journal:
            self.made.before += 1
            return
        batch = self._batches.setdefault(collection, _Batch())
        twice = ready.id in batch.items
        if batch.items and (twice or batch.size + len(text) > _BATCH_BYTES):
            self._send(collection)
            batch = self._batches[collection] = _Batch()
        if twice:
            self._settle()  # the later one is the one that stays
        batch.items[ready.id] = ready
        batch.size += len(text)
        if len(batch.items) >= self._options.batch:
            self._send(collection)

    def _send(self, collection: str) -> None:
        batch = self._batches.pop(collection, _Batch())
        while len(self._sent) >= _IN_FLIGHT:
            self._collect()
        if batch.items and not self._ended():
            items, manner = list(batch.items.values()), self._options.manner
            self._sent.add(self._pool.submit(load_batches.send, self._transport, collection, items, manner))

    def _settle(self) -> None:
        """Wait for all that is on its way."""
        while self._sent:
            self._collect()

    def _collect(self) -> None:
        """Wait for a batch. Raises what it ended with."""
        errors = []
        for future in wait(self._sent, return_when=FIRST_COMPLETED).done:
            if error := future.exception():
                errors.append(error)
                self._sent.discard(future)
            else:
                self._note(future)
        if errors:
            raise errors[0]

    def _note(self, future: Future[Outcome]) -> None:
        outcome = future.result()
        self._journal.add(outcome.done)
        # Not before: of what is interrupted here, the rest is noted when it is closed.
        self._sent.discard(future)
        self.made.new += outcome.new
        self.made.updated += outcome.updated
        self.made.unchanged += outcome.unchanged
        for failure in outcome.failures:
            self._fail(failure)
        made = self.made
        done = made.new + made.updated + made.unchanged + made.before + made.failed
        self._reporter.counting("loaded", done, max(self._total, done) if self._total is not None else None)

    def _fail(self, failure: Failure) -> None:
        self.made.failed += 1
        if len(self.made.failures) < _KEPT_FAILURES:
            self.made.failures.append(failure)
        if self._failures is not None:
            self._failures.write(json.dumps(failure.document(), ensure_ascii=False) + "\n")
            self._failures.flush()

    def _take_collection(self, document: JsonObject, found: Found) -> None:
        name = document.get("id")
        if self._options.collection is not None and name != self._options.collection:
            return  # its items go elsewhere
        made = adopting.collection(document, found.place, self._transport.base)
        path = f"/stac/collections/{quote(str(name), safe='')}"
        try:
            self.made.collections[str(name)] = self._write_collection(path, made)
        except BocageError as error:
            if error.status in (400, 422):
                raise NotLoadable(f"the collection is refused: {error.detail}") from error
            raise

    def _write_collection(self, path: str, made: JsonObject) -> str:
        known = self._transport.send("GET", path, allow=frozenset({404}))
        if known.status_code == 404:
            answer = self._transport.send(
                "POST", "/stac/collections", json=made, repeatable=True, allow=frozenset({409})
            )
            if answer.status_code != 409:
                return "new"
        elif self._options.manner.upsert:
            before: Any = known.json()
            after = self._transport.send("PUT", path, json=made).json()
            return "unchanged" if before == after else "updated"
        return "unchanged"
