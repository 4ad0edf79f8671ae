"""Buckets: a real S3 server, which checks seals and dates itself, beside the local store."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from bocage_kit.identity import HEADER
from bocage_rights.object_stores import open_object_stores
from s3_server import S3, SECRET, running_s3

from services.rights.tests.test_assets import CONTENT, DEMONSTRATION, collection, item
from services.rights.tests.test_signed_links import follow, sign

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with running_s3(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture(scope="module")
def bucketed(rights: Rights, s3: S3) -> Iterator[str]:
    """A collection whose files lie in a bucket; its files are put there by signed links."""
    home = rights.settings.home
    s3.join(home)
    rights.stop()
    rights.start()
    mine = rights.call("researcher", "GET", "/rights/me").json()
    owner = {"bocage:organisation": mine["organisation"]["id"], "bocage:audience": "public"}
    name = collection(rights, "bucketed", **owner, **{"bocage:licences": ["etalab-2.0"], "bocage:store": "frozen"})
    assets: dict[str, Any] = {
        asset: {"href": f"s3:frozen:collections/{name}/a/{asset}"} for asset in ("open", "bound", "lost")
    }
    assets["bound"]["bocage:licences"] = [DEMONSTRATION]
    assets["astray"] = {"href": "s3:frozen:collections/elsewhere/a/open"}
    assets["unknown"] = {"href": f"s3:melted:collections/{name}/a/open"}
    item(rights, name, "a", assets)
    urls = [f"http://bocage.test/assets/{name}/a/{asset}" for asset in ("open", "bound")]
    signed = rights.call("researcher", "POST", "/rights/sign_urls_put", json={"urls": urls})
    assert signed.status_code == 200, signed.text
    for link in signed.json()["hrefs"].values():
        deadline = time.monotonic() + 30
        while (put := httpx.put(link, content=CONTENT, timeout=30)).status_code >= 500:
            assert time.monotonic() < deadline, put.text  # the server is still gathering its volumes
            time.sleep(0.5)
        assert put.status_code == 200, put.text
    yield name


def test_the_server_is_one_that_checks(s3: S3, bucketed: str) -> None:
    assert httpx.get(f"{s3.address}/theia/collections/{bucketed}/a/open").status_code == 403


def test_the_asset_link_leads_to_the_bucket(rights: Rights, s3: S3, bucketed: str) -> None:
    path = f"/assets/{bucketed}/a/open"
    answer = rights.call(None, "GET", path)
    assert answer.status_code == 302 and answer.headers["cache-control"] == "private, no-store"
    link = answer.headers["location"]
    assert link.startswith(f"{s3.address}/theia/collections/{bucketed}/a/open?") and SECRET not in link
    assert int(parse_qs(urlsplit(link).query)["X-Amz-Expires"][0]) <= 300
    got = httpx.get(link)
    assert hashlib.sha256(got.content).digest() == hashlib.sha256(CONTENT).digest()
    assert httpx.get(link, headers={"Range": "bytes=4-7"}).content == CONTENT[4:8]
    assert httpx.get(link.replace("/open?", "/bound?")).status_code == 403
    assert httpx.put(link, content=b"x").status_code == 403
    head = rights.call(None, "HEAD", path)
    assert head.status_code == 302
    assert httpx.head(head.headers["location"]).headers["content-length"] == str(len(CONTENT))


def test_the_decision_comes_first(rights: Rights, bucketed: str) -> None:
    refused = rights.call("company", "GET", f"/assets/{bucketed}/a/bound")
    assert refused.status_code == 403 and refused.json()["required_terms"]
    assert rights.call("researcher", "GET", f"/assets/{bucketed}/a/bound").status_code == 302
    for asset in ("lost", "astray", "nothing"):
        assert rights.call("researcher", "GET", f"/assets/{bucketed}/a/{asset}").status_code == 404, asset
    unknown = rights.call("researcher", "GET", f"/assets/{bucketed}/a/unknown")
    assert (unknown.status_code, unknown.json()["code"]) == (409, "store-unknown")
    put = rights.call("researcher", "PUT", f"/assets/{bucketed}/b/file", content=b"x")
    assert (put.status_code, put.json()["code"]) == (409, "upload-to-store")


def test_addresses_of_the_bucket_are_signed(rights: Rights, s3: S3, bucketed: str) -> None:
    root = f"{s3.address}/theia/collections/{bucketed}/a"
    signed = sign(rights, "researcher", f"{root}/bound", f"{bucketed}/a/bound", duration_seconds=2)
    assert signed.status_code == 200, signed.text
    straight = signed.json()["hrefs"][f"{root}/bound"]
    ours = signed.json()["hrefs"][f"http://bocage.test/assets/{bucketed}/a/bound"]
    assert httpx.get(straight).content == CONTENT
    led = follow(rights, ours)
    assert led.status_code == 302 and httpx.get(led.headers["location"]).content == CONTENT
    assert int(parse_qs(urlsplit(led.headers["location"]).query)["X-Amz-Expires"][0]) <= 2
    time.sleep(3)
    dead = httpx.get(straight)
    assert dead.status_code == 403 and "expired" in dead.text
    assert httpx.get(led.headers["location"]).status_code == 403
    assert follow(rights, ours).status_code == 401
    again = sign(rights, "researcher", straight)
    assert httpx.get(again.json()["hrefs"][straight]).content == CONTENT, "what has expired is signed again"

    assert sign(rights, "company", f"{root}/bound").status_code == 403
    for foreign in (f"{s3.address}/other/collections/x/a/b", f"{s3.address}/theia", f"{root}/../b", f"{root}/.x"):
        assert sign(rights, "researcher", foreign).json()["code"] == "foreign-url", foreign
    for missing in (f"{root}/lost", f"{root}/nothing", f"{s3.address}/theia/collections/none/a/b"):
        assert sign(rights, "researcher", missing).status_code == 404, missing


def test_uploads_to_the_bucket(rights: Rights, s3: S3, bucketed: str) -> None:
    url = f"{s3.address}/theia/collections/{bucketed}/b/file"

    def asked(who: str, address: str) -> httpx.Response:
        return rights.call(who, "POST", "/rights/sign_urls_put", json={"urls": [address]})

    link = asked("researcher", url).json()["hrefs"][url]
    assert httpx.put(link, content=b"new").status_code == 200
    assert int(parse_qs(urlsplit(link).query)["X-Amz-Expires"][0]) <= 300
    named = asked("researcher", f"{s3.address}/theia/collections/{bucketed}/a/open")
    assert (named.status_code, named.json()["code"]) == (409, "in-use"), "what an item names is not written over"
    assert asked("company", url).status_code == 403
    assert asked("researcher", f"{s3.address}/theia/results/{bucketed}/1/1/x").status_code == 403
    assert asked("researcher", f"{s3.address}/theia/collections/signed/b/file").status_code in (403, 404)


def test_a_bucket_gives_no_links_for_the_length_of_a_job(rights: Rights, s3: S3, bucketed: str) -> None:
    """Since it would honour them after the job's end."""
    rights.keys["processing"] = rights.settings.secret("processing.key").read_text().strip()
    straight = f"{s3.address}/theia/collections/{bucketed}/a/bound"
    ours = f"http://bocage.test/assets/{bucketed}/a/bound"
    signed = sign(rights, "processing", straight, ours, job=str(uuid.uuid4())).json()["hrefs"]
    assert parse_qs(urlsplit(signed[straight]).query)["X-Amz-Expires"] == ["300"]
    assert parse_qs(urlsplit(signed[ours]).query)["X-Amz-Expires"] == ["86400"]


def test_a_store_that_is_away(rights: Rights, s3: S3, bucketed: str) -> None:
    home = rights.settings.home
    before = (home / "object-stores.json").read_text()
    (home / "object-stores.json").write_text(json.dumps([s3.settings(endpoint="http://127.0.0.1:9")]))
    rights.stop()
    rights.start()
    try:
        away = rights.call("researcher", "GET", f"/assets/{bucketed}/a/open")
        assert (away.status_code, away.json()["code"]) == (503, "store-unavailable")
        assert "127.0.0.1:9" not in away.text
    finally:
        (home / "object-stores.json").write_text(before)
        rights.stop()
        rights.start()
    headers = {HEADER: rights.headers("researcher")[HEADER]}
    assert rights.http.get(f"/assets/{bucketed}/a/open", headers=headers).status_code == 302


def test_no_secret_comes_out(rights: Rights, bucketed: str) -> None:
    log = (rights.settings.home / "rights.log").read_text()
    assert SECRET not in log and "X-Amz" not in log


@pytest.mark.parametrize(
    ("listing", "key", "complaint"),
    [
        ("{", None, "can't be read"),
        ('[{"name": "x"}]', None, "can't be read"),
        ("good", None, "secrets/frozen-key.json"),
        ("good", f'{{"access_key_id": "x", "secret_access_key": ["{SECRET}"]}}', "secrets/frozen-key.json"),
        ("twice", f'{{"access_key_id": "x", "secret_access_key": "{SECRET}"}}', "twice"),
        ("outside", None, "can't be read"),
    ],
)
def test_settings_that_can_not_be_meant(tmp_path: Path, listing: str, key: str | None, complaint: str) -> None:
    good = S3("http://127.0.0.1:1").settings()
    listings = {
        "good": json.dumps([good]),
        "twice": json.dumps([good, good]),
        "outside": json.dumps([{**good, "key_file": "../../etc/passwd"}]),
    }
    (tmp_path / "secrets").mkdir()
    (tmp_path / "object-stores.json").write_text(listings.get(listing, listing))
    if key is not None:
        (tmp_path / "secrets" / "frozen-key.json").write_text(key)
    with pytest.raises(ValueError, match=complaint) as told:
        open_object_stores(tmp_path)
    assert SECRET not in str(told.value)
    shutil.rmtree(tmp_path)
