"""Records that nobody writes: centres, domains, hubs and networks of the vocabulary, and producers of product lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bocage_theia.product_records import Record
from bocage_theia.vocabulary import Concept, vocabulary

Document = dict[str, Any]

# What a concept of a scheme is: prefix of its record's id, kind, and what is said of it in both languages.
_KINDS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "cds": (
        "cds", "data and service centre",
        {
            "en": "Keeps observations and products for the long term; computes, describes, publishes and shows.",
            "fr": "Conserve observations et produits sur le long terme, calcule, décrit, diffuse et montre.",
        },
    ),
    "ces": (
        "ces", "expertise centre",
        {
            "en": "A scientific expertise centre of the THEIA hub.",
            "fr": "Un centre d'expertise scientifique du pôle THEIA.",
        },
    ),
    "domains": (
        "domain", "expertise domain",
        {
            "en": "One of the five domains under which the THEIA hub gathers its centres of expertise.",
            "fr": "L'un des cinq domaines sous lesquels le pôle THEIA réunit ses centres d'expertise.",
        },
    ),
    "portals": (
        "hub", "hub",
        {
            "en": "One of the six entry portals of Data Terra.",
            "fr": "L'un des six portails d'entrée de Data Terra.",
        },
    ),
    "art": (
        "art", "regional thematic network",
        {
            "en": "Brings together scientists, public bodies and users of data about the environment.",
            "fr": "Réunit scientifiques, acteurs publics et utilisateurs de données environnementales.",
        },
    ),
}  # fmt: skip
_PLACES = {
    "toulouse": "toulouse", "montpellier": "montpellier", "grenoble": "grenoble", "strasbourg": "strasbourg",
    "bourgogne-franche-comte": "bourgogne-franche-comte", "bretagne": "bretagne", "geodev": "world?",
    "nouvelle-caledonie-pacifique": "nouvelle-caledonie",
}  # fmt: skip
_CONCLUDED = {
    "en": "No source that was read confirms it: it is concluded from the product lines.",
    "fr": "Aucune source lue ne le confirme : il est déduit des produits.",
}
# Providers that are the hub itself, and its centre of Montpellier.
_RECORDS_ALREADY = ("theia", "theia-mtd")
# The region of soil maps, of which the presentation tells no network.
_NO_NETWORK = "languedoc-roussillon"


def organisations(made: Sequence[Document]) -> dict[str, Record]:
    """Hubs, data centres, centres and domains of expertise; `made` are the product lines as collections."""
    return {
        f"{_KINDS[scheme][0]}-{concept.id}": _record(concept, made)
        for scheme in ("portals", "cds", "domains", "ces")
        for concept in vocabulary().schemes[scheme].concepts.values()
    }


def networks(made: Sequence[Document]) -> dict[str, Record]:
    """The regional thematic networks."""
    concepts = vocabulary().schemes["art"].concepts.values()
    return {f"art-{concept.id}": _record(concept, made) for concept in concepts if concept.id != _NO_NETWORK}


def _record(concept: Concept, made: Sequence[Document]) -> Document:
    _, kind, said = _KINDS[concept.scheme]
    place = _PLACES.get(concept.id, "world?" if concept.scheme == "portals" else "france?")
    missing = [] if concept.contacts else ["contacts"]
    if concept.scheme == "art" and concept.state is None:
        missing.append("state")
    if concept.assumed:
        missing.append("whether it is the sixth portal" if concept.scheme == "portals" else "a source that confirms it")
    details: Document = {"kind": kind}
    for member in ("host", "state", "address"):
        if value := getattr(concept, member):
            details[member] = value
    if concept.members:
        details["members"] = list(concept.members)
    record: Document = {
        "title": dict(concept.labels),
        "description": {language: _said(concept, said, language) for language in ("en", "fr")},
        "keywords": {language: _keywords(concept, language) for language in ("en", "fr")},
        "place": place,
        "themes": {concept.scheme: [concept.id]},
        # What every product line says leads nowhere.
        "products": [] if concept.scheme == "portals" else _about(concept, made),
        "details": details,
        "unknown": missing,
        "sources": ["deck"] if concept.scheme in ("cds", "art") else ["theia-hub"],
    }
    if concept.scheme == "portals":
        record["sources"] = ["deck", "data-terra", "aeris", "theia-hub"]
    if concept.contacts:
        record["contacts"] = [
            {
                "name": contact.name,
                "organization": concept.labels["en"],
                **({"emails": [{"value": contact.email}]} if contact.email else {}),
            }
            for contact in concept.contacts
        ]
    if concept.address:
        record["links"] = {concept.labels["en"]: concept.address}
    return record


def _said(concept: Concept, said: Mapping[str, str], language: str) -> str:
    parts = [concept.definitions.get(language, ""), said[language]]
    if concept.host:
        parts.append({"en": f"Hosted by {concept.host}.", "fr": f"Hébergé par {concept.host}."}[language])
    if concept.assumed and concept.scheme == "ces":
        parts.append(_CONCLUDED[language])
    return " ".join(part for part in parts if part)


def _keywords(concept: Concept, language: str) -> list[str]:
    kinds = {
        "cds": {"en": "data centre", "fr": "centre de données"},
        "ces": {"en": "expertise centre", "fr": "centre d'expertise scientifique"},
        "domains": {"en": "expertise domain", "fr": "domaine d'expertise"},
        "portals": {"en": "hub", "fr": "pôle"},
        "art": {"en": "regional network", "fr": "animation régionale thématique"},
    }
    return [kinds[concept.scheme][language], *concept.acronyms, *concept.alternatives.get(language, ())]


def _about(concept: Concept, made: Sequence[Document]) -> list[str]:
    """The product lines that name a concept."""
    scheme = f"vocabulary/{concept.scheme}"
    return [
        document["id"]
        for document in made
        for entry in document["themes"]
        if entry["scheme"] == scheme and {"id": concept.id} in entry["concepts"]
    ]


def producers(providers: Mapping[str, Record], made: Sequence[Document]) -> dict[str, Record]:
    """Who makes, computes or keeps product lines, by the key of the provider."""
    return {key: _producer(provider, made) for key, provider in providers.items() if key not in _RECORDS_ALREADY}


def _producer(provider: Record, made: Sequence[Document]) -> Document:
    name = provider["name"]
    told = {
        document["id"]: each["roles"]
        for document in made
        for each in document["providers"]
        if each["name"] == name
    }  # fmt: skip
    roles = list(dict.fromkeys(role for each in told.values() for role in each))
    count = len(told)
    return {
        "title": {"en": name, "fr": name},
        "description": {
            "en": f"Provider of {count} product line{'s' if count != 1 else ''} of the THEIA hub.",
            "fr": f"Fournisseur de {count} produit{'s' if count != 1 else ''} du pôle THEIA.",
        },
        "keywords": {"en": ["producer"], "fr": ["producteur"]},
        "place": "world?",
        "products": list(told),
        "details": {"kind": "producer", "roles": roles},
        "unknown": ["contacts"],
        "links": {name: provider["url"]} if "url" in provider else {},
        "sources": ["deck"],
    }
