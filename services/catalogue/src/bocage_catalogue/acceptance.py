"""A body as it is stored, or why it is refused: the write rules over one object, without a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bocage_kit.audience import AUDIENCE_FIELD
from bocage_kit.identity import Identity
from bocage_kit.store import LocalStore

from bocage_catalogue import authority, concepts, documents, process_links, validation
from bocage_catalogue.bodies import Body
from bocage_catalogue.hrefs import AssetHrefs, stored_links
from bocage_catalogue.present import Document

_INTERNAL = "pgstac:base_item"


class ItemAcceptance:
    """The rules for items of one collection by one caller."""

    def __init__(self, acceptance: Acceptance, collection: Document) -> None:
        identity = acceptance.identity
        self.base, self.holder, self.collection = identity.public_base, str(collection["id"]), collection
        self.owning = authority.ItemOwning(identity, collection)
        self.hrefs = AssetHrefs(
            self.holder,
            base=self.base,
            service=authority.is_service(identity),
            exists=acceptance.exists,
            store=collection.get(authority.STORE_FIELD),
        )

    def item(self, sent: Body, stored: Document | None = None, name: str | None = None) -> Document:
        """`sent` as it is stored, over what is `stored` now. Raises Problem 400, 403."""
        documents.check_shape(sent.document, "item")
        made = documents.undress(sent.document)
        made.pop(_INTERNAL, None)
        documents.lift(made)
        if name is not None:
            made.setdefault("id", name)
        links = stored_links(made.get("links"), self.base)
        made["links"] = process_links.without_made(links, self.collection)
        if isinstance(made.get("properties"), dict) and made["properties"].get(AUDIENCE_FIELD, "") is None:
            raise documents.bad(f"{AUDIENCE_FIELD} must not be null.")
        if sent.nulls:
            made = dict(documents.without_nulls(made))
        concepts.stored(made.get("properties") or {}, self.base, "properties.themes")
        found = documents.check_item(made, self.holder, name)
        made["assets"] = self.hrefs.resolve(found, made.get("assets"), (stored or {}).get("assets") or {})
        validation.check_item(made)
        documents.check_place(made)
        made["collection"] = self.holder
        authority.check_asset_licences(made["assets"])
        self.owning.own(made["properties"], stored["properties"] if stored is not None else None)
        return made


@dataclass(frozen=True)
class Acceptance:
    """What decides, beside the body itself: who writes, where the files are."""

    identity: Identity
    store: LocalStore

    def item(
        self, collection: Document, sent: Body, stored: Document | None = None, name: str | None = None
    ) -> Document:
        """One item as it is stored in `collection`. Raises Problem 400, 403."""
        return ItemAcceptance(self, collection).item(sent, stored, name)

    def collection(self, sent: Body, stored: Document | None = None, name: str | None = None) -> Document:
        """The same for a collection."""
        documents.check_shape(sent.document, "collection")
        made = documents.undress(sent.document)
        documents.lift(made)
        if name is not None:
            made.setdefault("id", name)
        made["links"] = stored_links(made.get("links"), self.identity.public_base)
        if made.get(AUDIENCE_FIELD, "") is None:
            raise documents.bad(f"{AUDIENCE_FIELD} must not be null.")
        made = dict(documents.without_nulls(made))
        concepts.stored(made, self.identity.public_base)
        process_links.check(made)
        found = documents.check_collection(made, name)
        if made.get("assets") is not None:
            # A collection has no upload place of its own: its assets are links to other hosts.
            nowhere: Callable[[str], bool] = lambda _key: False  # noqa: E731
            hrefs = AssetHrefs(found, base=self.identity.public_base, service=False, exists=nowhere)
            made["assets"] = hrefs.resolve("", made["assets"], {})
        validation.check_collection(made)
        authority.check_asset_licences(made.get("assets") or {})
        authority.own_collection(self.identity, made, stored)
        return made

    def exists(self, key: str) -> bool:
        """Whether something was uploaded as `key`."""
        return self.store.head(key) is not None
