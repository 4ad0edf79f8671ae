"""The root catalogue, and its children."""

from __future__ import annotations

from bocage_kit.access import caller
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from bocage_catalogue import language, portals, present
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.authority import Reader
from bocage_catalogue.collection_search import collection_rows, seen_collections
from bocage_catalogue.export_formats import NDJSON
from bocage_catalogue.language import say
from bocage_catalogue.present import GEOJSON, JSON, Document, Link, link, stac

_CHILDREN = 1000
_SCHEMA = "application/schema+json"
_OPENAPI = "application/vnd.oai.openapi+json;version=3.1"


def router() -> APIRouter:
    """`/stac/children`: the objects that the root's `child` links lead to."""
    made = APIRouter(prefix="/stac", dependencies=[Depends(Reader())])
    made.add_api_route("/children", children, methods=["GET"], response_class=Response)
    return made


async def landing_page(request: Request, about: Document, classes: list[str]) -> Response:
    """The root catalogue; `about` holds its id, title, description and version."""
    identity, tongue = caller(request), language.of(request)
    rows = await collection_rows(database_of(request), identity)
    seen = [(name, row.title) for name, row in rows.items() if row.visible][:_CHILDREN]
    base = identity.public_base
    return answer(
        {
            "type": "Catalog",
            **about,
            "title": say(about["title"], tongue),
            "description": say(about["description"], tongue),
            "stac_extensions": [language.EXTENSION],
            "language": language.about(tongue),
            "languages": language.others(tongue),
            "conformsTo": classes,
            "links": [
                *_links(base, tongue),
                *portals.child_links(base, tongue),
                *(link("child", stac(base, "collections", name), JSON, title or name) for name, title in seen),
            ],
        },
        headers={"Content-Language": tongue},
    )


def _links(base: str, tongue: str) -> list[Link]:
    root, search = stac(base), stac(base, "search")

    def titled(rel: str, href: str, type_: str, title: str, **members: str) -> Link:
        return link(rel, href, type_, say(title, tongue), **members)

    return [
        titled("self", root, JSON, "This document", hreflang=tongue),
        titled("root", root, JSON, "Root", hreflang=tongue),
        titled("alternate", f"{root}?language=en", JSON, "In English", hreflang="en"),
        titled("alternate", f"{root}?language=fr", JSON, "In French", hreflang="fr"),
        titled("data", stac(base, "collections"), JSON, "Collections"),
        titled("children", stac(base, "children"), JSON, "Children"),
        titled("conformance", stac(base, "conformance"), JSON, "Conformance classes"),
        titled("search", search, GEOJSON, "Search [GET]", method="GET"),
        titled("search", search, GEOJSON, "Search [POST]", method="POST"),
        titled(present.QUERYABLES, stac(base, "queryables"), _SCHEMA, "Queryables", method="GET"),
        titled(present.SORTABLES, stac(base, "sortables"), _SCHEMA, "Sortables", method="GET"),
        titled("aggregate", stac(base, "aggregate"), JSON, "Aggregate", method="GET"),
        titled("aggregations", stac(base, "aggregations"), JSON, "Aggregations", method="GET"),
        titled("export", stac(base, "export"), NDJSON.media_type, "All items of a search", method="GET"),
        titled("changes", stac(base, "changes"), JSON, "Changes", method="GET"),
        titled("vocabulary", stac(base, "vocabulary"), JSON, "Vocabulary", method="GET"),
        titled("catalogs", stac(base, "catalogs"), JSON, "Entry portals", method="GET"),
        titled("deposits", stac(base, "deposits"), JSON, "Deposits", method="GET"),
        titled("service-desc", f"{base}/openapi.json", _OPENAPI, "OpenAPI", hreflang="en"),
        titled("service-doc", f"{base}/docs", "text/html", "Documentation of the API", hreflang="en"),
    ]


async def children(request: Request) -> Response:
    """The portals and the collections that the root has as children, in full."""
    identity, tongue = caller(request), language.of(request)
    views = await portals.catalogs(request, await collection_rows(database_of(request), identity))
    rows, _ = await seen_collections(database_of(request), identity, _CHILDREN)
    base = identity.public_base
    return answer(
        {
            "children": [*views, *(present.collection(row.stored, identity, tongue) for row in rows)],
            "links": [link("root", stac(base)), link("self", stac(base, "children"))],
        },
        headers={"Content-Language": tongue},
    )
