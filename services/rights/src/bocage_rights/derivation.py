"""What a result inherits of its inputs: licences, attribution, embargo, audience. Pure.

What inputs pass on is joined, and joining is associative, commutative and idempotent, so neither the order in which
inputs are named nor how often matters. Only what comes out of the join is settled with the process's own terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from typing import Literal, get_args

from bocage_kit.audience import Audience

Effect = Literal["pixels", "elevation", "index", "statistic", "none"]
Outcome = Literal["keep", "release", "same", "forbid"]
Status = Literal["confirmed", "assumed"]

RULED: tuple[Effect, ...] = tuple(effect for effect in get_args(Effect) if effect != "none")
"""Effects that rules speak of; of `none`, nothing of the inputs is in the output."""
_WIDTH: Mapping[Audience, int] = {"owner": 0, "organisation": 1, "public": 2}


@dataclass(frozen=True)
class Rule:
    """What a licence says of outputs of one effect, and how that is known."""

    licence: str
    effect: Effect
    outcome: Outcome
    status: Status
    source: str
    date: date | None
    version: int = 1

    @property
    def effective(self) -> Outcome:
        """What is acted on: as long as a release is assumed, the terms stay."""
        return "keep" if self.status == "assumed" and self.outcome == "release" else self.outcome


Rules = Mapping[tuple[str, Effect], Rule]


def rule_for(rules: Rules, licence: str, effect: Effect) -> Rule:
    """The rule, or that of licences which nothing is known of: their terms stay."""
    unknown = Rule(licence, effect, "keep", "assumed", "none, no rule is known for this licence", None)
    return rules.get((licence, effect), unknown)


@dataclass(frozen=True)
class Input:
    """An input as far as its results inherit of it."""

    reference: str
    licences: frozenset[str]
    attribution: str = ""
    audience: Audience = "public"
    organisation: str | None = None
    embargo_until: datetime | None = None


@dataclass(frozen=True)
class Inheritance:
    """What inputs pass on to one output, before the process adds its terms. Each set names licences."""

    kept: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()
    released: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    """Released even where all pixels stay: they restrict nobody, and name what holds when nothing else does."""
    forbidden: frozenset[str] = frozenset()
    sources: frozenset[tuple[str, str]] = frozenset()
    """(licence, input) pairs, to name whom a conflict comes from."""
    attribution: frozenset[str] = frozenset()
    embargo_until: datetime | None = None
    audience: Audience = "public"
    notes: frozenset[str] = frozenset()

    def join(self, other: Inheritance) -> Inheritance:
        return Inheritance(
            self.kept | other.kept,
            self.same | other.same,
            self.released | other.released,
            self.labels | other.labels,
            self.forbidden | other.forbidden,
            self.sources | other.sources,
            self.attribution | other.attribution,
            later(self.embargo_until, other.embargo_until),
            narrower(self.audience, other.audience),
            self.notes | other.notes,
        )


NOTHING = Inheritance()


@dataclass(frozen=True)
class Inherited:
    """What holds for one output."""

    licences: tuple[str, ...]
    attribution: tuple[str, ...]
    embargo_until: datetime | None
    audience: Audience
    widest: Audience
    """The widest audience that may be given later."""
    notes: tuple[str, ...]


class Conflict(Exception):
    """No terms exist under which the output could be: the licences that clash, and the inputs that they come from."""

    def __init__(self, why: str, licences: tuple[str, ...], inputs: tuple[str, ...]) -> None:
        super().__init__(why)
        self.why, self.licences, self.inputs = why, licences, inputs


def inheritance(
    given: Input, effect: Effect, rules: Rules, organisation: str | None, attributions: Mapping[str, str]
) -> Inheritance:
    """What one input passes on to an output of `effect`, computed for `organisation`.

    `attributions` are the texts that licences demand with derived products.
    """
    found = {licence: rule_for(rules, licence, effect) for licence in given.licences} if effect != "none" else {}

    def those(outcome: Outcome) -> frozenset[str]:
        return frozenset(licence for licence, rule in found.items() if rule.effective == outcome)

    texts = {given.attribution} | {attributions.get(licence, "") for licence in given.licences}
    own = organisation is not None and given.organisation == organisation
    return Inheritance(
        kept=those("keep"),
        same=those("same"),
        released=those("release"),
        labels=frozenset(x for x in those("release") if rule_for(rules, x, "pixels").effective == "release"),
        forbidden=those("forbid"),
        sources=frozenset((licence, given.reference) for licence in found),
        attribution=frozenset(text for text in texts if text),
        embargo_until=given.embargo_until,
        audience="public" if own else given.audience,
        notes=frozenset(_note(rule) for rule in found.values() if rule.status == "assumed"),
    )


def settle(passed: Inheritance, process_licence: str | None, asked: Audience = "public") -> Inherited:
    """With the process's own terms. Raises Conflict."""
    own = {process_licence} if process_licence else set()

    def clash(why: str, licences: Iterable[str]) -> Conflict:
        named = tuple(sorted(set(licences)))
        inputs = tuple(sorted({reference for licence, reference in passed.sources if licence in named}))
        return Conflict(why, named, inputs)

    if passed.forbidden:
        raise clash("Nothing may be made from inputs under these licences in this way", passed.forbidden)
    if len(passed.same) > 1:
        raise clash("Each of these licences demands that the result be under it alone", passed.same)
    if passed.same and (others := (passed.kept | own) - passed.same):
        raise clash(
            f"{', '.join(passed.same)} demands that the result be under it alone, and other terms stay",
            passed.same | others,
        )
    return Inherited(
        licences=tuple(sorted(passed.kept | passed.same | own or passed.labels)),
        attribution=tuple(sorted(passed.attribution)),
        embargo_until=passed.embargo_until,
        audience=narrower(asked, passed.audience),
        widest=passed.audience,
        notes=tuple(sorted(passed.notes)),
    )


def derive(
    inputs: Iterable[Input],
    outputs: Mapping[str, Effect],
    rules: Rules,
    *,
    process_licence: str | None,
    asked: Audience,
    organisation: str | None,
    attributions: Mapping[str, str],
) -> dict[str, Inherited]:
    """What holds for each output. Raises Conflict."""
    listed = list(inputs)
    found: dict[str, Inherited] = {}
    for name, effect in outputs.items():
        passed = [inheritance(one, effect, rules, organisation, attributions) for one in listed]
        found[name] = settle(reduce(Inheritance.join, passed, NOTHING), process_licence, asked)
    return found


def narrower(one: Audience, other: Audience) -> Audience:
    return min(one, other, key=_WIDTH.__getitem__)


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)


_ACTED: Mapping[Outcome, str] = {
    "keep": "its terms stay",
    "same": "results are under it as well",
    "forbid": "nothing may be made of it",
    "release": "",
}


def _note(rule: Rule) -> str:
    acted = _ACTED[rule.effective]
    freed = "that results are free of its terms is assumed, not confirmed, so they stay"
    said = freed if rule.outcome == "release" else f"it is assumed, not confirmed, that {acted}"
    return f"{rule.licence}, {rule.effect}: {said}. Source: {rule.source}."
