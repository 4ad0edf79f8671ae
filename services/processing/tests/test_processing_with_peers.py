"""With the real `rights` and the real catalogue: from an uploaded elevation model to a licensed, paid-for result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
from bocage_kit.identity import HEADER
from bocage_processing.rehearsal.platform import Platform, until
from rasterio.transform import from_origin

BASE = "http://127.0.0.1:8123"
LICENCE = "LicenseRef-Bocage-Demonstration"
REAL = {"BOCAGE_PROCESS_REGISTRY": "bocage_processes.registry:processes"}


class Callers:
    """The accounts of the demonstration, over the services' sockets."""

    def __init__(self, home: Path, keys: dict[str, str]) -> None:
        self.home, self.keys = home, keys

    def client(self, service: str, who: str | None = None) -> httpx.Client:
        def socket(name: str) -> httpx.Client:
            transport = httpx.HTTPTransport(uds=str(self.home / "run" / f"{name}.sock"))
            return httpx.Client(transport=transport, base_url=f"http://{name}", timeout=60)

        with socket("rights") as rights:
            key = {"api_key": self.keys[who]} if who else {}
            answer = rights.post("/identity", json={**key, "public_base": BASE})
            answer.raise_for_status()
        client = socket(service)
        client.headers[HEADER] = answer.json()["token"]
        return client


@pytest.fixture(scope="module")
def callers(module_database: Any) -> Iterator[Callers]:
    home = Path(tempfile.mkdtemp(prefix="bp-", dir="/tmp"))
    for name in ("run", "secrets", "identity", "store", "jobs"):
        (home / name).mkdir(mode=0o700)
    platform = Platform(home, module_database.url("processing"), module_database.admin_url, None, REAL)
    try:
        subprocess.run(
            [sys.executable, "-m", "bocage_rights.bootstrap", "--demonstration", "--output", str(home / "keys.json")],
            env={
                "PATH": os.environ["PATH"],
                "BOCAGE_HOME": str(home),
                "BOCAGE_DATABASE": module_database.url("rights"),
            },
            check=True,
        )
        for name in ("rights", "catalogue"):
            platform.start(name, BOCAGE_DATABASE=module_database.url(name))
        platform.start("service")
        platform.start("dispatcher")
        made = Callers(home, json.loads((home / "keys.json").read_text()))

        def ready() -> bool:
            try:
                return all(made.client(n).get("/healthz").status_code == 200 for n in ("catalogue", "processing"))
            except httpx.HTTPError:
                return False

        until(ready, 60, 0.3)
        yield made
    finally:
        platform.close()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def terrain(callers: Callers) -> str:
    """A restricted elevation model, uploaded by the researcher; its item reference."""
    path = callers.home / "dem.tif"
    heights = np.add.outer(np.arange(64.0), np.arange(64.0) * 2).astype("float32")
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "float32", "crs": "EPSG:32631",
               "transform": from_origin(500_000, 5_000_000, 10, 10)}  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(heights, 1)
    collection = {
        "type": "Collection", "stac_version": "1.1.0", "id": "terrain", "description": "Terrain", "license": "other",
        "links": [], "bocage:licences": [LICENCE], "bocage:audience": "public",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
    }  # fmt: skip
    item = {
        "type": "Feature", "stac_version": "1.1.0", "id": "one", "collection": "terrain", "links": [],
        "bbox": [3, 45, 3.1, 45.1],
        "geometry": {"type": "Polygon", "coordinates": [[[3, 45], [3.1, 45], [3.1, 45.1], [3, 45.1], [3, 45]]]},
        "properties": {"datetime": "2024-05-01T10:00:00Z"},
        "assets": {"dem": {"href": f"{BASE}/assets/terrain/one/dem", "type": "image/tiff; application=geotiff",
                           "roles": ["data"]}},
    }  # fmt: skip
    with callers.client("catalogue", "researcher") as catalogue, callers.client("rights", "researcher") as rights:
        assert catalogue.post("/stac/collections", json=collection).status_code == 201
        assert rights.put("/assets/terrain/one/dem", content=path.read_bytes()).status_code in (200, 201)
        answer = catalogue.post("/stac/collections/terrain/items", json=item)
        assert answer.status_code == 201, answer.text
    return "terrain/one"


def test_restricted_terrain_to_a_hillshade_in_the_catalogue(callers: Callers, terrain: str) -> None:
    body = {"inputs": {"item": terrain}, "audience": "owner"}
    with callers.client("processing", "company") as company:
        refused = company.post("/processing/processes/hillshade/execution", json=body)
        assert refused.status_code == 403, refused.text
        assert refused.json()["required_terms"][0]["licence"] == LICENCE
    with callers.client("processing", "researcher") as researcher:
        answer = researcher.post(
            "/processing/processes/hillshade/execution", json=body, headers={"Prefer": "respond-async"}
        )
        assert answer.status_code == 201, answer.text
        job = answer.json()["jobID"]

        def ended() -> dict[str, Any] | None:
            status: dict[str, Any] = researcher.get(f"/processing/jobs/{job}").json()
            return status if status["status"] not in ("accepted", "running") else None

        status = until(ended, 60, 0.3)
        assert status["status"] == "successful", status
        assert 0 < status["credits"]["charged"] <= status["credits"]["quoted"]
        results = researcher.get(f"/processing/jobs/{job}/results").json()
        assert results["hillshade"]["href"] == f"{BASE}/assets/hillshade/{job}/hillshade"
        sync = researcher.post("/processing/processes/hillshade/execution", json=body)
        assert (sync.status_code, list(sync.json())) == (200, ["hillshade"])
    path = f"/stac/collections/hillshade/items/{job}"
    with callers.client("catalogue", "researcher") as catalogue:
        item = catalogue.get(path).json()
    assert item["assets"]["hillshade"]["href"] == results["hillshade"]["href"]
    assert LICENCE in item["assets"]["hillshade"]["bocage:licences"]
    derived = [link["href"] for link in item["links"] if link["rel"] == "derived_from"]
    assert derived == [f"{BASE}/stac/collections/terrain/items/one"]
    for who in ("company", None):
        with callers.client("catalogue", who) as catalogue:
            assert catalogue.get(path).status_code == 404
    with callers.client("rights", "researcher") as rights:
        content = rights.get(f"/assets/hillshade/{job}/hillshade").content
    (callers.home / "shade.tif").write_bytes(content)
    with rasterio.open(callers.home / "shade.tif") as source:
        assert source.shape == (64, 64)
        assert job in json.dumps(source.tags())


def published(client: httpx.Client, job: str) -> Any:
    status: dict[str, Any] = client.get(f"/processing/jobs/{job}").json()
    return status if status["status"] not in ("accepted", "running") else None


def held(client: httpx.Client, job: str) -> Any:
    status: dict[str, Any] = client.get(f"/processing/jobs/{job}").json()
    assert status["status"] in ("accepted", "running"), status
    return status if "held" in status["message"] else None


def accepts(callers: Callers, licence: str) -> None:
    with callers.client("rights", "researcher") as rights:
        digest = rights.get(f"/rights/licences/{licence}").json()["text_sha256"]["en"]
        body = {"text_sha256": digest, "on_behalf": "organisation"}
        assert rights.post(f"/rights/licences/{licence}/acceptance", json=body).status_code in (200, 201)


def withdraws(callers: Callers, licence: str) -> None:
    with callers.client("rights", "researcher") as rights:
        answer = rights.delete(f"/rights/licences/{licence}/acceptance", params={"on_behalf": "organisation"})
        assert answer.status_code == 204, answer.text


def test_what_results_inherit_is_quoted_frozen_and_written_on_the_item(callers: Callers, terrain: str) -> None:
    body = {"inputs": {"item": terrain}}
    with callers.client("processing", "researcher") as researcher:
        quoted = researcher.post("/processing/processes/hillshade/quote", json=body).json()["rights"]
        assert quoted["licences"] == {"hillshade": [LICENCE]}
        assert "assumed" in quoted["notes"][0]
        answer = researcher.post(
            "/processing/processes/hillshade/execution", json=body, headers={"Prefer": "respond-async"}
        )
        assert answer.json()["rights"] == quoted, "as quoted, from the first status on"
        job = answer.json()["jobID"]
        assert until(lambda: published(researcher, job), 60, 0.3)["status"] == "successful"
    with callers.client("catalogue", "researcher") as catalogue:
        properties = catalogue.get(f"/stac/collections/hillshade/items/{job}").json()["properties"]
    assert properties["bocage:licence_notes"] == quoted["notes"]
    assert "Contains Bocage, demonstration data" in properties["attribution"]


def test_results_are_held_while_the_licence_is_withdrawn_and_published_once_it_is_accepted(
    callers: Callers, terrain: str
) -> None:
    path = "/processing/processes/hillshade/execution"
    with callers.client("processing", "researcher") as researcher:
        answer = researcher.post(path, json={"inputs": {"item": terrain}}, headers={"Prefer": "respond-async"})
        job = answer.json()["jobID"]
        withdraws(callers, LICENCE)
        try:
            status = until(lambda: held(researcher, job), 30, 0.1)
            assert f"/rights/licences/{LICENCE}/acceptance" in status["message"], "says where to mend it"
            with callers.client("catalogue", "researcher") as catalogue:
                assert catalogue.get(f"/stac/collections/hillshade/items/{job}").status_code == 404
            with callers.client("rights", "researcher") as rights:
                assert rights.get(f"/assets/hillshade/{job}/hillshade").status_code == 404
            assert researcher.get(f"/processing/jobs/{job}/results").status_code == 404
            with callers.client("processing", "researcher") as again:
                refused = again.post(path, json={"inputs": {"item": terrain}})
            assert (refused.status_code, refused.json()["code"]) == (403, "licence-required")
        finally:
            accepts(callers, LICENCE)
        status = until(lambda: published(researcher, job), 30, 0.3)
        assert (status["status"], status["message"]) == ("successful", "Done.")


def test_a_recall_blocks_the_result_of_an_earlier_job_and_the_next_one(callers: Callers, terrain: str) -> None:
    path = "/processing/processes/hillshade/execution"
    with callers.client("processing", "researcher") as researcher:
        answer = researcher.post(path, json={"inputs": {"item": terrain}}, headers={"Prefer": "respond-async"})
        job = answer.json()["jobID"]
        assert until(lambda: published(researcher, job), 60, 0.3)["status"] == "successful"
    asset = f"/assets/hillshade/{job}/hillshade"
    with callers.client("rights", "admin") as admin, callers.client("rights", "researcher") as rights:
        assert rights.get(asset).status_code == 200
        recall = admin.post("/rights/admin/recalls", json={"item": terrain, "reason": "Wrong datum"}).json()
        try:
            assert f"hillshade/{job}" in recall["descendants"]
            assert (rights.get(asset).status_code, rights.get(asset).json()["code"]) == (403, "recalled")
            with callers.client("processing", "researcher") as researcher:
                refused = researcher.post(path, json={"inputs": {"item": terrain}})
                assert (refused.status_code, refused.json()["code"]) == (403, "recalled")
                assert "Wrong datum" in refused.json()["detail"]
        finally:
            assert admin.delete(f"/rights/admin/recalls/{recall['id']}").status_code == 204
        assert rights.get(asset).status_code == 200


def test_licences_that_clash_are_refused_before_anything_is_reserved(callers: Callers, terrain: str) -> None:
    with callers.client("catalogue", "admin") as admin:
        item = admin.get(f"/stac/collections/terrain/items/{terrain.split('/')[1]}").json()
        item["id"] = "alike"
        item["properties"]["bocage:licences"] = ["CC-BY-SA-4.0", "CC-BY-NC-4.0"]
        for asset in item["assets"].values():
            asset.pop("bocage:licences", None)
            asset["href"] = asset["href"].replace("/one/", "/alike/")
        with callers.client("rights", "researcher") as rights:
            content = rights.get("/assets/terrain/one/dem").content
            assert rights.put("/assets/terrain/alike/dem", content=content).status_code in (200, 201)
        answer = admin.post("/stac/collections/terrain/items", json=item)
        assert answer.status_code == 201, answer.text
    with callers.client("processing", "researcher") as researcher, callers.client("rights", "researcher") as rights:
        before = rights.get("/rights/ledger").json()
        jobs = len(researcher.get("/processing/jobs", params={"limit": 1000}).json()["jobs"])
        for what in ("quote", "execution"):
            refused = researcher.post(
                f"/processing/processes/hillshade/{what}", json={"inputs": {"item": "terrain/alike"}}
            )
            assert (refused.status_code, refused.json()["code"]) == (409, "licence-conflict"), refused.text
            assert refused.json()["licences"] == ["CC-BY-NC-4.0", "CC-BY-SA-4.0"]
            assert refused.json()["inputs"] == ["terrain/alike"]
        assert rights.get("/rights/ledger").json() == before
        assert len(researcher.get("/processing/jobs", params={"limit": 1000}).json()["jobs"]) == jobs


def test_echo_gives_back_every_kind(callers: Callers) -> None:
    inputs = {
        "stringInput": "text", "integerInput": 3, "doubleInput": 2.5, "booleanInput": True,
        "arrayInput": [1, 2], "boundingBoxInput": {"bbox": [1, 2, 3, 4]}, "imageInput": "iVBORw0KGgo=",
        "measureInput": {"measurement": 1, "uom": "m"},
    }  # fmt: skip
    with callers.client("processing", "researcher") as client:
        answer = client.post("/processing/processes/echo/execution", json={"inputs": inputs, "response": "document"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["stringOutput"] == "text"
        assert answer.json()["boundingBoxOutput"]["value"]["bbox"] == [1, 2, 3, 4]
        image = client.post(
            "/processing/processes/echo/execution",
            json={"inputs": {"imageInput": "iVBORw0KGgo="}, "response": "raw"},
        )
        assert (image.headers["content-type"], image.content) == ("image/png", b"\x89PNG\r\n\x1a\n")


def test_real_processes_are_described(callers: Callers) -> None:
    with callers.client("processing") as client:
        page = client.get("/processing/processes").json()
        assert [process["id"] for process in page["processes"]] == ["dsm", "echo", "hillshade"]
        dsm = client.get("/processing/processes/dsm").json()
    assert dsm["limits"]["max_megapixels"] == 16
    assert "$ref" not in json.dumps(dsm["inputs"])


def test_items_of_a_hidden_collection_are_not_told_from_absent_ones(callers: Callers, terrain: str) -> None:
    with callers.client("catalogue", "admin") as admin:
        collection = admin.get("/stac/collections/terrain").json() | {"id": "veiled", "bocage:audience": "owner"}
        for inherited in ("bocage:owner", "bocage:organisation"):
            del collection[inherited]
        assert admin.post("/stac/collections", json=collection).status_code == 201
        item = admin.get(f"/stac/collections/terrain/items/{terrain.split('/')[1]}").json()
        item |= {"id": "open", "collection": "veiled", "assets": {}}
        item["properties"]["bocage:audience"] = "public"
        answer = admin.post("/stac/collections/veiled/items", json=item)
        assert answer.status_code == 201, answer.text
    with callers.client("processing", "researcher") as researcher:
        answers = [
            researcher.post("/processing/processes/hillshade/quote", json={"inputs": {"item": f"veiled/{name}"}})
            for name in ("open", "absent")
        ]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert [answer.json()["code"] for answer in answers] == ["no-such-item", "no-such-item"]


def test_nobody_else_gets_the_collections_of_results(callers: Callers) -> None:
    with callers.client("catalogue", "admin") as admin:

        def claimed() -> bool:
            found = admin.get("/stac/collections/dsm")
            return found.status_code == 200 and found.json().get("bocage:write_scope") == "service"

        until(claimed, 30, 0.3)
    with callers.client("catalogue", "researcher") as researcher:
        squatted = researcher.get("/stac/collections/dsm").json()
        assert researcher.post("/stac/collections", json=squatted).status_code == 409
        assert researcher.delete("/stac/collections/dsm").status_code == 403


@pytest.mark.parametrize(
    "value", ['"\\u0000"', '"\\ud800"', "NaN", "1e999", '{"a":' * 900 + "1" + "}" * 900, "[" * 90 + "]" * 90]
)
def test_what_no_row_can_hold_is_the_callers_fault(callers: Callers, value: str) -> None:
    with callers.client("processing", "researcher") as researcher:
        for name in ("stringInput", "doubleInput", "complexObjectInput"):
            body = f'{{"inputs": {{"{name}": {value}}}}}'
            for what in ("execution", "quote"):
                answer = researcher.post(
                    f"/processing/processes/echo/{what}", content=body, headers={"content-type": "application/json"}
                )
                assert answer.status_code in (400, 422), (name, what, answer.text)
