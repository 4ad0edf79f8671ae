"""A static catalogue, document by document: collections come before their items, of which some are sent at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from bocage_client.errors import JsonObject, UsageError
from bocage_client.harvest_http import Courier
from bocage_client.harvest_journal import Journal, Progress
from bocage_client.harvest_marks import Marks
from bocage_client.harvest_options import Options
from bocage_client.harvest_reading import Static, documents
from bocage_client.harvest_records import Records, id_of
from bocage_client.harvest_writing import NotWritable
from bocage_client.loading import Reporter
from bocage_client.sources import Found

_AT_ONCE = 100


@dataclass
class _Gathered:
    """Items of one collection that wait for more."""

    name: str
    target: str
    progress: Progress
    documents: list[Any] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    refused: bool = False


class StaticHarvest:
    def __init__(self, records: Records, marks: Marks, journal: Journal, options: Options, reporter: Reporter) -> None:
        self._records, self._marks, self._journal = records, marks, journal
        self._options, self._reporter, self._report = options, reporter, records.report
        # By the name at the source; None for one that is not wanted.
        self._known: dict[str, _Gathered | None] = {}
        self._whole = True

    def run(self, courier: Courier, static: Static) -> None:
        # Where a document lies is known only when another has led to it: all are read again.
        self._journal.forget()
        for found in documents(courier, static):
            document = found.document if isinstance(found.document, dict) else None
            if found.problem is not None or document is None:
                self._report.leave("unreadable", found.where, found.problem or "it is no object")
                self._whole = False
            elif document.get("type") == "Collection":
                self._collection(document, found.place)
            else:
                self._item(document, found)
        for gathered in self._known.values():
            if gathered is not None:
                self._send(gathered)
                if not gathered.refused:
                    self._marks.end(gathered.target, gathered.progress, self._whole)
        for name in self._options.collections:
            if name not in self._known:
                self._report.problem(name, "no-such-collection", f"{static.base} has no collection {name}.")

    def _collection(self, document: JsonObject, place: str) -> None:
        name = id_of(document)
        for gathered in self._known.values():
            if gathered is not None:
                self._send(gathered)
        if self._options.collections and name not in self._options.collections:
            self._known[name] = None
            return
        if self._options.into is not None and any(x is not None for x in self._known.values()):
            raise UsageError("--into takes one collection: name it by --collection.")
        target = self._records.collection(document, place)
        if target is None:
            self._known[name] = None
            return
        since = self._marks.begin(target)
        self._known[name] = _Gathered(name, target, Progress(since, None, 0, None, self._records.at, done=False))

    def _item(self, document: JsonObject, found: Found) -> None:
        holder = found.holder or str(document.get("collection"))
        if holder not in self._known:
            self._report.leave("no-collection", found.where, "it lies in no collection")
            return
        if (gathered := self._known[holder]) is None or gathered.refused:
            return
        gathered.documents.append(document)
        gathered.places.append(found.place)
        if len(gathered.documents) >= _AT_ONCE:
            self._send(gathered)

    def _send(self, gathered: _Gathered) -> None:
        some, places, before = gathered.documents, gathered.places, gathered.progress
        gathered.documents, gathered.places = [], []
        if not some or gathered.refused:
            return
        try:
            newest = self._records.items(gathered.name, gathered.target, some, places, before.newest)
        except NotWritable as error:
            gathered.refused = True
            self._report.problem(gathered.target, error.code, error.detail, error.exit_code)
            return
        gathered.progress = replace(before, count=before.count + len(some), newest=newest)
        self._journal.enter(gathered.target, gathered.progress, map(id_of, some))
        done = sum(x.progress.count for x in self._known.values() if x is not None)
        self._reporter.counting("harvested", done, None)
