"""Ingest against a real HTTP server: what is sent, what is not sent again, what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import bocage_client
import pytest
import rasterio
from bocage_client.errors import BocageError

if TYPE_CHECKING:
    from conftest import Done, Stub

    Bocage = Callable[..., Done]
    Write = Callable[..., Path]


def puts(stub: Stub) -> int:
    return sum(n for what, n in stub.seen.items() if what.startswith("PUT /assets"))


def test_two_images_become_items(stub: Stub, bocage: Bocage, write_image: Write) -> None:
    paths = [write_image("view one.tif"), write_image("two.tif")]
    done = bocage("ingest", *paths, "--collection", "mine", "--title", "Mine", "--id-prefix", "s-", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"items": ["mine/s-view-one", "mine/s-two"]}
    collection = stub.collections["mine"]
    assert (collection["bocage:licences"], collection["bocage:audience"]) == (
        ["LicenseRef-Bocage-Restricted"],
        "organisation",
    )
    assert stub.accepted, "the default terms are accepted for one's own images"
    item = stub.items["mine", "s-two"]
    asset = item["assets"]["image"]
    assert asset["file:checksum"] == "1220" + hashlib.sha256(paths[1].read_bytes()).hexdigest()
    assert asset["file:size"] == paths[1].stat().st_size
    assert item["properties"]["proj:shape"] == [120, 120]
    assert "bocage:licences" not in item["properties"], "inherited"
    assert item["properties"]["stereo-img:group"] == "s-view-one+s-two"
    assert (item["properties"]["stereo-img:count"], item["properties"]["stereo-img:number"]) == (2, 2)
    assert collection["bocage:processes"] == ["dsm"]
    assert [(link["rel"], link["href"], link["stereo-img:number"]) for link in item["links"]] == [
        ("related", "/stac/collections/mine/items/s-view-one", 1)
    ]
    extent = collection["extent"]["spatial"]["bbox"][0]
    assert extent[0] <= item["bbox"][0] <= item["bbox"][2] <= extent[2]


def test_again_is_nothing_new(stub: Stub, bocage: Bocage, write_image: Write) -> None:
    paths = [write_image("one.tif"), write_image("two.tif")]
    first = bocage("ingest", *paths, "--collection", "mine", "--json")
    sent, seen = puts(stub), dict(stub.seen)
    again = bocage("ingest", *paths, "--collection", "mine", "--json")
    assert again.out == first.out
    assert puts(stub) == sent == 2
    assert {k: v for k, v in stub.seen.items() if k.startswith(("POST", "PUT"))} == {
        k: v for k, v in seen.items() if k.startswith(("POST", "PUT"))
    }
    # what others wrote into the item stays when its image changes
    stub.items["mine", "two"]["properties"]["note"] = "kept"
    assert len(stub.items["mine", "two"]["links"]) == 1
    path = write_image("two.tif", size=140)
    assert bocage("ingest", path, "--collection", "mine").code == 0
    item = stub.items["mine", "two"]
    assert (item["properties"]["note"], item["properties"]["proj:shape"]) == ("kept", [140, 140])
    assert len(item["links"]) == 1, "its partner stays too"
    assert puts(stub) == 3
    # an item of before, which does not name its partner, is brought up to date
    item["links"] = [{"rel": "note", "href": "https://example.org/"}]
    assert bocage("ingest", paths[0], path, "--collection", "mine").code == 0
    assert [link["rel"] for link in stub.items["mine", "two"]["links"]] == ["note", "related"]
    assert puts(stub) == 3


def test_killed_half_way_it_goes_on(stub: Stub, bocage: Bocage, write_image: Write) -> None:
    paths = [write_image("one.tif"), write_image("two.tif", size=3000)]
    stub.upload_pause = 0.05
    arguments = ["ingest", *map(str, paths), "--collection", "mine", "--json"]
    process = subprocess.Popen([str(Path(sys.executable).parent / "bocage"), *arguments], env=dict(os.environ))
    deadline = time.monotonic() + 30
    while "PUT /assets/mine/two/image" not in stub.seen:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert list(stub.items) == [("mine", "one")]
    assert "/assets/mine/two/image" not in stub.objects
    stub.upload_pause = 0.0
    done = bocage(*arguments)
    assert done.code == 0, done.err
    assert stub.objects["/assets/mine/two/image"] == paths[1].read_bytes()
    assert stub.seen["PUT /assets/mine/one/image"] == 1, "what is there is not sent again"
    assert stub.seen["PUT /assets/mine/two/image"] == 2
    assert len(stub.items) == 2


def test_side_cars_go_along(stub: Stub, bocage: Bocage, test_data: Path) -> None:
    folder = test_data / "pleiades_gizeh"
    done = bocage("ingest", folder / "img1.tif", folder / "img2.tif", "--collection", "gizeh", "--json")
    assert done.code == 0, done.err
    item = stub.items["gizeh", "img1"]
    assert item["assets"]["geomodel"]["roles"] == ["metadata", "geomodel"]
    assert stub.objects["/assets/gizeh/img1/geomodel"] == (folder / "img1.geom").read_bytes()
    assert item["properties"]["datetime"] == "2013-02-08T08:36:09.100000Z"
    assert item["properties"]["platform"] == "pleiades-1b"


def test_a_licence_that_differs_from_the_collections(stub: Stub, bocage: Bocage, write_image: Write) -> None:
    stub.collections["open"] = {"id": "open", "bocage:licences": ["CC-BY-4.0"]}
    assert bocage("ingest", write_image("a.tif"), "--collection", "open", "--licence", "CC-BY-NC-4.0").code == 0
    assert stub.items["open", "a"]["properties"]["bocage:licences"] == ["CC-BY-NC-4.0"]
    assert bocage("ingest", write_image("b.tif"), "--collection", "open", "--licence", "CC-BY-4.0").code == 0
    assert "bocage:licences" not in stub.items["open", "b"]["properties"]


def test_somebody_elses_collection(stub: Stub, bocage: Bocage, write_image: Write) -> None:
    stub.collections["foreign"] = {"id": "foreign"}
    # large enough for the refusal to come while it is still being sent
    done = bocage("ingest", write_image(size=3000), "--collection", "foreign", "--json")
    assert (done.code, json.loads(done.out)["status"]) == (3, 403)
    hidden = bocage("ingest", write_image(), "--collection", "hidden", "--json")
    assert hidden.code == 3
    assert "another name" in json.loads(hidden.out)["detail"]


def test_bad_files_are_refused_before_anything_is_sent(
    stub: Stub, bocage: Bocage, write_image: Write, tmp_path: Path
) -> None:
    good, text = write_image(), tmp_path / "text.tif"
    text.write_text("no image")
    done = bocage("ingest", good, text, "--collection", "mine", "--json")
    assert (done.code, json.loads(done.out)["code"]) == (1, "not-an-image")
    assert bocage("ingest", good, tmp_path / "none.tif", "--collection", "mine").code == 2
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / good.name
    twin.write_bytes(good.read_bytes())
    assert "rename one" in bocage("ingest", good, twin, "--collection", "mine").err
    assert not stub.seen


def test_from_python(stub: Stub, write_image: Write) -> None:
    with bocage_client.connect() as client:
        assert client.ingest([write_image()], collection="mine") == ["mine/view"]
        stub.results = (200, {"dsm": {"href": f"{stub.url}/assets/mine/view/image", "type": "image/tiff"}})
        job = client.submit("dsm", images=["mine/view", "mine/view"]).wait(timeout=20)
        assert stub.bodies[-1]["inputs"] == {"images": ["mine/view", "mine/view"]}
        with job.results()["dsm"].open() as raster, rasterio.open(write_image("copy.tif")) as other:
            assert raster.shape == other.shape
            # read after open(): the key must still go along
            assert raster.read(1).sum() > 0
        assert job.results()["dsm"].read() == stub.objects["/assets/mine/view/image"]


def test_a_broken_dataset_is_an_error_of_ours(stub: Stub) -> None:
    with bocage_client.connect(key="bk_other.wrong") as client, pytest.raises(BocageError) as caught:
        client.whoami()
    assert caught.value.status == 401
    assert "bk_other" not in repr(caught.value) + str(caught.value)
