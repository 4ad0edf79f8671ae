"""Where the assets of what is written may lead, and how they are kept and shown."""

from __future__ import annotations

from typing import Any

import pytest
from catalogue_assets import asset, uploaded

SCENES = "/stac/collections/scenes"
ITEMS = f"{SCENES}/items"


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any) -> None:
    """The researcher's collection with an item, and the platform's for results."""
    assert catalogue.researcher.post("/stac/collections", json=catalogue.collection("scenes")).status_code == 201
    assert catalogue.researcher.post(ITEMS, json=catalogue.item("one")).status_code == 201
    results = catalogue.collection("dsm", **{"bocage:write_scope": "service", "bocage:audience": "public"})
    assert catalogue.service.post("/stac/collections", json=results).status_code == 201


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "/vsicurl/http://example.org/x.tif",
        "/vsis3/bucket/key",
        "s3://bucket/key",
        "gs://bucket/key",
        "./image.tif",
        "image.tif",
        " ",
        "//example.org/image.tif",
        "http:///image.tif",
        "javascript:alert(1)",
        "store:collections/scenes/bad/image",
        "store:results/dsm/job/1/dsm.tif",
        "{base}/assets/scenes/bad/image",
        "{base}/assets/scenes/bad/other",
        "{base}/assets/scenes/one/image",
        "{base}/assets/dsm/job/dsm",
        "/assets/dsm/job/dsm",
        "{base}/assets/scenes/bad/..%2Fx",
        "{base}/assets/scenes/bad/image?x=1",
        "{base}/elsewhere/image.tif",
    ],
)
def test_hrefs_that_lead_elsewhere_are_refused_by_name(catalogue: Any, href: str) -> None:
    item = catalogue.item("bad", {"image": asset(href.format(base=catalogue.base))})
    for client in (catalogue.researcher, catalogue.administrator):
        answer = client.post(ITEMS, json=item)
        assert answer.status_code == 400, answer.text
        assert answer.json()["asset"] == "image"
        assert "Asset image: " in answer.json()["detail"]
    assert catalogue.researcher.get(f"{ITEMS}/bad").status_code == 404


@pytest.mark.parametrize(
    "href",
    [
        "store:collections/scenes/x/image",
        "store:results/scenes/job/1/dsm.tif",
        "store:results/dsm/../../secrets/key",
        "store:../../etc/passwd",
        "store:/etc/passwd",
        "store:results/dsmx/job/1/dsm.tif",
        "file:///etc/passwd",
    ],
)
def test_services_too_stay_within_the_collections_prefixes(catalogue: Any, href: str) -> None:
    answer = catalogue.service.post("/stac/collections/dsm/items", json=catalogue.item("bad", {"dsm": asset(href)}))
    assert answer.status_code == 400, answer.text


def test_an_external_asset_is_kept_as_it_is(catalogue: Any) -> None:
    link = asset("https://example.org/image.tif", **{"bocage:external": True})
    answer = catalogue.researcher.post(ITEMS, json=catalogue.item("external", {"image": link}))
    assert answer.status_code == 201
    assert catalogue.researcher.get(f"{ITEMS}/external").json()["assets"]["image"] == link


@pytest.mark.parametrize(
    "href", ["https://example.org/image.tif", "HTTP://user@Example.org:80/a b.tif", "https://example.org"]
)
def test_a_link_to_another_host_is_marked_external(catalogue: Any, href: str) -> None:
    client, path = catalogue.researcher, f"{ITEMS}/elsewhere"
    made = catalogue.item("elsewhere", {"image": asset(href)})
    several = {"type": "FeatureCollection", "features": [made]}
    for sent, asked in ((made, {}), (several, {"method": "upsert"})):
        answer = client.post(ITEMS, json=sent, params=asked)
        assert answer.status_code in (200, 201), answer.text
        assert client.get(path).json()["assets"]["image"] == asset(href, **{"bocage:external": True})
    before = client.get(path)
    assert client.put(path, json=made).headers["etag"] == before.headers["etag"]
    denied = catalogue.item("denied", {"image": asset(href, **{"bocage:external": False})})
    refused = client.post(ITEMS, json=denied)
    assert (refused.status_code, refused.json()["code"]) == (400, "asset-href")
    # What is uploaded in its place is the platform's own.
    own = uploaded(catalogue, "elsewhere")["href"]
    changed = client.patch(path, json={"assets": {"image": {"href": own}}})
    assert changed.status_code == 200 and "bocage:external" not in changed.json()["assets"]["image"]
    internal = catalogue.service.get(path).json()["assets"]["image"]
    assert internal["href"] == "store:collections/scenes/elsewhere/image" and "bocage:external" not in internal
    assert client.delete(path).status_code == 200


def test_the_assets_of_a_collection_lie_elsewhere(catalogue: Any) -> None:
    client = catalogue.researcher
    made = catalogue.collection("pictured", assets={"thumbnail": {"href": "https://example.org/t.png"}})
    assert client.post("/stac/collections", json=made).status_code == 201
    shown = client.get("/stac/collections/pictured").json()["assets"]["thumbnail"]
    assert shown == {"href": "https://example.org/t.png", "bocage:external": True}
    assert client.delete("/stac/collections/pictured").status_code == 200


def test_alternates_lead_to_the_web_alone(catalogue: Any) -> None:
    for href in ("s3://bucket/key", "store:results/dsm/j/1/dsm.tif", "file:///etc/passwd"):
        link = asset("https://example.org/a.tif", **{"bocage:external": True, "alternate": {"s3": {"href": href}}})
        answer = catalogue.researcher.post(ITEMS, json=catalogue.item("alternate", {"image": link}))
        assert answer.status_code == 400, answer.text
        assert answer.json()["asset"] == "image"


def test_an_uploaded_asset_is_stored_by_key_and_shown_by_link(catalogue: Any) -> None:
    item = catalogue.item("up", {"image": uploaded(catalogue, "up")})
    assert catalogue.researcher.post(ITEMS, json=item).status_code == 201
    shown = catalogue.researcher.get(f"{ITEMS}/up").json()
    assert shown["assets"]["image"]["href"] == f"{catalogue.base}/assets/scenes/up/image"
    assert shown["assets"]["image"]["auth:refs"] == ["apiKey"]
    assert shown["properties"]["auth:schemes"]["apiKey"]["name"] == "X-API-Key"
    assert "https://stac-extensions.github.io/authentication/v1.1.0/schema.json" in shown["stac_extensions"]
    licences = [link["href"] for link in shown["links"] if link["rel"] == "license"]
    assert licences == [f"{catalogue.base}/rights/licences/LicenseRef-Test"]
    internal = catalogue.service.get(f"{ITEMS}/up").json()["assets"]["image"]["href"]
    assert internal == "store:collections/scenes/up/image"
    assert "store:" not in catalogue.administrator.get(f"{ITEMS}/up").text
    assert "store:" not in catalogue.researcher.get("/stac/search").text
