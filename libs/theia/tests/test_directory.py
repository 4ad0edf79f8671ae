"""The directory: what the presentation names, with its facts by value, and nothing that no source tells."""

from __future__ import annotations

import re
from typing import Any

import pytest
from bocage_catalogue.validation import check_collection, check_item
from bocage_theia import directory, directory_pages, products
from bocage_theia.vocabulary import vocabulary
from offline_schemas import faults

Document = dict[str, Any]

COLLECTIONS = {document["id"]: document for document in directory.collections()}
ITEMS = {f"{document['collection']}/{document['id']}": document for document in directory.items()}
PRODUCTS = {document["id"] for document in products.collections()}


def _hosts(text: str) -> set[str]:
    return set(re.findall(r"https?://([^/\"'\s]+)", text))


OF_PRODUCTS = {host for made in products.collections() for host in _hosts(str(made["providers"]) + str(made["links"]))}
MOST_UNKNOWN = 191
"""Facts that no source gives, all records together: this may shrink."""
# Addresses that the presentation or another source names.
HOSTS = {
    "www.theia-land.fr", "in-situ.theia-land.fr", "hydroweb.next.theia-land.fr", "dinamis.data-terra.org",
    "www.data-terra.org", "www.aeris-data.fr", "api.datastore-mtd.theia.data-terra.org", "github.com",
    "lidar.pages.mia.inra.fr", "www.ozcar-ri.org", "www.spaceclimateobservatory.org", "doi.org",
}  # fmt: skip


def told(name: str) -> Document:
    """What a record says of its own kind."""
    properties = ITEMS[name]["properties"]
    found: Document = properties.get("bocage:service") or properties["bocage:record"]
    return found


def related(name: str) -> set[str]:
    return {link["href"].removeprefix("/stac/collections/") for link in links(name, "related")}


def links(name: str, rel: str) -> list[Document]:
    return [link for link in ITEMS[name]["links"] if link["rel"] == rel]


def concepts(holder: Document, scheme: str) -> set[str]:
    return {
        concept["id"]
        for entry in holder.get("themes", ())
        if entry["scheme"] == f"vocabulary/{scheme}"
        for concept in entry["concepts"]
    }


def test_the_table_of_services_is_that_of_the_presentation() -> None:
    nature, plants = "Pour la Biodiversité", "Pour la Végétation"
    assert [tuple(row) for row in directory.services_table()] == [
        (nature, "biodivMapR", "—", "Tout utilisateur", "GitHub"),
        (nature, "FragScape", "—", "Tout utilisateur", "GitHub"),
        (nature, "BioDispersal", "—", "Tout utilisateur", "GitHub"),
        (plants, "lidarHD", "—", "GPL-3", "forgemia.inra.fr"),
        (plants, "lidaRtRee", "—", "GPL-3", "CRAN"),
    ]


@pytest.mark.parametrize(
    ("name", "kind", "status", "spdx", "products"),
    [
        ("dsm-opt", "web service", "internal", "CC-BY-NC-4.0", {"mns-pleiades"}),
        ("biodivmapr", "R package", "external", "GPL-3.0-only", {"sentinel2-l2a-maja"}),
        ("fragscape", "QGIS plugin", "external", "GPL-3.0-only", {"oso-vector"}),
        ("biodispersal", "QGIS plugin", "external", "GPL-3.0-only", {"oso-raster"}),
        ("lidarhd", "R package", "external", "GPL-3.0-only", {"lidar-hd"}),
        ("lidartree", "R package", "external", "GPL-3.0-only", {"lidar-hd", "forest-basal-area"}),
    ],
)
def test_the_services(name: str, kind: str, status: str, spdx: str, products: set[str]) -> None:
    service = told(f"services/{name}")
    assert (service["kind"], service["status"], service["spdx"]) == (kind, status, spdx)
    assert related(f"services/{name}") == products
    processes = [link["href"] for link in links(f"services/{name}", "process")]
    assert processes == (["/processing/processes/dsm"] if status == "internal" else [])
    # The presentation's licence column says who, not what: the contradiction is told.
    assert (service.get("licence") == "Tout utilisateur") == ("note" in service)


def test_centres_hosts_and_domains() -> None:
    hosts = {name.removeprefix("organisations/cds-"): told(name)["host"] for name in ITEMS if "/cds-" in name}
    assert hosts == {
        "toulouse": "CNES", "montpellier": "INRAE-IRD", "grenoble": "CNRS OSU Grenoble",
        "strasbourg": "CNRS OSU EOST - Unistra",
    }  # fmt: skip
    assert sum("/domain-" in name for name in ITEMS) == 5 and sum("/hub-" in name for name in ITEMS) == 6
    names = {contact["name"] for contact in ITEMS["organisations/ces-evapotranspiration"]["properties"]["contacts"]}
    assert names == {"Olioso", "Simonneaux"}
    [hub] = ITEMS["organisations/hub-theia"]["properties"]["contacts"]
    assert hub["emails"] == [{"value": "theia@data-terra.org"}]
    assert related("organisations/ces-evapotranspiration") == {
        "et-heat-fluxes", "et-net-radiation", "et-daily", "et-ten-day", "et-stress-index",
    }  # fmt: skip
    assert "a source that confirms it" in ITEMS["organisations/ces-snow"]["properties"]["bocage:unknown"]
    assert told("organisations/ozcar")["observatories"] == 21
    assert related("organisations/cds-strasbourg") == {"mns-pleiades"}
    assert "oso-raster" in related("organisations/cnes") and "cnes" not in {n.split("-", 1)[-1] for n in ITEMS}


def test_networks_have_their_state() -> None:
    states = {name: told(name).get("state") for name in ITEMS if name.startswith("networks/art-")}
    assert states == {
        "networks/art-bourgogne-franche-comte": "active",
        "networks/art-bretagne": "active",
        "networks/art-geodev": "active",
        "networks/art-nouvelle-caledonie-pacifique": None,
    }
    assert "state" in ITEMS["networks/art-nouvelle-caledonie-pacifique"]["properties"]["bocage:unknown"]
    assert told("networks/art-geodev")["members"] == ["CIRAD", "IRD", "CNES"]
    assert "networks/animation-suds" in ITEMS


def test_trainings_have_the_figures_and_dates_of_the_presentation() -> None:
    assert told("trainings/webinar-bourgogne-franche-comte")["participants"] == 150
    workshop = told("trainings/workshop-bretagne")
    assert (workshop["participants"], workshop["days"]) == (105, 1.5)
    days = {
        name: (record["properties"]["start_datetime"][:10], record["properties"]["end_datetime"][:10])
        for name, record in ITEMS.items()
        if name.startswith("trainings/") and "dates" not in record["properties"].get("bocage:unknown", ())
    }
    assert days == {
        "trainings/webinar-2024-04-23": ("2024-04-23", "2024-04-23"),
        "trainings/webinar-2024-04-30": ("2024-04-30", "2024-04-30"),
        "trainings/geodatadays-2024": ("2024-09-19", "2024-09-20"),
        "trainings/seminar-teledetection-inrae-2024": ("2024-11-04", "2024-11-05"),
    }
    west, _, east, _ = ITEMS["trainings/geodatadays-2024"]["bbox"]
    assert west == east == pytest.approx(-1.55, abs=0.05), "Nantes"
    assert told("uses/thermocity")["towns"] == ["Aix-Marseille", "Montpellier", "Paris", "Strasbourg", "Toulouse"]
    assert told("uses/temperature-at-five-scales")["metres"] == [1000, 90, 4, 0.5, 0.02]


def test_grenoble_has_its_portal() -> None:
    made = [*products.collections(), *directory.collections()]
    found = {document["id"] for document in made if "grenoble" in concepts(document, "cds")}
    assert found == {"in-situ-ozcar"}
    portal = COLLECTIONS["in-situ-ozcar"]
    assert "bocage:records" not in portal and portal["bocage:licences"] == ["LicenseRef-Bocage-Restricted"]
    assert "https://in-situ.theia-land.fr/" in {link["href"] for link in portal["links"]}
    assert related("organisations/cds-grenoble") == {"in-situ-ozcar"}


@pytest.mark.parametrize("name", [*COLLECTIONS, *ITEMS])
def test_valid_by_core_and_extensions_and_taken_by_the_catalogue(name: str) -> None:
    item = ITEMS.get(name)
    document = COLLECTIONS[name] if item is None else item
    assert list(faults(document)) == []
    # Links that the catalogue makes itself are taken off before it looks.
    written = {**document, "links": [link for link in document["links"] if link["rel"] != "collection"]}
    (check_collection if item is None else check_item)(written)


def test_a_wrong_record_is_refused_by_the_schemas() -> None:
    record = ITEMS["services/dsm-opt"]
    broken = {**record, "properties": {**record["properties"], "contacts": [{"roles": ["operator"]}]}}
    assert any("/contacts/" in fault for fault in faults(broken))


@pytest.mark.parametrize("name", [*COLLECTIONS, *ITEMS])
def test_both_languages_and_concepts_and_links_that_lead_somewhere(name: str) -> None:
    item = ITEMS.get(name)
    document = COLLECTIONS[name] if item is None else item
    holder: Document = document if item is None else document["properties"]
    french = holder["bocage:translations"]["fr"]
    assert set(french) == {"title", "description", "keywords"}
    assert french["description"] != holder["description"] and holder["title"] and french["title"]
    assert holder["keywords"] and french["keywords"]
    for entry in holder.get("themes", ()):
        scheme = vocabulary().schemes[entry["scheme"].removeprefix("vocabulary/")]
        assert all(concept["id"] in scheme.concepts for concept in entry["concepts"])
    for link in document["links"]:
        if link["rel"] == "related":
            target = link["href"].removeprefix("/stac/collections/")
            assert target in PRODUCTS | set(COLLECTIONS) or target.replace("/items/", "/") in ITEMS, target
    addresses = _hosts(str(document["links"]) + str(holder["bocage:sources"] if item else ""))
    assert addresses <= HOSTS | OF_PRODUCTS


def test_unknown_facts_do_not_grow_and_the_page_is_made_of_the_records(pytestconfig: Any) -> None:
    missing = [fact for record in ITEMS.values() for fact in record["properties"].get("bocage:unknown", ())]
    assert len(missing) <= MOST_UNKNOWN
    said = (pytestconfig.rootpath / "docs" / directory_pages.PAGE).read_text("utf-8")
    assert said == directory_pages.page(), "not what `python -m bocage_theia.directory_pages docs` writes"


def test_making_records_changes_none() -> None:
    assert directory.items() == list(ITEMS.values()) and directory.collections() == list(COLLECTIONS.values())
    assert len(ITEMS) == len(directory.items()), "ids are given once"
