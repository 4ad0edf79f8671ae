"""The object store: whole objects or none, and nothing outside its root."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bocage_kit.store import BadKey, LocalStore, check_key, href_of, key_of, key_of_href, upload_key
from hypothesis import given
from hypothesis import strategies as st

good_segments = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_:-]{0,20}", fullmatch=True)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def breaking(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    raise ConnectionError


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file())


BAD = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    "..",
    "a/../b",
    "a/./b",
    ".a",
    "a/.b",
    "a\\b",
    "a b",
    "a\0",
    "a\n",
    "é",
    "~/x",
    "a..b",
]


@pytest.mark.parametrize("key", BAD)
def test_bad_keys_are_refused(store: LocalStore, key: str) -> None:
    for refuse in (check_key, href_of, store.path, store.head, store.delete):
        with pytest.raises(BadKey):
            refuse(key)
    assert key_of_href(f"store:{key}") is None


@pytest.mark.parametrize("key", BAD)
async def test_bad_keys_are_not_written(store: LocalStore, tmp_path: Path, key: str) -> None:
    with pytest.raises(BadKey):
        await store.write(key, chunks(b"x"))
    assert files(tmp_path) == []


@given(parts=st.lists(good_segments, min_size=1, max_size=5))
def test_keys_and_hrefs_are_read_back(parts: list[str]) -> None:
    key = key_of(*parts)
    assert key_of_href(href_of(key)) == key == "/".join(parts)


@given(text=st.text(max_size=40))
def test_every_key_stays_below_the_root(text: str) -> None:
    root = Path("/srv/store")
    try:
        path = LocalStore(root).path(text)
    except BadKey:
        return
    assert path.resolve().is_relative_to(root)
    assert path != root


@pytest.mark.parametrize("href", ["/etc/passwd", "file:///etc/passwd", "https://a/b", "Store:a", "store:", "store:/a"])
def test_other_hrefs_are_no_keys(href: str) -> None:
    assert key_of_href(href) is None


def test_uploads_lie_in_their_collections_prefix() -> None:
    assert upload_key("c", "i", "a") == "collections/c/i/a"
    for segments in (("..", "i", "a"), ("c", "../d", "a"), ("c", "i", ""), ("c/d", "i", "a")):
        with pytest.raises(BadKey):
            upload_key(*segments)


async def test_a_written_object_is_known_by_its_content(store: LocalStore) -> None:
    written = await store.write("a/b.tif", chunks(b"ab", b"", b"c"))
    digest = hashlib.sha256(b"abc").hexdigest()
    assert (written.size, written.sha256) == (3, digest)
    assert store.path("a/b.tif").read_bytes() == b"abc"
    seen = store.head("a/b.tif")
    assert seen is not None
    assert (seen.size, seen.sha256) == (3, digest)


async def test_an_empty_object_is_an_object(store: LocalStore) -> None:
    assert (await store.write("empty", chunks())).size == 0
    assert store.head("empty") is not None


def test_what_is_not_there(store: LocalStore) -> None:
    assert store.head("nothing/here") is None
    store.delete("nothing/here")
    store.delete_prefix("nothing/")


async def test_a_broken_write_leaves_nothing(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        await store.write("a/b", breaking(b"half"))
    assert store.head("a/b") is None
    assert files(tmp_path) == []


async def test_a_broken_write_leaves_the_former_object(store: LocalStore) -> None:
    before = await store.write("a/b", chunks(b"former"))
    with pytest.raises(ConnectionError):
        await store.write("a/b", breaking(b"half"))
    seen = store.head("a/b")
    assert seen is not None
    assert seen.sha256 == before.sha256
    assert store.path("a/b").read_bytes() == b"former"


async def test_a_cancelled_write_leaves_nothing(store: LocalStore, tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    writing = asyncio.create_task(store.write("a", endless()))
    await asyncio.sleep(0.05)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert files(tmp_path) == []


async def test_too_much_is_refused_and_the_exact_limit_taken(store: LocalStore, tmp_path: Path) -> None:
    assert (await store.write("fits", chunks(b"abc", b"de"), limit=5)).size == 5
    with pytest.raises(ValueError, match="large"):
        await store.write("more", chunks(b"abc", b"def"), limit=5)
    assert store.head("more") is None
    assert not [name for name in files(tmp_path) if "pending" in name]


def test_readers_see_whole_objects_only(store: LocalStore, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"a" * 500_000)
    new.write_bytes(b"b" * 700_000)
    store.put_file("x/y", old)
    done = threading.Event()

    def replace() -> None:
        for number in range(30):
            store.put_file("x/y", new if number % 2 == 0 else old)
        done.set()

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        while not done.is_set():
            content = store.path("x/y").read_bytes()
            assert (content[:1], len(content)) in ((b"a", 500_000), (b"b", 700_000))
            assert len(set(content)) == 1
    finally:
        writer.join()


async def test_prefixes_are_deleted_whole_and_alone(store: LocalStore) -> None:
    for key in ("results/dsm/1/a", "results/dsm/1/b", "results/dsm/10/a"):
        await store.write(key, chunks(b"x"))
    store.delete_prefix("results/dsm/1/")
    assert store.head("results/dsm/1/a") is None
    assert store.head("results/dsm/10/a") is not None
    store.delete("results/dsm/10/a")
    assert store.head("results/dsm/10/a") is None
    with pytest.raises(BadKey):
        store.delete_prefix("")
    with pytest.raises(BadKey):
        store.delete_prefix("../")


async def test_uploads_are_deleted_by_ids_whatever_these_are(store: LocalStore) -> None:
    for name in ("a/one", "a/two", "b/one"):
        await store.write(f"collections/{name}/image", chunks(b"x"))
    store.delete_uploads("a", "one")
    store.delete_uploads("a", "0" * 250)
    store.delete_uploads("..")
    kept = [name for name in ("a/one", "a/two", "b/one") if store.head(f"collections/{name}/image") is not None]
    assert kept == ["a/two", "b/one"]
    store.delete_uploads("a")
    assert store.head("collections/a/two/image") is None and store.head("collections/b/one/image") is not None
