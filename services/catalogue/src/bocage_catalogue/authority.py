"""Who may write what, and who comes to own it: pure decisions over the caller and the stored object."""

from __future__ import annotations

import re
from typing import Any

from bocage_kit import deposits
from bocage_kit.access import Access, caller
from bocage_kit.audience import AUDIENCE_FIELD, FIELDS, ORGANISATION_FIELD, OWNER_FIELD, SHARED_FIELD
from bocage_kit.identity import Identity
from bocage_kit.licences import LICENCES_FIELD, WIDEST_AUDIENCE_FIELD
from bocage_kit.problems import Problem, unauthenticated
from fastapi import Request

from bocage_catalogue import parameters

Document = dict[str, Any]

WRITE_SCOPE_FIELD = "bocage:write_scope"
# What the owner of a result may change. Everything else says what a service made of what, and under which licences.
_OWNERS_OF_RESULTS = frozenset({AUDIENCE_FIELD, SHARED_FIELD, "title", "description"})
STORE_FIELD = "bocage:store"
_STORE = re.compile(r"^[a-z][a-z0-9-]{0,39}\Z")
_SHARED = re.compile(r"^(person|organisation):[0-9A-Za-z_.-]{1,64}\Z")
_MOST_SHARED = 100
_LICENCES = frozenset({LICENCES_FIELD, "license"})
_AUDIENCES = ("public", "organisation", "owner")


def is_service(identity: Identity) -> bool:
    return identity.service and identity.has("service:catalogue")


def is_administrator(identity: Identity) -> bool:
    return identity.has("catalogue:admin")


class Reader(Access):
    """Any verified identity, save one that stands for a tile token: those are good for tiles alone."""

    async def __call__(self, request: Request) -> Identity | None:
        identity = self.check(request)
        parameters.check(request)
        return identity

    def admit(self, identity: Identity) -> None:
        super().admit(identity)
        if identity.tiles is not None:
            raise Problem(403, "tile-token", "A tile token is good for tiles only; use an API key here.")


class Writer(Reader):
    """Accounts and services that may write to some collection; which one, the handler decides."""

    def __init__(self) -> None:
        super().__init__(account=True)

    def check(self, request: Request) -> Identity | None:
        super().check(request)
        identity = caller(request)
        if identity.anonymous:
            raise unauthenticated()
        if _writes(identity):
            return identity
        # Who may make results may say who sees them; `check_result_change` decides on which items.
        changes_item = request.method in ("PUT", "PATCH") and "item_id" in request.path_params
        if changes_item and identity.has("jobs:submit"):
            return identity
        raise _scope_required()


def _writes(identity: Identity) -> bool:
    return is_service(identity) or is_administrator(identity) or identity.has("catalogue:write")


def _scope_required() -> Problem:
    return Problem(
        403, "scope-required", "The credential lacks the scope catalogue:write.", required_scope="catalogue:write"
    )


def only_services_write(identity: Identity, collection: Document) -> bool:
    """Whether the collection is closed to the caller but for what `check_result_change` allows."""
    return collection.get(WRITE_SCOPE_FIELD) == "service" and not is_service(identity)


_WIDTHS = {"owner": 0, "organisation": 1, "public": 2}


def check_result_change(identity: Identity, stored: Document, made: Document) -> None:
    """Raises Problem 403 unless the change of a result is one that its owner, or an administrator, may make.

    Licences follow from a job's inputs: who could change them could wash the inputs' licences off.
    """
    properties, members = _OWNERS_OF_RESULTS, frozenset[str]()
    if is_administrator(identity):
        properties, members = properties | _LICENCES, _LICENCES
    elif stored["properties"].get(OWNER_FIELD) != identity.subject:
        raise Problem(403, "services-only", "Only the platform's services write to this collection.")
    if _without(stored, properties, members) != _without(made, properties, members):
        raise Problem(
            403,
            "services-only",
            f"Of a result its owner may change {', '.join(sorted(_OWNERS_OF_RESULTS))}; "
            "the rest, its licences among them, says what was made of what and stays.",
        )
    widest = stored["properties"].get(WIDEST_AUDIENCE_FIELD, "public")
    asked = made["properties"].get(AUDIENCE_FIELD) or "public"
    if not is_administrator(identity) and _WIDTHS.get(asked, 2) > _WIDTHS.get(widest, 0):
        raise Problem(
            403,
            "audience-too-wide",
            f"The inputs of this result allow the audience {widest} at most: they belong to another organisation.",
        )
    shares = made["properties"].get(SHARED_FIELD)
    if (
        not is_administrator(identity)
        and widest != "public"
        and shares
        and shares != stored["properties"].get(SHARED_FIELD)
    ):
        raise Problem(
            403,
            "audience-too-wide",
            "The inputs of this result belong to another organisation, which has not shown them to all: "
            "it is shared with nobody by name.",
        )


def _without(item: Document, properties: frozenset[str], of_assets: frozenset[str]) -> Document:
    def bare(document: Document, names: frozenset[str]) -> Document:
        return {name: value for name, value in document.items() if name not in names}

    return {
        **item,
        "properties": bare(item["properties"], properties),
        "assets": {name: bare(asset, of_assets) for name, asset in (item.get("assets") or {}).items()},
    }


def may_write(identity: Identity, collection: Document) -> None:
    """Raises Problem 403 when the caller, who sees the collection, may not write to it; 409 when nobody may now."""
    may_own(identity, collection)
    deposits.check_open(collection)


def may_own(identity: Identity, collection: Document) -> None:
    """Raises Problem 403 unless the collection is the caller's to change or to withdraw."""
    if is_service(identity):
        return
    if collection.get(WRITE_SCOPE_FIELD) == "service":
        raise Problem(403, "services-only", "Only the platform's services write to this collection.")
    if is_administrator(identity):
        return
    if not _writes(identity):
        raise _scope_required()
    organisation = collection.get(ORGANISATION_FIELD)
    if organisation is None or organisation != identity.organisation:
        raise Problem(403, "not-owner", "The collection belongs to another organisation.")


def _checked(document: Document) -> None:
    audience = document.get(AUDIENCE_FIELD, "public")
    if audience not in _AUDIENCES:
        raise _bad(f"{AUDIENCE_FIELD} must be one of {', '.join(_AUDIENCES)}.")
    if LICENCES_FIELD in document and not _are_ids(document[LICENCES_FIELD]):
        raise _bad(f"{LICENCES_FIELD} must be a list of licence ids.")
    for name in (ORGANISATION_FIELD, OWNER_FIELD):
        if name in document and not isinstance(document[name], str):
            raise _bad(f"{name} must be an id.")


def _are_ids(licences: Any) -> bool:
    return isinstance(licences, list) and all(isinstance(one, str) and one for one in licences)


def _bad(detail: str) -> Problem:
    return Problem(400, "invalid-object", detail)


def check_asset_licences(assets: Document) -> None:
    """Raises Problem 400 when an asset's licences are not a list of ids."""
    for name, asset in assets.items():
        if LICENCES_FIELD in asset and not _are_ids(asset[LICENCES_FIELD]):
            raise _bad(f"Asset {name}: {LICENCES_FIELD} must be a list of licence ids.")


def _set(document: Document, name: str, value: Any) -> None:
    if value is None:
        document.pop(name, None)
    else:
        document[name] = value


def own_collection(identity: Identity, new: Document, stored: Document | None) -> None:
    """Set who owns `new`, in place: what is stored stays; what an account creates is its own."""
    free = is_service(identity) or is_administrator(identity)
    # How far a deposit is, and that nobody else sees it before its publication, is not for those who write it to say.
    _set(new, deposits.FIELD, (stored or {}).get(deposits.FIELD))
    if deposits.FIELD in new:
        _set(new, AUDIENCE_FIELD, (stored or {}).get(AUDIENCE_FIELD))
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
    if SHARED_FIELD in new:
        raise _bad(f"{SHARED_FIELD} is for items; collections have an audience.")
    _own_store(free, new, stored)
    _checked(new)


def _own_store(free: bool, new: Document, stored: Document | None) -> None:
    """Where a collection's files lie is the operator's to say."""
    before = (stored or {}).get(STORE_FIELD)
    if STORE_FIELD not in new:
        _set(new, STORE_FIELD, before)
    elif new[STORE_FIELD] != before:
        if not free:
            raise Problem(403, "scope-required", f"{STORE_FIELD} is set by administrators of the catalogue.")
        if not isinstance(new[STORE_FIELD], str) or not _STORE.match(new[STORE_FIELD]):
            raise _bad(f"{STORE_FIELD} must be the name of a store.")


class ItemOwning:
    """The same for items of one collection by one caller: what an item does not say it inherits from the collection."""

    def __init__(self, identity: Identity, collection: Document) -> None:
        self.service = is_service(identity)
        self.free = self.service or is_administrator(identity)
        self.subject = identity.subject
        self.first: Document = {} if identity.service else {OWNER_FIELD: identity.subject}
        """What a new item has unless it says otherwise."""
        if deposits.FIELD in collection:
            # Hidden with its collection, and published with it in one step.
            self.first[AUDIENCE_FIELD] = "public"
        for name in FIELDS:
            if collection.get(name) is not None:
                self.first.setdefault(name, collection[name])
        self.licences = collection.get(LICENCES_FIELD)

    def own(self, new: Document, stored: Document | None) -> None:
        """Set who owns what has the properties `new`, in place. Raises Problem 400."""
        if stored is None:
            if not self.free:
                new.pop(ORGANISATION_FIELD, None)
                new.pop(OWNER_FIELD, None)
            for name, value in self.first.items():
                new.setdefault(name, value)
        else:
            for name in (ORGANISATION_FIELD, OWNER_FIELD):
                if not self.free or name not in new:
                    _set(new, name, stored.get(name))
            if AUDIENCE_FIELD not in new:
                _set(new, AUDIENCE_FIELD, stored.get(AUDIENCE_FIELD))
        if LICENCES_FIELD not in new:
            _set(new, LICENCES_FIELD, self.licences if stored is None else stored.get(LICENCES_FIELD))
        self._own_shares(new, stored)
        _checked(new)

    def _own_shares(self, new: Document, stored: Document | None) -> None:
        """With whom an item is shared is its owner's to say. Nobody else sees it, so that others leave it as it is."""
        before = (stored or {}).get(SHARED_FIELD)
        if SHARED_FIELD not in new or (self.subject != new.get(OWNER_FIELD) and not self.service):
            _set(new, SHARED_FIELD, before)
            return
        names = new[SHARED_FIELD]
        if not isinstance(names, list) or not all(isinstance(x, str) and _SHARED.match(x) for x in names):
            raise _bad(f'{SHARED_FIELD} must be a list of "person:<id>" and "organisation:<id>".')
        kept = sorted(set(names))
        if len(kept) > _MOST_SHARED:
            raise _bad(f"{SHARED_FIELD} may name {_MOST_SHARED} people and organisations; share with an organisation.")
        _set(new, SHARED_FIELD, kept or None)
