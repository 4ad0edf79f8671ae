"""The most frequent questions, answered past the framework's dispatch, which takes longer than the answers do.

The routes stay: they say the same, document it, and answer whatever is unusual about a request. Two that are asked for
one small thing are answered before there is a request at all (`Quick`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qsl

from bocage_kit.identity import Identity
from bocage_kit.problems import Problem
from bocage_kit.problems import response as problem_response
from bocage_kit.quick import Making, Unusual, Whole
from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bocage_catalogue import collection_search, searching
from bocage_catalogue.answers import link_header
from bocage_catalogue.authority import Reader
from bocage_catalogue.database import Database
from bocage_catalogue.etags import KEPT, etag
from bocage_catalogue.head import VARY, tell
from bocage_catalogue.present import GEOJSON, JSON, item_links

Answer = Callable[[Request], Awaitable[Response]]

_WITHIN = re.compile(r"/stac/collections/([A-Za-z0-9_.:-]+)/items(?:/([A-Za-z0-9_.:-]+))?\Z")
_NUMBER = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{1,18})?\Z")
_LIMIT = re.compile(r"[1-9][0-9]{0,5}\Z")
_PLAIN = frozenset(("datetime", "token"))
_NAMES = frozenset(("collections", "ids"))
_LONGEST = 100_000
_LONGEST_LINKS = 1500  # a name adds less than what a header of links has room for
_ONE = re.compile(rb"/stac/collections/([A-Za-z0-9_.:-]{1,200})/items/([A-Za-z0-9_.:-]{1,200})\Z")


class Direct:
    """Answers them where they come in, for whom the routes would answer, and before any other layer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self._reader = app, Reader()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _answer(scope) if scope["type"] == "http" else None
        if answer is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            self._reader.check(request)
            response = await answer(request)
        except Problem as problem:
            response = problem_response(problem, scope["state"].get("request_id"))
        tell(response.raw_headers, response.status_code, scope)
        await response(scope, receive, send)


def _answer(scope: Scope) -> Answer | None:
    """Who answers, when nothing about the request is unusual."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if scope["method"] == "POST":
        plain = path == "/stac/search" and not scope["query_string"] and _is_json(scope)
        return searching.search_by_body if plain else None
    if scope["method"] != "GET":
        return None
    if path == "/stac/collections":
        return None if scope["query_string"] else collection_search.all_collections
    if path == "/stac/search":
        if (given := _given(scope["query_string"], listed=True)) is None:
            return None
        return partial(searching.search_by_parameters, **given)
    found = _WITHIN.match(path)
    if found is None:
        return None
    collection, item = found.groups()
    if item is not None:
        return None if scope["query_string"] else partial(searching.one_item, collection_id=collection, item_id=item)
    if (given := _given(scope["query_string"], listed=False)) is None:
        return None
    return partial(searching.items_of, collection_id=collection, **given)


def _is_json(scope: Scope) -> bool:
    types = [value for name, value in scope["headers"] if name == b"content-type"]
    return types == [b"application/json"]


def _given(query: bytes, *, listed: bool) -> dict[str, Any] | None:
    """The parameters as the routes would hand them on, names as a list or as text, unless they need a closer look."""
    made: dict[str, Any] = {}
    if not query:
        return made
    for name, value in parse_qsl(query.decode("latin1"), keep_blank_values=True):
        if name in made or not value:
            return None
        if name in _PLAIN:
            made[name] = value
        elif name in _NAMES and len(value) <= _LONGEST:
            made[name] = value.split(",") if listed else value
        elif name == "limit" and _LIMIT.match(value):
            made[name] = int(value)
        elif name == "bbox" and all(map(_NUMBER.match, value.split(","))):
            made[name] = [float(part) for part in value.split(",")]
        else:
            return None
    return made


# What stands in these heads is made of nothing that a caller or an object could have written, besides plain names.
_ITEM_HEAD = (
    f"link: %s\r\netag: %s\r\ncache-control: {KEPT}\r\ncontent-length: %d\r\ncontent-type: {GEOJSON}\r\n"
    f"vary: {VARY}\r\ncontent-language: %s\r\n"
)
_LIST_HEAD = f"content-language: %s\r\nlink: %s\r\ncontent-length: %d\r\ncontent-type: {JSON}\r\nvary: {VARY}\r\n"


class Quick:
    """Answers one item and the first collections where nothing has to be waited for but the database's answer."""

    def __init__(self) -> None:
        self.database: Database | None = None
        """While there is one."""
        self._reader = Reader()

    def admits(self, identity: Identity) -> bool:
        try:
            self._reader.admit(identity)
        except Problem:
            return False
        return True

    def to(self, path: bytes, identity: Identity, tongue: str) -> Making | None:
        database = self.database
        if database is None or not database.ready_at_once:
            return None
        if path == b"/stac/collections":
            return _collections(database, identity, tongue)
        found = _ONE.match(path)
        if found is None:
            return None
        collection, item = found.groups()
        return _item(database, identity, tongue, collection.decode(), item.decode())


async def _item(database: Database, identity: Identity, tongue: str, collection: str, item: str) -> Whole:
    before, after = _around(identity.public_base, collection)
    found = await searching.shown_item(database, identity, tongue, collection, item)
    if found is None:
        raise Unusual
    text, revision = found
    head = _ITEM_HEAD % (before + item + after, etag(revision, text), len(text), tongue)
    return Whole(head.encode(), text)


@lru_cache(4096)
def _around(base: str, collection: str) -> tuple[str, str]:
    """The header Link of an item of a collection, around the item's name. Raises Unusual."""
    name = "item"
    parts = link_header(item_links(base, collection, name)).split(f"/items/{name}>")
    if len(parts) != 2 or len(parts[0]) + len(parts[1]) > _LONGEST_LINKS:
        raise Unusual
    return parts[0] + "/items/", ">" + parts[1]


async def _collections(database: Database, identity: Identity, tongue: str) -> Whole:
    text, links = await collection_search.first_page(database, identity, tongue)
    return Whole((_LIST_HEAD % (tongue, links, len(text))).encode(), text)
