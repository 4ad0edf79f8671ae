"""What the owner of a result may change of it: who sees it, and never under which licences it is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from bocage_kit.identity import Identity

ITEMS = "/stac/collections/dsm/items"
LICENCES = ["CC-BY-NC-4.0", "LicenseRef-Inputs"]


@pytest.fixture(scope="module", autouse=True)
def results(catalogue: Any) -> None:
    collection = catalogue.collection("dsm", **{"bocage:write_scope": "service", "bocage:audience": "public"})
    assert catalogue.service.post("/stac/collections", json=collection).status_code == 201


def published(catalogue: Any, name: str, **more: Any) -> str:
    """The path of a result that belongs to the researcher alone."""
    owned = more | {
        "bocage:owner": "researcher",
        "bocage:organisation": catalogue.ours,
        "bocage:audience": "owner",
        "bocage:licences": LICENCES,
        "license": "other",
        "proj:code": "EPSG:32631",
    }
    ortho = {"href": f"store:results/dsm/{name}/1/ortho.tif", "type": "image/tiff", "bocage:licences": LICENCES}
    item = catalogue.item(name, {"ortho": ortho}, **owned)
    item["links"] = [{"rel": "derived_from", "href": "/stac/collections/scenes/items/a"}]
    assert catalogue.service.post(ITEMS, json=item).status_code == 201
    return f"{ITEMS}/{name}"


def test_the_owner_publishes_a_result_and_hides_it_again(catalogue: Any) -> None:
    path = published(catalogue, "shown")
    item = catalogue.researcher.get(path).json()
    for audience, seen in (("public", 200), ("organisation", 404), ("owner", 404)):
        item["properties"]["bocage:audience"] = audience
        answer = catalogue.researcher.put(path, json=item)
        assert answer.status_code == 200, answer.text
        assert answer.json() == item
        assert catalogue.anonymous.get(path).status_code == seen
    named = {"properties": {"title": "Town", "description": "As it was in May"}}
    assert catalogue.researcher.patch(path, json=named).status_code == 200
    assert catalogue.researcher.get(path).json()["properties"]["title"] == "Town"
    assert catalogue.service.get(path).json()["assets"]["ortho"]["href"] == "store:results/dsm/shown/1/ortho.tif"


def test_a_result_is_shown_to_no_more_people_than_its_inputs_allow(catalogue: Any) -> None:
    path = published(catalogue, "capped", **{"bocage:widest_audience": "organisation"})
    for audience, status in (("organisation", 200), ("public", 403), (None, 200)):
        answer = catalogue.researcher.patch(path, json={"properties": {"bocage:audience": audience}})
        assert answer.status_code == status, answer.text
        assert status == 200 or answer.json()["code"] == "audience-too-wide"
    assert answer.json()["properties"]["bocage:audience"] == "organisation", "without one it keeps what it had"
    both = {"bocage:audience": "public", "bocage:widest_audience": None}
    washed = catalogue.researcher.patch(path, json={"properties": both})
    assert (washed.status_code, washed.json()["code"]) == (403, "services-only")
    assert catalogue.anonymous.get(path).status_code == 404


def test_whoever_may_submit_jobs_may_publish_their_results(catalogue: Any) -> None:
    path = published(catalogue, "submitters")
    submitter = Identity(
        subject="researcher", organisation=catalogue.ours, scopes=frozenset({"jobs:submit"}), public_base=catalogue.base
    )
    client = catalogue.as_(submitter)
    assert client.patch(path, json={"properties": {"bocage:audience": "public"}}).status_code == 200
    assert client.post(ITEMS, json=catalogue.item("forged")).status_code == 403
    assert client.delete(path).status_code == 403
    own = catalogue.collection("plain", **{"bocage:audience": "public"})
    assert catalogue.researcher.post("/stac/collections", json=own).status_code == 201
    assert catalogue.researcher.post("/stac/collections/plain/items", json=catalogue.item("x")).status_code == 201
    refused = client.patch("/stac/collections/plain/items/x", json={"properties": {"title": "mine"}})
    assert (refused.status_code, refused.json()["required_scope"]) == (403, "catalogue:write")
    assert client.patch("/stac/collections/plain", json={"title": "mine"}).status_code == 403


def licences_of_the_item(item: dict[str, Any]) -> None:
    item["properties"]["bocage:licences"] = ["CC0-1.0"]


def licences_of_an_asset(item: dict[str, Any]) -> None:
    item["assets"]["ortho"]["bocage:licences"] = []


def spdx_of_the_item(item: dict[str, Any]) -> None:
    item["properties"]["license"] = "CC0-1.0"


def an_asset_without_licences(item: dict[str, Any]) -> None:
    del item["assets"]["ortho"]["bocage:licences"]
    item["assets"]["ortho"]["license"] = "CC0-1.0"


def another_file(item: dict[str, Any]) -> None:
    item["assets"]["ortho"] = {"href": "https://example.org/x.tif", "bocage:external": True}


def another_asset(item: dict[str, Any]) -> None:
    item["assets"]["more"] = {"href": "https://example.org/x.tif", "bocage:external": True}


def no_lineage(item: dict[str, Any]) -> None:
    item["links"] = []


def another_place(item: dict[str, Any]) -> None:
    item["geometry"] = {"type": "Point", "coordinates": [0, 0]}
    item["bbox"] = [0, 0, 0, 0]


@pytest.mark.parametrize(
    "wash",
    [
        licences_of_the_item, licences_of_an_asset, spdx_of_the_item, an_asset_without_licences, another_file,
        another_asset, no_lineage, another_place,
    ],
)  # fmt: skip
def test_a_result_keeps_what_its_job_gave_it(catalogue: Any, wash: Callable[[dict[str, Any]], None]) -> None:
    path = published(catalogue, wash.__name__)
    before = catalogue.service.get(path).content
    item = copy.deepcopy(catalogue.researcher.get(path).json())
    item["properties"]["bocage:audience"] = "public"
    wash(item)
    refused = catalogue.researcher.put(path, json=item)
    assert refused.status_code == 403, refused.text
    assert refused.json()["code"] == "services-only"
    assert catalogue.service.get(path).content == before


def test_a_patch_washes_nothing_off_either(catalogue: Any) -> None:
    path = published(catalogue, "patched")
    for patch in (
        {"properties": {"bocage:licences": None}},
        {"assets": {"ortho": {"bocage:licences": ["CC0-1.0"]}}},
        [{"op": "replace", "path": "/assets/ortho/bocage:licences", "value": []}],
    ):
        assert catalogue.researcher.patch(path, json=patch).status_code in (200, 403)
    item = catalogue.service.get(path).json()
    assert item["properties"]["bocage:licences"] == item["assets"]["ortho"]["bocage:licences"] == LICENCES


def test_a_results_owner_and_organisation_stay(catalogue: Any) -> None:
    path = published(catalogue, "given")
    theft = {"properties": {"bocage:owner": "stranger", "bocage:organisation": catalogue.theirs}}
    assert catalogue.researcher.patch(path, json=theft).status_code == 200
    properties = catalogue.service.get(path).json()["properties"]
    assert (properties["bocage:owner"], properties["bocage:organisation"]) == ("researcher", catalogue.ours)


def test_nobody_but_the_owner_publishes_a_result(catalogue: Any) -> None:
    path = published(catalogue, "others")
    shared = {"properties": {"bocage:audience": "public"}}
    assert catalogue.stranger.patch(path, json=shared).status_code == 404
    assert catalogue.colleague.patch(path, json=shared).status_code == 404
    assert catalogue.anonymous.patch(path, json=shared).status_code == 401
    assert catalogue.researcher.patch(path, json=shared).status_code == 200
    hidden = {"properties": {"bocage:audience": "owner"}}
    for who in ("stranger", "colleague"):
        refused = getattr(catalogue, who).patch(path, json=hidden)
        assert (refused.status_code, refused.json()["code"]) == (403, "services-only")


def test_administrators_mend_licences_and_nothing_else(catalogue: Any) -> None:
    path = published(catalogue, "mended")
    mended = {
        "properties": {"bocage:licences": ["CC-BY-4.0"]},
        "assets": {"ortho": {"bocage:licences": ["CC-BY-4.0"]}},
    }
    assert catalogue.administrator.patch(path, json=mended).status_code == 200
    assert catalogue.service.get(path).json()["assets"]["ortho"]["bocage:licences"] == ["CC-BY-4.0"]
    assert catalogue.administrator.patch(path, json={"properties": {"proj:code": "EPSG:32632"}}).status_code == 403
