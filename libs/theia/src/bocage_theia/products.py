"""The product lines of THEIA as STAC collections, from the records that stand as YAML beside this module.

A record says of each fact what it is, `unknown`, or `none` where there is nothing to say; nothing may be left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bocage_theia.product_assets import item_assets, renders
from bocage_theia.product_records import Record, known, records, shared_words, unknown_facts

Document = dict[str, Any]

_EXTENSIONS = {
    "classification:": "classification/v1.1.0",
    "eo:": "eo/v2.0.0",
    "processing:": "processing/v1.2.0",
    "proj:": "projection/v2.0.0",
    "raster:": "raster/v2.0.0",
    "renders": "render/v2.0.0",
    "sar:": "sar/v1.3.0",
    "sci:": "scientific/v1.0.0",
    "table:": "table/v1.2.0",
    "themes": "themes/v1.0.0",
}
_COMMON_KEYWORDS = {"en": ("THEIA", "Data Terra"), "fr": ("THEIA", "Data Terra")}
_PORTALS = ("data-terra", "theia")
# Sentinel-2's tiles over mainland France lie in these zones.
_MGRS = ("EPSG:32630", "EPSG:32631", "EPSG:32632")
_LICENCE_TEXTS = {
    "etalab-2.0": "https://www.etalab.gouv.fr/licence-ouverte-open-licence/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/legalcode",
    "CC-BY-NC-4.0": "https://creativecommons.org/licenses/by-nc/4.0/legalcode",
    "CC-BY-NC-SA-4.0": "https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode",
}
_HELD = frozenset({"etalab-2.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0"})
STRICTEST = "LicenseRef-Bocage-Restricted"
"""What data may be used for whose licence is not known, or is none that the platform can apply."""


def collections() -> list[Document]:
    """A collection for each product line, in the order of the files."""
    shared = shared_words()
    return [collection(name, record, shared) for name, record in records().items()]


def collection(name: str, record: Record, shared: Record) -> Document:
    """One record as a STAC collection."""
    texts = {language: _texts(record, language) for language in ("en", "fr")}
    assets = item_assets(record, shared)
    licence = known(record["licence"])
    made: Document = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": name,
        **texts["en"],
        "bocage:translations": {"fr": texts["fr"]},
        "license": licence or "other",
        "bocage:licences": [licence if licence in _HELD else STRICTEST],
        "bocage:audience": "public",
        "providers": list(_providers(record, shared)),
        "extent": _extent(record, shared),
        "summaries": _summaries(record, assets),
        "themes": _themes(record),
        **_scientific(record, shared),
        **_own(record, shared),
        "links": _links(record, licence, shared),
    }
    if assets:
        made["item_assets"] = assets
    if styles := renders(record, assets):
        made["renders"] = styles
    made["stac_extensions"] = _extensions(made)
    return made


def _texts(record: Record, language: str) -> Document:
    paragraphs = [record["description"][language], *(note[language] for note in record.get("notes", ()))]
    keywords = [*record["keywords"][language], *_COMMON_KEYWORDS[language]]
    return {"title": record["title"][language], "description": "\n\n".join(paragraphs), "keywords": keywords}


def _providers(record: Record, shared: Record) -> Iterator[Document]:
    for name, roles in (known(record["providers"]) or {}).items():
        yield {**shared["providers"][name], "roles": list(roles)}
    yield {**shared["providers"]["theia"], "description": "The hub whose product this is"}


def _extent(record: Record, shared: Record) -> Document:
    place = record["place"]
    box = shared["places"][place.removesuffix("?")] if isinstance(place, str) else place
    start, end = known(record["period"]) or (None, None)
    interval = [f"{start}T00:00:00Z" if start else None, f"{end}T23:59:59Z" if end else None]
    return {"spatial": {"bbox": [list(box)]}, "temporal": {"interval": [interval]}}


def _summaries(record: Record, assets: Mapping[str, Document]) -> Document:
    made: Document = {}
    if level := known(record["level"]):
        made["processing:level"] = [level]
    for key, member in (("platforms", "platform"), ("instruments", "instruments")):
        if key in record:
            made[member] = list(record[key])
    if gsd := known(record["gsd"]):
        made["gsd"] = list(gsd) if isinstance(gsd, list) else [gsd]
    if crs := known(record["crs"]):
        made["proj:code"] = list(_MGRS) if crs == "mgrs" else [crs]
    polarisations = [p for asset in assets.values() for p in asset.get("sar:polarizations", ())]
    if polarisations:
        made |= {"sar:polarizations": [polarisations], "sar:frequency_band": ["C"]}
    return made


def _themes(record: Record) -> list[Document]:
    said = {
        "variables": record["variables"],
        "cds": [cds] if (cds := known(record["cds"])) else [],
        "ces": known(record["ces"]) or [],
        "art": record.get("art", ()),
        "portals": [*_PORTALS, *record.get("portals", ())],
    }
    return [
        {"scheme": f"vocabulary/{scheme}", "concepts": [{"id": concept} for concept in concepts]}
        for scheme, concepts in said.items()
        if concepts
    ]


def _scientific(record: Record, shared: Record) -> Document:
    papers = [shared["sources"][name] for name in record.get("publications", ())]
    written = [{"citation": paper["title"], **({"doi": doi} if (doi := _doi(paper)) else {})} for paper in papers]
    made: Document = {"sci:publications": written} if written else {}
    return made | ({"sci:doi": record["doi"]} if "doi" in record else {})


def _doi(source: Record) -> str | None:
    _, found, doi = str(source.get("href", "")).partition("https://doi.org/")
    return doi if found else None


def _own(record: Record, shared: Record) -> Document:
    """What STAC has no field for."""
    made: Document = {}
    if revisit := known(record["revisit"]):
        made["bocage:revisit"] = revisit
    if status := known(record["status"]):
        made["bocage:status"] = status
    if missing := unknown_facts(record):
        made["bocage:unknown"] = missing
    if "processes" in record:
        made["bocage:processes"] = list(record["processes"])
    names = [*record["sources"], *record.get("publications", ())]
    made["bocage:sources"] = [dict(shared["sources"][name]) for name in names]
    return made


def _links(record: Record, licence: str | None, shared: Record) -> list[Document]:
    made: list[Document] = []
    if licence:
        made.append({"rel": "license", "href": _LICENCE_TEXTS[licence], "type": "text/html", "title": licence})
    for name in record["sources"]:
        source = shared["sources"][name]
        if "href" in source:
            made.append({"rel": "about", "href": source["href"], "type": "text/html", "title": source["title"]})
    for name in record.get("publications", ()):
        source = shared["sources"][name]
        if _doi(source):
            made.append({"rel": "cite-as", "href": source["href"], "type": "text/html", "title": source["title"]})
    return made


def _extensions(document: Document) -> list[str]:
    """The schemas of all fields that the document has, wherever they stand."""
    found = {
        address
        for key in _keys(document)
        for prefix, address in _EXTENSIONS.items()
        if key == prefix or (prefix.endswith(":") and key.startswith(prefix))
    }
    return sorted(f"https://stac-extensions.github.io/{address}/schema.json" for address in found)


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)
