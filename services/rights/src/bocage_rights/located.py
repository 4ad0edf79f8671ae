"""Which file an asset is, and whether the caller may read or write it: the same for delivery and for signing."""

from __future__ import annotations

from dataclasses import dataclass

from bocage_kit import deposits
from bocage_kit.identity import Identity, Level
from bocage_kit.licences import Condition, Decision, decide, licences_of, refusal
from bocage_kit.problems import Problem, not_found
from bocage_kit.store import BadKey, collection_prefix, in_bucket, key_of_href, results_prefix, upload_key
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import recalls, uploads
from bocage_rights.catalogue import Document, Found, find, may_write_somewhere
from bocage_rights.registry import entries_for
from bocage_rights.required import required
from bocage_rights.state import RightsState

STORE_FIELD = "bocage:store"


@dataclass(frozen=True)
class Located:
    """An asset that the caller sees. `key` is None for one that lies at another host."""

    collection: str
    item: str
    asset: str
    found: Found
    document: Document
    licences: tuple[str, ...]
    condition: Condition
    key: str | None
    bucket: str | None = None
    uploaded_by: str | None = None
    uploaded_as: str | None = None

    @property
    def name(self) -> tuple[str, str, str]:
        return self.collection, self.item, self.asset

    @property
    def external(self) -> str | None:
        href = str(self.document.get("href", ""))
        if self.document.get("bocage:external") is True and href.startswith(("https://", "http://")):
            return href
        return None


def missing(collection: str, item: str, asset: str) -> Problem:
    return not_found(f"The asset {asset} of {collection}/{item}")


async def seen(connection: AsyncConnection, caller: Identity, collection: str, item: str) -> Found | None:
    found = await find(connection, collection, item)
    return found if found is not None and found.seen_by(caller) else None


async def located(connection: AsyncConnection, found: Found, collection: str, item: str, asset: str) -> Located | None:
    """None when the item names no such asset, or one whose file is not its collection's."""
    document = found.asset(asset)
    if document is None:
        return None
    href = str(document.get("href", ""))
    bucket, key = in_bucket(href) or (None, key_of_href(href))
    if key is not None and not key.startswith((collection_prefix(collection), results_prefix(collection))):
        return None
    upload = await uploads.uploader(connection, key) if key is not None and bucket is None else None
    licences = licences_of(found.collection, found.item, document)
    organisation, media_type = upload or (None, None)
    condition = await recalls.condition(connection, found, collection, item)
    made = Located(collection, item, asset, found, document, licences, condition, key, bucket, organisation, media_type)
    return made if key is not None or made.external is not None else None


def _decision(caller: Identity, wanted: Located) -> Decision | None:
    """What stands in the way, or None. Those who uploaded a file had it before: unless it is recalled, they may have
    it back."""
    decision = decide(caller, wanted.licences, Level.ASSET, wanted.condition)
    if decision.allowed:
        return None
    if decision.recalled is None and wanted.uploaded_by is not None and wanted.uploaded_by == caller.organisation:
        return None
    return decision


async def permit(connection: AsyncConnection, state: RightsState, caller: Identity, wanted: Located) -> None:
    """Raises the 403 that says what is missing, and counts it."""
    decision = _decision(caller, wanted)
    if decision is None:
        return
    known = await entries_for(connection, caller)
    terms = required(known, decision.missing, Level.ASSET, caller.public_base)
    state.denials.add(caller, Level.ASSET, terms)
    raise refusal(decision, wanted.licences, terms)


def writable(found: Found | None, caller: Identity, collection: str, item: str) -> Found:
    """`found`, when the caller may upload to it. Raises the 404 or 403 that says why not.

    Who may not write is told so before the item is looked at: the answer tells nothing of hidden ones.
    """
    if found is None or not Found(found.collection, None).seen_by(caller):
        raise not_found(f"The collection {collection}")
    _check_writable(found, caller)
    deposits.check_open(found.collection)
    if not found.seen_by(caller):
        raise not_found(f"The item {collection}/{item}")
    return found


def _check_writable(found: Found, caller: Identity) -> None:
    """Raises the 403 that says why the caller uploads nothing here."""
    if found.writable_by(caller):
        return
    if not may_write_somewhere(caller):
        raise Problem(
            403,
            "scope-required",
            "The credential lacks the scope catalogue:write.",
            required_scope="catalogue:write",
        )
    if found.collection.get("bocage:write_scope") == "service":
        raise Problem(403, "services-only", "Only the platform's services write to this collection.")
    raise Problem(403, "not-owner", "The collection belongs to another organisation.")


def checked_upload_key(collection: str, item: str, asset: str) -> str:
    """Raises a 422 for names that can be no key."""
    try:
        return upload_key(collection, item, asset)
    except BadKey as error:
        raise Problem(
            422, "invalid-name", "Names are letters, digits and _.:- and begin with a letter, a digit or _."
        ) from error
