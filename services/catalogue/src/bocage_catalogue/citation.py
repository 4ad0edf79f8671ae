"""How a published collection is cited: a sentence, DataCite 4 metadata, and a Dataset of schema.org. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bocage_kit.language import ENGLISH
from bocage_kit.licences import licences_of

from bocage_catalogue.language import spoken, translations_of
from bocage_catalogue.minting import resolvable
from bocage_catalogue.present import licence_url

Document = dict[str, Any]

AUTHORS = frozenset(("author", "creator", "principalInvestigator"))
CONTACT = "contact"
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")
_KERNEL = "http://datacite.org/schema/kernel-4"
_SPDX = "https://spdx.org/licenses/"


@dataclass(frozen=True)
class Publication:
    """What a deposit knows that its collection does not say."""

    identifier: str
    version: str
    published: datetime
    publisher: str
    url: str
    """The landing page."""
    base: str
    previous: str | None = None
    """The identifier of the version before, and of the one after."""
    following: str | None = None


@dataclass(frozen=True)
class Name:
    """A person, or an organisation."""

    name: str
    personal: bool
    orcid: str | None = None
    affiliation: str | None = None
    email: str | None = None


def _listed(collection: Mapping[str, Any], member: str) -> list[Document]:
    found = collection.get(member)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _roles(one: Mapping[str, Any]) -> frozenset[str]:
    roles = one.get("roles")
    return frozenset(str(role) for role in roles) if isinstance(roles, list) else frozenset()


def _text(value: Any) -> str | None:
    return value.strip() if isinstance(value, str) and value.strip() else None


def _contact(one: Mapping[str, Any]) -> Name | None:
    name, organisation = _text(one.get("name")), _text(one.get("organization"))
    shown = name or organisation
    if shown is None:
        return None
    orcid = _ORCID.fullmatch(str(one.get("identifier", "")).strip())
    emails = [_text(each.get("value")) for each in _listed(one, "emails")]
    return Name(
        shown,
        personal=name is not None,
        orcid=orcid[1] if orcid else None,
        affiliation=organisation if name is not None else None,
        email=next((email for email in emails if email), None),
    )


def contacts_of(collection: Mapping[str, Any]) -> list[Name]:
    """Whom to ask: the contacts that are said to be that, else all of them."""
    contacts = _listed(collection, "contacts")
    named = [one for one in contacts if CONTACT in _roles(one)] or contacts
    return [found for one in named if (found := _contact(one)) is not None]


def creators_of(collection: Mapping[str, Any]) -> list[Name]:
    """Who made it: contacts that are authors, else providers that are producers, else whom to ask."""
    authors = [_contact(one) for one in _listed(collection, "contacts") if _roles(one) & AUTHORS]
    if found := [one for one in authors if one is not None]:
        return found
    producers = [_text(one.get("name")) for one in _listed(collection, "providers") if "producer" in _roles(one)]
    if named := [Name(name, personal=False) for name in producers if name]:
        return named
    return contacts_of(collection)[:1]


def title_of(collection: Mapping[str, Any]) -> str:
    return _text(collection.get("title")) or str(collection.get("id", ""))


def identifier_url(identifier: str) -> str:
    """The identifier as a link; those for tests lead nowhere, and don't look as if they did."""
    return f"https://doi.org/{identifier}" if resolvable(identifier) else f"doi:{identifier}"


def citation(collection: Mapping[str, Any], publication: Publication) -> str:
    """One sentence: creators (year): title. Version. Publisher. Identifier."""
    names = "; ".join(creator.name for creator in creators_of(collection)) or publication.publisher
    return (
        f"{names} ({publication.published:%Y}): {title_of(collection).rstrip('.')}. Version {publication.version}."
        f" {publication.publisher}. {identifier_url(publication.identifier)}"
    )


def _without_nothing(document: Document) -> Document:
    return {name: value for name, value in document.items() if value not in (None, [], {})}


def _person(name: Name) -> Document:
    made: Document = {"name": name.name, "nameType": "Personal" if name.personal else "Organizational"}
    if name.orcid is not None:
        orcid = {"nameIdentifier": f"https://orcid.org/{name.orcid}", "nameIdentifierScheme": "ORCID"}
        made["nameIdentifiers"] = [orcid | {"schemeUri": "https://orcid.org"}]
    if name.affiliation is not None:
        made["affiliation"] = [{"name": name.affiliation}]
    return made


def _texts(collection: Mapping[str, Any], member: str) -> Iterable[tuple[str, str, bool]]:
    """(text, language, whether it is a translation) of a member in every language that it is in."""
    own = spoken(dict(collection)) or ENGLISH
    if (text := _text(collection.get(member))) is not None:
        yield text, own, False
    for code, texts in translations_of(dict(collection)).items():
        if code != own and (text := _text(texts.get(member))) is not None:
            yield text, code, True


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) in (4, 6) and all(type(edge) in (int, float) for edge in box)


def boxes_of(collection: Mapping[str, Any]) -> list[list[float]]:
    """West, south, east, north of the parts of an extent, or of the whole."""
    extent = collection.get("extent")
    spatial = extent.get("spatial") if isinstance(extent, dict) else None
    found = spatial.get("bbox") if isinstance(spatial, dict) else None
    boxes = [box for box in found if _is_box(box)] if isinstance(found, list) else []
    plain = [[float(box[n]) for n in ((0, 1, 2, 3) if len(box) == 4 else (0, 1, 3, 4))] for box in boxes]
    return plain[1:] or plain


def period_of(collection: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The days from which and until which it reaches."""
    extent = collection.get("extent")
    temporal = extent.get("temporal") if isinstance(extent, dict) else None
    found = temporal.get("interval") if isinstance(temporal, dict) else None
    whole = found[0] if isinstance(found, list) and found and isinstance(found[0], list) else [None, None]
    start, end = (str(day)[:10] if day is not None else None for day in (whole[0], whole[-1]))
    return start, end


def _dates(collection: Mapping[str, Any], publication: Publication) -> list[Document]:
    start, end = period_of(collection)
    made = [{"date": f"{publication.published:%Y-%m-%d}", "dateType": "Issued"}]
    if start is not None or end is not None:
        made.append({"date": f"{start or ''}/{end or ''}", "dateType": "Collected"})
    return made


def _rights(collection: Mapping[str, Any], base: str) -> list[Document]:
    made = []
    for name in licences_of(collection):
        one = {"rights": name, "rightsUri": licence_url(base, name)}
        if not name.startswith("LicenseRef-") and name != "other":
            one |= {"rightsIdentifier": name, "rightsIdentifierScheme": "SPDX", "schemeUri": _SPDX}
        made.append(one)
    return made


def datacite(collection: Mapping[str, Any], publication: Publication) -> Document:
    """DataCite 4 metadata, in its JSON."""
    prefix, _, suffix = publication.identifier.partition("/")
    keywords = collection.get("keywords")
    subjects = dict.fromkeys(word for word in keywords if isinstance(word, str)) if isinstance(keywords, list) else ()
    relations = (("IsNewVersionOf", publication.previous), ("IsPreviousVersionOf", publication.following))
    box = ("westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude")
    return _without_nothing(
        {
            "doi": publication.identifier,
            "prefix": prefix,
            "suffix": suffix,
            "url": publication.url,
            "types": {"resourceTypeGeneral": "Dataset", "resourceType": "STAC collection"},
            "creators": [_person(name) for name in creators_of(collection)],
            "titles": [
                {"title": text, "lang": code} | ({"titleType": "TranslatedTitle"} if other else {})
                for text, code, other in _texts(collection, "title")
            ]
            or [{"title": title_of(collection)}],
            "publisher": {"name": publication.publisher},
            "publicationYear": f"{publication.published:%Y}",
            "subjects": [{"subject": word} for word in subjects],
            "contributors": [{**_person(name), "contributorType": "ContactPerson"} for name in contacts_of(collection)],
            "dates": _dates(collection, publication),
            "language": spoken(dict(collection)) or ENGLISH,
            "relatedIdentifiers": [
                {"relatedIdentifier": other, "relatedIdentifierType": "DOI", "relationType": relation}
                for relation, other in relations
                if other is not None
            ],
            "version": publication.version,
            "rightsList": _rights(collection, publication.base),
            "descriptions": [
                {"description": text, "descriptionType": "Abstract", "lang": code}
                for text, code, _ in _texts(collection, "description")
            ],
            "geoLocations": [{"geoLocationBox": dict(zip(box, part, strict=True))} for part in boxes_of(collection)],
            "schemaVersion": _KERNEL,
        }
    )


def schema_org(collection: Mapping[str, Any], publication: Publication, address: str) -> Document:
    """A Dataset as search engines of data read it; `address` is that of the collection."""
    start, end = period_of(collection)
    keywords = collection.get("keywords")
    return _without_nothing(
        {
            "@context": "https://schema.org/",
            "@type": "Dataset",
            "@id": identifier_url(publication.identifier),
            "identifier": {
                "@type": "PropertyValue", "propertyID": "doi", "value": publication.identifier,
            },
            "url": publication.url,
            "name": title_of(collection),
            "description": collection.get("description"),
            "version": publication.version,
            "datePublished": f"{publication.published:%Y-%m-%d}",
            "keywords": keywords if isinstance(keywords, list) else None,
            "license": [licence_url(publication.base, name) for name in licences_of(collection)],
            "creator": [
                {"@type": "Person" if name.personal else "Organization", "name": name.name}
                | ({"sameAs": f"https://orcid.org/{name.orcid}"} if name.orcid else {})
                for name in creators_of(collection)
            ],
            "publisher": {"@type": "Organization", "name": publication.publisher},
            "temporalCoverage": f"{start or '..'}/{end or '..'}" if start or end else None,
            "spatialCoverage": [
                {"@type": "Place", "geo": {"@type": "GeoShape", "box": f"{south} {west} {north} {east}"}}
                for west, south, east, north in boxes_of(collection)
            ],
            "distribution": [
                {"@type": "DataDownload", "encodingFormat": "application/geo+json", "contentUrl": f"{address}/items"}
            ],
            "citation": citation(collection, publication),
        }
    )  # fmt: skip
