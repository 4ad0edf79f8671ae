"""The entry portals: views of one catalogue, each with the collections that name it. Objects are the same in all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from bocage_kit.access import caller
from bocage_kit.problems import not_found
from bocage_theia.vocabulary import Concept, vocabulary
from fastapi import APIRouter, Body, Depends, Path, Request
from fastapi.responses import Response

from bocage_catalogue import collection_search, conformance, language, present, searching, subjects
from bocage_catalogue.answers import answer, database_of
from bocage_catalogue.asking import decoded, from_body, from_parameters, look_of_body, look_of_parameters
from bocage_catalogue.authority import Reader
from bocage_catalogue.collection_search import CollectionsRequest, collection_rows
from bocage_catalogue.concepts import close, concept_url
from bocage_catalogue.conditions import Search
from bocage_catalogue.language import say
from bocage_catalogue.present import GEOJSON, JSON, Document, Link, link, stac
from bocage_catalogue.subjects import Subject
from bocage_catalogue.visibility import CollectionRow

STAC_VERSION = "1.1.0"
_MOST = 1000
PortalId = Annotated[str, Path(max_length=100, description="The portal's id, such as `theia`.")]
CollectionId = Annotated[str, Path(max_length=255, description="The collection's id.")]


def router(search_parameters: type[Any], search_members: type[Any]) -> APIRouter:
    """The routes of all portals; searches take what the whole catalogue's take."""
    made = APIRouter(prefix="/stac/catalogs", dependencies=[Depends(Reader())], tags=["Portals"])

    async def by_parameters(request: Request, portal_id: PortalId, given: Any) -> Response:
        return await searched(request, portal_id, given.kwargs())

    async def by_body(request: Request, portal_id: PortalId, members: Any) -> Response:
        return await searched_by_body(request, portal_id)

    # FastAPI reads them here, where the types are known.
    by_parameters.__annotations__["given"] = Annotated[Any, Depends(search_parameters)]
    by_body.__annotations__["members"] = Annotated[search_members, Body()]
    for path, endpoint, method, summary in (
        ("", all_portals, "GET", "The entry portals"),
        ("/{portal_id}", one_portal, "GET", "An entry portal, as a catalogue"),
        ("/{portal_id}/collections", collections, "GET", "The collections of a portal"),
        ("/{portal_id}/collections/{collection_id}", collection, "GET", "A collection of a portal"),
        ("/{portal_id}/search", by_parameters, "GET", "A search among the items of a portal"),
        ("/{portal_id}/search", by_body, "POST", "A search among the items of a portal"),
    ):
        made.add_api_route(path, endpoint, methods=[method], summary=summary, response_class=Response)
    return made


def known(name: str) -> Concept:
    """A portal. Raises Problem 404."""
    scheme = vocabulary().schemes["portals"]
    found = scheme.concepts.get(name)
    if found is None:
        problem = not_found(f"The portal {name[:60]}")
        problem.detail += f" There is {', '.join(close(scheme, name) or scheme.concepts)}."
        raise problem
    return found


def portals() -> list[Concept]:
    return list(vocabulary().schemes["portals"].concepts.values())


def portal_url(base: str, portal: str, *segments: str) -> str:
    return stac(base, "catalogs", portal, *segments)


def child_links(base: str, tongue: str) -> list[Link]:
    """The portals as children of the root."""
    return [link("child", portal_url(base, one.id), JSON, one.labels[tongue]) for one in portals()]


async def catalogs(request: Request, rows: Mapping[str, CollectionRow]) -> list[Document]:
    """All portals as STAC catalogues, with the collections that the caller sees."""
    identity = caller(request)
    about = await subjects.about_all(database_of(request), identity)
    titles = {name: row.title or name for name, row in rows.items() if row.visible}
    base, tongue = identity.public_base, language.of(request)
    made = []
    for portal in portals():
        within = [one.collection for one in about if portal.id in one.under("portals") and one.collection in titles]
        made.append(_catalog(portal, [(name, titles[name]) for name in within[:_MOST]], base, tongue))
    return made


def _catalog(portal: Concept, children: list[tuple[str, str]], base: str, tongue: str) -> Document:
    own = portal_url(base, portal.id)
    search = f"{own}/search"
    schema = "application/schema+json"
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "stac_extensions": [language.EXTENSION],
        "id": portal.id,
        "title": portal.labels[tongue],
        "description": portal.definitions.get(tongue) or portal.labels[tongue],
        "language": language.about(tongue),
        "languages": language.others(tongue),
        "conformsTo": list(conformance.PORTAL_CLASSES),
        "links": [
            link("self", own, JSON, say("This document", tongue), hreflang=tongue),
            link("root", stac(base), JSON, say("Root", tongue)),
            link("parent", stac(base), JSON, say("Root", tongue)),
            link("alternate", f"{own}?language=en", JSON, say("In English", tongue), hreflang="en"),
            link("alternate", f"{own}?language=fr", JSON, say("In French", tongue), hreflang="fr"),
            link("data", f"{own}/collections", JSON, say("Collections", tongue)),
            link("search", search, GEOJSON, say("Search [GET]", tongue), method="GET"),
            link("search", search, GEOJSON, say("Search [POST]", tongue), method="POST"),
            link(present.QUERYABLES, stac(base, "queryables"), schema, say("Queryables", tongue)),
            link(present.SORTABLES, stac(base, "sortables"), schema, say("Sortables", tongue)),
            link("conformance", stac(base, "conformance"), JSON, say("Conformance classes", tongue)),
            link("about", concept_url(base, "portals", portal.id), JSON, portal.labels[tongue]),
            *(link("child", stac(base, "collections", name), JSON, title) for name, title in children),
        ],
    }


async def all_portals(request: Request) -> Response:
    """The portals, in full."""
    identity, tongue = caller(request), language.of(request)
    base = identity.public_base
    found = await catalogs(request, await collection_rows(database_of(request), identity))
    own = stac(base, "catalogs")
    return answer(
        {
            "catalogs": found,
            "links": [link("self", own), link("root", stac(base)), link("parent", stac(base))],
            "numberMatched": len(found),
            "numberReturned": len(found),
        },
        headers={"Content-Language": tongue},
    )


async def one_portal(request: Request, portal_id: PortalId) -> Response:
    """A portal as a STAC catalogue. Raises Problem 404."""
    known(portal_id)
    identity, tongue = caller(request), language.of(request)
    found = await catalogs(request, await collection_rows(database_of(request), identity))
    shown = next(one for one in found if one["id"] == portal_id)
    return answer(shown, headers={"Content-Language": tongue})


async def collections(
    request: Request, portal_id: PortalId, given: Annotated[CollectionsRequest, Depends()]
) -> Response:
    """The collections of a portal, searched among like all. Raises Problem 404."""
    known(portal_id)
    asked = {name: value for name, value in given.kwargs().items() if value is not None}
    return await collection_search.listed(request, asked, (Subject("portal", (portal_id,)),), "catalogs", portal_id)


async def collection(request: Request, portal_id: PortalId, collection_id: CollectionId) -> Response:
    """A collection of a portal: the same object as everywhere, with the same links. Raises Problem 404."""
    known(portal_id)
    about = await subjects.about_all(database_of(request), caller(request))
    if not any(one.collection == collection_id and portal_id in one.under("portals") for one in about):
        raise not_found(f"Collection {collection_id} of the portal {portal_id}")
    return await collection_search.one_collection(request, collection_id)


def _within(search: Search, portal: str) -> Search:
    return replace(search, about=(*search.about, Subject("portal", (known(portal).id,))))


async def searched(request: Request, portal: str, given: Mapping[str, Any]) -> Response:
    """A search among a portal's items by GET. Raises Problem 404."""
    search, look = _within(from_parameters(given), portal), look_of_parameters(given)
    return await _found(request, portal, search, look)


async def searched_by_body(request: Request, portal: str) -> Response:
    """The same by POST."""
    body = decoded(await request.body(), "the body")
    search, look = _within(from_body(body), portal), look_of_body(body)
    return await _found(request, portal, search, look)


async def _found(request: Request, portal: str, search: Search, look: Any) -> Response:
    identity = caller(request)
    rows = await collection_rows(database_of(request), identity)
    here = portal_url(identity.public_base, portal)
    return await searching.found_items(request, rows, search, look, f"{here}/search", link("parent", here))
