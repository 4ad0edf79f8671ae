"""A source, opened: what it is, its collections, its pages of items; of a static catalogue its documents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urldefrag

from bocage_client.errors import InputError, JsonObject
from bocage_client.harvest_dialects import (
    Api,
    Page,
    Wanted,
    api_of,
    first,
    following,
    listed,
    next_collections,
    page_of,
    recognised,
)
from bocage_client.harvest_http import Asked, Courier, SourceFault, joined
from bocage_client.harvest_normalising import Kind
from bocage_client.http import origin
from bocage_client.load_journal import digest_of
from bocage_client.sources import Found
from bocage_client.static_catalogue import Tree

_ONE = re.compile(r"(?P<base>.*)/collections/(?P<name>[^/]+)(?:/items)?\Z")
_MOST_COLLECTIONS = 100_000


@dataclass(frozen=True)
class Static:
    """A catalogue of documents that lead to one another."""

    base: str
    root: JsonObject
    kind: Kind = Kind.STAC


@dataclass(frozen=True)
class Source:
    opened: Api | Static
    only: str | None = None
    """The one collection that the address names."""


def opened(courier: Courier, url: str, kind: Kind | None) -> Source:
    """What is at an address. Raises InputError, SourceFault."""
    one = _ONE.match(url)
    base = one["base"] if one else re.sub(r"/(?:search|collections)\Z", "", url)
    only = unquote(one["name"]) if one else None
    try:
        landing = courier.json(Asked(base))
    except SourceFault as fault:
        if fault.status in (401, 403) or fault.away:
            raise
        return Source(_without_landing(courier, base, kind, fault), only)
    found: JsonObject = landing if isinstance(landing, dict) else {}
    relations = {x.get("rel") for x in found.get("links") or () if isinstance(x, dict)}
    if found.get("conformsTo") or relations & {"search", "data"} or kind in (Kind.GEODES, Kind.HYDROWEB):
        return Source(api_of(found, base, kind), only)
    if found.get("type") in ("Catalog", "Collection") and relations & {"child", "item"} and one is None:
        return Source(Static(url, found, kind or Kind.STAC))
    if (said := recognised(found)) in (Kind.GEODES, Kind.HYDROWEB) and kind is None:
        return Source(api_of(found, base, said), only)
    if found.get("type") in ("Feature", "FeatureCollection"):
        raise InputError("not-a-catalogue", f"{base} holds items, but no catalogue: bocage load takes them.")
    return Source(_without_landing(courier, base, kind, None), only)


def _without_landing(courier: Courier, base: str, kind: Kind | None, fault: SourceFault | None) -> Api:
    """Of servers that have no landing page: by how they list their collections."""
    if kind in (Kind.GEODES, Kind.HYDROWEB):
        return api_of({}, base, kind)
    try:
        listed = courier.json(Asked(f"{base}/collections"))
        if isinstance(listed, dict) and isinstance(listed.get("collections"), list):
            return Api(base, kind or Kind.STAC)
    except SourceFault as refused:
        if refused.status == 405 and kind is None:
            return api_of({}, base, Kind.GEODES)
    raise fault or InputError("not-a-catalogue", f"{base} is no STAC catalogue.")


def collections(courier: Courier, api: Api, names: Sequence[str]) -> Iterator[Any]:
    """Records of collections, as they are: those that are named, else all. Raises SourceFault."""
    if names and api.kind is not Kind.GEODES:
        for name in names:
            yield courier.json(Asked(api.collection(name)))
        return
    for record in _listed(courier, api):
        if not names or (isinstance(record, dict) and record.get("id") in names):
            yield record


def _listed(courier: Courier, api: Api) -> Iterator[Any]:
    asked: Asked | None = api.collections
    seen: set[str] = set()
    while asked is not None:
        document = courier.json(asked)
        found = document if isinstance(document, dict) else {}
        listed = found["collections"] if isinstance(found.get("collections"), list) else found.get("features")
        if not isinstance(listed, list):
            raise SourceFault("source-not-stac", f"{asked.url} lists no collections.", 422)
        fresh = [x for x in listed if not isinstance(x, dict) or str(x.get("id")) not in seen]
        seen |= {str(x.get("id")) for x in fresh if isinstance(x, dict)}
        yield from fresh
        if not any(isinstance(x, dict) for x in fresh):
            return
        if len(seen) > _MOST_COLLECTIONS:
            raise InputError("too-many-documents", f"{api.base} has more than {_MOST_COLLECTIONS} collections.")
        asked = next_collections(api, asked, document)


def by_post(courier: Courier, api: Api) -> Api:
    """`api`, or GEODES' dialect where collections are listed by POST alone: no other source does so."""
    if api.kind is not Kind.STAC:
        return api
    try:
        courier.json(api.collections)
    except SourceFault as fault:
        if fault.status == 405:
            return api_of({}, api.base, Kind.GEODES)
        raise
    return api


def beginning(courier: Courier, api: Api, wanted: Wanted) -> Asked:
    """The request for the first page. Raises SourceFault."""
    return first(api, _updates(courier, api, wanted))


def _updates(courier: Courier, api: Api, wanted: Wanted) -> Wanted:
    """`wanted`, searched by the time of update where the source can, and where its items have one."""
    if wanted.since is None or not api.can_filter:
        return wanted
    page = page_of(courier.json(first(api, replace(wanted, since=None))))
    features = page.features if page is not None else []
    own = [x.get("properties") for x in features if isinstance(x, dict)]
    if own and all(isinstance(x, dict) and isinstance(x.get("updated"), str) for x in own):
        return replace(wanted, by_update=True)
    return wanted


@dataclass(frozen=True)
class Read:
    """A page, and what to ask for after it; `count` records came so far."""

    asked: Asked
    page: Page
    after: Asked | None
    count: int


def pages(courier: Courier, api: Api, start: Asked | None, count: int) -> Iterator[Read]:
    """Pages from a request on. Raises SourceFault."""
    asked = start
    before: list[Any] = []
    asked_for: set[int] = set()
    while asked is not None:
        try:
            page = page_of(courier.json(asked))
        except SourceFault as fault:
            other = listed(api, asked)
            if fault.status not in (404, 405) or other is None:
                raise
            asked, page = other, page_of(courier.json(other))
        if page is None:
            raise SourceFault("source-not-stac", f"{asked.url} answers with what is no page of items.", 422)
        ids = [x.get("id") for x in page.features if isinstance(x, dict)]
        after = following(api, asked, page, count + len(page.features))
        asked_for.add(_digest(asked))
        if after is not None and (_digest(after) in asked_for or (ids and ids == before)):
            raise SourceFault("source-repeats", f"{asked.url} leads to the same page again and again.", 422)
        before = ids
        count += len(page.features)
        yield Read(asked, page, after, count)
        asked = after


def _digest(asked: Asked) -> int:
    return digest_of(json.dumps(asked.document(), sort_keys=True))


class Documents(Tree):
    """A static catalogue on the web, read one document at a time, on its own host."""

    def __init__(self, courier: Courier, root: str) -> None:
        super().__init__()
        self._courier, self._origin = courier, origin(root)

    def resolve(self, href: str, place: str) -> str | None:
        found = joined(place, href)
        target = urldefrag(found)[0] if found is not None else None
        return target if target is not None and origin(target) == self._origin else None

    def content(self, place: str) -> bytes:
        return self._courier.content(place)


def documents(courier: Courier, static: Static) -> Iterator[Found]:
    yield from Documents(courier, static.base).walk(static.root, static.base)
