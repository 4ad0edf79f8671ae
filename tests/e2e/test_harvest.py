"""Other catalogues into a real platform, by the command: taken, valid, found; again, nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harvest_sources as sources
import httpx
import pytest
from bocage_client.cli import run
from harvest_sources import Served, serving
from offline_schemas import SCHEMAS, faults
from platforms import Running


@pytest.fixture
def harvest(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Any:
    monkeypatch.setenv("BOCAGE_URL", running.url)
    monkeypatch.setenv("BOCAGE_STATE", str(tmp_path))
    monkeypatch.setenv("BOCAGE_API_KEY", running.accounts.researcher)

    def call(*arguments: str, code: int = 0) -> dict[str, Any]:
        capfd.readouterr()
        ended = run(["harvest", *arguments, "--json"])
        out, err = capfd.readouterr()
        assert ended == code, out + err
        found: dict[str, Any] = json.loads(out)
        return found

    return call


@pytest.fixture(scope="module")
def reader(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=60) as client:
        yield client


def counts(document: dict[str, Any]) -> dict[str, int]:
    return {name: n for name, n in document["items"].items() if n}


def served(reader: httpx.Client, collection: str) -> list[dict[str, Any]]:
    found = reader.get(f"/stac/collections/{collection}/items", params={"limit": 1000})
    assert found.status_code == 200, found.text
    return list(found.json()["features"])


def test_geodes(running: Running, reader: httpx.Client, harvest: Any) -> None:
    name = "HARVESTED_SENTINEL2_L1C"
    items = [sources.geodes_item(n, name) for n in range(170)]
    held = Served(collections=[sources.geodes_collection(name)], items={name: items})
    with serving(held, sources.geodes):
        assert counts(harvest(held.url)) == {"new": 170}
        before = served(reader, name)
        one = f"/stac/collections/{name}/items/{before[0]['id']}"
        tags = [reader.get(path).headers["etag"] for path in (one, f"/stac/collections/{name}")]
        again = harvest(held.url)
        assert counts(again) == {"unchanged": 170} and again["collections"][name]["record"] == "unchanged"
        assert [reader.get(path).headers["etag"] for path in (one, f"/stac/collections/{name}")] == tags
        items[3]["properties"]["eo:cloud_cover"] = 5
        del items[9]
        changed = harvest(held.url)
        assert counts(changed) == {"changed": 1, "unchanged": 168, "gone": 1}
        assert counts(harvest(held.url, "--prune"))["pruned"] == 1
        assert counts(harvest(held.url)) == {"unchanged": 169}
    query = {
        "collections": name,
        "filter": "\"grid:code\" = 'MGRS-04ULD' AND published > TIMESTAMP('2025-05-01T00:00:00Z')",
    }
    found = reader.get("/stac/search", params=query).json()["features"]
    assert found and {x["properties"]["grid:code"] for x in found} == {"MGRS-04ULD"}
    one = before[0]
    (asset,) = one["assets"].values()
    assert asset["bocage:external"] is True and asset["href"].startswith("https://source.example.org/")
    assert any(x["rel"] == "via" and x["href"].startswith(held.url) for x in one["links"])
    assert one["properties"]["bocage:harvested"]["source"] == held.url
    collection = reader.get(f"/stac/collections/{name}").json()
    assert collection["license"] == "Apache-2.0" and collection["bocage:audience"] == "public"
    assert not SCHEMAS or [x for record in (*before, collection) for x in faults(record)] == []


@pytest.mark.parametrize("kind", ["stac", "hydroweb"])
def test_other_kinds(reader: httpx.Client, harvest: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"harvested-{kind}"
    make = sources.plain_item if kind == "stac" else sources.hydroweb_item
    dialect = sources.stac(posted=True, merged=True) if kind == "stac" else sources.hydroweb
    items = [make(n, name) for n in range(150)]
    monkeypatch.setenv("BOCAGE_SOURCE_KEY", "of-the-source")
    held = Served(collections=[sources.plain_collection(name, license="CC-BY-SA")], items={name: items})
    with serving(held, dialect):
        done = harvest(held.url, "--audience", "organisation")
        assert done["kind"] == kind and counts(done) == {"new": 150}
        assert counts(harvest(held.url)) == {"unchanged": 150}
    assert reader.get(f"/stac/collections/{name}").status_code == 404, "it is seen by its organisation alone"


def test_what_is_another_organisations_stays(running: Running, reader: httpx.Client, harvest: Any) -> None:
    name = "harvested-elsewhere"
    theirs = sources.plain_collection(name, stac_version="1.1.0") | {
        "bocage:organisation": "00000000-0000-4000-8000-000000000000", "bocage:audience": "public",
    }  # fmt: skip
    with running.client(running.accounts.admin) as admin:
        assert admin.post("/stac/collections", json=theirs).status_code == 201
    held = Served(collections=[sources.plain_collection(name)], items={name: [sources.plain_item(1, name)]})
    before = reader.get(f"/stac/collections/{name}").json()
    with serving(held, sources.stac()):
        done = harvest(held.url, code=3)
        assert done["problems"][0]["code"] == "not-owner" and "--into" in done["problems"][0]["detail"]
        assert counts(harvest(held.url, "--into", "harvested-mine", "--restart")) == {"new": 1}
    assert reader.get(f"/stac/collections/{name}").json() == before
    assert [x["id"] for x in served(reader, "harvested-mine")] == ["item-0001"]


def test_two_at_once(running: Running, reader: httpx.Client, tmp_path: Path) -> None:
    """From two machines: each reads all, and what both write is there once."""
    name = "harvested-twice"
    held = Served(collections=[sources.plain_collection(name)], items={name: []}, most=20)
    held.items[name] = [sources.plain_item(n, name) for n in range(120)]
    with serving(held, sources.stac()):
        command = [str(Path(sys.executable).parent / "bocage"), "harvest", held.url, "--json"]
        environment = {
            "PATH": os.environ["PATH"], "BOCAGE_URL": running.url, "BOCAGE_API_KEY": running.accounts.researcher,
        }  # fmt: skip
        both = [
            subprocess.Popen(
                command, env={**environment, "HOME": str(tmp_path), "BOCAGE_STATE": str(tmp_path / state)},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for state in ("one", "two")
        ]  # fmt: skip
        ended = [(*process.communicate(timeout=120), process.returncode) for process in both]
    for out, err, code in ended:
        assert code == 0, out + err
        found = json.loads(out)
        assert sum(counts(found).values()) == 120 and not found["skipped"] and not found["problems"]
    assert len(served(reader, name)) == 120


def test_who_may_not_write_is_told_so(running: Running, harvest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOCAGE_API_KEY", running.accounts.company)
    held = Served(collections=[sources.plain_collection("harvested-nowhere")])
    with serving(held, sources.stac()):
        assert harvest(held.url, code=3)["status"] == 403


def test_records_that_are_refused_are_named(harvest: Any) -> None:
    name = "harvested-odd"
    wrong = sources.plain_item(2, name, **{"view:off_nadir": 5}) | {
        "geometry": {"type": "Point", "coordinates": [200, 0]}, "bbox": [200, 0, 200, 0],
    }  # fmt: skip
    held = Served(collections=[sources.plain_collection(name)], items={name: [sources.plain_item(1, name), wrong]})
    with serving(held, sources.stac()):
        done = harvest(held.url)
    assert counts(done) == {"new": 1, "skipped": 1}
    (example,) = done["skipped"]["invalid-object"]["examples"]
    assert example["where"] == f"{name}/item-0002" and "longitudes" in example["detail"]


def test_real_records(reader: httpx.Client, harvest: Any, test_data: Path) -> None:
    folder = test_data / "stac_real"
    if not folder.is_dir():
        pytest.skip("no real records here: set BOCAGE_TEST_DATA to the folder that holds stac_real")
    known = json.loads((folder / "theia_geodes_collections.json").read_text())
    (item,) = json.loads((folder / "geodes_search.json").read_text())["features"]
    taken = 0
    for provider, dialect, more in (("theia", sources.stac(), {"title": "THEIA"}), ("geodes", sources.geodes, {})):
        records = {name: {"id": name, **r} for name, r in known[provider]["collections_config"].items()}
        held = Served(collections=list(records.values()), landing=more)
        if item["collection"] in records:
            held.items[item["collection"]] = [item]
        with serving(held, dialect):
            done = harvest(held.url)
            assert done["kind"] == provider and done["problems"] == [] and done["skipped"] == {}
            assert {x["record"] for x in done["collections"].values()} == {"new"}
            assert {x["record"] for x in harvest(held.url)["collections"].values()} == {"unchanged"}
        for name, record in records.items():
            made = reader.get(f"/stac/collections/{name}").json()
            assert (made["id"], made["extent"]) == (name, record["extent"])
            assert not SCHEMAS or list(faults(made)) == []
            taken += 1
    assert taken == 74
    made = reader.get(f"/stac/collections/{item['collection']}/items/{item['id']}").json()
    assert (made["geometry"], made["bbox"]) == (item["geometry"], item["bbox"])
    assert {k: v["href"] for k, v in made["assets"].items()} == {k: v["href"] for k, v in item["assets"].items()}
    assert made["properties"]["published"] == item["properties"]["datetime"]
    assert not SCHEMAS or list(faults(made)) == []
