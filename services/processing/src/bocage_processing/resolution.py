"""Resolves the catalogue items that a submission names: seen by the caller? usable? where are the files?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
from bocage_kit import audience
from bocage_kit.audience import Audience
from bocage_kit.identity import Identity, Level
from bocage_kit.licences import condition_of, decide, item_licences, refusal
from bocage_kit.peers import Peers
from bocage_kit.problems import Problem
from bocage_kit.store import LocalStore, collection_prefix, key_of_href, results_prefix
from bocage_processes.process import StagedAsset, StagedItem
from pydantic import BaseModel

EXTERNAL_FIELD = "bocage:external"
_KEPT_PROPERTIES = 200


class ResolvedAsset(BaseModel):
    """A file of an input, by its key in the store and, so that a later change is noticed, its checksum."""

    key: str
    media_type: str | None = None
    roles: list[str] = []
    sha256: str | None = None


class ResolvedItem(BaseModel):
    """An input item as it was at submission."""

    reference: str
    collection: str
    item: str
    assets: dict[str, ResolvedAsset]
    properties: dict[str, Any]
    licences: list[str]
    attribution: str = ""
    audience: Audience = "public"
    organisation: str | None = None
    embargo_until: datetime | None = None

    def staged(self, store: LocalStore) -> StagedItem:
        """With the files where they lie in the store: for pre-checks, which only read."""
        assets = {
            name: StagedAsset(path=store.path(asset.key), media_type=asset.media_type, roles=tuple(asset.roles))
            for name, asset in self.assets.items()
        }
        return StagedItem(reference=self.reference, assets=assets, properties=self.properties)


async def resolve(references: Sequence[str], identity: Identity, peers: Peers, store: LocalStore) -> list[ResolvedItem]:
    """Raises Problem: 400 for what does not exist or is hidden, and for unusable files; 403 for licences."""
    collections: dict[str, dict[str, Any]] = {}
    resolved: list[ResolvedItem] = []
    for reference in references:
        collection_id, _, item_id = reference.partition("/")
        if {collection_id, item_id} & {".", ".."}:
            raise _no_such_item(reference)  # such a segment would name another path
        if collection_id not in collections:
            collections[collection_id] = await _document(
                peers, f"/stac/collections/{quote(collection_id, safe='')}", reference
            )
        collection = collections[collection_id]
        path = f"/stac/collections/{quote(collection_id, safe='')}/items/{quote(item_id, safe='')}"
        item = await _document(peers, path, reference)
        if not audience.item_visible(identity, collection, item):
            raise _no_such_item(reference)
        found = _resolved(reference, collection, item, store)
        kept = decide(identity, (), Level.JOB, condition_of(collection, item))
        if not kept.allowed:
            raise refusal(kept, found.licences)
        resolved.append(found)
    needed = sorted({licence for item in resolved for licence in item.licences})
    decision = decide(identity, needed, Level.JOB)
    if not decision.allowed:
        raise refusal(
            decision, needed, await peers.required_terms(identity, decision.missing, Level.JOB, ",".join(references))
        )
    return resolved


def _resolved(
    reference: str, collection: Mapping[str, Any], item: Mapping[str, Any], store: LocalStore
) -> ResolvedItem:
    collection_id, _, item_id = reference.partition("/")
    assets: dict[str, ResolvedAsset] = {}
    for name, asset in (item.get("assets") or {}).items():
        if asset.get(EXTERNAL_FIELD):
            continue  # a link to elsewhere is never used by jobs
        key = key_of_href(str(asset.get("href", "")))
        if key is None or not key.startswith((collection_prefix(collection_id), results_prefix(collection_id))):
            raise Problem(
                400,
                "asset-not-usable",
                f"The asset {name} of {reference} is not a file that this platform holds for that collection. "
                "Upload it (PUT /assets/{collection}/{item}/{asset}) and name it in the item.",
                item=reference,
                asset=name,
            )
        if (stored := store.head(key)) is None:
            raise Problem(
                400, "asset-missing", f"The file of the asset {name} of {reference} is missing: upload it again.",
                item=reference, asset=name,
            )  # fmt: skip
        assets[name] = ResolvedAsset(
            key=key, media_type=asset.get("type"), roles=list(asset.get("roles") or []), sha256=stored.sha256
        )
    if not assets:
        raise Problem(
            400,
            "no-files",
            f"{reference} has no file that this platform holds: upload its images first.",
            item=reference,
        )
    properties = dict(list((item.get("properties") or {}).items())[:_KEPT_PROPERTIES])
    return ResolvedItem(
        reference=reference,
        collection=collection_id,
        item=item_id,
        assets=assets,
        properties=properties,
        licences=list(item_licences(collection, item)),
        attribution=_attribution(collection, properties),
        audience=_audience(collection, properties),
        organisation=properties.get(audience.ORGANISATION_FIELD) or collection.get(audience.ORGANISATION_FIELD),
        embargo_until=condition_of(collection, item).embargo_until,
    )


_WIDENING: tuple[Audience, ...] = ("owner", "organisation", "public")


def _audience(collection: Mapping[str, Any], properties: Mapping[str, Any]) -> Audience:
    """The item's, as its collection narrows it; what is written wrongly is for its owner alone."""
    stated = {str(holder.get(audience.AUDIENCE_FIELD) or "public") for holder in (collection, properties)}
    known = [one for one in _WIDENING if one in stated]
    return known[0] if len(known) == len(stated) else "owner"


def _attribution(collection: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    if isinstance(declared := properties.get("attribution") or collection.get("attribution"), str):
        return declared
    providers = properties.get("providers") or collection.get("providers") or []
    named = [p for p in providers if {"licensor", "producer"} & set(p.get("roles") or ())] or providers
    return ", ".join(str(p["name"]) for p in named if p.get("name"))


async def _document(peers: Peers, path: str, reference: str) -> dict[str, Any]:
    try:
        answer = await peers.client("catalogue").get(path, headers=await peers.own_headers())
        if answer.status_code == 404:
            raise _no_such_item(reference)
        answer.raise_for_status()
        return dict(answer.json())
    except (httpx.HTTPError, ValueError) as error:
        raise Problem(
            503, "catalogue-unreachable", "The catalogue does not answer; try again.", headers={"Retry-After": "5"}
        ) from error


def _no_such_item(reference: str) -> Problem:
    return Problem(
        400,
        "no-such-item",
        f"The item {reference} does not exist, or you may not see it. Name items as collection/item.",
        item=reference,
    )
