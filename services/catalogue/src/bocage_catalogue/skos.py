"""The vocabulary as SKOS in JSON-LD: whoever asks, the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bocage_theia.vocabulary import Concept, Scheme, vocabulary

from bocage_catalogue.concepts import concept_url, scheme_url

Document = dict[str, Any]

JSON_LD = "application/ld+json"
_SKOS, _TERMS = "http://www.w3.org/2004/02/skos/core#", "http://purl.org/dc/terms/"
_LINKS = ("inScheme", "topConceptOf", "hasTopConcept", "broader", "narrower", "relatedMatch")
# Within the document: nobody has to fetch it.
CONTEXT: Mapping[str, Any] = {
    "@version": 1.1,
    "skos": _SKOS,
    "id": "@id",
    "type": "@type",
    **{name: {"@id": f"skos:{name}", "@type": "@id"} for name in _LINKS},
    **{
        name: {"@id": f"skos:{name}", "@container": "@language"}
        for name in ("prefLabel", "altLabel", "definition", "scopeNote")
    },
    "notation": {"@id": "skos:notation"},
    "title": {"@id": f"{_TERMS}title", "@container": "@language"},
    "description": {"@id": f"{_TERMS}description", "@container": "@language"},
    "source": {"@id": f"{_TERMS}source"},
    "seeAlso": {"@id": "http://www.w3.org/2000/01/rdf-schema#seeAlso", "@type": "@id"},
}


def of_schemes(base: str, schemes: Iterable[Scheme]) -> Document:
    """Schemes with all their concepts."""
    graph: list[Document] = []
    for scheme in schemes:
        graph.append(_scheme(base, scheme))
        graph += (_concept(base, scheme, one) for one in scheme.concepts.values())
    return {"@context": dict(CONTEXT), "@graph": graph}


def of_concept(base: str, concept: Concept) -> Document:
    return {"@context": dict(CONTEXT), **_concept(base, vocabulary().schemes[concept.scheme], concept)}


def _scheme(base: str, scheme: Scheme) -> Document:
    return {
        "id": scheme_url(base, scheme.id),
        "type": "skos:ConceptScheme",
        "title": dict(scheme.title),
        "description": dict(scheme.description),
        "source": scheme.source,
        "hasTopConcept": [concept_url(base, scheme.id, name) for name in scheme.top()],
    }


def _concept(base: str, scheme: Scheme, concept: Concept) -> Document:
    own = scheme_url(base, scheme.id)

    def urls(names: Iterable[str]) -> list[str]:
        return [concept_url(base, scheme.id, name) for name in names]

    made: Document = {
        "id": concept_url(base, scheme.id, concept.id),
        "type": "skos:Concept",
        "inScheme": own,
        "notation": concept.id,
        "prefLabel": dict(concept.labels),
        "altLabel": _others(concept),
        "broader": urls(concept.broader),
        "narrower": urls(scheme.narrower(concept.id)),
        "relatedMatch": [concept_url(base, "themes", theme) for theme in concept.themes],
        "definition": dict(concept.definitions),
        "scopeNote": {"en": concept.note} if concept.note else {},
        "source": concept.source,
        "seeAlso": concept.address,
    }
    if not concept.broader:
        made["topConceptOf"] = own
    return {name: value for name, value in made.items() if value}


def _others(concept: Concept) -> Document:
    """Other names; a name that is preferred in a language is no other one in it (SKOS, S13)."""
    told: Document = {
        language: [name for name in names if name != concept.labels[language]]
        for language, names in concept.alternatives.items()
    }
    if concept.acronyms:
        told["@none"] = list(concept.acronyms)
    return {language: names for language, names in told.items() if names}
