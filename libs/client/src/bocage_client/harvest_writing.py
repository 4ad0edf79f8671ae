"""What was read, into the platform: only what is new or differs, and never over what somebody else made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from bocage_client import load_batches
from bocage_client.errors import BocageError, Exit, JsonObject, Refused
from bocage_client.harvest_journal import Journal
from bocage_client.harvest_provenance import FIELD, Standing, stamp_of, standing
from bocage_client.harvest_report import Report
from bocage_client.http import Transport
from bocage_client.load_batches import Manner, Ready
from bocage_client.load_journal import digest_of

_AT_ONCE = 100
_BATCH_BYTES = 8 << 20
LARGEST_ITEM = 2 << 20
# What stays as it is here when the source's record of a collection changes: somebody may have decided it.
_DECIDED_HERE = ("license", "bocage:licences", "bocage:audience", "bocage:organisation", "bocage:owner")
_STAMP = {"include": ["id", f"properties.{FIELD}"], "exclude": ["geometry", "assets", "links", "bbox"]}


class NotWritable(Exception):
    """A collection into which nothing can be written; says why."""

    def __init__(self, code: str, detail: str, exit_code: Exit = Exit.NOT_ALLOWED) -> None:
        super().__init__(detail)
        self.code, self.detail, self.exit_code = code, detail, exit_code


class Writer:
    def __init__(self, transport: Transport, report: Report) -> None:
        self._transport, self._report = transport, report
        self._missing: set[str] = set()
        """Collections that are not there, in a dry run."""

    def collection(self, made: JsonObject) -> str:
        """What becomes of a collection's record. Raises NotWritable."""
        name = str(made["id"])
        path = f"/stac/collections/{quote(name, safe='')}"
        existing = self._known(path)
        if existing is None and self._created(made):
            return "new"
        if existing is None and (existing := self._known(path)) is None:
            detail = f"the collection {name} is another organisation's, which does not show it: choose --into"
            raise NotWritable("not-owner", detail)
        found = standing(existing, made)
        if found is Standing.FOREIGN:
            return "kept: it was not harvested from here"
        if found is Standing.CHANGED:
            self._replace(name, path, existing, made)
        return found.value

    def _known(self, path: str) -> JsonObject | None:
        """The platform's collection; None when there is none, or none that one sees."""
        answer = self._transport.send("GET", path, allow=frozenset({404}))
        return dict(answer.json()) if answer.status_code != 404 else None

    def _created(self, made: JsonObject) -> bool:
        """False when there is one already: somebody else was quicker, or it is not shown."""
        if self._report.dry_run:
            self._missing.add(str(made["id"]))
            return True
        try:
            self._transport.send("POST", "/stac/collections", json=made, repeatable=True)
        except Refused as refused:
            if refused.status != 409:
                raise _not_writable(str(made["id"]), refused) from refused
            return False
        return True

    def _replace(self, name: str, path: str, existing: JsonObject, made: JsonObject) -> None:
        kept = {x: existing[x] for x in _DECIDED_HERE if x in existing}
        if kept.get("license") != made["license"]:
            detail = f"the source says {made['license']} now; here it stays {kept.get('license')}"
            self._report.flag("licence-differs", name, detail)
            stamp = made[FIELD]
            kept[FIELD] = {**stamp, "before": {"license": made["license"], **stamp.get("before", {})}}
        if self._report.dry_run:
            return
        try:
            self._transport.send("PUT", path, json={**made, **kept})
        except Refused as refused:
            raise _not_writable(name, refused) from refused

    def items(self, collection: str, made: Sequence[JsonObject]) -> None:
        """Raises NotWritable, and BocageError when the platform is away."""
        counts = self._report.of(collection).counts
        latest = {str(x["id"]): x for x in made}
        existing = self._existing(collection, list(latest))
        waiting: list[Ready] = []
        for name, item in latest.items():
            found = standing(existing.get(name), item)
            where = f"{collection}/{name}"
            if found is Standing.FOREIGN:
                detail = "an item of this id is there that was not harvested from here: it stays as it is"
                self._report.skip(collection, "not-ours", where, detail)
            elif found is Standing.UNCHANGED:
                counts["unchanged"] += 1
            elif self._report.dry_run:
                counts[found.value] += 1
            else:
                text = json.dumps(item, separators=(",", ":"), sort_keys=True)
                waiting.append(Ready(where, name, text, digest_of(text), item))
        for batch in _batches(waiting):
            self._send(collection, batch, existing)

    def _send(self, collection: str, batch: Sequence[Ready], existing: JsonObject) -> None:
        counts = self._report.of(collection).counts
        try:
            outcome = load_batches.send(self._transport, collection, batch, Manner(upsert=True, partial=True))
        except Refused as refused:
            raise _not_writable(collection, refused) from refused
        for failure in outcome.failures:
            self._report.skip(collection, failure.code, failure.where, failure.detail, failure.errors)
        # By what was there before: an answer that was lost and asked for again calls what it wrote unchanged.
        refused_ones = {x.id for x in outcome.failures}
        written = [x for x in batch if x.id not in refused_ones]
        counts["new"] += sum(x.id not in existing for x in written)
        counts["changed"] += sum(x.id in existing for x in written)

    def _existing(self, collection: str, names: Sequence[str]) -> JsonObject:
        """The platform's items of these ids, with no more than what tells where they came from."""
        if collection in self._missing:
            return {}
        made: JsonObject = {}
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            question = {"collections": [collection], "ids": some, "limit": len(some), "fields": _STAMP}
            made |= {str(x["id"]): x for page in self._pages(question) for x in page}
        return made

    def gone(self, collection: str, source: str, journal: Journal, prune: bool) -> None:
        """Items of the source that it has no more: told, and deleted if asked."""
        if collection in self._missing:
            return
        question = {"collections": [collection], "limit": 1000, "fields": _STAMP}
        for page in self._pages(question):
            for item in page:
                name = str(item["id"])
                if stamp_of(item).get("source") != source or journal.seen(collection, name):
                    continue
                self._report.gone(collection, name)
                if prune and not self._report.dry_run:
                    path = f"/stac/collections/{quote(collection, safe='')}/items/{quote(name, safe='')}"
                    self._transport.send("DELETE", path, allow=frozenset({404}))
                    self._report.of(collection).counts["pruned"] += 1

    def _pages(self, question: JsonObject) -> Iterator[list[Any]]:
        body: JsonObject | None = question
        while body is not None:
            page = self._transport.post("/stac/search", body, repeatable=True)
            yield page["features"]
            link = next((x for x in page.get("links", ()) if x.get("rel") == "next"), None)
            body = link.get("body") if link is not None else None


def _batches(ready: Sequence[Ready]) -> Iterator[list[Ready]]:
    batch: list[Ready] = []
    size = 0
    for one in ready:
        if batch and size + len(one.text) > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one.text)
    if batch:
        yield batch


def _not_writable(name: str, refused: Refused) -> BocageError | NotWritable:
    """What is about this collection alone; the rest ends the harvest."""
    if refused.status == 403 and refused.code == "not-owner":
        return NotWritable("not-owner", f"the collection {name} is another organisation's: choose another by --into")
    if refused.status in (403, 404) and refused.code in ("services-only", "not-found"):
        return NotWritable(refused.code, refused.detail)
    if refused.status in (400, 409, 413, 422):
        errors = "; ".join(f"{x.get('field')}: {x.get('reason')}" for x in refused.problem.get("errors") or ())
        return NotWritable("refused", f"{refused.detail} {errors}".strip(), Exit.INPUT)
    return refused
