"""`/stac/vocabulary`: schemes and concepts, with what collections there are about each, as far as the caller sees."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal

import orjson
from bocage_kit.access import caller
from bocage_kit.licences import licences_of
from bocage_kit.problems import Problem, not_found
from bocage_theia.vocabulary import Concept, Scheme, vocabulary
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from bocage_catalogue import language, skos, subjects
from bocage_catalogue.answers import database_of, link_header
from bocage_catalogue.authority import Reader
from bocage_catalogue.collection_search import collection_rows
from bocage_catalogue.concepts import close, concept_url, scheme_url
from bocage_catalogue.etags import tagged
from bocage_catalogue.language import say
from bocage_catalogue.present import GEOJSON, JSON, Document, Link, link, stac

BROADER, NARROWER = (f"http://www.w3.org/2004/02/skos/core#{name}" for name in ("broader", "narrower"))
# By name of the concept: the collections about it or about what is narrower, with their titles.
Holders = dict[str, list[tuple[str, str]]]
_PARAMETERS = {scheme: name for name, scheme in subjects.FILTERS.items()}
_ANY_JSON = frozenset((JSON, "application/*", "*/*"))
_QUALITY = re.compile(r"q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)")

Form = Annotated[
    Literal["json", "jsonld"] | None,
    Query(alias="f", description="`jsonld` is SKOS; without it, what Accept asks for, else JSON."),
]
SchemeId = Annotated[str, Path(max_length=100, description="The scheme's id, such as `variables`.")]
ConceptId = Annotated[str, Path(max_length=100, description="The concept's id, such as `albedo`.")]


def router() -> APIRouter:
    made = APIRouter(prefix="/stac/vocabulary", dependencies=[Depends(Reader())], tags=["Vocabulary"])

    @made.get("", summary="The vocabulary: its schemes", response_class=Response)
    async def schemes(request: Request, form: Form = None) -> Response:
        return await all_schemes(request, form)

    @made.get("/{scheme}", summary="The concepts of a scheme", response_class=Response)
    async def scheme(request: Request, scheme: SchemeId, form: Form = None) -> Response:
        return await one_scheme(request, scheme, form)

    @made.get("/{scheme}/{concept}", summary="A concept of the vocabulary", response_class=Response)
    async def concept(request: Request, scheme: SchemeId, concept: ConceptId, form: Form = None) -> Response:
        return await one_concept(request, scheme, concept, form)

    return made


async def all_schemes(request: Request, form: str | None) -> Response:
    base, tongue = caller(request).public_base, language.of(request)
    own = stac(base, "vocabulary")
    if _wants_skos(request, form):
        return _answer(request, skos.of_schemes(base, vocabulary().schemes.values()), skos.JSON_LD)
    told = [_about_scheme(one, base, tongue) for one in vocabulary().schemes.values()]
    return _answer(request, {"schemes": told, "links": _links(base, own, stac(base), tongue)})


async def one_scheme(request: Request, name: str, form: str | None) -> Response:
    """A scheme with its concepts. Raises Problem 404."""
    base, tongue, scheme = caller(request).public_base, language.of(request), _scheme(name)
    if _wants_skos(request, form):
        return _answer(request, skos.of_schemes(base, [scheme]), skos.JSON_LD)
    held = await holders(request, scheme)
    concepts = [_about_concept(one, scheme, held[one.id], base, tongue) for one in scheme.concepts.values()]
    links = _links(base, scheme_url(base, scheme.id), stac(base, "vocabulary"), tongue)
    return _answer(request, {**_about_scheme(scheme, base, tongue), "concepts": concepts, "links": links})


async def one_concept(request: Request, scheme_name: str, name: str, form: str | None) -> Response:
    """A concept, and the collections about it. Raises Problem 404."""
    base, tongue, scheme = caller(request).public_base, language.of(request), _scheme(scheme_name)
    concept = scheme.concepts.get(name)
    if concept is None:
        raise _missing(f"The concept {scheme.id}/{name[:60]}", close(scheme, name))
    if _wants_skos(request, form):
        return _answer(request, skos.of_concept(base, concept), skos.JSON_LD)
    held = (await holders(request, scheme))[concept.id]
    told = _about_concept(concept, scheme, held, base, tongue)
    told["links"] = [
        *_links(base, concept_url(base, scheme.id, concept.id), scheme_url(base, scheme.id), tongue),
        *(_to(rel, scheme, other, base, tongue)
          for rel, others in ((BROADER, concept.broader), (NARROWER, scheme.narrower(concept.id)))
          for other in others),
        *(link for link in told["links"] if link["rel"] in ("data", "items")),
        *(link("collection", stac(base, "collections", holder), JSON, title) for holder, title in held),
    ]  # fmt: skip
    return _answer(request, told)


async def holders(request: Request, scheme: Scheme) -> Holders:
    """Of each concept the collections that the caller sees, by id."""
    identity, database = caller(request), database_of(request)
    rows = await collection_rows(database, identity)
    seen = {name: row for name, row in rows.items() if row.visible}
    found: Holders = {name: [] for name in scheme.concepts}
    if scheme.id == "licences":
        under = {name: frozenset(licences_of(row.rights)) for name, row in seen.items()}
    else:
        under = {one.collection: one.under(scheme.id) for one in await subjects.about_all(database, identity)}
    for name, row in seen.items():
        for concept in under.get(name, ()):
            if concept in found:
                found[concept].append((name, row.title or name))
    return found


def _scheme(name: str) -> Scheme:
    found = vocabulary().schemes.get(name)
    if found is None:
        raise _missing(f"The scheme {name[:60]}", list(vocabulary().schemes))
    return found


def _missing(what: str, suggestions: Sequence[str]) -> Problem:
    problem = not_found(what)
    if suggestions:
        problem.detail += f" There is {', '.join(suggestions)}."
    return problem


def _about_scheme(scheme: Scheme, base: str, tongue: str) -> Document:
    own = scheme_url(base, scheme.id)
    made: Document = {
        "id": scheme.id,
        "title": scheme.title[tongue],
        "description": scheme.description[tongue],
        "source": scheme.source,
        "size": len(scheme.concepts),
        "links": [link("self", own), link("alternate", f"{own}?f=jsonld", skos.JSON_LD, "SKOS")],
    }
    if scheme.id in _PARAMETERS:
        made["parameter"] = _PARAMETERS[scheme.id]
    return made


def _about_concept(
    concept: Concept, scheme: Scheme, held: Sequence[tuple[str, str]], base: str, tongue: str
) -> Document:
    """A concept; what is not known of it is left out."""
    own = concept_url(base, scheme.id, concept.id)
    told: Document = {
        "id": concept.id,
        "scheme": scheme_url(base, scheme.id),
        "title": concept.labels[tongue],
        "description": concept.definitions.get(tongue),
        "labels": dict(concept.labels),
        "alternatives": {code: list(names) for code, names in concept.alternatives.items()},
        "acronyms": list(concept.acronyms),
        "broader": list(concept.broader),
        "narrower": list(scheme.narrower(concept.id)),
        "themes": list(vocabulary().themes_of(concept.id)) if scheme.id == "variables" else [],
        "variables": _presented(concept.id) if scheme.id == "themes" else [],
        "state": concept.state,
        "host": concept.host,
        "members": list(concept.members),
        "contacts": [{name: value for name, value in asdict(contact).items() if value} for contact in concept.contacts],
        "address": concept.address,
        "source": concept.source,
        "sources": dict(concept.sources),
        "note": concept.note,
        "assumed": concept.assumed,
    }
    made = {name: value for name, value in told.items() if value or name in ("broader", "narrower")}
    made["collections"] = len(held)
    made["links"] = [link("self", own), *_searches(concept, base, tongue)]
    return made


def _presented(theme: str) -> list[str]:
    variables = vocabulary().schemes["variables"].concepts
    return [name for name in variables if theme in vocabulary().themes_of(name)]


def _searches(concept: Concept, base: str, tongue: str) -> list[Link]:
    """The searches for what is about a concept, where there is a parameter for it."""
    parameter = _PARAMETERS.get(concept.scheme)
    if parameter is None:
        return []
    asked = f"?{parameter}={concept.id}"
    return [
        link("data", stac(base, "collections") + asked, JSON, say("Collections", tongue)),
        link("items", stac(base, "search") + asked, GEOJSON, say("Items", tongue)),
    ]


def _to(rel: str, scheme: Scheme, name: str, base: str, tongue: str) -> Link:
    return link(rel, concept_url(base, scheme.id, name), JSON, scheme.concepts[name].labels[tongue])


def _links(base: str, own: str, parent: str, tongue: str) -> list[Link]:
    return [
        link("self", own, JSON, say("This document", tongue), hreflang=tongue),
        link("root", stac(base), JSON, say("Root", tongue)),
        link("parent", parent),
        link("alternate", f"{own}?f=jsonld", skos.JSON_LD, "SKOS"),
        link("alternate", f"{own}?language=en", JSON, say("In English", tongue), hreflang="en"),
        link("alternate", f"{own}?language=fr", JSON, say("In French", tongue), hreflang="fr"),
    ]


def _wants_skos(request: Request, form: str | None) -> bool:
    """Whether JSON-LD is what the caller likes best; both alike is JSON."""
    if form is not None:
        return form == "jsonld"
    linked, plain = 0.0, 0.0
    for part in request.headers.get("accept", "").lower().split(","):
        kind, _, parameters = part.partition(";")
        quality = _QUALITY.search(parameters)
        weight = float(quality[1]) if quality else 1.0
        if kind.strip() == skos.JSON_LD:
            linked = max(linked, weight)
        elif kind.strip() in _ANY_JSON:
            plain = max(plain, weight)
    return linked > plain


def _answer(request: Request, document: Document, kind: str = JSON) -> Response:
    headers = {} if kind == skos.JSON_LD else {"Content-Language": language.of(request)}
    if links := document.get("links"):
        headers["Link"] = link_header(links)
    body = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return tagged(request, body, 0, kind, headers=headers)
