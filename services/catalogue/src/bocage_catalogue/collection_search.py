"""Collections: those that the caller sees, one of them, and what every answer needs to know of all."""

from __future__ import annotations

from typing import Any

from bocage_kit.access import caller
from bocage_kit.identity import Identity
from bocage_kit.problems import not_found
from fastapi import Request
from fastapi.responses import Response
from stac_fastapi.pgstac.types.search import PgstacSearch
from stac_fastapi.pgstac.utils import filter_fields

from bocage_catalogue import asked, present
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.asked import queried, searched
from bocage_catalogue.database import Database
from bocage_catalogue.paging import with_query
from bocage_catalogue.present import Document, link, stac
from bocage_catalogue.visibility import (
    COLLECTIONS_SQL,
    CollectionRow,
    collections_arguments,
    collections_filter,
)


async def collection_rows(database: Database, identity: Identity) -> dict[str, CollectionRow]:
    """All collections with what the caller may know of them: one statement."""
    async with database.reading() as connection:
        rows = await connection.fetch(COLLECTIONS_SQL, *collections_arguments(identity))
    return {row["id"]: CollectionRow(row["title"], row["rights"], row["visible"], row["revision"]) for row in rows}


async def stored_collection(database: Database, identity: Identity, name: str) -> Document:
    """A collection as stored, if the caller sees it. Raises Problem 404."""
    search = {"ids": [name], "limit": 1, "filter-lang": "cql2-json", "filter": collections_filter(identity)}
    found = (await database.call("collection_search", search))["collections"]
    if not found:
        raise not_found(f"Collection {name}")
    return dict(found[0])


async def all_collections(request: Request, **kwargs: Any) -> Response:
    """The collections that the caller sees, filtered and by pages."""
    identity = caller(request)
    clauses = [
        asked.query_clause(queried(kwargs.get("query"))),
        asked.filter_clause(kwargs.get("filter_expr"), kwargs.get("filter_lang")),
    ]
    wanted = [clause for clause in clauses if clause is not None]
    offset, limit = kwargs.get("offset") or 0, kwargs.get("limit") or 10
    search: Document = {
        "limit": limit,
        "offset": offset,
        "filter-lang": "cql2-json",
        "filter": collections_filter(identity, {"op": "and", "args": wanted} if wanted else None),
        "sortby": asked.sort_clauses(kwargs.get("sortby")),
        "bbox": kwargs.get("bbox"),
        "datetime": kwargs.get("datetime"),
        "q": " OR ".join(kwargs.get("q") or ()) or None,
    }
    if search["bbox"] is not None:
        searched(PgstacSearch, {"bbox": search["bbox"]})
    found = await database_of(request).call("collection_search", {k: v for k, v in search.items() if v is not None})
    include, exclude = asked.field_sets(kwargs.get("fields"))
    shown = [
        filter_fields(present.collection(row, identity), include | {"id"} if include else set(), exclude)  # type: ignore[arg-type]
        for row in found["collections"]
    ]
    base, matched = identity.public_base, int(found["numberMatched"])
    here = stac(base, "collections")
    links = [link("root", stac(base)), link("self", with_query(request, here))]
    if offset + limit < matched:
        links.append(link("next", with_query(request, here, offset=str(offset + limit)), method="GET"))
    if offset > 0:
        links.append(link("previous", with_query(request, here, offset=str(max(0, offset - limit))), method="GET"))
    return answer({"collections": shown, "links": links, "numberMatched": matched, "numberReturned": len(shown)})


async def one_collection(request: Request, name: str) -> Response:
    """One collection, if the caller sees it. Raises Problem 404."""
    identity = caller(request)
    return answer(present.collection(await stored_collection(database_of(request), identity, name), identity))
