"""Who gets which picture, and what no request may reach."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from bocage_kit.identity import Identity, Level, TileScope
from tiles_service import DEMANDED, RESTRICTED, Service

ROUTES = (
    "/tiles/WebMercatorQuad/14/8328/5883.png",
    "/tiles/WebMercatorQuad/14/8328/5883@2x.webp",
    "/WebMercatorQuad/tilejson.json",
    "/WebMercatorQuad/WMTSCapabilities.xml",
    "/WMTSCapabilities.xml",
    "/preview.png",
    "/point/3.001,45.151",
    "/statistics",
)


@pytest.mark.parametrize("tail", ROUTES)
def test_a_licence_not_held_is_refused_with_its_terms(service: Service, tail: str) -> None:
    answer = service.get(service.path(tail), service.company)
    assert answer.status_code == 403, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert [term["licence"] for term in answer.json()["required_terms"]] == [DEMANDED]
    assert service.get(service.path(tail), service.identity()).status_code == 403
    assert service.get(service.path(tail), service.researcher).status_code == 200


def test_each_asset_has_its_own_licence(service: Service) -> None:
    path = service.path("/preview.png")
    assert service.get(path, service.anybody, params={"assets": "dsm"}).status_code == 200
    refused = service.get(path, service.anybody, params={"assets": "ortho"})
    assert refused.status_code == 403
    assert [term["licence"] for term in refused.json()["required_terms"]] == [RESTRICTED]
    both = service.get(path, service.anybody, params={"assets": ["dsm", "hillshade", "ortho"]})
    assert both.status_code == 403


def test_a_preview_grant_gives_no_tiles(service: Service) -> None:
    caller = service.identity(subject="p", licences={DEMANDED: Level.PREVIEW})
    assert service.get(service.path("/preview.png"), caller).status_code == 200
    for tail in ("/tiles/WebMercatorQuad/14/8328/5883.png", "/statistics", "/point/3.001,45.151"):
        assert service.get(service.path(tail), caller).status_code == 403


@pytest.mark.parametrize("tail", [*ROUTES, "/info"])
def test_what_one_may_not_see_is_not_there(service: Service, tail: str) -> None:
    stranger = service.researcher.model_copy(update={"subject": "r2"})
    hidden = service.get(service.path(tail, "private"), stranger)
    absent = service.get(service.path(tail, "nothing"), stranger)
    assert hidden.status_code == absent.status_code == 404
    assert {**hidden.json(), "request_id": ""} == {**absent.json(), "request_id": ""}
    assert service.get(service.path(tail, "private"), service.researcher).status_code == 200


def test_a_change_of_audience_counts_within_seconds(service: Service) -> None:
    asset = {"href": "store:results/dsm/job/1/dsm.tif", "type": "image/tiff"}
    service.load_item(service.item("changing", {"dsm": asset}))
    path = service.path("/preview.png", "changing")
    assert service.get(path, service.anybody).status_code == 200
    service.load_item(
        service.item("changing", {"dsm": asset}, **{"bocage:audience": "owner", "bocage:owner": "somebody"})
    )
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and service.get(path, service.anybody).status_code == 200:
        time.sleep(0.2)
    assert service.get(path, service.anybody).status_code == 404


def test_a_tile_token_reaches_what_it_names(service: Service) -> None:
    path = service.path("/tiles/WebMercatorQuad/14/8328/5883.png")
    assert service.get(path, service.tokened(items=frozenset({"dsm/result"}))).status_code == 200
    assert service.get(path, service.tokened(collections=frozenset({"dsm"}))).status_code == 200
    for scope in ({"items": frozenset({"dsm/other"})}, {"collections": frozenset({"scenes"})}, {"search": "abc"}):
        assert service.get(path, service.tokened(**scope)).status_code == 403
    other = service.path("/info", "private")
    assert service.get(other, service.tokened(items=frozenset({"dsm/result"}))).status_code == 403


def test_the_token_is_repeated_in_links_and_never_logged(service: Service) -> None:
    caller = service.tokened(items=frozenset({"dsm/result"}))
    secret = "tok.en-SECRET&x"
    found = service.get(service.path("/WebMercatorQuad/tilejson.json"), caller, params={"token": secret}).json()
    assert found["tiles"][0].endswith("?assets=dsm&token=tok.en-SECRET%26x")
    xml = service.get(service.path("/WMTSCapabilities.xml"), caller, params={"token": secret, "bidx": 1}).text
    assert "{TileRow}.png?assets=dsm&amp;bidx=1&amp;token=tok.en-SECRET%26x" in xml
    without = service.get(service.path("/WebMercatorQuad/tilejson.json"), service.researcher, params={"token": "no"})
    assert "token" not in without.text
    service.get(service.path("/preview.png"), caller, params={"token": secret, "assets": "text"})
    assert "SECRET" not in (service.home / "errors.log").read_text()


def test_without_an_identity_nothing(service: Service) -> None:
    for tail in (*ROUTES, "/info"):
        answer = httpx.get(service.base + service.path(tail))
        assert answer.status_code == 401 and "WWW-Authenticate" in answer.headers
    assert httpx.get(service.base + "/tiles/colorMaps").status_code == 401
    assert httpx.get(service.base + "/healthz").json()["service"] == "tiles"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_only_get_and_head(service: Service, method: str) -> None:
    assert service.get(service.path("/preview.png"), service.researcher, method).status_code == 405
    head = service.get(service.path("/preview.png"), service.researcher, "HEAD")
    assert head.status_code == 200 and not head.content and int(head.headers["content-length"]) > 100


def test_caches_are_told_and_spared(service: Service) -> None:
    path = service.path("/tiles/WebMercatorQuad/16/33314/23535.png")
    first = service.get(path, service.anybody)
    tag = first.headers["etag"]
    assert first.headers["cache-control"].startswith("public") and "X-API-Key" in first.headers["vary"]
    again = service.get(path, service.anybody, headers={"If-None-Match": tag})
    assert again.status_code == 304 and not again.content and again.headers["etag"] == tag
    assert service.get(path, service.anybody, params={"rescale": "0,1"}).headers["etag"] != tag
    assert service.get(path, service.anybody, params={"token": "x"}).headers["etag"] == tag
    private = service.get(path, service.researcher)
    assert private.headers["cache-control"].startswith("private")
    # What one may no longer have is refused, whatever one holds.
    assert service.get(path, service.company, headers={"If-None-Match": tag}).status_code == 403


class Canary:
    """Counts who connects."""

    def __init__(self) -> None:
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen()
        self.port: int = self.listening.getsockname()[1]
        self.hits = 0
        threading.Thread(target=self.count, daemon=True).start()

    def count(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.hits += 1
            connection.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    made = Canary()
    yield made
    made.listening.close()


def test_no_parameter_names_an_address(service: Service, canary: Canary) -> None:
    address = f"http://127.0.0.1:{canary.port}/x.tif"
    for name in ("url", "URL", "src_path", "dataset", "Url", "href", "file"):
        decimal = f"http://2130706433:{canary.port}/"
        for value in (address, f"/vsicurl/{address}", "/etc/passwd", "file:///etc/passwd", decimal):
            for tail in ("/preview.png", "/info"):
                answer = service.get(service.path(tail), service.researcher, params={name: value})
                assert answer.status_code == 400, (name, value)
                assert "passwd" not in answer.text
    twice = service.base + service.path("/info") + f"?assets=dsm&url=&url={address}"
    assert service.get(twice.removeprefix(service.base), service.researcher).status_code == 400
    assert canary.hits == 0


@pytest.mark.parametrize(
    ("asset", "status"),
    [
        ("external", 403),
        ("passwd", 403),
        ("plain", 403),
        ("curl", 403),
        ("stored_curl", 403),
        ("bucket", 400),
        ("dots", 403),
        ("escape", 404),
        ("missing", 404),
        ("nothing", 404),
        ("/etc/passwd", 404),
        ("vrt:///etc/passwd", 404),
        ("virtual", 422),
        ("text", 422),
        ("truncated", 422),
        ("quicklook", 400),
        ("report", 400),
    ],
)
def test_assets_that_are_no_stored_geotiff_are_refused(service: Service, asset: str, status: int) -> None:
    for tail in ("/tiles/WebMercatorQuad/17/66629/47071.png", "/preview.png", "/statistics", "/point/3.002,45.152"):
        answer = service.get(service.path(tail), service.researcher, params={"assets": asset})
        assert answer.status_code == status, (tail, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        for leak in (str(service.home), "results/dsm", "Traceback", "select "):
            assert leak not in answer.text


def test_a_broken_file_spoils_no_other_request(service: Service) -> None:
    for _ in range(12):
        broken = service.get(service.path("/preview.png"), service.researcher, params={"assets": "truncated"})
        sound = service.get(service.path("/preview.png"), service.researcher, params={"assets": "rgb"})
        assert (broken.status_code, sound.status_code) == (422, 200)


BAD: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/tiles/WebMercatorQuad/25/0/0.png", {}),
    ("/tiles/WebMercatorQuad/-1/0/0.png", {}),
    ("/tiles/WebMercatorQuad/a/0/0.png", {}),
    ("/tiles/WebMercatorQuad/3/99999999999999999999/0.png", {}),
    ("/tiles/WebMercatorQuad/3/0/0@9x.png", {}),
    ("/tiles/WebMercatorQuad/3/0/0.gif", {}),
    ("/tiles/CustomQuad/3/0/0.png", {}),
    ("/preview.png", {"width": 100_000}),
    ("/preview.png", {"max_size": 0}),
    ("/preview.png", {"assets": ["dsm"] * 5}),
    ("/preview.png", {"bidx": 2}),
    ("/preview.png", {"bidx": 0}),
    ("/preview.png", {"assets": ["dsm", "rgb"]}),
    ("/preview.png", {"assets": ["dsm", "rgb"], "bidx": 1}),
    ("/preview.png", {"rescale": "5,1"}),
    ("/preview.png", {"rescale": "nan,1"}),
    ("/preview.png", {"rescale": "1,2,3,4"}),
    ("/preview.png", {"colormap_name": "nothing"}),
    ("/preview.png", {"colormap_name": "../relief"}),
    ("/preview.png", {"colormap": "{"}),
    ("/preview.png", {"colormap": "[" * 5000}),
    ("/preview.png", {"colormap": '{"1": [300, 0, 0]}'}),
    ("/preview.png", {"assets": "rgb", "colormap_name": "viridis"}),
    ("/preview.png", {"resampling": "magic"}),
    ("/preview.png", {"nodata": "many"}),
    ("/preview.png", {"expression": "b1" + "+b1" * 100}),
    ("/preview.png", {"expression": "b9"}),
    ("/preview.png", {"expression": "9**9**9**9"}),
    ("/preview.png", {"expression": "__import__('os')"}),
    ("/preview.png", {"expression": "b1.tofile('x')"}),
    ("/preview.png", {"expression": "b1;b1"}),
    ("/preview.png", {"expression": "-" * 99 + "b1"}),
    ("/preview.png", {"expression": "sqrt(b1"}),
    ("/point/999,0", {}),
    ("/point/nan,0", {}),
    ("/point/1", {}),
    ("/statistics", {"p": 101}),
    ("/statistics", {"histogram_bins": 10**9}),
    ("/WebMercatorQuad/tilejson.json", {"assets": "raw"}),
    ("/tiles/WebMercatorQuad/17/66629/47071.png", {"assets": "raw"}),
    ("/tiles/WebMercatorQuad/17/66629/47071.png", {"assets": "hillshade", "nodata": -1.5}),
)


@pytest.mark.parametrize(("tail", "asked"), BAD)
def test_bad_input_is_the_client_s_fault(service: Service, tail: str, asked: dict[str, Any]) -> None:
    answer = service.get(service.path(tail), service.researcher, params=asked)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


@pytest.mark.parametrize("name", ["a%00b", "%ff%fe", "%ed%a0%80", "%2e%2e", "a'b", "x" * 300, "é"])
def test_strange_names_are_just_absent(service: Service, name: str) -> None:
    for path in (f"/tiles/collections/{name}/items/result/info", f"/tiles/collections/dsm/items/{name}/info"):
        assert service.get(path, service.researcher).status_code in (404, 422)


def test_it_does_not_start_where_gdal_follows_references(service: Service) -> None:
    start = (
        "import asyncio, pathlib\n"
        "from bocage_tiles.app import create_app\n"
        "from bocage_tiles.settings import TilesSettings\n"
        f"home = pathlib.Path({str(service.home)!r})\n"
        "app = create_app(TilesSettings(home=home, database='postgresql://127.0.0.1:1/x'))\n"
        "async def main():\n"
        "    async with app.router.lifespan_context(app): pass\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "NotHardened" in done.stderr and "VRT" in done.stderr


def test_items_of_a_hidden_collection_are_hidden_whatever_they_say(service: Service) -> None:
    service.load_collection("veiled", **{"bocage:audience": "owner", "bocage:owner": "r1"})
    asset = {"href": "store:results/dsm/job/1/dsm.tif", "type": "image/tiff"}
    service.load_item(service.item("open", {"dsm": asset}, **{"bocage:audience": "public"}) | {"collection": "veiled"})
    path = "/tiles/collections/veiled/items/open/preview.png"
    assert service.get(path, service.researcher).status_code == 200
    assert service.get(path, service.anybody).status_code == 404
    stranger = service.researcher.model_copy(update={"subject": "r2"})
    assert service.get(path, stranger).status_code == 404
    granted = stranger.model_copy(update={"hidden": frozenset({"veiled"})})
    assert service.get(path, granted).status_code == 200
    token = stranger.model_copy(update={"tiles": TileScope(collections=frozenset({"veiled"}))})
    assert service.get(path, token).status_code == 404


def blocked(service: Service, path: str, caller: Identity, wanted: int, seconds: float = 1.0) -> None:
    """The answer becomes `wanted` in time, although the item has been read already."""
    deadline = time.monotonic() + seconds
    while (status := service.get(path, caller).status_code) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == wanted


@pytest.mark.parametrize("tail", ROUTES)
def test_a_recall_of_the_input_counts_within_a_second(service: Service, tail: str) -> None:
    asset = {"href": "store:results/dsm/job/1/dsm.tif", "type": "image/tiff"}
    service.load_item(service.item("made", {"dsm": asset}))
    path = service.path(tail, "made")
    assert service.get(path, service.anybody).status_code == 200
    with psycopg.connect(service.admin_url, autocommit=True) as connection:
        connection.execute(
            "insert into rights.lineage values ('dsm', 'made', 'images', 'one', 'job', '{}') on conflict do nothing"
        )
        connection.execute(
            "insert into rights.recall (collection, item, reason, recalled_by) values ('images', 'one', 'Clouds', 'a')"
        )
        blocked(service, path, service.anybody, 403)
        problem = service.get(path, service.anybody).json()
        assert problem["code"] == "recalled" and "Clouds" in problem["detail"]
        assert service.get(service.path("/info", "made"), service.anybody).status_code == 200, "metadata stay"
        assert service.get(service.path(tail), service.anybody).status_code == 200, "others too"
        connection.execute("update rights.recall set lifted_by = 'a', lifted_at = now() where lifted_at is null")
    blocked(service, path, service.anybody, 200)


@pytest.mark.parametrize("tail", ROUTES)
def test_an_embargo_leaves_pictures_to_the_organisation_that_owns_it(service: Service, tail: str) -> None:
    asset = {"href": "store:results/dsm/job/1/dsm.tif", "type": "image/tiff"}
    for name, until in (("kept", "2100-01-01T00:00:00Z"), ("unclear", "next year"), ("over", "2020-01-01")):
        service.load_item(
            service.item(name, {"dsm": asset}, **{"bocage:embargo_until": until, "bocage:organisation": "lab"})
        )
    for name in ("kept", "unclear"):
        refused = service.get(service.path(tail, name), service.anybody)
        assert (refused.status_code, refused.json()["code"]) == (403, "embargo")
        assert service.get(service.path(tail, name), service.researcher).status_code == 200
    assert service.get(service.path(tail, "over"), service.anybody).status_code == 200
