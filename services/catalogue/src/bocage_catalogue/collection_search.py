"""Collections: those that the caller sees, one of them, and what every answer needs to know of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from bocage_kit.access import caller
from bocage_kit.identity import Identity
from bocage_kit.problems import not_found
from fastapi import Request
from fastapi.responses import Response
from stac_fastapi.pgstac.types.search import PgstacSearch
from stac_fastapi.pgstac.utils import filter_fields

from bocage_catalogue import asked, language, present
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.asked import queried, searched
from bocage_catalogue.database import Database
from bocage_catalogue.paging import with_query
from bocage_catalogue.present import Document, link, stac
from bocage_catalogue.visibility import (
    COLLECTIONS_SQL,
    VISIBLE,
    CollectionRow,
    collections_arguments,
    collections_filter,
)

_SEEN = (
    "select body, revision, count(*) over () as matched from catalogue.finished_collection"  # noqa: S608 - SQL of our own
    f" where {VISIBLE} order by id limit $6 offset $7"
)
_COUNTED = f"select count(*) from catalogue.finished_collection where {VISIBLE}"  # noqa: S608 - as above
_ONE = f"select body, revision from catalogue.finished_collection where {VISIBLE} and id = $6"  # noqa: S608 - as above


async def collection_rows(database: Database, identity: Identity) -> dict[str, CollectionRow]:
    """All collections with what the caller may know of them: one statement."""
    async with database.reading() as connection:
        rows = await connection.fetch(COLLECTIONS_SQL, *collections_arguments(identity))
    return {row["id"]: CollectionRow(row["title"], row["rights"], row["visible"], row["revision"]) for row in rows}


@dataclass(frozen=True)
class Found:
    """A collection as it is stored, and which revision of it."""

    stored: Document
    revision: int


async def seen_collections(
    database: Database, identity: Identity, most: int, offset: int = 0
) -> tuple[list[Found], int]:
    """The collections that the caller sees, by id, and how many there are altogether."""
    async with database.reading() as connection:
        rows = await connection.fetch(_SEEN, *collections_arguments(identity), most, offset)
        matched = rows[0]["matched"] if rows else 0
        if not rows and offset:
            matched = await connection.fetchval(_COUNTED, *collections_arguments(identity))
    return [Found(orjson.loads(row["body"]), row["revision"]) for row in rows], matched


async def seen_collection(database: Database, identity: Identity, name: str) -> Found:
    """A collection, if the caller sees it. Raises Problem 404."""
    async with database.reading() as connection:
        rows = await connection.fetch(_ONE, *collections_arguments(identity), name)
    if not rows:
        raise not_found(f"Collection {name}")
    return Found(orjson.loads(rows[0]["body"]), rows[0]["revision"])


async def stored_collection(database: Database, identity: Identity, name: str) -> Document:
    """A collection as stored, if the caller sees it. Raises Problem 404."""
    return (await seen_collection(database, identity, name)).stored


async def all_collections(request: Request, **kwargs: Any) -> Response:
    """The collections that the caller sees, filtered and by pages."""
    identity, tongue = caller(request), language.of(request)
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
    search = {name: value for name, value in search.items() if value is not None}
    if search.keys() - {"limit", "offset", "filter-lang"} == {"filter"} and not wanted:
        rows, matched = await seen_collections(database_of(request), identity, limit, offset)
        found = [row.stored for row in rows]
    else:
        page = await database_of(request).call("collection_search", search)
        found, matched = page["collections"], int(page["numberMatched"])
    include, exclude = asked.field_sets(kwargs.get("fields"))
    shown = [present.collection(stored, identity, tongue) for stored in found]
    if include or exclude:
        kept = include | {"id"} if include else set()
        shown = [dict(filter_fields(collection, kept, exclude)) for collection in shown]  # type: ignore[arg-type]
    base = identity.public_base
    here = stac(base, "collections")
    links = [link("root", stac(base)), link("self", with_query(request, here))]
    if offset + limit < matched:
        links.append(link("next", with_query(request, here, offset=str(offset + limit)), method="GET"))
    if offset > 0:
        links.append(link("previous", with_query(request, here, offset=str(max(0, offset - limit))), method="GET"))
    return answer(
        {"collections": shown, "links": links, "numberMatched": matched, "numberReturned": len(shown)},
        headers={"Content-Language": tongue},
    )


async def one_collection(request: Request, name: str) -> Response:
    """One collection, if the caller sees it. Raises Problem 404."""
    identity, tongue = caller(request), language.of(request)
    found = await seen_collection(database_of(request), identity, name)
    shown = present.collection(found.stored, identity, tongue)
    return answer(shown, headers={"Content-Language": language.spoken(shown) or tongue})
