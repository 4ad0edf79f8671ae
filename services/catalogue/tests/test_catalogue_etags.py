"""Entity tags: what was read is known again, and what was changed meanwhile is not overwritten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest
from bocage_catalogue import etags
from hypothesis import given
from hypothesis import strategies as st

SCENES = "/stac/collections/tagged"
ITEM = f"{SCENES}/items/one"


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any) -> None:
    made = catalogue.collection("tagged", **{"bocage:audience": "public"})
    assert catalogue.researcher.post("/stac/collections", json=made).status_code == 201
    assert catalogue.researcher.post(f"{SCENES}/items", json=catalogue.item("one")).status_code == 201


def tag(client: httpx.Client, path: str = ITEM) -> str:
    return client.get(path).headers["etag"]


@pytest.mark.parametrize("path", [ITEM, SCENES])
def test_what_is_known_is_not_sent_again(catalogue: Any, path: str) -> None:
    client = catalogue.researcher
    first = client.get(path)
    known = first.headers["etag"]
    assert known == client.head(path).headers["etag"] and known.startswith('"')
    for named in (known, f'"other", {known}', f"W/{known}", "*"):
        for verb in ("GET", "HEAD"):
            again = client.request(verb, path, headers={"If-None-Match": named})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", known), named
    assert client.get(path, headers={"If-None-Match": '"0-abc"'}).content == first.content
    assert client.get(path, headers={"If-None-Match": "unquoted"}).status_code == 400


def test_representations_differ_and_the_revision_is_one(catalogue: Any) -> None:
    """The stranger is shown another text of the same revision: with its tag one may write, but not be told 304."""
    mine, theirs = tag(catalogue.researcher), tag(catalogue.service)
    elsewhere = catalogue.researcher.get(ITEM).json()
    assert mine.split("-")[0] == theirs.split("-")[0]
    answer = catalogue.researcher.put(ITEM, json=elsewhere, headers={"If-Match": theirs})
    assert answer.status_code == 200 and answer.headers["etag"] == mine


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("kind", ["item", "collection"])
def test_a_change_of_what_was_changed_since_is_refused(catalogue: Any, verb: str, kind: str) -> None:
    client, name = catalogue.researcher, f"stale-{verb.lower()}"
    if kind == "item":
        path, body = f"{SCENES}/items/{name}", catalogue.item(name)
        assert client.post(f"{SCENES}/items", json=body).status_code == 201
        change = {"properties": {"title": "new"}}
    else:
        path, body = f"/stac/collections/{name}", catalogue.collection(name)
        assert client.post("/stac/collections", json=body).status_code == 201
        change = {"title": "new"}
    old = tag(client, path)
    changed = client.patch(path, json=change, headers={"If-Match": old})
    assert changed.status_code == 200 and changed.headers["etag"] == tag(client, path) != old
    sent = {"json": body if verb == "PUT" else {"description": "x"}} if verb != "DELETE" else {}
    for named in (old, '"x"', f"W/{changed.headers['etag']}", f"{old}, {old}"):
        refused = client.request(verb, path, headers={"If-Match": named}, **sent)
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition-failed"), named
    assert client.request(verb, path, headers={"If-None-Match": "*"}, **sent).status_code == 412
    assert client.request(verb, path, headers={"If-Match": "nonsense"}, **sent).status_code == 400
    assert client.get(path).headers["etag"] == changed.headers["etag"]
    done = client.request(verb, path, headers={"If-Match": f'"1-0", {changed.headers["etag"]}'}, **sent)
    assert done.status_code == 200, done.text


def test_of_many_writers_with_the_same_tag_one_wins(catalogue: Any) -> None:
    client = catalogue.researcher

    def write(known: str, number: int) -> int:
        body = {"properties": {"writer": number, "known": known}}
        return int(client.patch(ITEM, json=body, headers={"If-Match": known}).status_code)

    for _ in range(5):
        with ThreadPoolExecutor(12) as pool:
            codes = list(pool.map(partial(write, tag(client)), range(12)))
        assert sorted(codes) == [200] + [412] * 11


def test_fifty_patches_of_different_members_are_all_kept(catalogue: Any) -> None:
    client = catalogue.researcher
    with ThreadPoolExecutor(25) as pool:
        codes = list(pool.map(lambda n: client.patch(ITEM, json={"properties": {f"m{n}": n}}).status_code, range(50)))
    assert codes == [200] * 50
    properties = client.get(ITEM).json()["properties"]
    assert all(properties[f"m{n}"] == n for n in range(50))


def test_a_collection_may_ask_for_tags(catalogue: Any) -> None:
    client = catalogue.researcher
    made = catalogue.collection("careful", **{"bocage:if_match_required": True})
    assert client.post("/stac/collections", json=made).status_code == 201
    path = "/stac/collections/careful/items/a"
    created = client.post("/stac/collections/careful/items", json=catalogue.item("a"))
    assert created.status_code == 201
    for where, body in ((path, {"properties": {"a": 1}}), ("/stac/collections/careful", {"title": "b"})):
        missing = client.patch(where, json=body)
        assert (missing.status_code, missing.json()["code"]) == (428, "precondition-required")
        assert client.delete(where).status_code == 428
        assert client.patch(where, json=body, headers={"If-Match": tag(client, where)}).status_code == 200
        assert client.patch(where, json={}, headers={"If-Match": "*"}).status_code == 200
    several = {"type": "FeatureCollection", "features": [catalogue.item("a", x=1)]}
    refused = client.post("/stac/collections/careful/items?method=upsert", json=several)
    assert refused.status_code == 428
    assert client.delete(path, headers={"If-Match": "*"}).status_code == 200


def test_nothing_written_is_no_new_revision(catalogue: Any) -> None:
    client = catalogue.researcher
    known, body = tag(client), client.get(ITEM).json()
    assert client.put(ITEM, json=body).headers["etag"] == known
    assert client.patch(ITEM, json={}).headers["etag"] == known


@given(st.integers(0, 10**18 - 1), st.binary(max_size=40))
def test_a_tag_names_its_revision(revision: int, body: bytes) -> None:
    made = etags.etag(revision, body)
    assert etags.etag(revision, body) == made
    assert etags.etag(revision, body + b"x") != made
    assert etags._revision(made[1:-1]) == revision


@given(st.lists(st.tuples(st.booleans(), st.text("abc-019!#,", max_size=6))))
def test_lists_of_tags_are_read_back(tags: list[tuple[bool, str]]) -> None:
    field = " , ".join(f'{"W/" if weak else ""}"{opaque}"' for weak, opaque in tags)
    assert etags._tags(field, "If-Match") == tags
