"""Searches among items, and one item. Every question carries the caller's audience in its SQL."""

from __future__ import annotations

from typing import Any

import orjson
from bocage_kit.access import caller
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem, not_found
from fastapi import Request
from fastapi.responses import Response

from bocage_catalogue import fields, finished, language, subjects, tombstones
from bocage_catalogue.answers import database_of, link_header
from bocage_catalogue.asking import Look, decoded, from_body, from_parameters, look_of_body, look_of_parameters
from bocage_catalogue.attending import ClientLeft, attended
from bocage_catalogue.conditions import Search
from bocage_catalogue.database import Database
from bocage_catalogue.etags import tagged
from bocage_catalogue.explaining import MEMBER
from bocage_catalogue.layout import Layout
from bocage_catalogue.paging import page_link, with_query
from bocage_catalogue.present import GEOJSON, Document, item_links, link, stac

__all__ = ["from_body", "from_parameters", "items_of", "one_item", "search_by_body", "search_by_parameters"]

ESTIMATE = "bocage:numberMatched"


async def found_items(
    request: Request, search: Search, look: Look, here: str, *more_links: Document, within: str | None = None
) -> Response:
    """Search, and lay out the feature collection with its paging links. Raises Problem 404 where `within` is hidden."""
    identity, database = caller(request), database_of(request)
    try:
        async with attended(request), database.turns.taken(identity.subject):
            search = await subjects.resolved(database, identity, search)
            found = None
            if not look.explain:
                found = await finished.frequent_page(database, identity, search, look.limit, look.token, within)
            if found is None:
                found = await finished.page(
                    database, identity, search, look.limit, look.token, explain=look.explain, within=within
                )
    except ClientLeft:
        return Response(status_code=499)  # which nobody reads
    links = [link("root", stac(identity.public_base)), link("self", with_query(request, here), GEOJSON)]
    for rel, place in (("next", found.next), ("previous", found.previous)):
        if place is not None:
            links.append(await page_link(request, here, rel, place))
    layout = Layout(identity, found.holders, language.of(request), found.readers)
    if look.include or look.exclude:
        chosen = (
            fields.chosen(layout.document(row), look.include, look.exclude, fields.OF_ITEMS) for row in found.rows
        )
        features = [b",".join(map(orjson.dumps, chosen))]
    else:
        features = layout.pieces(found.rows)
    links += more_links
    about: Document = {"links": links, "numberReturned": len(found.rows)}
    if found.matched is not None:
        about["numberMatched"] = found.matched.number
        if not found.matched.exact:
            about[ESTIMATE] = "estimate"
    if found.explained is not None:
        about[MEMBER] = found.explained
    return Response(
        b"".join((b'{"type":"FeatureCollection","features":[', *features, b"],", orjson.dumps(about)[1:])),
        headers={"Link": link_header(links)},
        media_type=GEOJSON,
    )


async def one_item(request: Request, collection_id: str, item_id: str) -> Response:
    """One item, if the caller sees it. Raises Problem 404, 410."""
    identity, database = caller(request), database_of(request)
    found = await shown_item(database, identity, language.of(request), collection_id, item_id)
    if found is None:
        await tombstones.check_missing(database, identity, collection_id, item_id)
        raise not_found(f"Item {collection_id}/{item_id}")
    text, revision = found
    links = item_links(identity.public_base, collection_id, item_id)
    return tagged(request, text, revision, GEOJSON, headers={"Link": link_header(links)})


async def shown_item(
    database: Database, identity: Identity, tongue: str, collection: str, item: str
) -> tuple[bytes, int] | None:
    """One item as the caller is shown it, and its revision, if the caller sees it."""
    found = await finished.item_row(database, identity, collection, item)
    if found is None:
        return None
    row, holder, readers = found
    return Layout(identity, {collection: holder}, tongue, readers).text(row), row["revision"]


async def items_of(request: Request, collection_id: str, **kwargs: Any) -> Response:
    """The items of one collection. Raises Problem 404, 410."""
    identity = caller(request)
    own = stac(identity.public_base, "collections", collection_id)
    # pystac-client names the collection here too.
    named = kwargs.get("collections")
    given = kwargs | {"collections": [collection_id] if named is None or collection_id in named.split(",") else []}
    search, look = from_parameters(given), look_of_parameters(given)
    links = link("parent", own), link("collection", own)
    try:
        return await found_items(request, search, look, own + "/items", *links, within=collection_id)
    except Problem as problem:
        if problem.status == 404:
            await tombstones.check_missing(database_of(request), identity, collection_id)
        raise


async def search_by_parameters(request: Request, **kwargs: Any) -> Response:
    """A search by GET."""
    identity = caller(request)
    search, look = from_parameters(kwargs), look_of_parameters(kwargs)
    return await found_items(request, search, look, stac(identity.public_base, "search"))


async def search_by_body(request: Request) -> Response:
    """A search by POST."""
    identity = caller(request)
    # As it came: what the framework makes of it drops what it does not know.
    body = decoded(await request.body(), "the body")
    search, look = from_body(body), look_of_body(body)
    return await found_items(request, search, look, stac(identity.public_base, "search"))
