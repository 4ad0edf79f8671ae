"""Who sees which collections and items, as clauses of the SQL that pgSTAC runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bocage_kit.audience import cql2_filter, names_of, sees_everything
from bocage_kit.identity import Identity
from bocage_kit.licences import LICENCES_FIELD

Cql2 = dict[str, Any]

# The same rule as bocage_kit.audience.visible, over columns; hidden collections are seen by those they were granted to.
VISIBLE = """coalesce(
    $1 or audience = 'public' or owner = $2 or (audience = 'organisation' and organisation = $3)
    or id = any($4) or shared && $5, false)"""
COLLECTIONS_SQL = f"""
select id, title, revision, rights, {VISIBLE} as visible from catalogue.finished_collection order by id
"""


@dataclass(frozen=True)
class CollectionRow:
    """What every answer needs to know of a collection."""

    title: str | None
    rights: dict[str, Any]
    visible: bool
    revision: int = 0


def collections_arguments(identity: Identity) -> tuple[bool, str | None, str | None, list[str], list[str]]:
    """The parameters of COLLECTIONS_SQL."""
    if identity.anonymous:
        return False, None, None, sorted(identity.hidden), []
    own = names_of(identity)
    return sees_everything(identity), identity.subject, identity.organisation, sorted(identity.hidden), own


def rights_of(licences: Any, license_: Any) -> dict[str, Any]:
    """A collection reduced to the members that say under which licences it is."""
    return {name: value for name, value in ((LICENCES_FIELD, licences), ("license", license_)) if value is not None}


def both(*clauses: Cql2 | None) -> Cql2 | None:
    """All clauses; each stands in parentheses of its own, so that none can loosen another."""
    present = [{"op": "and", "args": [clause]} for clause in clauses if clause is not None]
    if not present:
        return None
    return {"op": "and", "args": present}


def collections_filter(identity: Identity, asked: Cql2 | None = None) -> Cql2:
    """The same for collections; hidden ones are seen by those to whom they were granted."""
    audience = cql2_filter(identity)
    if audience is not None and identity.hidden:
        granted = {"op": "in", "args": [{"property": "id"}, sorted(identity.hidden)]}
        audience = {"op": "or", "args": [audience, granted]}
    kind: Cql2 = {"op": "=", "args": [{"property": "type"}, "Collection"]}
    found = both(kind, audience, asked)
    assert found is not None
    return found
