"""The whole content in a real platform: loaded once, walked by a client of others, every file read back from afar."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pystac_client
import pytest
import rasterio
import rasterio.windows
from bocage_client import connect
from bocage_deploy import content
from bocage_deploy.content import ContentFailed, Loaded
from bocage_theia import directory, products
from bocage_theia.vocabulary import vocabulary
from platforms import Running


@dataclass(frozen=True)
class InPlace:
    folder: Path
    first: Loaded
    said: list[str]


@pytest.fixture(scope="module")
def loaded(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InPlace]:
    folder, said = tmp_path_factory.mktemp("content"), []
    with connect(running.url, running.accounts.admin) as client:
        yield InPlace(folder, content.load(client, folder, said.append), said)
    # Other tests count what is in the catalogue.
    with running.admin as admin:
        for record in content.records():
            admin.delete(f"/stac/collections/{record['id']}")


def again(running: Running, folder: Path, only: tuple[str, ...] = ()) -> Loaded:
    with connect(running.url, running.accounts.admin) as client:
        return content.load(client, folder, lambda text: None, only)


def items(running: Running, collection: str) -> list[dict[str, Any]]:
    with running.anonymous as client:
        found: list[dict[str, Any]] = client.get(f"/stac/collections/{collection}/items").json()["features"]
    return found


def test_all_of_it_is_there(running: Running, loaded: InPlace) -> None:
    records = content.records()
    assert loaded.first.collections == {"new": len(records), "updated": 0, "unchanged": 0}
    assert loaded.first.items["new"] >= 65 and loaded.first.items["updated"] == 0
    assert str(loaded.first.items["new"]) in loaded.said[-1] and str(len(records)) in loaded.said[0]
    catalogue = pystac_client.Client.open(f"{running.url}/stac/")
    assert {record["id"] for record in records} <= {found.id for found in catalogue.get_collections()}
    found = list(catalogue.search(filter={"op": "=", "args": [{"property": "bocage:synthetic"}, True]}).items())
    listed = directory.items()
    assert len(found) == loaded.first.items["new"] - len(listed)
    assert all(item.properties["title"].startswith("Synthetic sample") for item in found)
    assert all(item.geometry and item.bbox for item in found)
    for item in listed:
        assert catalogue.get_collection(item["collection"]).get_item(item["id"]) is not None, item["id"]


def test_every_file_comes_back_whole_and_in_parts(running: Running, loaded: InPlace) -> None:
    assets = [
        asset
        for item in pystac_client.Client.open(f"{running.url}/stac/").search(max_items=None, limit=200).items()
        if item.properties.get("bocage:synthetic")
        for asset in item.assets.values()
    ]
    assert len(assets) == loaded.first.files
    with running.anonymous as client, ThreadPoolExecutor(4) as pool:

        def whole(asset: Any) -> tuple[str, int]:
            answer = client.get(asset.href)
            assert answer.status_code == 200, (asset.href, answer.text)
            assert answer.headers["content-type"].startswith(asset.media_type.split(";")[0])
            return "1220" + hashlib.sha256(answer.content).hexdigest(), len(answer.content)

        for asset, (checksum, size) in zip(assets, pool.map(whole, assets), strict=True):
            assert (checksum, size) == (asset.extra_fields["file:checksum"], asset.extra_fields["file:size"])


def test_every_raster_is_read_by_ranges(running: Running, loaded: InPlace) -> None:
    """As QGIS and rasterio read them: header first, then the tiles of a window and of the overview."""
    seen = 0
    # Nothing between GDAL and this machine.
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", NO_PROXY="*", GDAL_HTTP_PROXY=""):
        for path in sorted(loaded.folder.glob("*/*/*.tif")):
            collection, item = path.parts[-3:-1]
            href = f"{running.url}/assets/{collection}/{item}/{path.stem}"
            with rasterio.open(f"/vsicurl/{href}") as far, rasterio.open(path) as near:
                window = rasterio.windows.Window(10, 20, 25, 15)
                assert np.array_equal(far.read(window=window), near.read(window=window)), path.name
                assert np.array_equal(far.read(1, out_shape=(24, 24)), near.read(1, out_shape=(24, 24))), path.name
                assert (far.crs, far.transform, far.nodatavals) == (near.crs, near.transform, near.nodatavals)
            seen += 1
    assert seen > 100


def test_samples_are_drawn(running: Running, loaded: InPlace) -> None:
    """A tile service reads what was loaded, without a key."""
    with running.anonymous as client:
        for collection, asset in (
            ("cesbio-s2albedo", "albedo"),
            ("s2mp-rpg-fr", "soil_moisture"),
            ("mangrove", "mangrove"),
        ):
            (item,) = items(running, collection)
            answer = client.get(
                f"/tiles/collections/{collection}/items/{item['id']}/preview.png", params={"assets": asset}
            )
            assert answer.status_code == 200 and answer.content.startswith(b"\x89PNG"), answer.text[:300]
            west, south, east, north = item["bbox"]
            place = f"{(west + east) / 2},{(south + north) / 2}"
            answer = client.get(
                f"/tiles/collections/{collection}/items/{item['id']}/point/{place}", params={"assets": asset}
            )
            assert answer.status_code == 200, answer.text


def test_once_more_changes_nothing(running: Running, loaded: InPlace) -> None:
    with running.admin as admin:
        before = admin.get("/stac/collections/oso-raster").headers["etag"]
    done = again(running, loaded.folder)
    assert done.files == 0
    assert done.collections == {"new": 0, "updated": 0, "unchanged": loaded.first.collections["new"]}
    assert done.items == {"new": 0, "updated": 0, "unchanged": loaded.first.items["new"]}
    with running.admin as admin:
        assert admin.get("/stac/collections/oso-raster").headers["etag"] == before


def test_from_another_folder_the_same_bytes_are_found_there(running: Running, loaded: InPlace, tmp_path: Path) -> None:
    done = again(running, tmp_path, ("oso-raster", "hydroweb-lakes"))
    assert (done.files, done.items["unchanged"], done.items["updated"]) == (0, 3, 0)


def test_what_was_lost_comes_back(running: Running, loaded: InPlace) -> None:
    (item,) = items(running, "cesbio-s2albedo")
    with running.admin as admin:
        assert admin.delete(f"/stac/collections/cesbio-s2albedo/items/{item['id']}").status_code == 200
        changed = admin.get("/stac/collections/mangrove").json() | {"title": "Something else"}
        assert admin.put("/stac/collections/mangrove", json=changed).status_code == 200
    done = again(running, loaded.folder, ("cesbio-s2albedo", "mangrove"))
    assert (done.items["new"], done.items["unchanged"]) == (1, 1)
    assert (done.collections["updated"], done.collections["unchanged"]) == (1, 1)
    (back,) = items(running, "cesbio-s2albedo")
    assert back["assets"]["albedo"]["file:checksum"] == item["assets"]["albedo"]["file:checksum"]


def test_other_bytes_take_the_place_of_the_former_ones(running: Running, loaded: InPlace, tmp_path: Path) -> None:
    """As when a newer Bocage makes a sample better: the stored item still speaks of the former bytes."""
    (before,) = items(running, "water-volumes")
    home = tmp_path / "water-volumes"
    shutil.copytree(loaded.folder / "water-volumes", home)
    folder = home / before["id"]
    series = folder / "series.csv"
    series.write_text(series.read_text() + "2024-01-05T00:00:00Z,9,9\n")
    told = json.loads((folder / "sample.json").read_text())
    told["item"]["assets"]["series"]["file:size"] = series.stat().st_size
    told["item"]["assets"]["series"]["file:checksum"] = "1220" + hashlib.sha256(series.read_bytes()).hexdigest()
    (folder / "sample.json").write_text(json.dumps(told))
    done = again(running, tmp_path, ("water-volumes",))
    assert (done.files, done.items) == (1, {"new": 0, "updated": 1, "unchanged": 0})
    (after,) = items(running, "water-volumes")
    with running.anonymous as client:
        assert client.get(after["assets"]["series"]["href"]).content == series.read_bytes()
    assert again(running, loaded.folder, ("water-volumes",)).files == 1, "and back"


def test_two_at_once(running: Running, loaded: InPlace) -> None:
    (item,) = items(running, "vod-s1")
    with running.admin as admin:
        admin.delete("/stac/collections/vod-s1")
    with ThreadPoolExecutor(2) as pool:
        each = list(pool.map(lambda _: again(running, loaded.folder, ("vod-s1",)), range(2)))
    assert sum(done.items["new"] for done in each) == 1
    assert [x["id"] for x in items(running, "vod-s1")] == [item["id"]]


def test_killed_it_goes_on(running: Running, loaded: InPlace, tmp_path: Path) -> None:
    some = [record["id"] for record in content.records()][:12]
    with running.admin as admin:
        for name in some:
            assert admin.delete(f"/stac/collections/{name}").status_code == 200
        program = (
            "import os, pathlib, sys\n"
            "from bocage_client import connect\n"
            "from bocage_deploy import content\n"
            "with connect() as client:\n"
            "    content.load(client, pathlib.Path(sys.argv[1]), print, sys.argv[2:])\n"
        )
        # A folder of its own: the samples are still being made when the process dies.
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), *some],
            env={**os.environ, "BOCAGE_URL": running.url, "BOCAGE_API_KEY": running.accounts.admin},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while process.poll() is None and admin.get(f"/stac/collections/{some[1]}").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
    done = again(running, tmp_path, tuple(some))
    assert sum(done.collections.values()) == len(some)
    for name in some:
        for item in items(running, name):
            for asset in item["assets"].values():
                with running.anonymous as client:
                    assert client.head(asset["href"]).headers["etag"].strip('"') == asset["file:checksum"][4:]
    assert again(running, tmp_path, tuple(some)).items["unchanged"] == sum(done.items.values()) >= len(some) - 1


def test_failures_name_the_record(running: Running, loaded: InPlace) -> None:
    with pytest.raises(ContentFailed, match="no collection no-such-line"):
        again(running, loaded.folder, ("no-such-line",))
    with connect(running.url, running.accounts.company) as client, pytest.raises(ContentFailed, match="oso-raster"):
        content.load(client, loaded.folder, lambda text: None, ("oso-raster",))


def test_files_that_cannot_be_written_are_told(running: Running, loaded: InPlace, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ContentFailed, match=r"sample of mangrove cannot be made"):
        again(running, blocked, ("mangrove",))


def found(running: Running, **asked: str) -> list[str]:
    with running.anonymous as client:
        answer = client.get("/stac/collections", params={"limit": "100", **asked})
        assert answer.status_code == 200, answer.text
        names = [collection["id"] for collection in answer.json()["collections"]]
        assert answer.json()["numberMatched"] == len(names)
    return names


def test_each_name_of_each_variable_finds_its_product_lines_first(running: Running, loaded: InPlace) -> None:
    scheme = vocabulary().schemes["variables"]
    broader = {above for concept in scheme.concepts.values() for above in concept.broader}
    lines: dict[str, set[str]] = {}
    for record in products.collections():
        for theme in record["themes"]:
            if theme["scheme"] == "vocabulary/variables":
                for concept in theme["concepts"]:
                    lines.setdefault(concept["id"], set()).add(record["id"])
    # Two variables may have a name in common.
    meant: dict[str, set[str]] = {}
    for concept in scheme.concepts.values():
        if concept.id not in broader:
            for name in concept.names:
                meant.setdefault(name, set()).update(lines[concept.id])
    assert len(meant) > 150
    for name, expected in meant.items():
        names = found(running, q=name)
        assert names[0] in expected, (name, names)
        assert expected <= set(names), (name, names)
        assert len(names) <= 12, f"{name!r} finds nearly everything: {names}"


@pytest.mark.parametrize(
    ("asked", "first", "among"),
    [
        ({"q": "humidité"}, {"s2mp-rpg-fr", "soil-moisture-hrs"}, {"s2mp-rpg-fr", "soil-moisture-hrs"}),
        ({"q": "soil moisture"}, {"s2mp-rpg-fr", "soil-moisture-hrs"}, {"s2mp-rpg-fr", "soil-moisture-hrs"}),
        ({"q": "albedo"}, {"cesbio-s2albedo"}, {"cesbio-s2albedo"}),
        ({"q": "albédo"}, {"cesbio-s2albedo"}, {"cesbio-s2albedo"}),
        ({"q": "MES"}, {"water-spm"}, {"water-spm"}),
        ({"q": "DSM-OPT"}, {"mns-pleiades"}, {"mns-pleiades"}),
        ({"cds": "montpellier"}, None, {"s2mp-rpg-fr", "thermocity-lst", "forms-t", "sufosat", "fordead-fit"}),
        ({"cds": "strasbourg"}, {"mns-pleiades"}, {"mns-pleiades"}),
        ({"cds": "grenoble"}, {"in-situ-ozcar"}, {"in-situ-ozcar"}),
        ({"art": "bretagne"}, {"soil-properties-bretagne"}, {"soil-properties-bretagne"}),
        ({"portal": "formater"}, {"mns-pleiades"}, {"mns-pleiades"}),
        ({"variable": "mangrove"}, {"mangrove"}, {"mangrove"}),
        ({"variable": "evapotranspiration"}, None, {"et-daily", "et-ten-day", "et-stress-index"}),
        ({"filter": "variable = 'albedo'", "filter-lang": "cql2-text"}, {"cesbio-s2albedo"}, {"cesbio-s2albedo"}),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_found(
    running: Running, loaded: InPlace, asked: dict[str, str], first: set[str] | None, among: set[str]
) -> None:
    names = found(running, **asked)
    assert among <= set(names) and len(names) <= 8, names
    assert first is None or names[0] in first, names


def test_a_search_of_everything_holds_no_records_and_all_samples(running: Running, loaded: InPlace) -> None:
    catalogue = pystac_client.Client.open(f"{running.url}/stac/")
    named = {item.collection_id for item in catalogue.search(max_items=None, limit=200).items()}
    records = {record["id"] for record in directory.collections() if record.get("bocage:records")}
    assert len(records) == 5 and not named & records
    assert {item["collection"] for item in directory.items()} == records
    assert next(catalogue.search(collections=["services"], ids=["dsm-opt"]).items()).id == "dsm-opt"


def test_every_link_to_a_picture_leads_to_one(running: Running, loaded: InPlace) -> None:
    """Of each collection its legends, of each sample its tiles."""
    seen = 0
    with running.anonymous as client:
        documents = client.get("/stac/collections", params={"limit": "200"}).json()["collections"]
        documents += client.get("/stac/search", params={"limit": "200"}).json()["features"]
        for document in documents:
            for link in document["links"]:
                if link["rel"] in ("legend", "tilejson", "wmts"):
                    answer = client.get(link["href"].removeprefix(running.url))
                    assert answer.status_code == 200, (link, answer.text)
                    assert answer.headers["content-type"].split(";")[0] == link["type"], link
                    seen += 1
                if link["rel"] == "wmts":
                    assert f"<ows:Identifier>{link['wmts:layer']}<" in answer.text
    assert seen > 200
