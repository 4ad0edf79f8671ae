"""Answers written once, past FastAPI's encoder, with their links in the header too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import Response

from bocage_catalogue.database import Database
from bocage_catalogue.present import JSON

# Links that lead somewhere from here; children and items may be thousands, and licences are told in the body.
_IN_HEADER = frozenset(
    (
        *("self", "root", "parent", "collection", "items", "next", "prev", "previous", "first", "data", "search"),
        *("alternate", "conformance", "service-desc", "service-doc", "children", "aggregate", "aggregations"),
        *("export", "changes", "vocabulary", "catalogs", "deposits"),
        "http://www.opengis.net/def/rel/ogc/1.0/queryables",
        "http://www.opengis.net/def/rel/ogc/1.0/sortables",
    )
)
_QUOTABLE = re.compile(r"[\x20!\x23-\x5b\x5d-\x7e]{1,200}")
# Servers and proxies take some eight kilobytes of headers in all.
_LONGEST_LINK, _LONGEST_HEADER = 2000, 4000


def answer(
    document: Any, media_type: str = JSON, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON that is written once, past FastAPI's encoder; sorted, so that equal documents are equal bytes."""
    links = document.get("links") if isinstance(document, dict) else None
    made = dict(headers or {})
    if isinstance(links, list) and (header := link_header(links)):
        made["Link"] = header
    return Response(orjson.dumps(document, option=orjson.OPT_SORT_KEYS), status, made, media_type)


def link_header(links: Iterable[Mapping[str, Any]]) -> str:
    """The header Link (RFC 8288) of a document's links: those that GET follows, as far as there is room."""
    made, room = list[str](), _LONGEST_HEADER
    for link in links:
        rel, href = str(link.get("rel")), str(link.get("href"))
        if rel not in _IN_HEADER or link.get("method", "GET") != "GET" or len(href) > _LONGEST_LINK:
            continue
        type_, language = link.get("type", JSON), link.get("hreflang")
        # Whoever wrote the object wrote these too: what a header can't hold, or would end it, is left out.
        text = _told(rel, href, type_ if isinstance(type_, str) else "", language if isinstance(language, str) else "")
        if not text:
            continue
        room -= len(text) + 2
        if room < 0:
            break
        made.append(text)
    return ", ".join(made)


@lru_cache(4096)
def _told(rel: str, href: str, type_: str, language: str) -> str:
    """One link as the header has it; nothing of what it can't hold."""
    if not (href.isascii() and href.isprintable()) or "<" in href or ">" in href:
        return ""
    text = f'<{href}>; rel="{rel}"'
    for name, value in (("type", type_), ("hreflang", language)):
        if _QUOTABLE.fullmatch(value):
            text += f'; {name}="{value}"'
    return text


def database_of(request: Request) -> Database:
    found = request.app.state.database
    assert isinstance(found, Database)
    return found
