"""The directory in a catalogue that runs: written as it is, found by words in both languages, linked as it says."""

from __future__ import annotations

from typing import Any

import pytest
from bocage_theia import directory

Document = dict[str, Any]


@pytest.fixture(scope="module")
def filled(catalogue: Any) -> Any:
    """A catalogue with the whole directory."""
    admin = catalogue.administrator
    for document in directory.collections():
        answer = admin.post("/stac/collections", json=document)
        assert answer.status_code == 201, answer.text
    for record in directory.items():
        answer = admin.post(f"/stac/collections/{record['collection']}/items", json=record)
        assert answer.status_code == 201, answer.text
    return catalogue


def found(catalogue: Any, **question: Any) -> list[str]:
    page = catalogue.anonymous.get("/stac/search", params={"limit": 200, **question})
    assert page.status_code == 200, page.text
    return [f"{item['collection']}/{item['id']}" for item in page.json()["features"]]


@pytest.mark.parametrize(
    ("words", "record", "most"),
    [
        ("DSM-OPT", "services/dsm-opt", 8),
        ("MNS", "services/dsm-opt", 8),
        ("fragmentation", "services/fragscape", 1),
        ("continuité écologique", "services/biodispersal", 1),
        ("continuite ecologique", "services/biodispersal", 1),
        ("biodiversity", "services/biodivmapr", 6),
        ("zone critique", "organisations/ozcar", 3),
        ("ministère", "trainings/webinar-2024-04-23", 4),
    ],
)
def test_words_find_records(filled: Any, words: str, record: str, most: int) -> None:
    names = found(filled, q=words)
    assert len(names) <= most, names
    assert record in names or not most, names


def test_an_item_that_is_read_may_be_written_back(filled: Any) -> None:
    for path in ("/stac/collections/services/items/dsm-opt", "/stac/collections/trainings/items/workshop-bretagne"):
        for language in ("en", "fr"):
            before = filled.administrator.get(path, headers={"Accept-Language": language})
            after = filled.administrator.put(path, json=before.json(), headers={"Accept-Language": language})
            assert after.status_code == 200 and after.json() == before.json()


def test_the_service_that_we_have_leads_to_its_process(filled: Any) -> None:
    item = filled.anonymous.get("/stac/collections/services/items/dsm-opt", headers={"Accept-Language": "fr"}).json()
    [process] = [link for link in item["links"] if link["rel"] == "process"]
    assert process["href"] == f"{filled.base}/processing/processes/dsm"
    related = [link["href"] for link in item["links"] if link["rel"] == "related"]
    assert related == [f"{filled.base}/stac/collections/mns-pleiades"]
    assert item["properties"]["description"].startswith("Réalise des modèles numériques")
    [variables, centre, _] = item["properties"]["themes"]
    assert variables["scheme"] == f"{filled.base}/stac/vocabulary/variables"
    assert centre["concepts"][0]["title"] == "CDS Strasbourg"
    assert item["properties"]["bocage:service"]["status"] == "internal"


def test_grenoble_and_the_records_by_place_and_time(filled: Any) -> None:
    answer = filled.anonymous.get("/stac/collections", params={"cds": "grenoble"}).json()
    assert [one["id"] for one in answer["collections"]] == ["in-situ-ozcar"]
    here = found(filled, collections="trainings", bbox="-1.6,47.2,-1.5,47.3", datetime="2024-09-20T00:00:00Z")
    assert "trainings/geodatadays-2024" in here
    april = found(filled, collections="trainings", datetime="2024-04-23T12:00:00Z/2024-04-23T13:00:00Z")
    assert "trainings/webinar-2024-04-23" in april and "trainings/webinar-2024-04-30" not in april
