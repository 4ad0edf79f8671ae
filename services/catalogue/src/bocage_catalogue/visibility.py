"""Who sees which collections."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bocage_kit.audience import names_of, sees_everything
from bocage_kit.identity import Identity
from bocage_kit.licences import LICENCES_FIELD

# The same rule as bocage_kit.audience.visible, over columns; hidden collections are seen by those they were granted to.
VISIBLE = """coalesce(
    $1 or audience = 'public' or owner = $2 or (audience = 'organisation' and organisation = $3)
    or id = any($4) or shared && $5, false)"""
# One of them, by name.
COLLECTION_SQL = f"select id, title, revision, rights from catalogue.finished_collection where id = $6 and {VISIBLE}"  # noqa: S608


@dataclass(frozen=True)
class CollectionRow:
    """What every answer needs to know of a collection."""

    title: str | None
    rights: dict[str, Any]
    visible: bool
    revision: int = 0
    longest: timedelta = timedelta(0)
    """An item of it lasts so long at most."""
    apart: bool = False
    """It is out of date or holds records: a search that names nothing leaves it out."""
    deprecated_items: bool = False
    """It has, or had, items that are out of date."""


def collections_arguments(identity: Identity) -> tuple[bool, str | None, str | None, list[str], list[str]]:
    """The parameters of VISIBLE."""
    if identity.anonymous:
        return False, None, None, sorted(identity.hidden), []
    own = names_of(identity)
    return sees_everything(identity), identity.subject, identity.organisation, sorted(identity.hidden), own


def rights_of(licences: Any, license_: Any) -> dict[str, Any]:
    """A collection reduced to the members that say under which licences it is."""
    return {name: value for name, value in ((LICENCES_FIELD, licences), ("license", license_)) if value is not None}
