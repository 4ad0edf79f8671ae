"""What a harvest did: of each collection, and why what was left out was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bocage_client.errors import Exit, JsonObject
from bocage_client.harvest_normalising import Change

# Examples of a rule in the document, and of these on a terminal.
_EXAMPLES, _SHOWN = 100, 5
_KEPT = 100
_COUNTS = ("new", "changed", "unchanged", "older", "outside", "skipped", "before", "gone", "pruned")
_TOLD = {
    "older": "older than asked for",
    "outside": "outside of the bbox",
    "before": "by an earlier run",
    "gone": "gone at the source",
}


@dataclass(frozen=True)
class Example:
    where: str
    detail: str
    errors: tuple[JsonObject, ...] = ()

    def document(self) -> JsonObject:
        return {"where": self.where, "detail": self.detail, **({"errors": list(self.errors)} if self.errors else {})}


@dataclass
class Reason:
    """A rule, how often it was met, and the first of those that met it."""

    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, example: Example) -> None:
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(example)

    def document(self) -> JsonObject:
        return {"count": self.count, "examples": [x.document() for x in self.examples]}


@dataclass
class OfCollection:
    """`record`: what became of the collection's own record."""

    record: str = "unchanged"
    complete: bool = False
    since: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    gone: list[str] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        busy = sum(n for name, n in self.counts.items() if name not in ("unchanged", "older", "outside"))
        return self.complete and self.record == "unchanged" and not busy

    def document(self) -> JsonObject:
        made: JsonObject = {"record": self.record, "complete": self.complete, "items": _counted(self.counts)}
        if self.since is not None:
            made["since"] = self.since
        return made | ({"gone": self.gone} if self.gone else {})


def _counted(counts: Counter[str]) -> JsonObject:
    return {name: counts[name] for name in _COUNTS}


@dataclass
class Report:
    source: str
    kind: str
    dry_run: bool = False
    collections: dict[str, OfCollection] = field(default_factory=dict)
    normalised: Counter[str] = field(default_factory=Counter)
    flagged: dict[str, Reason] = field(default_factory=dict)
    skipped: dict[str, Reason] = field(default_factory=dict)
    problems: list[JsonObject] = field(default_factory=list)
    exit_code: Exit = Exit.SUCCESS

    def of(self, collection: str) -> OfCollection:
        return self.collections.setdefault(collection, OfCollection())

    def changes(self, where: str, changes: Sequence[Change]) -> None:
        """Each rule counts once a record."""
        self.normalised.update({x.rule for x in changes if not x.flag})
        for change in changes:
            if change.flag:
                self.flag(change.rule, where, change.detail)

    def flag(self, rule: str, where: str, detail: str) -> None:
        self.flagged.setdefault(rule, Reason()).add(Example(where, detail))

    def skip(self, collection: str, rule: str, where: str, detail: str, errors: Sequence[JsonObject] = ()) -> None:
        self.of(collection).counts["skipped"] += 1
        self.leave(rule, where, detail, errors)

    def leave(self, rule: str, where: str, detail: str, errors: Sequence[JsonObject] = ()) -> None:
        """Something that is no item of a collection."""
        self.skipped.setdefault(rule, Reason()).add(Example(where, detail, tuple(errors)))

    def problem(self, where: str, code: str, detail: str, exit_code: Exit = Exit.INPUT) -> None:
        """What kept a collection from being read or written to its end."""
        if len(self.problems) < _KEPT:
            self.problems.append({"where": where, "code": code, "detail": detail})
        if self.exit_code is Exit.SUCCESS:
            self.exit_code = exit_code

    def gone(self, collection: str, name: str) -> None:
        own = self.of(collection)
        own.counts["gone"] += 1
        if len(own.gone) < _KEPT:
            own.gone.append(name)

    @property
    def items(self) -> Counter[str]:
        return sum((x.counts for x in self.collections.values()), Counter())

    def document(self) -> JsonObject:
        return {
            "source": self.source,
            "kind": self.kind,
            "dry_run": self.dry_run,
            "items": _counted(self.items),
            "collections": {name: x.document() for name, x in self.collections.items()},
            "normalised": dict(sorted(self.normalised.items())),
            "flagged": {rule: x.document() for rule, x in sorted(self.flagged.items())},
            "skipped": {rule: x.document() for rule, x in sorted(self.skipped.items())},
            "problems": self.problems,
        }

    def lines(self) -> list[str]:
        would = " (nothing was written: --dry-run)" if self.dry_run else ""
        made = [f"{self.source} ({self.kind}){would}", f"Items: {_sentence(self.items)}."]
        quiet = [x for x in self.collections.values() if x.quiet]
        for name, own in self.collections.items():
            if not own.quiet:
                end = "" if own.complete else " Not read to its end."
                made.append(f"  {name}: record {own.record}; {_sentence(own.counts)}.{end}")
        if quiet:
            made.append(f"  {len(quiet):,} more collections, of which nothing changed.")
        if self.normalised:
            made.append("Normalised: " + ", ".join(f"{rule} {n:,}" for rule, n in self.normalised.most_common()) + ".")
        made += _reasons("Look at", self.flagged) + _reasons("Skipped", self.skipped)
        return made + [f"Problem: {x['where']}: {x['detail']}" for x in self.problems]


def _sentence(counts: Counter[str]) -> str:
    parts = [f"{counts[x]:,} {x}" for x in ("new", "changed", "unchanged", "skipped")]
    more = [f"{counts[x]:,} {_TOLD.get(x, x)}" for x in _COUNTS if x not in ("new", "changed", "unchanged", "skipped")]
    return ", ".join(parts + [x for x in more if not x.startswith("0 ")])


def _reasons(title: str, reasons: dict[str, Any]) -> list[str]:
    made = []
    for rule, reason in sorted(reasons.items()):
        made.append(f"{title}: {rule}, {reason.count:,}:")
        made += [f"  {x.where}: {x.detail}" for x in reason.examples[:_SHOWN]]
    return made
