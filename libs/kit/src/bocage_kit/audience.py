"""Who sees what: the audience of an object, as a pure function and as the CQL2 filter that says the same in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bocage_kit.identity import Identity

Audience = Literal["public", "organisation", "owner"]

AUDIENCE_FIELD = "bocage:audience"
ORGANISATION_FIELD = "bocage:organisation"
OWNER_FIELD = "bocage:owner"
SHARED_FIELD = "bocage:shared_with"
"""Who sees an object beyond its audience: `person:<id>` and `organisation:<id>`."""
FIELDS = (AUDIENCE_FIELD, ORGANISATION_FIELD, OWNER_FIELD)


def sees_everything(identity: Identity) -> bool:
    """Administrators and the platform's own services."""
    return identity.has("service:read") or "admin" in identity.scopes


def visible(identity: Identity, owned: Mapping[str, Any]) -> bool:
    """Whether `identity` sees an object; `owned` is a collection, or an item's properties.

    An object without an audience is public: it was loaded by the operator, not by an account.
    """
    if sees_everything(identity):
        return True
    audience = owned.get(AUDIENCE_FIELD)
    if audience is None or audience == "public":  # null counts as absent, as it does in SQL
        return True
    if identity.anonymous:
        return False
    if owned.get(OWNER_FIELD) == identity.subject or named_by(identity, owned):
        return True
    return audience == "organisation" and owned.get(ORGANISATION_FIELD) == identity.organisation is not None


def names_of(identity: Identity) -> list[str]:
    """The names under which an object may be shared with the caller."""
    if identity.anonymous:
        return []
    own = [f"person:{identity.subject}"]
    return own if identity.organisation is None else [*own, f"organisation:{identity.organisation}"]


def named_by(identity: Identity, owned: Mapping[str, Any]) -> bool:
    """Whether an object is shared with the caller by name."""
    shared = owned.get(SHARED_FIELD)
    shared = [shared] if isinstance(shared, str) else shared  # as the database reads it
    return isinstance(shared, list) and any(name in shared for name in names_of(identity))


def sees_shares(identity: Identity, owned: Mapping[str, Any]) -> bool:
    """Whether the caller is shown with whom an object is shared: not even those are whom it is shared with."""
    if sees_everything(identity):
        return True
    return not identity.anonymous and owned.get(OWNER_FIELD) == identity.subject


def item_visible(identity: Identity, collection: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether `identity` sees an item: items of a collection that is not seen are not seen, whatever they say."""
    if not (visible(identity, collection) or collection.get("id") in identity.hidden):
        return False
    return visible(identity, item.get("properties") or {})


def cql2_filter(identity: Identity) -> dict[str, Any] | None:
    """The same rule as CQL2 JSON over item properties; None when everything is seen."""
    if sees_everything(identity):
        return None

    def equals(field: str, value: str) -> dict[str, Any]:
        return {"op": "=", "args": [{"property": field}, value]}

    clauses: list[dict[str, Any]] = [
        {"op": "isNull", "args": [{"property": AUDIENCE_FIELD}]},
        equals(AUDIENCE_FIELD, "public"),
    ]
    if not identity.anonymous:
        clauses.append(equals(OWNER_FIELD, identity.subject))
        clauses.append({"op": "a_overlaps", "args": [{"property": SHARED_FIELD}, names_of(identity)]})
        if identity.organisation is not None:
            clauses.append(
                {
                    "op": "and",
                    "args": [equals(AUDIENCE_FIELD, "organisation"), equals(ORGANISATION_FIELD, identity.organisation)],
                }
            )
    return {"op": "or", "args": clauses}


def cache_key(identity: Identity) -> tuple[str | None, ...]:
    """What an answer depends on besides the request: part of every cache key."""
    if sees_everything(identity):
        return ("*",)
    return (None,) if identity.anonymous else (identity.subject, identity.organisation)
