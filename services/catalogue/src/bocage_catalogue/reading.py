"""The read half of the STAC API. Every question to pgSTAC carries the caller's audience in its SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import attr
import orjson
from bocage_kit.access import caller
from bocage_kit.identity import Identity
from bocage_kit.problems import not_found
from fastapi import Request
from fastapi.responses import Response
from pydantic import ValidationError
from stac_fastapi.pgstac.core import CoreCrudClient
from stac_fastapi.pgstac.types.search import PgstacSearch
from stac_fastapi.pgstac.utils import filter_fields

from bocage_catalogue import asked, finished, present
from bocage_catalogue.database import Database
from bocage_catalogue.present import GEOJSON, JSON, Document, link, stac
from bocage_catalogue.visibility import (
    COLLECTIONS_SQL,
    CollectionRow,
    collections_arguments,
    collections_filter,
    rights_of,
)

_CHILDREN = 1000
_ALWAYS = {"id", "collection"}
_CONDITIONS = ("ids", "collections", "bbox", "intersects", "datetime", "sortby", "token")


def answer(
    document: Any, media_type: str = JSON, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON that is written once, past FastAPI's encoder; sorted, so that equal documents are equal bytes."""
    return Response(orjson.dumps(document, option=orjson.OPT_SORT_KEYS), status, dict(headers or {}), media_type)


def database_of(request: Request) -> Database:
    found = request.app.state.database
    assert isinstance(found, Database)
    return found


async def collection_rows(database: Database, identity: Identity) -> dict[str, CollectionRow]:
    """All collections with what the caller may know of them: one statement."""
    async with database.reading() as connection:
        rows = await connection.fetch(COLLECTIONS_SQL, *collections_arguments(identity))
    return {
        row["id"]: CollectionRow(row["title"], rights_of(row["licences"], row["license"]), row["visible"])
        for row in rows
    }


async def stored_collection(database: Database, identity: Identity, name: str) -> Document:
    """A collection as stored, if the caller sees it. Raises Problem 404."""
    search = {"ids": [name], "limit": 1, "filter-lang": "cql2-json", "filter": collections_filter(identity)}
    found = (await database.call("collection_search", search))["collections"]
    if not found:
        raise not_found(f"Collection {name}")
    return dict(found[0])


def _narrowed(search: Document, wanted: Any) -> Document:
    """A search as pgSTAC's makers of conditions take it. Raises Problem 400."""
    asked.check_extent(search.get("intersects"))
    asked.check_sorting(search.get("sortby"))
    narrowed = {name: search[name] for name in _CONDITIONS if search.get(name) is not None}
    if wanted is not None:
        narrowed |= {"filter-lang": "cql2-json", "filter": wanted}
    return narrowed


@attr.s
class ReadingClient(CoreCrudClient):
    """stac-fastapi's routes, answered from filtered searches, with links by the kit's public base."""

    async def landing_page(self, **kwargs: Any) -> Any:
        request: Request = kwargs["request"]
        identity = caller(request)
        base = identity.public_base
        rows = await collection_rows(database_of(request), identity)
        search = stac(base, "search")
        children = [(name, row.title) for name, row in rows.items() if row.visible][:_CHILDREN]
        return answer(
            {
                "type": "Catalog",
                "id": self.landing_page_id,
                "title": self.title,
                "description": self.description,
                "stac_version": self.stac_version,
                "conformsTo": self.conformance_classes(),
                "links": [
                    link("self", stac(base), title="This document"),
                    link("root", stac(base), title="Root"),
                    link("data", stac(base, "collections"), title="Collections"),
                    link("conformance", stac(base, "conformance"), title="Conformance classes"),
                    link("search", search, GEOJSON, "Search [GET]", method="GET"),
                    link("search", search, GEOJSON, "Search [POST]", method="POST"),
                    link(
                        present.QUERYABLES,
                        stac(base, "queryables"),
                        "application/schema+json",
                        "Queryables",
                        method="GET",
                    ),
                    link(
                        "service-desc",
                        f"{base}/openapi.json",
                        "application/vnd.oai.openapi+json;version=3.1",
                        "OpenAPI",
                    ),
                    link("service-doc", f"{base}/docs", "text/html", "Documentation of the API"),
                    *(link("child", stac(base, "collections", name), JSON, title or name) for name, title in children),
                ],
            }
        )

    async def conformance(self, **kwargs: Any) -> Any:
        return answer({"conformsTo": self.conformance_classes()})

    async def all_collections(self, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        identity = caller(request)
        clauses = [
            asked.query_clause(_query(kwargs.get("query"))),
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
            _search(PgstacSearch, {"bbox": search["bbox"]})
        found = await database_of(request).call("collection_search", {k: v for k, v in search.items() if v is not None})
        include, exclude = asked.field_sets(kwargs.get("fields"))
        shown = [
            filter_fields(present.collection(row, identity), include | {"id"} if include else set(), exclude)  # type: ignore[arg-type]
            for row in found["collections"]
        ]
        base, matched = identity.public_base, int(found["numberMatched"])
        here = stac(base, "collections")
        links = [link("root", stac(base)), link("self", _with(request, here))]
        if offset + limit < matched:
            links.append(link("next", _with(request, here, offset=str(offset + limit)), method="GET"))
        if offset > 0:
            links.append(link("previous", _with(request, here, offset=str(max(0, offset - limit))), method="GET"))
        return answer({"collections": shown, "links": links, "numberMatched": matched, "numberReturned": len(shown)})

    async def get_collection(self, collection_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        identity = caller(request)
        return answer(
            present.collection(await stored_collection(database_of(request), identity, collection_id), identity)
        )

    async def item_collection(self, collection_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        identity = caller(request)
        rows = await collection_rows(database_of(request), identity)
        if collection_id not in rows or not rows[collection_id].visible:
            raise not_found(f"Collection {collection_id}")
        own = stac(identity.public_base, "collections", collection_id)
        search = _from_parameters(kwargs | {"collections": [collection_id]})
        return await _found(request, rows, search, own + "/items", link("parent", own), link("collection", own))

    async def get_item(self, item_id: str, collection_id: str, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        identity, database = caller(request), database_of(request)
        rows = await collection_rows(database, identity)
        found = await finished.item_row(database, identity, rows, collection_id, item_id)
        if found is None:
            raise not_found(f"Item {collection_id}/{item_id}")
        return Response(finished.Layout(identity, rows).text(found), media_type=GEOJSON)

    async def get_search(self, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        identity = caller(request)
        rows = await collection_rows(database_of(request), identity)
        return await _found(request, rows, _from_parameters(kwargs), stac(identity.public_base, "search"))

    async def post_search(self, search_request: PgstacSearch, request: Request, **kwargs: Any) -> Any:  # type: ignore[override]
        # Conditions are checked as they came: dumping them first fails on deep ones.
        conditions = {"filter_expr", "query"}
        document = search_request.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=conditions)
        document["filter"] = getattr(search_request, "filter_expr", None)
        document["query"] = getattr(search_request, "query", None)
        fields = document.get("fields") or {}
        document["fields"] = (set(fields.get("include") or ()), set(fields.get("exclude") or ()))
        identity = caller(request)
        rows = await collection_rows(database_of(request), identity)
        return await _found(request, rows, document, stac(identity.public_base, "search"))


async def _found(
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
    links = [link("root", stac(identity.public_base)), link("self", _with(request, here), GEOJSON)]
    for rel, place in (("next", found.next), ("previous", found.previous)):
        if place is not None:
            links.append(await _page(request, here, rel, place))
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


def _query(text: str | None) -> Any:
    return asked.decode(text, "query") if text else None


def _search(model: type[PgstacSearch], values: Document) -> PgstacSearch:
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise asked.invalid(f"{'.'.join(str(x) for x in first['loc']) or 'search'}: {first['msg']}") from error


def _from_parameters(given: Document) -> Document:
    """A GET's parameters as a search document. Raises Problem 400."""
    plain = {name: given.get(name) for name in ("collections", "ids", "bbox", "datetime", "limit")}
    if intersects := given.get("intersects"):
        plain["intersects"] = asked.decode(intersects, "intersects")
    checked = _search(PgstacSearch, {name: value for name, value in plain.items() if value is not None})
    document: Document = checked.model_dump(mode="json", by_alias=True, exclude_none=True)
    document |= {
        "query": _query(given.get("query")),
        "filter": given.get("filter_expr"),
        "filter-lang": given.get("filter_lang") or "cql2-text",
        "sortby": asked.sort_clauses(given.get("sortby")),
        "token": given.get("token"),
    }
    document = {name: value for name, value in document.items() if value is not None}
    document["fields"] = asked.field_sets(given.get("fields"))
    return document


def _with(request: Request, href: str, **changes: str) -> str:
    """`href` with the request's own query, some of it replaced."""
    if request.method != "GET":
        return href
    query = [(name, value) for name, value in parse_qsl(request.url.query) if name not in changes]
    query += list(changes.items())
    return f"{href}?{urlencode(query)}" if query else href


async def _page(request: Request, here: str, rel: str, token: str) -> Document:
    """A paging link, of the request's own method."""
    if request.method == "POST":
        body = orjson.loads(await request.body() or b"{}")
        return link(rel, here, GEOJSON, method="POST", body={**body, "token": token})
    return link(rel, _with(request, here, token=token), GEOJSON, method="GET")
