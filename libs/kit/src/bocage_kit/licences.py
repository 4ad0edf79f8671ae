"""May this caller use this object at this level? One pure function over sets that `rights` computed beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from bocage_kit.audience import ORGANISATION_FIELD
from bocage_kit.identity import Identity, Level
from bocage_kit.problems import Problem, terms_required
from bocage_kit.spdx import normalised

LICENCES_FIELD = "bocage:licences"
EMBARGO_FIELD = "bocage:embargo_until"
RECALLED_FIELD = "bocage:recalled"
NOTES_FIELD = "bocage:licence_notes"
WIDEST_AUDIENCE_FIELD = "bocage:widest_audience"
"""Of a result: the most people that its inputs allow to see it; absent when everybody."""
# Nearly all are of the first, of which it is known at once.
_MAPPINGS = (dict, Mapping)


@dataclass(frozen=True)
class Condition:
    """What besides licences stands between callers and an object.

    Until the end of its embargo only the owner's organisation goes beyond metadata; a recalled object nobody does.
    """

    embargo_until: datetime | None = None
    organisation: str | None = None
    recalled: str | None = None
    """The reason of the recall, when there is one."""


FREE = Condition()


@dataclass(frozen=True)
class Decision:
    """`missing` holds the licences that stand in the way; allowed is what nothing stands in the way of."""

    level: Level
    missing: tuple[str, ...] = ()
    embargo_until: datetime | None = None
    recalled: str | None = None

    @property
    def allowed(self) -> bool:
        return not self.missing and self.embargo_until is None and self.recalled is None

    @property
    def reasons(self) -> tuple[str, ...]:
        """In words, the weightiest first."""
        found = [] if self.recalled is None else [f"It is recalled: {self.recalled}"]
        if self.embargo_until is not None:
            found.append(f"It is under embargo until {self.embargo_until.isoformat()}")
        return (*found, *(f"The licence {licence} is not granted at this level" for licence in self.missing))


def decide(
    identity: Identity,
    licences: Iterable[str],
    level: Level,
    condition: Condition = FREE,
    now: datetime | None = None,
) -> Decision:
    """Every licence must be granted up to `level`, and the object be free of embargo and recall.

    Metadata are always allowed; an unknown licence is not granted.
    """
    if level is Level.METADATA or identity.has("service:read"):
        return Decision(level)
    granted = identity.licences
    missing = tuple(sorted({x for x in licences if granted.get(x, Level.METADATA) < level}))
    if condition is FREE:
        return Decision(level, missing)
    own = identity.organisation is not None and identity.organisation == condition.organisation
    until = condition.embargo_until
    if until is not None and (own or (now or datetime.now(UTC)) >= until):
        until = None
    return Decision(level, missing, until, condition.recalled)


def refusal(decision: Decision, licences: Iterable[str], terms: Sequence[Mapping[str, Any]] = ()) -> Problem:
    """The 403 of a decision that is not `allowed`; `terms` are the required terms of the missing licences."""
    if decision.recalled is not None:
        return Problem(
            403, "recalled", f"This has been recalled and can't be used: {decision.recalled}", title="Recalled"
        )
    if decision.embargo_until is not None:
        until = decision.embargo_until.isoformat()
        return Problem(
            403,
            "embargo",
            f"Until {until} this is kept for the organisation that owns it. Its metadata are open.",
            title="Under embargo",
            embargo_until=until,
            required_terms=[{"licence": x, "reason": "embargo", "embargo_until": until} for x in sorted(set(licences))],
        )
    return terms_required(terms or [{"licence": x, "reason": "missing"} for x in decision.missing])


def condition_of(
    collection: Mapping[str, Any], item: Mapping[str, Any] | None = None, recalled: str | None = None
) -> Condition:
    """What an item's own fields and its collection's say; `recalled` is what the list of recalls says."""
    properties = (item or {}).get("properties") or {}
    until = [moment for holder in (properties, collection) if (moment := _moment(holder.get(EMBARGO_FIELD)))]
    recalled = recalled or next((str(x) for h in (properties, collection) if (x := h.get(RECALLED_FIELD))), None)
    if not until and recalled is None:
        return FREE
    organisation = properties.get(ORGANISATION_FIELD) or collection.get(ORGANISATION_FIELD)
    return Condition(max(until, default=None), None if organisation is None else str(organisation), recalled)


_FOR_EVER = datetime.max.replace(tzinfo=UTC)


@lru_cache(1024)
def _parsed(text: str) -> datetime:
    """What can't be read holds for ever: a slip of the pen opens nothing."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return _FOR_EVER
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment(stated: Any) -> datetime | None:
    if stated is None:
        return None
    return _parsed(stated) if isinstance(stated, str) else _FOR_EVER


def licences_of(
    collection: Mapping[str, Any], item: Mapping[str, Any] | None = None, asset: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """The licences that hold: the asset's own, else the item's, else the collection's.

    Without the field, the STAC `license` counts; without that, the object is under a licence nobody holds. So it is
    when the field, loaded past the API, is no list of ids.
    """
    for holder in (asset, (item or {}).get("properties"), collection):
        if not holder or not isinstance(holder, _MAPPINGS):
            continue
        if (declared := holder.get(LICENCES_FIELD)) is not None:
            if isinstance(declared, list | tuple) and all(isinstance(name, str) for name in declared):
                return tuple(declared)
            break
        if isinstance(stated := holder.get("license"), str) and stated != "other":
            return (normalised(stated),)
    return ("LicenseRef-undeclared",)


def item_licences(collection: Mapping[str, Any], item: Mapping[str, Any]) -> tuple[str, ...]:
    """The union over an item's assets: what a rendering of all of it needs."""
    assets = item.get("assets")
    holders = assets.values() if assets and isinstance(assets, _MAPPINGS) else ()
    found = {x for asset in holders for x in licences_of(collection, item, asset)}
    return tuple(sorted(found or set(licences_of(collection, item))))
