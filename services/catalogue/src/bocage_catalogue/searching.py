"""Searches among items, and one item. Every question carries the caller's audience in its SQL."""

from __future__ import annotations

from typing import Any

import orjson
from bocage_kit.access import caller
from bocage_kit.identity import Identity
from bocage_kit.problems import not_found
from fastapi import Request
from fastapi.responses import Response
from stac_fastapi.pgstac.types.search import PgstacSearch
from stac_fastapi.pgstac.utils import filter_fields

from bocage_catalogue import asked, finished
from bocage_catalogue.answers import database_of
from bocage_catalogue.asked import queried, searched
from bocage_catalogue.collection_search import collection_rows
from bocage_catalogue.database import Database
from bocage_catalogue.etags import tagged
from bocage_catalogue.paging import page_link, with_query
from bocage_catalogue.present import GEOJSON, Document, link, stac
from bocage_catalogue.visibility import CollectionRow

_ALWAYS = {"id", "collection"}
_CONDITIONS = ("ids", "collections", "bbox", "intersects", "datetime", "sortby", "token")


def _narrowed(search: Document, wanted: Any) -> Document:
    """A search as pgSTAC's makers of conditions take it. Raises Problem 400."""
    asked.check_extent(search.get("intersects"))
    asked.check_sorting(search.get("sortby"))
    narrowed = {name: search[name] for name in _CONDITIONS if search.get(name) is not None}
    if wanted is not None:
        narrowed |= {"filter-lang": "cql2-json", "filter": wanted}
    return narrowed


async def found_items(
    request: Request, rows: dict[str, CollectionRow], search: Document, here: str, *more_links: Document
) -> Response:
    """Search, and lay out the feature collection with its paging links."""
    identity, database = caller(request), database_of(request)
    clauses = [
        asked.query_clause(search.get("query")),
        asked.filter_clause(search.get("filter"), search.get("filter-lang", "cql2-json")),
    ]
    wanted = [clause for clause in clauses if clause is not None]
    if token := search.get("token"):
        await _check_token(database, identity, rows, str(token))
    narrowed = _narrowed(search, {"op": "and", "args": wanted} if wanted else None)
    most = min(int(search.get("limit") or 10), asked.MOST_ITEMS)
    found = await finished.page(database, identity, rows, narrowed, most)
    links = [link("root", stac(identity.public_base)), link("self", with_query(request, here), GEOJSON)]
    for rel, place in (("next", found.next), ("previous", found.previous)):
        if place is not None:
            links.append(await page_link(request, here, rel, place))
    layout = finished.Layout(identity, rows)
    include, exclude = search["fields"]
    if include or exclude:
        kept, dropped = include | _ALWAYS if include else set(), exclude - include
        features = [
            orjson.dumps(filter_fields(layout.document(row), kept, dropped))  # type: ignore[arg-type]
            for row in found.rows
        ]
    else:
        features = [layout.text(row) for row in found.rows]
    about = {"links": [*links, *more_links], "numberMatched": found.matched, "numberReturned": len(features)}
    return Response(
        b'{"type":"FeatureCollection","features":[' + b",".join(features) + b"]," + orjson.dumps(about)[1:],
        media_type=GEOJSON,
    )


async def one_item(request: Request, collection_id: str, item_id: str) -> Response:
    """One item, if the caller sees it. Raises Problem 404."""
    identity, database = caller(request), database_of(request)
    rows = await collection_rows(database, identity)
    found = await finished.item_row(database, identity, rows, collection_id, item_id)
    if found is None:
        raise not_found(f"Item {collection_id}/{item_id}")
    return tagged(request, finished.Layout(identity, rows).text(found), found["revision"], GEOJSON)


async def _check_token(database: Database, identity: Identity, rows: dict[str, CollectionRow], token: str) -> None:
    """A paging token names an item; one that the caller may not see must not answer differently from none at all."""
    parts = token.lower().split(":")
    refusal = asked.invalid("The paging token is not valid; start the search again.")
    try:
        direction, collection, name = parts[0], *(bytes.fromhex(part).decode() for part in parts[1:])
    except ValueError as error:
        raise refusal from error
    if direction not in ("next", "prev"):
        raise refusal
    if await finished.item_row(database, identity, rows, collection, name) is None:
        raise refusal


def from_parameters(given: Document) -> Document:
    """A GET's parameters as a search document. Raises Problem 400."""
    plain = {name: given.get(name) for name in ("collections", "ids", "bbox", "datetime", "limit")}
    if intersects := given.get("intersects"):
        plain["intersects"] = asked.decode(intersects, "intersects")
    checked = searched(PgstacSearch, {name: value for name, value in plain.items() if value is not None})
    document: Document = checked.model_dump(mode="json", by_alias=True, exclude_none=True)
    document |= {
        "query": queried(given.get("query")),
        "filter": given.get("filter_expr"),
        "filter-lang": given.get("filter_lang") or "cql2-text",
        "sortby": asked.sort_clauses(given.get("sortby")),
        "token": given.get("token"),
    }
    document = {name: value for name, value in document.items() if value is not None}
    document["fields"] = asked.field_sets(given.get("fields"))
    return document


async def items_of(request: Request, collection_id: str, **kwargs: Any) -> Response:
    """The items of one collection. Raises Problem 404."""
    identity = caller(request)
    rows = await collection_rows(database_of(request), identity)
    if collection_id not in rows or not rows[collection_id].visible:
        raise not_found(f"Collection {collection_id}")
    own = stac(identity.public_base, "collections", collection_id)
    search = from_parameters(kwargs | {"collections": [collection_id]})
    return await found_items(request, rows, search, own + "/items", link("parent", own), link("collection", own))


async def search_by_parameters(request: Request, **kwargs: Any) -> Response:
    """A search by GET."""
    identity = caller(request)
    rows = await collection_rows(database_of(request), identity)
    return await found_items(request, rows, from_parameters(kwargs), stac(identity.public_base, "search"))


async def search_by_body(request: Request, search_request: PgstacSearch) -> Response:
    """A search by POST."""
    # Conditions are checked as they came: dumping them first fails on deep ones.
    conditions = {"filter_expr", "query"}
    document = search_request.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=conditions)
    document["filter"] = getattr(search_request, "filter_expr", None)
    document["query"] = getattr(search_request, "query", None)
    fields = document.get("fields") or {}
    document["fields"] = (set(fields.get("include") or ()), set(fields.get("exclude") or ()))
    identity = caller(request)
    rows = await collection_rows(database_of(request), identity)
    return await found_items(request, rows, document, stac(identity.public_base, "search"))
