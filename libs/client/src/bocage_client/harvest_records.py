"""Records of a source, made valid, told of, and handed to the platform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bocage_client import adopting, harvest_collections, harvest_items, harvest_provenance
from bocage_client.adopting import NotLoadable
from bocage_client.errors import JsonObject
from bocage_client.harvest_licences import LICENCES, OTHER, UNDECLARED, licence
from bocage_client.harvest_moments import parsed, written
from bocage_client.harvest_normalising import Change, Kind, Normalised, Odd, properties
from bocage_client.harvest_options import Options
from bocage_client.harvest_report import Report
from bocage_client.harvest_structure import meets, self_link
from bocage_client.harvest_writing import LARGEST_ITEM, NotWritable, Writer
from bocage_client.http import Transport


def arrival(own: JsonObject, kind: Kind) -> str | None:
    """When a normalised item last came or changed at its source, by what the source says."""
    names = ("published", "updated", "created") if kind is Kind.GEODES else ("updated", "created")
    return next((own[x] for x in names if isinstance(own.get(x), str)), None)


def id_of(record: Any) -> str:
    return str(record.get("id")) if isinstance(record, dict) else str(None)


def decided(found: Normalised, spelling: str) -> Normalised:
    """A collection under the licence that whoever harvests names; what its source says is kept, and told."""
    own = licence(spelling).id
    said = found.record["license"]
    if own == said:
        return found
    change = Change("licence-decided", f"the source says {said}", {"license": said})
    record = {**found.record, "license": own, LICENCES: [UNDECLARED if own == OTHER else own]}
    return Normalised(record, (*found.changes, change))


class Records:
    """`base`: the source's own address. `at`: when this harvest began."""

    def __init__(self, transport: Transport, base: str, kind: Kind, options: Options, at: str) -> None:
        self._platform, self._base, self._kind, self._options, self.at = transport.base, base, kind, options, at
        self.report = Report(base, kind.value, options.dry_run)
        self.writer = Writer(transport, self.report)

    def collection(self, record: Any, place: str) -> str | None:
        """The collection here that takes its items; None when none does, which is told."""
        where = id_of(record)
        try:
            found = harvest_collections.normalise(record, self._kind)
            target = self._options.into or str(found.record["id"])
            made = adopting.collection(found.record, place, self._platform)
            made |= {"id": target, "bocage:audience": self._options.audience}
            if self._options.licence is not None:
                found = decided(found, self._options.licence)
                made |= {name: found.record[name] for name in ("license", LICENCES)}
            made = self._stamped(made, found, place)
            self.report.changes(where, found.changes)
            self.report.of(target).record = self.writer.collection(made)
        except (Odd, NotLoadable, ValueError) as error:
            self.report.leave(getattr(error, "rule", "not-loadable"), where, str(error))
            return None
        except NotWritable as error:
            self.report.of(self._options.into or where).record = "refused"
            self.report.problem(where, error.code, error.detail, error.exit_code)
            return None
        return target

    def items(
        self, name: str, target: str, features: Sequence[Any], places: Sequence[str], newest: str | None
    ) -> str | None:
        """Items of the collection `name` into `target`; the newest time at which one came, or that was given.

        Raises NotWritable.
        """
        ready = []
        for feature, place in zip(features, places, strict=True):
            where = f"{name}/{id_of(feature)}"
            try:
                made, came = self._item(name, target, feature, place)
            except (Odd, NotLoadable) as error:
                self.report.skip(target, getattr(error, "rule", "not-loadable"), where, str(error))
                continue
            except (ValueError, RecursionError):
                detail = "it holds NaN, half a character, too deep a nesting or an address that is none"
                self.report.skip(target, "not-json", where, detail)
                continue
            newest = max(filter(None, (newest, came)), default=None)
            if made is not None:
                ready.append(made)
        self.writer.items(target, ready)
        return newest

    def _item(self, name: str, target: str, feature: Any, place: str) -> tuple[JsonObject | None, str | None]:
        """The item as it is sent, None for one that is not wanted; and when it came."""
        found = harvest_items.normalise(feature, self._kind)
        if found.record.get("collection", name) != name:
            raise Odd("other-collection", f"it says that it is of the collection {found.record['collection']}")
        own = self.report.of(target)
        moment, since = parsed(arrival(properties(found.record), self._kind)), parsed(own.since)
        came = written(moment) if moment is not None else None
        if since is not None and moment is not None and moment < since:
            own.counts["older"] += 1
            return None, came
        if self._options.bbox is not None and not meets(found.record["bbox"], self._options.bbox):
            own.counts["outside"] += 1
            return None, came
        made = adopting.item(found.record, self_link(found.record) or place, target, self._platform)
        made = self._stamped(made, found, place)
        if (size := harvest_provenance.size(made)) > LARGEST_ITEM:
            raise Odd("too-large", f"it has {size >> 10} KiB; the platform takes {LARGEST_ITEM >> 10}")
        self.report.changes(f"{name}/{id_of(feature)}", found.changes)
        return made, came

    def _stamped(self, made: JsonObject, found: Normalised, place: str) -> JsonObject:
        return harvest_provenance.stamped(made, found, self._base, self_link(found.record) or place, self.at)
