"""Other catalogues into this one: read politely, made valid, written where they differ; killed, it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from bocage_client import adopting, harvest_collections, harvest_items, harvest_provenance, harvest_reading
from bocage_client.adopting import NotLoadable
from bocage_client.errors import JsonObject, UsageError
from bocage_client.harvest_dialects import Api, Wanted, first
from bocage_client.harvest_http import Courier, SourceFault, checked_address
from bocage_client.harvest_journal import Journal, Progress
from bocage_client.harvest_moments import parsed, written
from bocage_client.harvest_normalising import Kind, Normalised, Odd, properties
from bocage_client.harvest_report import Report
from bocage_client.harvest_structure import meets, self_link
from bocage_client.harvest_writing import LARGEST_ITEM, NotWritable, Writer
from bocage_client.http import Transport, origin
from bocage_client.sources import Found

AUDIENCES = ("public", "organisation", "owner")
LAST = "last"
# Catalogues show what is new to them a while after they say that it came.
_OVERLAP = timedelta(hours=1)
_STATIC_BATCH = 100


class Reporter(Protocol):
    def say(self, message: str) -> None: ...

    def counting(self, name: str, done: int, total: int | None) -> None: ...


@dataclass(frozen=True)
class Options:
    """`since`: a moment, or 'last' for where the last whole harvest ended."""

    collections: Sequence[str] = ()
    since: str | None = None
    bbox: tuple[float, ...] | None = None
    into: str | None = None
    audience: str = "public"
    kind: Kind | None = None
    dry_run: bool = False
    prune: bool = False
    restart: bool = False
    key: str | None = field(default=None, repr=False)
    patience: float = 600.0


def harvest(transport: Transport, url: str, options: Options, reporter: Reporter) -> Report:
    """Raises UsageError, SourceFault when the source is away at once, BocageError when the platform is."""
    address = checked_address(url)
    since = _since(options)
    if options.audience not in AUDIENCES:
        raise UsageError(f"--audience is one of {', '.join(AUDIENCES)}.")
    if options.into is not None and len(options.collections) > 1:
        raise UsageError("--into takes the items of one collection: ids of several might meet there.")
    if options.prune and (since is not None or options.since == LAST or options.bbox is not None):
        raise UsageError("--prune needs the whole: what was not read is not known to be gone.")
    if origin(address) == origin(transport.base):
        raise UsageError(f"{address} is the platform itself.")
    courier = Courier(address, options.key, options.patience, reporter.say)
    named = [transport.base, address, options.into or "", ",".join(map(str, options.bbox or ()))]
    try:
        with Journal(named, lasting=not options.dry_run) as journal:
            if options.restart:
                journal.forget()
            source = harvest_reading.opened(courier, address, options.kind)
            run = _Run(transport, courier, source, since, options, reporter, journal)
            run.all()
            return run.report
    finally:
        courier.close()


def _since(options: Options) -> str | None:
    """In UTC; None without one, and for 'last', which is each collection's own."""
    if options.since is None or options.since == LAST:
        return None
    moment = parsed(options.since)
    if moment is None:
        raise UsageError(f"--since is a moment such as 2024-05-01T00:00:00Z, or {LAST}; {options.since} is neither.")
    return written(moment)


def arrival(own: JsonObject, kind: Kind) -> str | None:
    """When a normalised item last came or changed at its source, by what the source says."""
    names = ("published", "updated", "created") if kind is Kind.GEODES else ("updated", "created")
    return next((own[x] for x in names if isinstance(own.get(x), str)), None)


class _Run:
    def __init__(
        self,
        transport: Transport,
        courier: Courier,
        source: harvest_reading.Source,
        since: str | None,
        options: Options,
        reporter: Reporter,
        journal: Journal,
    ) -> None:
        self._transport, self._courier, self._source = transport, courier, source
        self._since, self._options, self._reporter, self._journal = since, options, reporter, journal
        self._opened = source.opened
        if isinstance(self._opened, Api) and source.only is None and not options.collections:
            self._opened = harvest_reading.by_post(courier, self._opened)
        self.report = Report(self._opened.base, self._opened.kind.value, options.dry_run)
        self._writer = Writer(transport, self.report)
        self._at = written(datetime.now(UTC).replace(microsecond=0))
        self._complete: list[str] = []

    def all(self) -> None:
        if isinstance(self._opened, Api):
            self._api(self._opened)
        else:
            self._static(self._opened)
        if not self.report.problems:
            self._journal.forget()

    # -- an API, page by page ------------------------------------------------------------------------------------

    def _api(self, api: Api) -> None:
        names = [self._source.only] if self._source.only else list(self._options.collections)
        if count := self._journal.going_on():
            self._reporter.say(f"Going on: an earlier run read {count:,} records. --restart begins anew.")
        found: list[str] = []
        for record in self._records(api, names):
            if self._options.into is not None and found:
                self.report.problem(api.base, "several", "--into takes one collection: name it by --collection.")
                return
            made = self._collection(record, api.collection(str(_id(record))))
            found.append(str(_id(record)))
            if made is None:
                continue
            name, target = made
            try:
                self._pages(api, name, target)
            except SourceFault as fault:
                self.report.problem(name, fault.code, fault.detail, fault.exit_code)
                if fault.away:
                    return
            except NotWritable as refused:
                self.report.problem(name, refused.code, refused.detail, refused.exit_code)
        for name in names if api.kind is Kind.GEODES else ():
            if name not in found:
                self.report.problem(name, "no-such-collection", f"{api.base} has no collection {name}.")

    def _records(self, api: Api, names: Sequence[str]) -> Iterator[Any]:
        """Collections as they are; one that can't be read leaves the others to be."""
        alone = bool(names) and api.kind is not Kind.GEODES
        for group in [[x] for x in names] if alone else [names]:
            try:
                yield from harvest_reading.collections(self._courier, api, group)
            except SourceFault as fault:
                if not self.report.collections and (fault.away or fault.status in (401, 403)):
                    raise
                missing = alone and fault.status == 404
                detail = f"{api.base} has no collection {group[0]}." if missing else fault.detail
                code = "no-such-collection" if missing else fault.code
                self.report.problem(group[0] if alone else api.base, code, detail, fault.exit_code)
                if fault.away:
                    return

    def _pages(self, api: Api, name: str, target: str) -> None:
        own = self.report.of(target)
        own.since = self._since_of(target)
        wanted = Wanted(name, self._options.bbox, own.since)
        earlier = self._journal.progress(target)
        if earlier is not None and (earlier.since == own.since or self._options.since == LAST):
            own.since, own.complete, state = earlier.since, earlier.done, earlier
            own.counts["before"] = earlier.count
            if earlier.done:
                return
        else:
            self._journal.forget(target)
            start = first(api, harvest_reading.updates(self._courier, api, wanted))
            state = Progress(own.since, start, 0, None, self._at, done=False)
        matched = None
        for read in harvest_reading.pages(self._courier, api, state.asked, state.count):
            where = [api.item(name, str(_id(x))) for x in read.page.features]
            state = self._page(name, target, read.page.features, where, replace(state, count=read.count))
            state = replace(state, asked=read.after, done=read.after is None)
            self._journal.enter(target, state, [str(_id(x)) for x in read.page.features])
            matched = read.page.matched if read.page.matched is not None else matched
            self._reporter.counting(f"harvested {target}", read.count, matched)
        came = self._journal.count(target)
        if matched is not None and came < matched:
            detail = f"the source counts {matched:,} records, and {came:,} came: what is gone can't be told"
            self.report.flag("count", target, detail)
        self._ended(target, state, whole=matched is None or came >= matched)

    def _since_of(self, target: str) -> str | None:
        mark = self._journal.watermark(target) if self._options.since == LAST else None
        moment = parsed(mark)
        return written(moment - _OVERLAP) if moment is not None else self._since

    def _ended(self, target: str, state: Progress, whole: bool) -> None:
        """A collection was read to its end; `whole`: what did not come is not there."""
        own = self.report.of(target)
        own.complete = True
        if whole and own.since is None and self._options.bbox is None:
            self._writer.gone(target, self._opened.base, self._journal, self._options.prune)
        if state.newest is not None and not self._options.dry_run:
            # What came after the first request may lie on pages that were read before it came.
            self._journal.mark(target, min(state.newest, state.started))

    # -- a static catalogue, document by document ----------------------------------------------------------------

    def _static(self, static: harvest_reading.Static) -> None:
        self._journal.forget()  # where a document lies is known only when it was led to: all are read again
        batch: list[tuple[Any, str]] = []
        current: tuple[str, str] | None = None
        states: dict[str, Progress] = {}
        refused: set[str] = set()
        targets: dict[str, tuple[str, str] | None] = {}

        def flush() -> None:
            nonlocal batch
            if current is not None and batch and current[1] not in refused:
                name, target = current
                state = states.setdefault(target, Progress(self._since, None, 0, None, self._at, done=False))
                state = replace(state, count=state.count + len(batch))
                try:
                    states[target] = self._page(name, target, [x for x, _ in batch], [w for _, w in batch], state)
                except NotWritable as error:
                    refused.add(target)
                    self.report.problem(target, error.code, error.detail, error.exit_code)
                self._journal.enter(target, states[target], [str(_id(x)) for x, _ in batch])
                self._reporter.counting("harvested", sum(x.count for x in states.values()), None)
            batch = []

        broken = False
        for found in harvest_reading.documents(self._courier, static):
            document = found.document if isinstance(found.document, dict) else None
            if found.problem is not None or document is None:
                self.report.leave("unreadable", found.where, found.problem or "it is no object")
                broken = True
                continue
            if document.get("type") == "Collection":
                flush()
                name = str(document.get("id"))
                current = None
                if not self._options.collections or name in self._options.collections:
                    current = self._collection(document, found.place)
                    if self._options.into is not None and targets and current is not None:
                        raise UsageError("--into takes one collection: name it by --collection.")
                    targets[name] = current
                    if current is not None:
                        self.report.of(current[1]).since = self._since_of(current[1])
                else:
                    targets[name] = None
                continue
            holder = _holder(found)
            if holder not in targets or targets[holder] is None:
                if holder not in targets and not self._options.collections:
                    self.report.leave("no-collection", found.where, "it lies in no collection")
                continue
            if current != targets[holder]:
                flush()
                current = targets[holder]
            batch.append((document, found.place))
            if len(batch) >= _STATIC_BATCH:
                flush()
        flush()
        for made in targets.values():
            if made is not None and made[1] not in refused:
                state = states.get(made[1], Progress(self._since, None, 0, None, self._at, done=True))
                self._ended(made[1], state, whole=not broken)
        for name in self._options.collections:
            if name not in targets:
                self.report.problem(name, "no-such-collection", f"{static.base} has no collection {name}.")

    # -- records -------------------------------------------------------------------------------------------------

    def _collection(self, record: Any, place: str) -> tuple[str, str] | None:
        """Its name at the source, and that of the collection that takes its items; None when none does."""
        where = str(_id(record))
        try:
            found = harvest_collections.normalise(record, self._opened.kind)
            name = str(found.record["id"])
            target = self._options.into or name
            made = adopting.collection(found.record, place, self._transport.base)
            made |= {"id": target, "bocage:audience": self._options.audience}
            made = self._stamped(made, found, place)
            own = self.report.of(target)
            self.report.changes(where, found.changes)
            own.record = self._writer.collection(made)
        except (Odd, NotLoadable, ValueError) as error:
            self.report.leave(getattr(error, "rule", "not-loadable"), where, str(error))
            return None
        except NotWritable as error:
            self.report.of(target).record = "refused"
            self.report.problem(name, error.code, error.detail, error.exit_code)
            return None
        return name, target

    def _page(
        self, name: str, target: str, features: Sequence[Any], places: Sequence[str], state: Progress
    ) -> Progress:
        """Records of one collection, made valid and written; what was newest among them."""
        ready, newest = [], state.newest
        for feature, place in zip(features, places, strict=True):
            where = f"{name}/{_id(feature)}"
            try:
                made, came = self._item(name, target, feature, place)
            except (Odd, NotLoadable) as error:
                self.report.skip(target, getattr(error, "rule", "not-loadable"), where, str(error))
                continue
            except (ValueError, RecursionError):
                detail = "it holds what JSON does not: NaN, half a character, or too deep a nesting"
                self.report.skip(target, "not-json", where, detail)
                continue
            newest = max(filter(None, (newest, came)), default=None)
            if made is not None:
                ready.append(made)
        self._writer.items(target, ready)
        return replace(state, newest=newest)

    def _item(self, name: str, target: str, feature: Any, place: str) -> tuple[JsonObject | None, str | None]:
        """The item as it is sent, None for one that is not wanted; and when it came."""
        found = harvest_items.normalise(feature, self._opened.kind)
        if found.record.get("collection", name) != name:
            raise Odd("other-collection", f"it says that it is of the collection {found.record['collection']}")
        moment = parsed(arrival(properties(found.record), self._opened.kind))
        came = written(moment) if moment is not None else None
        since = parsed(self.report.of(target).since)
        if since is not None and moment is not None and moment < since:
            self.report.of(target).counts["older"] += 1
            return None, came
        if self._options.bbox is not None and not meets(found.record["bbox"], self._options.bbox):
            self.report.of(target).counts["outside"] += 1
            return None, came
        made = adopting.item(found.record, self_link(found.record) or place, target, self._transport.base)
        made = self._stamped(made, found, place)
        if (size := harvest_provenance.size(made)) > LARGEST_ITEM:
            raise Odd("too-large", f"it has {size >> 10} KiB; the platform takes {LARGEST_ITEM >> 10}")
        self.report.changes(f"{name}/{_id(feature)}", found.changes)
        return made, came

    def _stamped(self, made: JsonObject, found: Normalised, place: str) -> JsonObject:
        published = self_link(found.record) or place
        return harvest_provenance.stamped(made, found, self._opened.base, published, self._at)


def _id(record: Any) -> Any:
    return record.get("id") if isinstance(record, dict) else None


def _holder(found: Found) -> str:
    named = found.document.get("collection") if isinstance(found.document, dict) else None
    return found.holder or str(named)
