"""Assets over HTTP: who gets the bytes, in which parts, and what an upload leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from bocage_kit.audience import AUDIENCE_FIELD, ORGANISATION_FIELD, OWNER_FIELD
from bocage_rights.uploads import sweep

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights

DEMONSTRATION = "LicenseRef-Bocage-Demonstration"
CONTENT = bytes(range(256)) * 8
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def load(rights: Rights, kind: str, document: dict[str, Any]) -> None:
    with psycopg.connect(rights.database.admin_url, autocommit=True) as connection:
        connection.execute("set search_path to pgstac, public")
        connection.execute(f"select pgstac.create_{kind}(%s::jsonb)", [json.dumps(document)])


def collection(rights: Rights, name: str, **members: Any) -> str:
    load(
        rights,
        "collection",
        {
            "type": "Collection",
            "stac_version": "1.1.0",
            "id": name,
            "description": name,
            "license": "other",
            "links": [],
            "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
            **members,
        },
    )
    return name


def item(rights: Rights, parent: str, name: str, assets: dict[str, Any], **properties: Any) -> str:
    load(
        rights,
        "item",
        {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": name,
            "collection": parent,
            "geometry": {"type": "Point", "coordinates": [0, 0]},
            "bbox": [0, 0, 0, 0],
            "properties": {"datetime": "2025-01-01T00:00:00Z", **properties},
            "links": [],
            "assets": assets,
        },
    )
    return name


def store(rights: Rights, key: str, content: bytes = CONTENT) -> str:
    path = rights.settings.store_root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.with_name(f".{path.name}.sha256").write_text(hashlib.sha256(content).hexdigest() + "\n")
    return "store:" + key


@pytest.fixture(scope="module")
def researcher(rights: Rights) -> dict[str, Any]:
    return dict(rights.call("researcher", "GET", "/rights/me").json())


@pytest.fixture(scope="module")
def own(rights: Rights, researcher: dict[str, Any]) -> str:
    """A collection of the researcher's organisation, as `bocage ingest` makes it."""
    return collection(
        rights,
        "own",
        **{
            AUDIENCE_FIELD: "organisation",
            ORGANISATION_FIELD: researcher["organisation"]["id"],
            "bocage:licences": ["LicenseRef-Bocage-Restricted"],
        },
    )


@pytest.fixture(scope="module")
def shown(rights: Rights) -> Iterator[str]:
    """A public collection with an open, a restricted, an external and a misplaced asset."""
    name = collection(rights, "shown", **{"bocage:licences": ["etalab-2.0"]})
    item(
        rights,
        name,
        "a",
        {
            "open": {"href": store(rights, f"results/{name}/a/1/open.tif"), "type": "image/tiff; application=geotiff"},
            "bound": {"href": store(rights, f"collections/{name}/a/bound"), "bocage:licences": [DEMONSTRATION]},
            "nc": {"href": store(rights, f"collections/{name}/a/nc"), "bocage:licences": ["CC-BY-NC-4.0"]},
            "elsewhere": {"href": "https://example.org/x.tif", "bocage:external": True},
            "unmarked": {"href": "https://example.org/y.tif"},
            "misplaced": {"href": store(rights, "collections/own/a/secret")},
            "traversal": {"href": f"store:collections/{name}/../own/a/secret"},
            "file": {"href": "file:///etc/passwd"},
            "lost": {"href": f"store:collections/{name}/a/lost"},
            "page": {"href": store(rights, f"collections/{name}/a/page"), "type": "text/html"},
        },
    )
    yield name


def test_whole_and_in_parts(rights: Rights, shown: str) -> None:
    path = f"/assets/{shown}/a/open"
    whole = rights.call(None, "GET", path)
    assert whole.status_code == 200 and whole.content == CONTENT
    assert whole.headers["etag"] == f'"{SHA256}"'
    assert whole.headers["content-type"] == "image/tiff; application=geotiff"
    assert whole.headers["cache-control"] == "public, max-age=300"
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-disposition"] == 'attachment; filename="a-open.tif"'
    head = rights.call(None, "HEAD", path)
    assert head.status_code == 200 and head.content == b"" and head.headers["content-length"] == str(len(CONTENT))

    def part(value: str, **more: str) -> httpx.Response:
        return rights.call(None, "GET", path, headers={"Range": value, **more})

    first = part("bytes=0-9")
    assert first.status_code == 206 and first.content == CONTENT[:10]
    assert first.headers["content-range"] == f"bytes 0-9/{len(CONTENT)}"
    assert part("bytes=-3").content == CONTENT[-3:]
    assert part("bytes=2000-9999").content == CONTENT[2000:]
    several = part("bytes=0-1,4-5")
    assert several.status_code == 206 and several.headers["content-type"].startswith("multipart/byteranges")
    beyond = part("bytes=9999-")
    assert beyond.status_code == 416 and beyond.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert beyond.headers["content-type"] == "application/problem+json"
    assert part("bytes=nonsense").status_code == 200
    assert part("bytes=0-9", **{"If-Range": f'"{SHA256}"'}).status_code == 206
    assert part("bytes=0-9", **{"If-Range": '"other"'}).content == CONTENT
    same = rights.call(None, "GET", path, headers={"If-None-Match": f'"x", "{SHA256}"'})
    assert same.status_code == 304 and same.content == b""


def test_licences_decide(rights: Rights, shown: str) -> None:
    refused = rights.call("company", "GET", f"/assets/{shown}/a/bound")
    assert refused.status_code == 403
    (term,) = refused.json()["required_terms"]
    assert (term["licence"], term["reason"]) == (DEMONSTRATION, "category")
    assert rights.call(None, "GET", f"/assets/{shown}/a/bound").json()["required_terms"][0]["reason"] == "missing"
    allowed = rights.call("researcher", "GET", f"/assets/{shown}/a/bound")
    assert allowed.status_code == 200 and allowed.headers["cache-control"] == "private, no-cache"
    assert rights.call("company", "GET", f"/assets/{shown}/a/nc").json()["required_terms"][0]["reason"] == "purpose"
    assert rights.call("researcher", "GET", f"/assets/{shown}/a/nc").status_code == 200


def test_what_is_not_ours_is_neither_read_nor_fetched(rights: Rights, shown: str) -> None:
    away = rights.call(None, "GET", f"/assets/{shown}/a/elsewhere")
    assert away.status_code == 302 and away.headers["location"] == "https://example.org/x.tif"
    with_key = rights.call("researcher", "GET", f"/assets/{shown}/a/elsewhere")
    assert with_key.status_code == 403 and "location" not in with_key.headers
    assert with_key.json()["href"] == "https://example.org/x.tif"
    for name in ("unmarked", "misplaced", "traversal", "file", "lost", "absent", "..%2F..%2Fx", "%00", ".hidden"):
        answer = rights.call("admin", "GET", f"/assets/{shown}/a/{name}")
        assert answer.status_code == 404, name
        assert str(rights.settings.home) not in answer.text
    page = rights.call(None, "GET", f"/assets/{shown}/a/page")
    assert page.headers["content-disposition"].startswith("attachment")
    assert page.headers["x-content-type-options"] == "nosniff" and "sandbox" in page.headers["content-security-policy"]


def test_others_do_not_see_what_is_not_for_them(rights: Rights, researcher: dict[str, Any], own: str) -> None:
    results = collection(rights, "canary", **{"bocage:licences": ["etalab-2.0"], "bocage:write_scope": "service"})
    for audience in ("owner", "organisation", "public"):
        fields = {
            AUDIENCE_FIELD: audience,
            OWNER_FIELD: researcher["subject"],
            ORGANISATION_FIELD: researcher["organisation"]["id"],
        }
        asset = {"dsm": {"href": store(rights, f"results/canary/{audience}/1/dsm.tif")}}
        item(rights, results, audience, asset, **fields)
    item(
        rights, own, "inside", {"x": {"href": store(rights, "collections/own/inside/x")}}, **{AUDIENCE_FIELD: "public"}
    )
    for who in (None, "company"):
        for method in ("GET", "HEAD"):
            seen = {
                x: rights.call(who, method, f"/assets/canary/{x}/dsm").status_code for x in ("owner", "organisation")
            }
            assert set(seen.values()) == {404}
            assert rights.call(who, method, f"/assets/{own}/inside/x").status_code == 404, "its collection is hidden"
        assert rights.call(who, "GET", "/assets/canary/public/dsm").status_code == 200
        unknown = rights.call(who, "GET", "/assets/canary/none/dsm").json()["detail"]
        hidden = rights.call(who, "GET", "/assets/canary/owner/dsm").json()["detail"]
        assert hidden == unknown.replace("none", "owner"), "hidden and absent look alike"
    for who in ("researcher", "admin"):
        assert rights.call(who, "GET", "/assets/canary/owner/dsm").status_code == 200
    put = rights.call("researcher", "PUT", "/assets/canary/owner/dsm", content=b"x")
    assert put.status_code == 403 and put.json()["code"] == "services-only"


def test_upload_again_and_otherwise(rights: Rights, own: str) -> None:
    path = f"/assets/{own}/scene/image"
    assert rights.call("researcher", "HEAD", path).status_code == 404
    headers = {"Content-SHA256": SHA256.upper(), "Content-Type": "image/tiff"}
    made = rights.call("researcher", "PUT", path, content=CONTENT, headers=headers)
    assert made.status_code == 201, made.text
    assert made.json() == {"href": f"http://bocage.test{path}", "size": len(CONTENT), "sha256": SHA256}
    again = rights.call("researcher", "PUT", path, content=CONTENT, headers=headers)
    assert again.status_code == 200 and again.json() == made.json()
    head = rights.call("researcher", "HEAD", path)
    assert head.status_code == 200 and head.headers["etag"] == f'"{SHA256}"'
    assert head.headers["content-type"] == "image/tiff"
    for who in ("company", None):
        assert rights.call(who, "HEAD", path).status_code == 404, "no item names it yet"
    assert rights.call("researcher", "PUT", path, content=b"other").status_code == 201, "nothing refers to it"
    assert rights.call("researcher", "PUT", path, content=CONTENT).status_code == 201
    item(rights, own, "scene", {"image": {"href": "store:collections/own/scene/image"}})
    refused = rights.call("researcher", "PUT", path, content=b"other")
    assert refused.status_code == 409 and refused.json()["code"] == "in-use"
    assert rights.call("researcher", "GET", path).content == CONTENT
    assert rights.call("researcher", "PUT", path, content=CONTENT).status_code == 200


def test_uploads_that_are_refused_leave_nothing(rights: Rights, own: str) -> None:
    def put(who: str | None, path: str, content: Any = b"x", **headers: str) -> httpx.Response:
        return rights.call(who, "PUT", path, content=content, headers=headers)

    before = files(rights)
    assert put(None, f"/assets/{own}/new/a").status_code == 401
    assert put("company", f"/assets/{own}/new/a").status_code == 404
    assert put("company", "/assets/shown/new/a").json()["code"] == "scope-required"
    assert put("researcher", "/assets/shown/new/a").json()["code"] == "not-owner"
    assert put("researcher", "/assets/nowhere/new/a").status_code == 404
    for name in ("..", ".hidden", "a b", "%00", "a..b"):
        assert put("researcher", f"/assets/{own}/new/{name}").status_code in (404, 422), name
    assert put("researcher", f"/assets/{own}/..%2Fnew/a").status_code in (404, 422)
    mismatch = put("researcher", f"/assets/{own}/new/a", CONTENT, **{"Content-SHA256": "0" * 64})
    assert mismatch.status_code == 422 and SHA256 in mismatch.json()["detail"]
    assert put("researcher", f"/assets/{own}/new/a", **{"Content-SHA256": "zz"}).status_code == 422

    def unannounced() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(100_000)

    assert put("researcher", f"/assets/{own}/new/a", bytes(3_000_001)).status_code == 413
    assert put("researcher", f"/assets/{own}/new/a", unannounced()).status_code == 413
    assert files(rights) == before


def test_quota_of_the_organisation(rights: Rights, own: str) -> None:
    big = os.urandom(2_900_000)
    assert rights.call("researcher", "PUT", f"/assets/{own}/big/one", content=big).status_code == 201
    before = files(rights)
    refused = rights.call("researcher", "PUT", f"/assets/{own}/big/two", content=big)
    assert refused.status_code == 429 and refused.headers["retry-after"]

    def unannounced() -> Iterator[bytes]:
        yield big

    assert rights.call("researcher", "PUT", f"/assets/{own}/big/two", content=unannounced()).status_code == 429
    assert files(rights) == before
    assert rights.call("researcher", "PUT", f"/assets/{own}/big/one", content=big[::-1]).status_code == 201
    (rights.settings.store_root / "collections" / own / "big" / "one").unlink()
    made = rights.call("researcher", "PUT", f"/assets/{own}/big/two", content=big)
    assert made.status_code == 201, "objects deleted with their items count no more"


def test_an_upload_that_breaks_off_leaves_nothing(rights: Rights, own: str) -> None:
    before, token = files(rights), rights.headers("researcher")["Bocage-Identity"]
    path = f"/assets/{own}/broken/{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(rights.settings.sockets / "rights.sock"))
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nBocage-Identity: {token}\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode() + bytes(200_000))
        wait(lambda: any(".pending-" in name for name in files(rights)))
    wait(lambda: files(rights) == before)
    assert rights.call("researcher", "HEAD", path).status_code == 404


def test_a_killed_service_leaves_no_half_object(rights: Rights, own: str) -> None:
    token = rights.headers("researcher")["Bocage-Identity"]
    path = f"/assets/{own}/killed/image"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(rights.settings.sockets / "rights.sock"))
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nBocage-Identity: {token}\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode() + bytes(200_000))
        wait(lambda: any("killed/.pending-" in name for name in files(rights)))
        assert rights.process is not None
        rights.process.kill()
        rights.process.wait(10)
    (left,) = [name for name in files(rights) if ".pending-" in name]
    old = time.time() - 7200
    os.utime(rights.settings.store_root / left, (old, old))
    rights.start()
    wait(lambda: not any(".pending-" in name for name in files(rights)))
    assert rights.call("researcher", "HEAD", path).status_code == 404
    assert rights.call("researcher", "PUT", path, content=b"whole").status_code == 201


def test_sweep_spares_live_writers(tmp_path: Path) -> None:
    from bocage_kit.store import LocalStore

    folder = tmp_path / "collections" / "c" / "i"
    folder.mkdir(parents=True)
    for name, age in ((".pending-old", 7200), (".pending-new", 10), ("kept", 7200)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age,) * 2)
    sweep(LocalStore(tmp_path))
    assert sorted(p.name for p in folder.iterdir()) == [".pending-new", "kept"]


def test_uploader_has_its_own_bytes_back_whatever_the_licence(rights: Rights, own: str) -> None:
    path = f"/assets/{own}/strict/image"
    assert rights.call("researcher", "PUT", path, content=b"mine").status_code == 201
    asset = {"image": {"href": "store:collections/own/strict/image", "bocage:licences": ["LicenseRef-Nobody"]}}
    item(rights, own, "strict", asset)
    assert rights.call("researcher", "GET", path).content == b"mine"
    refused = rights.call("admin", "GET", path)
    assert refused.status_code == 403 and refused.json()["required_terms"][0]["reason"] == "unknown"


def files(rights: Rights) -> list[str]:
    root = rights.settings.store_root
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def wait(condition: Any, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("state", "status"), [("draft", 201), ("returned", 201), ("submitted", 409), ("published", 409)]
)
def test_files_of_a_deposit_come_before_its_review(
    rights: Rights, researcher: dict[str, Any], state: str, status: int
) -> None:
    owned = {ORGANISATION_FIELD: researcher["organisation"]["id"], AUDIENCE_FIELD: "organisation"}
    name = collection(rights, f"deposit-{state}", **owned, **{"bocage:deposit": state})
    answer = rights.call("researcher", "PUT", f"/assets/{name}/a/one", content=CONTENT)
    assert answer.status_code == status, answer.text
    if status == 409:
        assert answer.json()["code"] == "deposit-frozen"
        assert not (rights.settings.store_root / "collections" / name).exists()
