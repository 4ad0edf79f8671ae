"""Who may write what, and who comes to own it: pure decisions over the caller and the stored object."""

from __future__ import annotations

from typing import Any

from bocage_kit.access import Access, caller
from bocage_kit.audience import AUDIENCE_FIELD, FIELDS, ORGANISATION_FIELD, OWNER_FIELD
from bocage_kit.identity import Identity
from bocage_kit.licences import LICENCES_FIELD
from bocage_kit.problems import Problem, unauthenticated
from fastapi import Request

Document = dict[str, Any]

WRITE_SCOPE_FIELD = "bocage:write_scope"
_AUDIENCES = ("public", "organisation", "owner")


def is_service(identity: Identity) -> bool:
    return identity.service and identity.has("service:catalogue")


def is_administrator(identity: Identity) -> bool:
    return identity.has("catalogue:admin")


class Reader(Access):
    """Any verified identity, save one that stands for a tile token: those are good for tiles alone."""

    def __call__(self, request: Request) -> Identity | None:
        identity = super().__call__(request)
        if identity is not None and identity.tiles is not None:
            raise Problem(403, "tile-token", "A tile token is good for tiles only; use an API key here.")
        return identity


class Writer(Reader):
    """Accounts and services that may write to some collection; which one, the handler decides."""

    def __init__(self) -> None:
        super().__init__(account=True)

    def __call__(self, request: Request) -> Identity | None:
        super().__call__(request)
        identity = caller(request)
        if identity.anonymous:
            raise unauthenticated()
        if not (is_service(identity) or is_administrator(identity) or identity.has("catalogue:write")):
            raise Problem(
                403,
                "scope-required",
                "The credential lacks the scope catalogue:write.",
                required_scope="catalogue:write",
            )
        return identity


def may_write(identity: Identity, collection: Document) -> None:
    """Raises Problem 403 when the caller, who sees the collection, may not write to it."""
    if is_service(identity):
        return
    if collection.get(WRITE_SCOPE_FIELD) == "service":
        raise Problem(403, "services-only", "Only the platform's services write to this collection.")
    if is_administrator(identity):
        return
    organisation = collection.get(ORGANISATION_FIELD)
    if organisation is None or organisation != identity.organisation:
        raise Problem(403, "not-owner", "The collection belongs to another organisation.")


def _checked(document: Document) -> None:
    audience = document.get(AUDIENCE_FIELD, "public")
    if audience not in _AUDIENCES:
        raise _bad(f"{AUDIENCE_FIELD} must be one of {', '.join(_AUDIENCES)}.")
    licences = document.get(LICENCES_FIELD, [])
    if not isinstance(licences, list) or not all(isinstance(name, str) and name for name in licences):
        raise _bad(f"{LICENCES_FIELD} must be a list of licence ids.")
    for name in (ORGANISATION_FIELD, OWNER_FIELD):
        if name in document and not isinstance(document[name], str):
            raise _bad(f"{name} must be an id.")


def _bad(detail: str) -> Problem:
    return Problem(400, "invalid-object", detail)


def check_asset_licences(assets: Document) -> None:
    """Raises Problem 400 when an asset's licences are not a list of ids."""
    for name, asset in assets.items():
        licences = asset.get(LICENCES_FIELD, [])
        if not isinstance(licences, list) or not all(isinstance(x, str) and x for x in licences):
            raise _bad(f"Asset {name}: {LICENCES_FIELD} must be a list of licence ids.")


def _set(document: Document, name: str, value: Any) -> None:
    if value is None:
        document.pop(name, None)
    else:
        document[name] = value


def own_collection(identity: Identity, new: Document, stored: Document | None) -> None:
    """Set who owns `new`, in place: what is stored stays; what an account creates is its own."""
    free = is_service(identity) or is_administrator(identity)
    for name in (ORGANISATION_FIELD, OWNER_FIELD, WRITE_SCOPE_FIELD):
        if stored is not None and (not free or name not in new):
            _set(new, name, stored.get(name))
        elif not free:
            new.pop(name, None)
    if stored is None and not identity.service:
        if identity.organisation is None and not free:
            raise Problem(403, "no-organisation", "Collections belong to an organisation, and the account has none.")
        if identity.organisation is not None:
            new.setdefault(ORGANISATION_FIELD, identity.organisation)
        new.setdefault(OWNER_FIELD, identity.subject)
        new.setdefault(AUDIENCE_FIELD, "organisation")
    elif stored is not None and AUDIENCE_FIELD not in new:
        _set(new, AUDIENCE_FIELD, stored.get(AUDIENCE_FIELD))
    _checked(new)


def own_item(identity: Identity, new: Document, stored: Document | None, collection: Document) -> None:
    """The same for an item's properties, which inherit from the collection what they don't say."""
    free = is_service(identity) or is_administrator(identity)
    for name in (ORGANISATION_FIELD, OWNER_FIELD):
        if stored is not None and (not free or name not in new):
            _set(new, name, stored.get(name))
        elif not free:
            new.pop(name, None)
    if stored is None:
        if not identity.service:
            new.setdefault(OWNER_FIELD, identity.subject)
        for name in FIELDS:
            if name not in new and collection.get(name) is not None:
                new[name] = collection[name]
    elif AUDIENCE_FIELD not in new:
        _set(new, AUDIENCE_FIELD, stored.get(AUDIENCE_FIELD))
    if LICENCES_FIELD not in new:
        inherited = collection.get(LICENCES_FIELD) if stored is None else stored.get(LICENCES_FIELD)
        _set(new, LICENCES_FIELD, inherited)
    _checked(new)
