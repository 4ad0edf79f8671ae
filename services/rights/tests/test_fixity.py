"""Stored objects read again: what is damaged, lost or left over is told, in the local store and in a bucket."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from bocage_rights.fixity import Named, Reading, judged, multihash
from hypothesis import given
from hypothesis import strategies as st
from s3_server import running_s3

from services.rights.tests.test_assets import collection, item, store

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights

CONTENT = bytes(range(256)) * 64
LONG_AGO = time.time() - 7 * 86400


def ask(rights: Rights, **body: Any) -> list[dict[str, Any]]:
    answer = rights.call("admin", "POST", "/rights/admin/fixity", json={"rate": 1000, **body})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/x-ndjson"), answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def findings(rights: Rights, **body: Any) -> tuple[set[tuple[str, str]], dict[str, Any]]:
    """({(outcome, key)} of what is told, the last line)."""
    lines = ask(rights, **body)
    assert lines[0]["event"] == "started" and lines[-1]["event"] == "finished", lines[-1]
    told = [(line["outcome"], line["key"]) for line in lines if line["event"] == "finding"]
    assert len(told) == len(set(told))
    return set(told), lines[-1]


def sha256(content: bytes) -> str:
    return "1220" + hashlib.sha256(content).hexdigest()


def put(rights: Rights, key: str, content: bytes = CONTENT) -> Path:
    store(rights, key, content)
    path = rights.settings.store_root / key
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def flip(path: Path, place: int = 1000) -> None:
    """One bit, and nothing else: not even the time of change."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    os.utime(path, (before.st_atime, before.st_mtime))


@pytest.fixture
def archive(rights: Rights) -> str:
    """A collection with two items of two files each."""
    name = collection(rights, f"archive-{uuid.uuid4().hex[:8]}")
    for each in ("a", "b"):
        assets = {}
        for asset in ("one", "two"):
            put(rights, f"collections/{name}/{each}/{asset}", CONTENT + each.encode() + asset.encode())
            assets[asset] = {
                "href": f"store:collections/{name}/{each}/{asset}",
                "file:checksum": sha256(CONTENT + each.encode() + asset.encode()),
            }
        item(rights, name, each, assets)
    return name


def test_what_is_well_is_well(rights: Rights, archive: str) -> None:
    told, last = findings(rights, collections=[archive])
    assert told == set() and last["wrong"] == 0
    assert last["outcomes"]["ok"] == 4 and last["items"] == 2 and last["bytes"] == 4 * (len(CONTENT) + 4)


def test_one_bit_one_loss_and_one_stray_are_found(rights: Rights, archive: str) -> None:
    root = rights.settings.store_root / "collections" / archive
    flip(root / "a" / "one")
    (root / "a" / "two").unlink()
    put(rights, f"collections/{archive}/c/left")
    told, last = findings(rights, collections=[archive])
    prefix = f"collections/{archive}"
    assert told == {
        ("changed", f"{prefix}/a/one"), ("missing", f"{prefix}/a/two"), ("orphaned", f"{prefix}/c/left"),
    }  # fmt: skip
    assert last["wrong"] == 3 and last["outcomes"]["ok"] == 2
    with psycopg.connect(rights.database.admin_url) as connection:
        rows = connection.execute(
            "select key, outcome from rights.fixity_check where collection = %s order by key", [archive]
        ).fetchall()
    assert [(key.removeprefix(prefix), outcome) for key, outcome in rows] == [
        ("/a/one", "changed"), ("/a/two", "missing"), ("/b/one", "ok"), ("/b/two", "ok"),
    ]  # fmt: skip


def test_truncated_unreadable_and_misdescribed(rights: Rights) -> None:
    name = collection(rights, f"odd-{uuid.uuid4().hex[:8]}")
    prefix = f"collections/{name}/a"
    assets = {
        "short": {"file:size": len(CONTENT)},
        "folder": {},
        "lied": {"file:checksum": sha256(b"other")},
        "bare": {},
        "old": {"file:checksum": "1114" + hashlib.sha1(CONTENT).hexdigest()},
    }
    for asset in assets:
        assets[asset]["href"] = f"store:{prefix}/{asset}"
        put(rights, f"{prefix}/{asset}")
    root = rights.settings.store_root / prefix
    with (root / "short").open("r+b") as file:
        file.truncate(10)
    (root / "folder").unlink()
    (root / "folder").mkdir()
    for asset in ("bare", "old"):
        (root / f".{asset}.sha256").unlink()
    item(rights, name, "a", assets)
    told, last = findings(rights, collections=[name])
    assert told == {
        ("changed", f"{prefix}/short"), ("missing", f"{prefix}/folder"), ("changed", f"{prefix}/lied"),
        ("no-checksum", f"{prefix}/bare"),
    }  # fmt: skip
    assert last["outcomes"]["ok"] == 1, "the one with a SHA-1"
    # What nothing tells the checksum of is compared with what it was.
    flip(root / "bare")
    told, _ = findings(rights, collections=[name])
    assert ("changed", f"{prefix}/bare") in told


def test_the_checksum_of_an_upload_counts_when_all_else_is_gone(rights: Rights) -> None:
    mine = rights.call("researcher", "GET", "/rights/me").json()["organisation"]["id"]
    owner = {"bocage:organisation": mine, "bocage:audience": "organisation"}
    name = collection(rights, f"up-{uuid.uuid4().hex[:8]}", **owner)
    sent = rights.call("researcher", "PUT", f"/assets/{name}/a/one", content=CONTENT)
    assert sent.status_code == 201
    item(rights, name, "a", {"one": {"href": f"store:collections/{name}/a/one"}}, **owner)
    root = rights.settings.store_root / "collections" / name / "a"
    flip(root / "one")
    (root / ".one.sha256").unlink()
    told, _ = findings(rights, collections=[name])
    assert told == {("changed", f"collections/{name}/a/one")}


def test_uploads_whose_item_is_to_come_are_no_orphans(rights: Rights, archive: str) -> None:
    store(rights, f"collections/{archive}/soon/one")
    assert findings(rights, collections=[archive])[0] == set()


def test_the_files_of_a_deleted_collection_are_orphans(rights: Rights) -> None:
    put(rights, "collections/nobodys/a/one")
    put(rights, "results/nobodys/job/1/dsm.tif")
    try:
        told, _ = findings(rights, collections=["nobodys"])
        everything, _ = findings(rights)
    finally:
        shutil.rmtree(rights.settings.store_root / "collections/nobodys")
        shutil.rmtree(rights.settings.store_root / "results/nobodys")
    assert told == {("orphaned", "collections/nobodys/a/one"), ("orphaned", "results/nobodys/job/1/dsm.tif")}
    assert told <= everything


def test_it_goes_on_where_it_was_broken_off(rights: Rights, archive: str) -> None:
    """What was found well is passed over; what was wrong is looked at again."""
    root = rights.settings.store_root / "collections" / archive
    (root / "a" / "one").rename(root / "a" / "kept")
    first, last = findings(rights, collections=[archive])
    assert ("missing", f"collections/{archive}/a/one") in first
    again, passed = findings(rights, collections=[archive], since=last["started"])
    assert again == first and passed["passed_over"] == 3 and passed["bytes"] == 0
    (root / "a" / "kept").rename(root / "a" / "one")
    mended, last = findings(rights, collections=[archive], since=last["started"])
    assert mended == set() and last["outcomes"]["ok"] == 1


def test_one_at_a_time_and_the_next_after_a_client_has_left(rights: Rights) -> None:
    name = collection(rights, f"slow-{uuid.uuid4().hex[:8]}")
    put(rights, f"collections/{name}/a/one", bytes(9 << 20))
    item(rights, name, "a", {"one": {"href": f"store:collections/{name}/a/one"}})
    body = {"collections": [name], "rate": 1}
    with (
        rights.client() as client,
        client.stream("POST", "/rights/admin/fixity", json=body, headers=rights.headers("admin")) as answer,
    ):
        lines = answer.iter_lines()
        assert json.loads(next(lines))["event"] == "started"
        assert json.loads(next(lines))["event"] == "progress", "it says that it lives while it reads one file"
        refused = rights.call("admin", "POST", "/rights/admin/fixity", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "fixity-running")
    deadline = time.monotonic() + 20
    while True:
        answer = rights.call("admin", "POST", "/rights/admin/fixity", json=body | {"rate": 1000})
        if answer.status_code == 200:
            break
        assert time.monotonic() < deadline, "the lock stays"
        time.sleep(0.2)
    log = (rights.settings.home / "rights.log").read_text()
    assert '"level": "error"' not in log, log[-3000:]


def test_items_that_are_deleted_meanwhile_are_not_missing(rights: Rights, archive: str) -> None:
    """Whoever deletes an item deletes its files: what was read before is not told any more."""

    def remove(_: int) -> None:
        with psycopg.connect(rights.database.admin_url, autocommit=True) as connection:
            connection.execute("set search_path to pgstac, public")
            connection.execute("delete from items where collection = %s and id = 'b'", [archive])
        shutil.rmtree(rights.settings.store_root / "collections" / archive / "b")

    with ThreadPoolExecutor(2) as pool:
        removal = pool.submit(remove, 0)
        told, _ = findings(rights, collections=[archive])
        removal.result()
    assert told <= {("orphaned", f"collections/{archive}/b/{asset}") for asset in ("one", "two")}


@pytest.mark.parametrize(("who", "status"), [(None, 401), ("researcher", 403), ("company", 403)])
def test_it_is_for_administrators(rights: Rights, who: str | None, status: int) -> None:
    assert rights.call(who, "POST", "/rights/admin/fixity", json={}).status_code == status


@pytest.mark.parametrize(
    "body", [{"rate": 0}, {"rate": "fast"}, {"since": "yesterday"}, {"collections": ["../x"]}, {"more": 1}, []]
)
def test_what_makes_no_sense_is_refused(rights: Rights, body: Any) -> None:
    assert rights.call("admin", "POST", "/rights/admin/fixity", json=body).status_code == 422


@pytest.fixture
def bucketed(rights: Rights, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_s3(tmp_path_factory.mktemp("s3")) as s3:
        home = rights.settings.home
        s3.join(home)
        rights.stop()
        rights.start()
        mine = rights.call("researcher", "GET", "/rights/me").json()["organisation"]["id"]
        owner = {"bocage:organisation": mine, "bocage:audience": "public", "bocage:store": "frozen"}
        name = collection(rights, "in-a-bucket", **owner)
        assets = {
            asset: {"href": f"s3:frozen:collections/{name}/a/{asset}", "file:checksum": sha256(CONTENT)}
            for asset in ("good", "bad", "lost")
        }
        item(rights, name, "a", assets)
        urls = [f"http://bocage.test/assets/{name}/a/{asset}" for asset in ("good", "bad")]
        signed = rights.call("researcher", "POST", "/rights/sign_urls_put", json={"urls": urls}).json()["hrefs"]
        for url in urls:
            content = CONTENT if url.endswith("good") else b"x" + CONTENT[1:]
            deadline = time.monotonic() + 30
            while httpx.put(signed[url], content=content, timeout=30).status_code >= 500:
                assert time.monotonic() < deadline
                time.sleep(0.5)
        yield name
        (home / "object-stores.json").unlink()


def test_a_bucket_is_read_too(rights: Rights, bucketed: str) -> None:
    told, last = findings(rights, collections=[bucketed])
    prefix = f"collections/{bucketed}/a"
    assert told == {("changed", f"{prefix}/bad"), ("missing", f"{prefix}/lost")} and last["outcomes"]["ok"] == 1


NAMED = Named("c", "i", "a", "", "collections/c/i/a", None, None)


@given(st.sampled_from(("sha1", "sha256", "sha512", "sha3_256", "sha3_512", "md5")), st.binary())
def test_every_function_finds_a_changed_byte(function: str, content: bytes) -> None:
    prefixes = {
        "sha1": "1114", "sha256": "1220", "sha512": "1340", "sha3_256": "1620", "sha3_512": "1440", "md5": "d50110",
    }  # fmt: skip
    written = prefixes[function].upper() + hashlib.new(function, content).hexdigest().upper()
    assert multihash(written) == (function, hashlib.new(function, content).hexdigest())
    named = Named("c", "i", "a", "", "k", written, None)

    def outcome(found: bytes) -> str:
        digests = {name: hashlib.new(name, found).hexdigest() for name in {function, "sha256"}}
        return judged(named, Reading(True, len(found), digests), None, None).outcome

    assert outcome(content) == "ok" and outcome(content + b"\0") == "changed"


@given(st.one_of(st.none(), st.integers(), st.text(), st.text("0123456789abcdef").map("1220".__add__)))
def test_what_is_no_checksum_is_none(text: Any) -> None:
    found = multihash(text)
    assert found is None or text.lower().endswith(found[1])
