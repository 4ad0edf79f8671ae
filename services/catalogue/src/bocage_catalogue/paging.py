"""Links from one page of an answer to the next."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import orjson
from fastapi import Request

from bocage_catalogue.present import GEOJSON, Document, link


def with_query(request: Request, href: str, **changes: str) -> str:
    """`href` with the request's own query, some of it replaced."""
    if request.method != "GET":
        return href
    # Of the scope: to make an URL of it takes longer than all else here.
    given: bytes = request.scope["query_string"]
    query = (
        [(name, value) for name, value in parse_qsl(given.decode("utf-8", "replace")) if name not in changes]
        if given
        else []
    )
    query += list(changes.items())
    return f"{href}?{urlencode(query)}" if query else href


async def page_link(request: Request, here: str, rel: str, token: str) -> Document:
    """A paging link, of the request's own method."""
    if request.method == "POST":
        body = orjson.loads(await request.body() or b"{}")
        return link(rel, here, GEOJSON, method="POST", body={**body, "token": token})
    return link(rel, with_query(request, here, token=token), GEOJSON, method="GET")
