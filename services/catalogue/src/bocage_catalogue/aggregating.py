"""The routes of the aggregation extension."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from bocage_kit.access import caller
from bocage_kit.problems import not_found
from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import Response

from bocage_catalogue import aggregation, subjects
from bocage_catalogue.aggregation import MOST_PRECISION, NAMES
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.asking import decoded, from_body, from_parameters
from bocage_catalogue.attending import ClientLeft, attended
from bocage_catalogue.authority import Reader
from bocage_catalogue.carefully import carefully
from bocage_catalogue.collection_search import collection_rows
from bocage_catalogue.conditions import Search
from bocage_catalogue.paging import with_query
from bocage_catalogue.present import Document, link, stac
from bocage_catalogue.refusals import refused
from bocage_catalogue.subject_parameters import SubjectParameters

_ABOUT = f"Some of {', '.join(NAMES)}, with commas between them."


def _parameters(
    aggregations: Annotated[str | None, Query(max_length=2000, description=_ABOUT)] = None,
    collections: Annotated[str | None, Query(max_length=20_000, description="Ids, with commas between them.")] = None,
    ids: Annotated[str | None, Query(max_length=100_000, description="Ids, with commas between them.")] = None,
    bbox: Annotated[str | None, Query(max_length=300, description="Four or six numbers.")] = None,
    datetime: Annotated[str | None, Query(max_length=100, description="An instant, or start/end.")] = None,
    intersects: Annotated[str | None, Query(description="A GeoJSON geometry.")] = None,
    query: Annotated[str | None, Query(description="Conditions of the query extension, as JSON.")] = None,
    q: Annotated[str | None, Query(max_length=5000, description="Words.")] = None,
    filter: Annotated[str | None, Query(description="A condition in CQL2.")] = None,
    filter_lang: Annotated[Literal["cql2-text", "cql2-json"] | None, Query(alias="filter-lang")] = None,
    filter_crs: Annotated[str | None, Query(alias="filter-crs", max_length=200)] = None,
    about: SubjectParameters = Depends(),
    datetime_frequency_interval: Annotated[
        Literal["year", "month", "day"] | None, Query(description="How long a bucket of datetime_frequency is.")
    ] = None,
    centroid_geohash_grid_frequency_precision: Annotated[
        int | None, Query(ge=1, le=MOST_PRECISION, description="How many characters a geohash has.")
    ] = None,
) -> Document:
    def parts(text: str | None) -> list[str] | None:
        return None if text is None else [part.strip() for part in text.split(",")]

    return {
        "aggregations": parts(aggregations),
        "collections": parts(collections),
        "ids": parts(ids),
        "bbox": _numbers(parts(bbox)),
        "datetime": datetime,
        "intersects": intersects,
        "query": query,
        "q": parts(q),
        "filter_expr": filter,
        "filter_lang": filter_lang,
        "filter_crs": filter_crs,
        **about.given(),
        "datetime_frequency_interval": datetime_frequency_interval,
        "centroid_geohash_grid_frequency_precision": centroid_geohash_grid_frequency_precision,
    }


def _numbers(parts: list[str] | None) -> list[float] | None:
    try:
        return None if parts is None else [float(part) for part in parts]
    except ValueError as error:
        raise refused("bbox", "it must hold four or six numbers, with commas between them") from error


Parameters = Annotated[Document, Depends(_parameters)]
_Member = Annotated[Any, Body(description=f"The members of a search, and aggregations: a list of {', '.join(NAMES)}.")]


async def _body(request: Request) -> Document:
    found = decoded((await request.body()).decode("utf-8", "replace") or "{}", "The body")
    if not isinstance(found, dict):
        raise refused("body", "an aggregation is asked for by a JSON object")
    return found


async def _aggregated(request: Request, given: Document, search: Search, *holder: str) -> Response:
    identity, database = caller(request), database_of(request)
    asked = aggregation.wanted(given)
    rows = await collection_rows(database, identity)
    if holder:
        name = holder[-1]
        if name not in rows or not rows[name].visible:
            raise not_found(f"Collection {name}")
    search = await subjects.resolved(database, identity, search)
    try:
        async with attended(request), database.turns.taken(identity.subject):
            found = await carefully(search, lambda s: aggregation.numbers(database, identity, rows, s, asked))
    except ClientLeft:
        return Response(status_code=499)  # which nobody reads
    base = identity.public_base
    here = stac(base, *holder, "aggregate")
    return answer(
        {
            "type": "AggregationCollection",
            "aggregations": aggregation.told(found, asked),
            "links": [
                link("root", stac(base)),
                link("self", with_query(request, here)),
                *([link("collection", stac(base, *holder))] if holder else []),
            ],
        }
    )


async def _offered(request: Request, *holder: str) -> Response:
    identity = caller(request)
    base = identity.public_base
    if holder:
        rows = await collection_rows(database_of(request), identity)
        if holder[-1] not in rows or not rows[holder[-1]].visible:
            raise not_found(f"Collection {holder[-1]}")
    names = [
        {"name": name, "data_type": "interval_month" if kind == "interval" else kind} for name, kind in NAMES.items()
    ]
    own = link("self", stac(base, *holder, "aggregations"))
    parent = [link("collection", stac(base, *holder))] if holder else []
    return answer(
        {"type": "AggregationCollection", "aggregations": names, "links": [link("root", stac(base)), own, *parent]}
    )


def router() -> APIRouter:
    made = APIRouter(prefix="/stac", dependencies=[Depends(Reader())], tags=["Aggregation Extension"])

    @made.get("/aggregations", summary="Which numbers there are of what is found", response_class=Response)
    async def aggregations(request: Request) -> Response:
        return await _offered(request)

    @made.get("/aggregate", summary="Numbers of what a search finds", response_class=Response)
    async def aggregate(request: Request, given: Parameters) -> Response:
        return await _aggregated(request, given, from_parameters(given))

    @made.post("/aggregate", summary="Numbers of what a search finds", response_class=Response)
    async def aggregate_by_body(request: Request, body: _Member) -> Response:
        given = await _body(request)
        return await _aggregated(request, given, from_body(given))

    @made.get(
        "/collections/{collection_id}/aggregations",
        summary="Which numbers there are of a collection's items",
        response_class=Response,
    )
    async def aggregations_of(request: Request, collection_id: str) -> Response:
        return await _offered(request, "collections", collection_id)

    @made.get(
        "/collections/{collection_id}/aggregate", summary="Numbers of a collection's items", response_class=Response
    )
    async def aggregate_of(request: Request, collection_id: str, given: Parameters) -> Response:
        search = from_parameters(given | {"collections": [collection_id]})
        return await _aggregated(request, given, search, "collections", collection_id)

    @made.post(
        "/collections/{collection_id}/aggregate", summary="Numbers of a collection's items", response_class=Response
    )
    async def aggregate_of_by_body(request: Request, collection_id: str, body: _Member) -> Response:
        given = await _body(request)
        search = from_body(given | {"collections": [collection_id]})
        return await _aggregated(request, given, search, "collections", collection_id)

    return made
