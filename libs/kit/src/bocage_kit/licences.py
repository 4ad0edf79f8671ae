"""May this caller use this object at this level? One pure function over sets that `rights` computed beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bocage_kit.identity import Identity, Level

LICENCES_FIELD = "bocage:licences"


@dataclass(frozen=True)
class Decision:
    """`missing` holds the licences that stand in the way; empty means allowed."""

    level: Level
    missing: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        return not self.missing


def decide(identity: Identity, licences: Iterable[str], level: Level) -> Decision:
    """Every licence must be granted up to `level`; metadata are always allowed; an unknown licence is not granted."""
    if level is Level.METADATA or identity.has("service:read"):
        return Decision(level)
    granted = identity.licences
    return Decision(level, tuple(sorted({x for x in licences if granted.get(x, Level.METADATA) < level})))


def licences_of(
    collection: Mapping[str, Any], item: Mapping[str, Any] | None = None, asset: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """The licences that hold: the asset's own, else the item's, else the collection's.

    Without the field, the STAC `license` counts; without that, the object is under a licence nobody holds.
    """
    for holder in (asset, (item or {}).get("properties"), collection):
        if not holder:
            continue
        if (declared := holder.get(LICENCES_FIELD)) is not None:
            return tuple(declared)
        if isinstance(spdx := holder.get("license"), str) and spdx != "other":
            return (spdx,)
    return ("LicenseRef-undeclared",)


def item_licences(collection: Mapping[str, Any], item: Mapping[str, Any]) -> tuple[str, ...]:
    """The union over an item's assets: what a rendering of all of it needs."""
    found = {x for asset in (item.get("assets") or {}).values() for x in licences_of(collection, item, asset)}
    return tuple(sorted(found or set(licences_of(collection, item))))
