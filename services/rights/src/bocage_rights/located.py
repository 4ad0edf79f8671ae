"""Which file an asset is, and whether the caller may read or write it: the same for delivery and for signing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bocage_kit.identity import Identity, Level
from bocage_kit.licences import decide, licences_of
from bocage_kit.problems import Problem, not_found, terms_required
from bocage_kit.store import BadKey, collection_prefix, in_bucket, key_of_href, results_prefix, upload_key
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import uploads
from bocage_rights.catalogue import Document, Found, find, may_write_somewhere
from bocage_rights.registry import Entry, entries_for
from bocage_rights.required import required

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
    key: str | None
    bucket: str | None = None
    uploaded_by: str | None = None
    uploaded_as: str | None = None

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
    made = Located(collection, item, asset, found, document, licences, key, bucket, organisation, media_type)
    return made if key is not None or made.external is not None else None


def may_read(caller: Identity, wanted: Located) -> bool:
    """Those who uploaded a file had it before: they may have it back."""
    if decide(caller, wanted.licences, Level.ASSET).allowed:
        return True
    return wanted.uploaded_by is not None and wanted.uploaded_by == caller.organisation


def refusal(caller: Identity, wanted: Located, known: Mapping[str, Entry]) -> Problem:
    """The 403 that says which terms are missing."""
    lacking = decide(caller, wanted.licences, Level.ASSET).missing
    terms: list[dict[str, Any]] = required(known, lacking, Level.ASSET, caller.public_base)
    return terms_required(terms or [{"licence": x, "reason": "missing"} for x in lacking])


async def permit(connection: AsyncConnection, caller: Identity, wanted: Located) -> None:
    """Raises the 403 that says what is missing."""
    if not may_read(caller, wanted):
        raise refusal(caller, wanted, await entries_for(connection, caller))


def check_writable(found: Found, caller: Identity) -> None:
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
