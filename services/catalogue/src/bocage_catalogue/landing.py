"""The root catalogue."""

from __future__ import annotations

from bocage_kit.access import caller
from fastapi import Request
from fastapi.responses import Response

from bocage_catalogue import present
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.collection_search import collection_rows
from bocage_catalogue.present import GEOJSON, JSON, Document, link, stac

_CHILDREN = 1000


async def landing_page(request: Request, about: Document, classes: list[str]) -> Response:
    """The root catalogue; `about` holds its id, title, description and version."""
    identity = caller(request)
    base = identity.public_base
    rows = await collection_rows(database_of(request), identity)
    search = stac(base, "search")
    children = [(name, row.title) for name, row in rows.items() if row.visible][:_CHILDREN]
    return answer(
        {
            "type": "Catalog",
            **about,
            "conformsTo": classes,
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
