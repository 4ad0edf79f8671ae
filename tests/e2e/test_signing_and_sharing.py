"""Signed links and sharing through the whole platform: the command, the gateway, GDAL, and who sees what."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
from platforms import Running

NAME = "signing-and-sharing"


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("raster") / "a.tif"
    profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 1, "dtype": "uint16", "tiled": True}
    with rasterio.open(path, "w", crs="EPSG:32631", transform=rasterio.Affine(1, 0, 0, 0, -1, 0), **profile) as target:
        target.write(np.arange(512 * 512, dtype="uint32").reshape(1, 512, 512).astype("uint16"))
    return path.read_bytes()


@pytest.fixture(scope="module")
def kept(running: Running, raster: bytes) -> Iterator[str]:
    """The path of an item that only the researcher sees, in a collection that all see."""
    with running.researcher as researcher:
        collection: dict[str, Any] = {
            "type": "Collection",
            "stac_version": "1.1.0",
            "id": NAME,
            "license": "other",
            "description": "For links and shares",
            "links": [],
            "bocage:licences": ["CC-BY-NC-4.0"],
            "bocage:audience": "public",
            "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        }
        made = researcher.post("/stac/collections", json=collection)
        assert made.status_code == 201, made.text
        put = researcher.put(f"/assets/{NAME}/kept/data", content=raster)
        assert put.status_code == 201, put.text
        item: dict[str, Any] = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": "kept",
            "geometry": {"type": "Point", "coordinates": [3.8, 43.6]},
            "bbox": [3.8, 43.6, 3.8, 43.6],
            "properties": {"datetime": "2025-06-01T10:00:00Z", "bocage:audience": "owner"},
            "links": [],
            "assets": {"data": {"href": put.json()["href"], "type": "image/tiff", "roles": ["data"]}},
        }
        posted = researcher.post(f"/stac/collections/{NAME}/items", json=item)
        assert posted.status_code == 201, posted.text
    yield f"{NAME}/kept"


def command(running: Running, *arguments: str, key: str | None = None) -> tuple[int, dict[str, Any]]:
    done = running.bocage(*arguments, "--json", key=key)
    return done.returncode, json.loads(done.stdout)


def test_a_signed_link_works_without_a_key(running: Running, kept: str, raster: bytes) -> None:
    url = f"{running.url}/assets/{kept}/data"
    code, signed = command(running, "sign", url)
    assert code == 0 and set(signed["hrefs"]) == {url}
    link = signed["hrefs"][url]
    with running.anonymous as anybody:
        assert anybody.get(url).status_code == 404
        whole = anybody.get(link)
        assert whole.content == raster and whole.headers["cache-control"] == "private, no-store"
        assert anybody.get(link, headers={"Range": "bytes=8-11"}).content == raster[8:12]
        assert anybody.head(link).headers["content-length"] == str(len(raster))
        for path in ("/rights/me", f"/stac/collections/{NAME}/items/kept"):
            # The catalogue knows no such parameter; rights tells who is asking: nobody.
            assert anybody.get(path, params={"link": link.rsplit("link=")[1]}).status_code in (200, 400)
        assert anybody.get("/rights/me", params={"link": link.rsplit("link=")[1]}).json()["subject"] == "anonymous"
        assert anybody.get(link[:-2]).status_code == 401
        assert anybody.get(f"{link}&link=other").status_code == 400
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), rasterio.open(f"/vsicurl/{link}") as source:
        window = source.read(1, window=((100, 104), (0, 512)))
        assert (window[0] == (np.arange(512, dtype="uint32") + 100 * 512).astype("uint16")).all()
    assert link.rsplit("link=")[1] not in "".join(
        path.read_text(errors="replace") for path in running.platform.home.root.rglob("logs/*") if path.is_file()
    )
    code, refused = command(running, "sign", url, key=running.accounts.company)
    assert code == 2 or refused["status"] == 404
    code, refused = command(running, "sign", "https://example.org/assets/a/b/c")
    assert code != 0 and refused["code"] == "foreign-url"


def test_a_signed_link_uploads_once_more(running: Running, kept: str) -> None:
    url = f"{running.url}/assets/{NAME}/new/data"
    code, signed = command(running, "sign", "--put", url)
    assert code == 0
    with running.anonymous as anybody:
        assert anybody.put(url, content=b"x").status_code == 401
        assert anybody.put(signed["hrefs"][url], content=b"by link").status_code == 200
    with running.researcher as researcher:
        assert researcher.get(url).content == b"by link"


def test_a_link_ends_with_its_key_within_a_second(running: Running, kept: str) -> None:
    with running.researcher as researcher:
        key = researcher.post("/rights/keys", json={"name": "links", "purpose": "research"}).json()
        url = f"{running.url}/assets/{kept}/data"
        with running.client(key["key"]) as holder:
            link = holder.get("/rights/sign", params={"url": url}).json()["href"]
        with httpx.Client() as anybody:
            assert anybody.head(link).status_code == 200
            assert researcher.delete(f"/rights/keys/{key['id']}").is_success
            until = time.monotonic() + 1
            while anybody.head(link).status_code != 401:
                assert time.monotonic() < until
                time.sleep(0.02)


def test_sharing_shows_and_grants_nothing(running: Running, kept: str) -> None:
    with running.company as company, running.anonymous as anybody, running.researcher as researcher:
        me = company.get("/rights/me").json()
        path = f"/stac/collections/{NAME}/items/kept"
        assert company.get(path).status_code == 404
        code, told = command(running, "share", kept, "--person", me["subject"])
        assert code == 0 and [x["id"] for x in told["people"]] == [me["subject"]]
        assert company.get(path).status_code == 200 and anybody.get(path).status_code == 404
        assert [x["id"] for x in company.get("/stac/search", params={"ids": "kept"}).json()["features"]] == ["kept"]
        refused = company.get(f"/assets/{kept}/data")
        assert refused.status_code == 403 and refused.json()["required_terms"], "seen, and not to be used"
        tile = f"/tiles/collections/{NAME}/items/kept/statistics"
        assert company.get(tile).status_code == 403 and researcher.get(tile).status_code == 200
        code, told = command(running, "share", kept, "--org", me["organisation"]["id"])
        assert code == 0 and len(told["people"]) == 1
        assert told["organisations"][0]["name"] == me["organisation"]["name"]
        code, told = command(running, "share", kept, "--revoke", "--person", me["subject"])
        assert code == 0 and told["people"] == []
        assert company.get(path).status_code == 200
        assert "shared_with" not in company.get(path).text
        asked = {"collection": NAME, "item": "kept"}
        assert company.get("/rights/shares", params=asked).status_code == 403
        body = {**asked, "people": [me["subject"]]}
        assert company.post("/rights/shares", json=body).status_code == 403
        guess = {**asked, "people": ["nobody@example.org"]}
        assert company.post("/rights/shares", json=guess).status_code == 403, "says nothing of who is known here"
        assert anybody.post("/rights/shares", json=body).status_code == 401
        code, told = command(running, "share", kept, "--revoke")
        assert code == 0 and told["organisations"] == []
        assert company.get(path).status_code == 404
        assert company.get("/rights/shares", params=asked).status_code == 404
        nobody = {**asked, "people": ["nobody@example.org"]}
        answers = [researcher.post("/rights/shares", json=nobody)]
        nobody["people"] = ["11111111-1111-4111-8111-111111111111"]
        answers.append(researcher.post("/rights/shares", json=nobody))
        assert [x.status_code for x in answers] == [404, 404]
        with running.admin as admin:
            lab = {"name": "Share lab", "category": "research", "email_domains": ["share-lab.example"]}
            assert admin.post("/rights/admin/organisations", json=lab).status_code == 201
            for name, where in (("Puppet", me["organisation"]["id"]), ("Ada", "Share lab")):
                person = {"name": name, "organisation": where, "email": "ada@share-lab.example"}
                there = admin.post("/rights/admin/people", json=person).json()["id"]
                shared = researcher.post("/rights/shares", json={**asked, "people": [person["email"]]})
                assert shared.status_code == (404 if name == "Puppet" else 200), "another's address takes nothing"
        assert [one["id"] for one in shared.json()["people"]] == [there]
        for wrong in (asked, {**asked, "people": [""]}, {**asked, "people": ["x"] * 101}):
            assert researcher.post("/rights/shares", json=wrong).status_code == 422
