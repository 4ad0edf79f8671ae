"""How sources are asked, and how their pages follow one another: decisions over documents, without any request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from bocage_client.errors import JsonObject
from bocage_client.harvest_http import Asked, joined
from bocage_client.harvest_normalising import Kind

# GEODES gives no more at once; others are asked for what they surely give.
PAGE = {Kind.GEODES: 80}
_PAGE_OF_OTHERS = 100
_BETA = re.compile(r"1\.0\.0-beta")
# Kinds whose pages are numbered: their links to the next page are missing, or wrong.
_NUMBERED = frozenset({Kind.GEODES, Kind.HYDROWEB})
# Kinds whose `datetime` tells when a record came, so that a search by it finds what is new.
_DATED_BY_ARRIVAL = frozenset({Kind.GEODES, Kind.HYDROWEB})
_NEVER_SENT = frozenset({"authorization", "cookie", "host", "x-api-key", "content-length", "proxy-authorization"})
_NAMES = {
    "hydroweb": Kind.HYDROWEB, "geodes": Kind.GEODES, "gdh": Kind.GEODES, "dinamis": Kind.DINAMIS,
    "theia": Kind.THEIA,
}  # fmt: skip


@dataclass(frozen=True)
class Api:
    """A catalogue that answers searches, or at least lists items."""

    base: str
    kind: Kind
    search: str | None = None
    by_post: bool = False
    can_filter: bool = False
    """Whether it takes conditions on properties (the query extension)."""

    @property
    def collections(self) -> Asked:
        url = f"{self.base}/collections"
        if self.kind is Kind.GEODES:
            return Asked(url, "POST", {"limit": PAGE[Kind.GEODES], "page": 1})
        return Asked(url)

    def collection(self, name: str) -> str:
        return f"{self.base}/collections/{quote(name, safe='')}"

    def item(self, collection: str, name: str) -> str:
        return f"{self.collection(collection)}/items/{quote(name, safe='')}"


@dataclass(frozen=True)
class Wanted:
    """What of a collection is wanted."""

    collection: str
    bbox: tuple[float, ...] | None = None
    since: str | None = None
    """Written in UTC."""
    by_update: bool = False
    """The source's items say when they were updated, and it can search by that."""


def recognised(landing: Any) -> Kind:
    """By what a landing page says of itself."""
    found = landing if isinstance(landing, dict) else {}
    said = " ".join(str(found.get(x, "")) for x in ("id", "title", "description")).casefold()
    for name, kind in _NAMES.items():
        if re.search(rf"(?<![a-z]){name}(?![a-z])", said):
            return kind
    return Kind.GEODES if _BETA.match(str(found.get("stac_version", ""))) else Kind.STAC


def api_of(landing: JsonObject, base: str, kind: Kind | None) -> Api:
    """What a landing page offers. `base` is where it was found."""
    chosen = kind or recognised(landing)
    offers = [x for x in _links(landing) if x.get("rel") == "search" and isinstance(x.get("href"), str)]
    conforms = [str(x) for x in landing.get("conformsTo") or () if isinstance(x, str)]
    if chosen in _NUMBERED:
        return Api(base, chosen, f"{base}/search", by_post=True)
    if not offers:
        searches = any("item-search" in x for x in conforms)
        return Api(base, chosen, f"{base}/search" if searches else None, can_filter=_can_filter(conforms))
    gets = [x for x in offers if str(x.get("method", "GET")).upper() == "GET"]
    offered = (gets or offers)[0]
    search = joined(f"{base}/", offered["href"]) or f"{base}/search"
    return Api(base, chosen, search, not gets, _can_filter(conforms))


def _can_filter(conforms: Sequence[str]) -> bool:
    return any(x.endswith("item-search#query") for x in conforms)


def first(api: Api, wanted: Wanted) -> Asked:
    """The request for the first page of a collection's items."""
    limit = PAGE.get(api.kind, _PAGE_OF_OTHERS)
    made: JsonObject = {"collections": [wanted.collection], "limit": limit}
    if wanted.bbox is not None:
        made["bbox"] = list(wanted.bbox)
    if api.kind is Kind.GEODES:
        # A fixed order: what is published meanwhile moves others back, and none is missed.
        made["sortBy"] = [{"field": "start_datetime", "direction": direction(api.kind, descending=False)}]
    if wanted.since is not None and api.kind in _DATED_BY_ARRIVAL:
        made["datetime"] = f"{wanted.since}/.."
    if wanted.since is not None and wanted.by_update and api.can_filter:
        made["query"] = {"updated": {"gte": wanted.since}}
    if api.kind in _NUMBERED:
        made["page"] = 1
    if api.search is not None and (api.by_post or "query" in made):
        return Asked(api.search, "POST", made)
    made.pop("query", None)
    return Asked(_with(api.search, made)) if api.search is not None else _listing(api, wanted.collection, made)


def listed(api: Api, asked: Asked) -> Asked | None:
    """Instead of a search, the list of a collection's items: for the first page of a source that has no search."""
    body = asked.body or {}
    if asked.method != "POST" or body.get("page") != 1:
        return None
    return _listing(api, body["collections"][0], body)


def _listing(api: Api, collection: str, question: JsonObject) -> Asked:
    of_list = {name: value for name, value in question.items() if name in ("limit", "bbox", "datetime", "page")}
    return Asked(_with(f"{api.collection(collection)}/items", of_list))


def direction(kind: Kind, descending: bool) -> str:
    """The name of a sorting order; GEODES has one of its own."""
    return ("dsc" if kind is Kind.GEODES else "desc") if descending else "asc"


def _with(url: str, parameters: Mapping[str, Any]) -> str:
    parts = urlsplit(url)
    texts = {name: ",".join(map(str, v)) if isinstance(v, list) else str(v) for name, v in parameters.items()}
    known = dict(parse_qsl(parts.query, keep_blank_values=True)) | texts
    return urlunsplit(parts._replace(query=urlencode(known, safe=",/:")))


@dataclass(frozen=True)
class Page:
    """One page of items."""

    features: list[Any] = field(default_factory=list)
    matched: int | None = None
    links: tuple[JsonObject, ...] = ()


def page_of(document: Any) -> Page | None:
    """None for what is no page of items."""
    if not isinstance(document, dict) or not isinstance(document.get("features"), list):
        return None
    context = document.get("context")
    counts = [document.get("numberMatched"), context.get("matched") if isinstance(context, dict) else None]
    matched = next((x for x in counts if type(x) is int and x >= 0), None)
    return Page(document["features"], matched, tuple(_links(document)))


def following(api: Api, asked: Asked, page: Page, read: int) -> Asked | None:
    """The request for the page after this one; `read` records came so far, those of this page among them."""
    if api.kind in _NUMBERED and (number := _number(asked)) is not None:
        linked = next_link(asked, page.links) if api.kind is Kind.HYDROWEB else None
        if linked is not None:
            return linked
        if not page.features or (page.matched is not None and read >= page.matched):
            return None
        if asked.body is not None:
            return replace(asked, body={**asked.body, "page": number + 1})
        return replace(asked, url=_with(asked.url, {"page": number + 1}))
    return next_link(asked, page.links)


def _number(asked: Asked) -> int | None:
    """Which page of a numbered list is asked for."""
    said = asked.body.get("page") if asked.body is not None else dict(parse_qsl(urlsplit(asked.url).query)).get("page")
    return int(said) if isinstance(said, int | str) and str(said).isdigit() else None


def next_link(asked: Asked, links: Sequence[JsonObject]) -> Asked | None:
    """The request that a link to the next page stands for; bodies are merged where it says so."""
    link = next((x for x in links if x.get("rel") == "next" and isinstance(x.get("href"), str)), None)
    if link is None:
        return None
    url = joined(asked.url, link["href"])
    if url is None:
        return None
    said = link.get("headers")
    headers = {
        str(name): str(value)
        for name, value in (said.items() if isinstance(said, dict) else ())
        if str(name).casefold() not in _NEVER_SENT and str(value).isprintable() and str(value).isascii()
    }
    method = str(link.get("method") or "GET").upper()
    if method != "POST":
        return Asked(url, "GET", None, headers)
    own = link["body"] if isinstance(link.get("body"), dict) else {}
    body = {**(asked.body or {}), **own} if link.get("merge") is True else own or asked.body or {}
    return Asked(url, "POST", body, headers)


def next_collections(api: Api, asked: Asked, document: Any) -> Asked | None:
    """The request for more collections. The caller stops when nothing new comes."""
    if api.kind is Kind.GEODES and asked.body is not None:
        return replace(asked, body={**asked.body, "page": int(asked.body["page"]) + 1})
    return next_link(asked, _links(document))


def _links(document: Any) -> list[JsonObject]:
    found = document.get("links") if isinstance(document, dict) else None
    return [x for x in found if isinstance(x, dict)] if isinstance(found, list) else []
