"""What may be filtered and sorted by, as JSON Schema: what the caller may know of what the caller sees."""

from __future__ import annotations

from typing import Any

import attr
from bocage_kit.access import caller
from bocage_kit.problems import not_found
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from stac_fastapi.pgstac.extensions import FiltersClient

from bocage_catalogue import language, registry, subjects
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.authority import Reader
from bocage_catalogue.collection_search import collection_rows
from bocage_catalogue.kinds import BOOLEAN, GEOMETRY, MOMENT, NUMBER, SCALARS, TEXT
from bocage_catalogue.present import stac

SORTABLES = "http://www.opengis.net/def/rel/ogc/1.0/sortables"
_SCHEMA = "application/schema+json"
_TYPES = {TEXT: "string", NUMBER: "number", BOOLEAN: "boolean", MOMENT: "string", "array": "array", "object": "object"}
_TITLES = {
    "id": "Identifier", "collection": "Collection", "geometry": "Footprint", "datetime": "Acquired",
    "start_datetime": "Start of acquisition", "end_datetime": "End of acquisition", "created": "Metadata created",
    "updated": "Metadata updated", "published": "Published", "expires": "Expires", "unpublished": "Unpublished",
    "title": "Title", "description": "Description", "keywords": "Keywords",
}  # fmt: skip


def _title(name: str, tongue: str) -> str:
    english = _TITLES.get(name) or name.rpartition(":")[2].replace("_", " ").capitalize() or name
    return language.say(english, tongue)


def _schema(name: str, kinds: frozenset[str], tongue: str) -> dict[str, Any]:
    if kinds == {GEOMETRY}:
        return {"title": _title(name, tongue), "$ref": "https://geojson.org/schema/Geometry.json"}
    types = sorted({_TYPES[kind] for kind in kinds if kind in _TYPES})
    found: dict[str, Any] = {"title": _title(name, tongue), "type": types[0] if len(types) == 1 else types}
    return {**found, "format": "date-time"} if MOMENT in kinds else found


def _subject(name: str, tongue: str) -> dict[str, Any]:
    """What a collection, or that of an item, is about."""
    scheme = subjects.scheme_of(name)
    return {"title": scheme.title[tongue], "type": "string", "enum": list(scheme.concepts)}


async def document(request: Request, what: str, collection: str | None) -> Response:
    """The queryables or the sortables of one collection, or of all. Raises Problem 404."""
    identity, database, tongue = caller(request), database_of(request), language.of(request)
    rows = await collection_rows(database, identity)
    if collection is not None and (collection not in rows or not rows[collection].visible):
        raise not_found(f"Collection {collection}")
    unseen = [name for name, row in rows.items() if not row.visible]
    async with database.reading() as connection:
        known = await registry.thorough(connection, identity, unseen, collection)
    told = registry.told(known)
    if what == "sortables":
        told = {name: sortable for name, kinds in told.items() if (sortable := kinds & set(SCALARS))}
    properties = {name: _schema(name, kinds, tongue) for name, kinds in told.items()}
    if what == "queryables":
        properties |= {name: _subject(name, tongue) for name in subjects.FILTERS}
    holder = language.say("all collections", tongue) if collection is None else rows[collection].title or collection
    path = (what,) if collection is None else ("collections", collection, what)
    return answer(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": stac(identity.public_base, *path),
            "type": "object",
            "title": f"{language.say(what.capitalize(), tongue)} – {holder}",
            "properties": properties,
            "additionalProperties": False,
        },
        _SCHEMA,
        headers={"Content-Language": tongue},
    )


@attr.s
class QueryablesClient(FiltersClient):
    """The queryables where stac-fastapi asks for them."""

    async def get_queryables(self, request: Request, collection_id: str | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        return await document(request, "queryables", collection_id)


def router() -> APIRouter:
    """The sortables, which stac-fastapi has no routes for."""
    made = APIRouter(prefix="/stac", dependencies=[Depends(Reader())], tags=["Sort Extension"])
    content: dict[int | str, dict[str, Any]] = {200: {"content": {_SCHEMA: {}}, "description": "A JSON Schema."}}

    @made.get("/sortables", summary="What items of all collections may be sorted by", responses=content)
    async def sortables(request: Request) -> Response:
        return await document(request, "sortables", None)

    @made.get(
        "/collections/{collection_id}/sortables",
        summary="What the items of a collection may be sorted by",
        responses=content,
    )
    async def collection_sortables(request: Request, collection_id: str) -> Response:
        return await document(request, "sortables", collection_id)

    return made
