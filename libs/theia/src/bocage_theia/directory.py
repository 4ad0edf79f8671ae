"""Who and what stands around the data, as STAC: collections of records, and the records as their items.

Services, organisations, networks, uses and trainings are written as YAML in `directory`; centres, hubs and networks
that the vocabulary names, and producers that product lines name, become records from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from bocage_theia import directory_concepts, products
from bocage_theia.product_records import Record, read, shared_words

Document = dict[str, Any]

COLLECTIONS = ("services", "organisations", "networks", "uses", "trainings")
STRICTEST = products.STRICTEST
_LICENCE = "CC0-1.0"
"""Of the records themselves, which are the platform's own words."""
_YEAR = ("2024-01-01", "2024-12-31")
"""When a record holds that has no dates: the year of the presentation that tells of it."""
_NEEDED = frozenset(("title", "description", "keywords", "place", "details", "sources"))
_OPTIONAL = frozenset(("period", "themes", "products", "records", "contacts", "links", "unknown", "provider"))
_DETAILS = {"services": "bocage:service"}
_TABLE = "table"


class Row(NamedTuple):
    """A row of the presentation's table of services, whose columns are Produit, Zone, Licence and Accès."""

    group: str
    product: str
    zone: str
    licence: str
    access: str


def collections() -> list[Document]:
    """The collections of records, and the in-situ portal's, whose data lie elsewhere."""
    return [*(_collection(name, record) for name, record in _read("collections").items()), _in_situ(_shared())]


def items() -> list[Document]:
    """All records, those of a collection together."""
    shared = _shared()
    made = [*products.collections(), _in_situ(shared)]
    return [
        _item(holder, name, record, shared) for holder in COLLECTIONS for name, record in _records(holder, made).items()
    ]


def services_table() -> list[Row]:
    """The services as the presentation's table has them."""
    found = (record["details"].get(_TABLE) for record in _read("services").values())
    return [Row(**row) for row in found if row]


def _records(holder: str, made: Sequence[Document]) -> dict[str, Record]:
    """The records of a collection: written ones first."""
    written = _read(holder)
    for name, record in written.items():
        if not _NEEDED <= set(record) <= _NEEDED | _OPTIONAL:
            odd = sorted(_NEEDED - set(record)) + sorted(set(record) - _NEEDED - _OPTIONAL)
            raise ValueError(f"{holder}: {name} lacks, or should not have, {', '.join(odd)}")
    if holder == "networks":
        return {**directory_concepts.networks(made), **written}
    if holder == "organisations":
        claimed = {record["provider"]: name for name, record in written.items() if "provider" in record}
        named = directory_concepts.producers(shared_words()["providers"], made)
        for provider, name in claimed.items():
            linked = [*written[name].get("products", ()), *named[provider]["products"]]
            written[name] = {**written[name], "products": list(dict.fromkeys(linked))}
        others = {f"producer-{name}": record for name, record in named.items() if name not in claimed}
        return {**directory_concepts.organisations(made), **written, **others}
    return written


def _read(name: str) -> dict[str, Record]:
    folder = resources.files("bocage_theia").joinpath("directory")
    return dict(read(folder.joinpath(f"{name}.yaml").read_text("utf-8"), f"{name}.yaml"))


def _shared() -> Record:
    """Places and sources, those of product lines among them."""
    own, common = _read("shared"), shared_words()
    return {kind: {**common[kind], **own[kind]} for kind in ("places", "sources")}


def _texts(record: Record, language: str) -> Document:
    return {member: record[member][language] for member in ("title", "description", "keywords")}


def _collection(name: str, record: Record) -> Document:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [_extension("themes")],
        "id": name,
        **_texts(record, "en"),
        "bocage:translations": {"fr": _texts(record, "fr")},
        "license": _LICENCE,
        "bocage:licences": [_LICENCE],
        "bocage:audience": "public",
        "bocage:records": True,
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "themes": _themes({"portals": ["data-terra", "theia"]}),
        "links": [],
    }


def _in_situ(shared: Record) -> Document:
    """The portal of in-situ data, which the centre of Grenoble hosts: a collection without items."""
    portal = _read("services")["in-situ-portal"]
    sources = ("deck", "theia-in-situ", "ozcar", "ozcar-wp1")
    paper = shared["sources"]["braud-2020"]
    made = {
        **_collection("in-situ-ozcar", portal),
        "stac_extensions": [_extension("scientific"), _extension("themes")],
        "license": "other",
        "bocage:licences": [STRICTEST],
        "providers": [
            {"name": "OZCAR", "roles": ["producer"], "url": "https://www.ozcar-ri.org/"},
            {"name": "OSUG, Observatoire des sciences de l'Univers de Grenoble", "roles": ["host"]},
        ],
        "themes": _themes(portal["themes"]),
        "bocage:status": "operational",
        "bocage:unknown": ["licence", "extent", "period", "resolution", "revisit"],
        "bocage:sources": [*(dict(shared["sources"][name]) for name in sources), dict(paper)],
        "sci:publications": [{"citation": paper["title"], "doi": paper["href"].removeprefix("https://doi.org/")}],
        "links": [*_web_links(portal), {"rel": "cite-as", "href": paper["href"], "type": "text/html"}],
    }
    del made["bocage:records"]
    return made


def _extension(name: str) -> str:
    versions = {"contacts": "v1.0.0", "themes": "v1.0.0", "scientific": "v1.0.0"}
    return f"https://stac-extensions.github.io/{name}/{versions[name]}/schema.json"


def _themes(named: Mapping[str, Sequence[str]]) -> list[Document]:
    return [
        {"scheme": f"vocabulary/{scheme}", "concepts": [{"id": concept} for concept in concepts]}
        for scheme, concepts in named.items()
        if concepts
    ]


def _item(holder: str, name: str, record: Record, shared: Record) -> Document:
    place = str(record["place"])
    area = shared["places"][place.removesuffix("?")]
    period = record.get("period", _YEAR)
    missing = [*record.get("unknown", ()), *(["dates"] if period == "unknown" else ())]
    if place.endswith("?") and "zone" not in missing:
        missing.insert(0, "zone")
    start, end = _YEAR if period == "unknown" else period
    details = {member: value for member, value in record["details"].items() if member != _TABLE}
    properties: Document = {
        **_texts(record, "en"),
        "bocage:translations": {"fr": _texts(record, "fr")},
        "datetime": None,
        "start_datetime": f"{start}T00:00:00Z",
        "end_datetime": f"{end}T23:59:59Z",
        _DETAILS.get(holder, "bocage:record"): {**record["details"].get(_TABLE, {}), **details},
        "bocage:sources": [dict(shared["sources"][source]) for source in record["sources"]],
    }
    if missing:
        properties["bocage:unknown"] = missing
    for member, value in (("themes", _themes(record.get("themes", {}))), ("contacts", record.get("contacts"))):
        if value:
            properties[member] = value
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [_extension(member) for member in ("contacts", "themes") if member in properties],
        "id": name,
        "collection": holder,
        **_geometry(area),
        "properties": properties,
        "links": [_link("collection", holder), *_links(record)],
        "assets": {},
    }


def _geometry(area: Sequence[float]) -> Document:
    if len(area) == 2:
        return {"geometry": {"type": "Point", "coordinates": list(area)}, "bbox": [*area, *area]}
    west, south, east, north = area
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": list(area)}


def _link(rel: str, collection: str) -> Document:
    return {"rel": rel, "href": f"/stac/collections/{collection}", "type": "application/json"}


def _links(record: Record) -> Iterator[Document]:
    """To the product lines, to other records, to our process, and to where it is found."""
    for product in record.get("products", ()):
        yield _link("related", product)
    for other in record.get("records", ()):
        holder, _, name = other.partition("/")
        href = f"/stac/collections/{holder}/items/{name}"
        yield {"rel": "related", "href": href, "type": "application/geo+json"}
    if process := record["details"].get("process"):
        yield {"rel": "process", "href": f"/processing/processes/{process}", "type": "application/json"}
    yield from _web_links(record)


def _web_links(record: Record) -> list[Document]:
    return [
        {"rel": "about", "href": href, "type": "text/html", "title": title}
        for title, href in record.get("links", {}).items()
    ]
