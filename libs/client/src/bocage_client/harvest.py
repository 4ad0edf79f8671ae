"""Other catalogues into this one: read politely, made valid, written where they differ; killed, it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bocage_client import harvest_reading
from bocage_client.errors import UsageError
from bocage_client.harvest_dialects import Api, Wanted
from bocage_client.harvest_http import Courier, SourceFault, checked_address
from bocage_client.harvest_journal import Journal, Progress
from bocage_client.harvest_marks import Marks
from bocage_client.harvest_moments import written
from bocage_client.harvest_normalising import Kind
from bocage_client.harvest_options import LAST, Options
from bocage_client.harvest_records import Records, id_of
from bocage_client.harvest_report import Report
from bocage_client.harvest_static import StaticHarvest
from bocage_client.harvest_writing import NotWritable
from bocage_client.http import Transport, origin
from bocage_client.loading import Reporter

__all__ = ["Options", "harvest"]


def harvest(transport: Transport, url: str, options: Options, reporter: Reporter) -> Report:
    """Raises UsageError, SourceFault when the source is away at once, BocageError when the platform is."""
    address = checked_address(url)
    options.check()
    if origin(address) == origin(transport.base):
        raise UsageError(f"{address} is the platform itself.")
    courier = Courier(address, options.key, options.patience, transport.base, reporter.say)
    named = [transport.base, address, options.into or "", ",".join(map(str, options.bbox or ()))]
    try:
        with Journal(named, lasting=not options.dry_run) as journal:
            if options.restart:
                journal.forget()
            source = harvest_reading.opened(courier, address, options.kind)
            opened = source.opened
            if isinstance(opened, Api) and source.only is None and not options.collections:
                opened = harvest_reading.by_post(courier, opened)
            began = written(datetime.now(UTC).replace(microsecond=0))
            records = Records(transport, opened.base, opened.kind, options, began)
            marks = Marks(journal, options, records, opened.base)
            if isinstance(opened, Api):
                names = [source.only] if source.only else options.collections
                _ApiHarvest(courier, opened, records, marks, journal, options, reporter).run(names)
            else:
                StaticHarvest(records, marks, journal, options, reporter).run(courier, opened)
            if not records.report.problems:
                journal.forget()
            return records.report
    finally:
        courier.close()


class _ApiHarvest:
    """An API, collection by collection, page by page."""

    def __init__(
        self,
        courier: Courier,
        api: Api,
        records: Records,
        marks: Marks,
        journal: Journal,
        options: Options,
        reporter: Reporter,
    ) -> None:
        self._courier, self._api, self._records, self._marks = courier, api, records, marks
        self._journal, self._options, self._reporter, self._report = journal, options, reporter, records.report

    def run(self, names: Sequence[str]) -> None:
        if count := self._journal.going_on():
            self._reporter.say(f"Going on: an earlier run read {count:,} records. --restart begins anew.")
        found: list[str] = []
        for record in self._collections(names):
            if self._options.into is not None and found:
                self._report.problem(self._api.base, "several", "--into takes one collection: name it by --collection.")
                return
            name = id_of(record)
            found.append(name)
            target = self._records.collection(record, self._api.collection(name))
            if target is None:
                continue
            try:
                self._pages(name, target)
            except SourceFault as fault:
                self._report.problem(name, fault.code, fault.detail, fault.exit_code)
                if fault.away:
                    return
            except NotWritable as refused:
                self._report.problem(name, refused.code, refused.detail, refused.exit_code)
        for name in names if self._api.kind is Kind.GEODES else ():
            if name not in found:
                self._report.problem(name, "no-such-collection", f"{self._api.base} has no collection {name}.")

    def _collections(self, names: Sequence[str]) -> Iterator[Any]:
        """Collections as they are; one that can't be read leaves the others to be."""
        alone = bool(names) and self._api.kind is not Kind.GEODES
        for group in [[x] for x in names] if alone else [names]:
            try:
                yield from harvest_reading.collections(self._courier, self._api, group)
            except SourceFault as fault:
                if not self._report.collections and (fault.away or fault.status in (401, 403)):
                    raise
                where = group[0] if alone else self._api.base
                if alone and fault.status == 404:
                    detail = f"{self._api.base} has no collection {where}."
                    self._report.problem(where, "no-such-collection", detail)
                else:
                    self._report.problem(where, fault.code, fault.detail, fault.exit_code)
                if fault.away:
                    return

    def _pages(self, name: str, target: str) -> None:
        state = self._start(name, target)
        if state.done:
            return
        matched = None
        for read in harvest_reading.pages(self._courier, self._api, state.asked, state.count):
            features = read.page.features
            places = [self._api.item(name, id_of(x)) for x in features]
            newest = self._records.items(name, target, features, places, state.newest)
            state = replace(state, asked=read.after, count=read.count, newest=newest, done=read.after is None)
            self._journal.enter(target, state, map(id_of, features))
            matched = read.page.matched if read.page.matched is not None else matched
            self._reporter.counting(f"harvested {target}", read.count, matched)
        came = self._journal.count(target)
        if matched is not None and came < matched:
            detail = f"the source counts {matched:,} records, and {came:,} came: what is gone can't be told"
            self._report.flag("count", target, detail)
        self._marks.end(target, state, whole=matched is None or came >= matched)

    def _start(self, name: str, target: str) -> Progress:
        """Where an earlier run broke off, else the beginning."""
        since, own = self._marks.begin(target), self._report.of(target)
        earlier = self._journal.progress(target)
        if earlier is not None and (earlier.since == since or self._options.since == LAST):
            own.since, own.complete = earlier.since, earlier.done
            own.counts["before"] = earlier.count
            return earlier
        self._journal.forget(target)
        wanted = Wanted(name, self._options.bbox, since)
        asked = harvest_reading.beginning(self._courier, self._api, wanted)
        return Progress(since, asked, 0, None, self._records.at, done=False)
