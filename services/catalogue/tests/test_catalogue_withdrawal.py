"""What was withdrawn is gone from all that is found, and tells why to those who could see it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

REASON = {"reason": "Its calibration was wrong."}


@pytest.fixture(scope="module", autouse=True)
def loaded(catalogue: Any) -> None:
    for name, audience in (("shown", "public"), ("internal", "organisation")):
        made = catalogue.collection(name, **{"bocage:audience": audience})
        catalogue.researcher.post("/stac/collections", json=made).raise_for_status()


def an_item(catalogue: Any, name: str, collection: str = "shown", **properties: Any) -> str:
    catalogue.put_file(f"collections/{collection}/{name}/image")
    assets = {"image": {"href": f"{catalogue.base}/assets/{collection}/{name}/image"}}
    path = f"/stac/collections/{collection}/items"
    catalogue.researcher.post(path, json=catalogue.item(name, assets, **properties)).raise_for_status()
    return f"{path}/{name}"


def test_an_item_leaves_a_tombstone(catalogue: Any) -> None:
    path = an_item(catalogue, "bad")
    better = an_item(catalogue, "better")
    cursor = catalogue.anonymous.get("/stac/changes?cursor=now").json()["cursor"]
    answer = catalogue.researcher.post(f"{path}/withdrawal", json=REASON | {"successor": "shown/better"})
    assert answer.status_code == 200 and answer.json()["reason"] == REASON["reason"], answer.text
    for client in (catalogue.anonymous, catalogue.stranger, catalogue.researcher):
        told = client.get(path)
        assert told.status_code == 410 and told.headers["content-type"] == "application/problem+json"
        problem = told.json()
        assert problem["code"] == "withdrawn" and problem["reason"] == REASON["reason"]
        assert problem["successor"] == catalogue.base + better and problem["withdrawn"].endswith("Z")
    assert catalogue.anonymous.get("/stac/search?ids=bad").json()["numberMatched"] == 0
    changes = catalogue.anonymous.get("/stac/changes", params={"cursor": cursor}).json()["changes"]
    assert [(one["type"], one["id"]) for one in changes] == [("deleted", "bad")]
    assert catalogue.store.head("collections/shown/bad/image") is None
    assert catalogue.store.head("collections/shown/better/image") is not None
    assert catalogue.researcher.post(f"{path}/withdrawal", json=REASON).status_code in (404, 410)


def test_its_id_is_not_used_again(catalogue: Any) -> None:
    path = an_item(catalogue, "once")
    catalogue.researcher.post(f"{path}/withdrawal", json=REASON).raise_for_status()
    items = "/stac/collections/shown/items"
    again = catalogue.researcher.post(items, json=catalogue.item("once"))
    assert again.status_code == 409 and again.json()["code"] == "withdrawn" and "tombstone" in again.json()["detail"]
    several = {"type": "FeatureCollection", "features": [catalogue.item("once"), catalogue.item("fresh")]}
    for method in ("insert", "upsert"):
        told = catalogue.researcher.post(f"{items}?mode=partial&method={method}", json=several).json()["results"]
        assert next((one["status"], one.get("code")) for one in told) == (409, "withdrawn")
    assert catalogue.anonymous.get(path).status_code == 410


def test_who_could_not_see_it_is_told_nothing(catalogue: Any) -> None:
    path = an_item(catalogue, "ours", "internal")
    mine = an_item(catalogue, "mine", **{"bocage:audience": "owner"})
    for one in (path, mine):
        catalogue.researcher.post(f"{one}/withdrawal", json=REASON).raise_for_status()
    assert catalogue.reader.get(path).status_code == 410
    assert catalogue.researcher.get(mine).status_code == 410
    for client in (catalogue.anonymous, catalogue.stranger):
        for one in (path, mine):
            told = client.get(one)
            assert told.status_code == 404 and "calibration" not in told.text
    assert catalogue.colleague.get(mine).status_code == 404


@pytest.mark.parametrize(
    ("who", "status"), [("anonymous", 401), ("reader", 403), ("stranger", 403), ("administrator", 200)]
)
def test_who_may_withdraw(catalogue: Any, who: str, status: int) -> None:
    path = an_item(catalogue, f"by-{who}")
    assert getattr(catalogue, who).post(f"{path}/withdrawal", json=REASON).status_code == status
    assert catalogue.researcher.get(path).status_code == (410 if status == 200 else 200)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": " "},
        {"reason": "x\0"},
        {"reason": "x" * 2001},
        {"reason": "x", "successor": "shown/nowhere"},
        {"reason": "x", "successor": "javascript:alert(1)"},
        {"reason": "x", "successor": "shown/odd"},
        {"reason": "x", "because": "y"},
    ],
)
def test_a_withdrawal_has_a_reason_and_a_real_successor(catalogue: Any, body: dict[str, Any]) -> None:
    path = "/stac/collections/shown/items/odd"
    if catalogue.researcher.get(path).status_code == 404:
        an_item(catalogue, "odd")
    assert catalogue.researcher.post(f"{path}/withdrawal", json=body).status_code == 400
    assert catalogue.researcher.get(path).status_code == 200


def test_what_is_hidden_is_no_successor(catalogue: Any) -> None:
    """Whether it is there is not told by a refusal that differs."""
    hidden = catalogue.collection("theirs", **{"bocage:audience": "owner"})
    catalogue.stranger.post("/stac/collections", json=hidden).raise_for_status()
    catalogue.stranger.post("/stac/collections/theirs/items", json=catalogue.item("one")).raise_for_status()
    path = an_item(catalogue, "curious")
    told = set()
    for successor in ("theirs", "theirs/one", "nowhere", "nowhere/one"):
        answer = catalogue.researcher.post(f"{path}/withdrawal", json=REASON | {"successor": successor})
        told.add((answer.status_code, answer.json()["detail"].replace(successor, "…")))
    assert len(told) == 1 and told.pop()[0] == 400
    assert catalogue.researcher.get(path).status_code == 200


def test_results_are_withdrawn_by_administrators(catalogue: Any) -> None:
    made = catalogue.collection("made", **{"bocage:write_scope": "service", "bocage:audience": "public"})
    catalogue.service.post("/stac/collections", json=made).raise_for_status()
    catalogue.service.post("/stac/collections/made/items", json=catalogue.item("r")).raise_for_status()
    path = "/stac/collections/made/items/r"
    assert catalogue.researcher.post(f"{path}/withdrawal", json=REASON).status_code == 403
    assert catalogue.administrator.post(f"{path}/withdrawal", json=REASON).status_code == 200


def test_a_collection_is_withdrawn_with_its_items(catalogue: Any) -> None:
    made = catalogue.collection("whole", **{"bocage:audience": "public"})
    catalogue.researcher.post("/stac/collections", json=made).raise_for_status()
    item = an_item(catalogue, "part", "whole")
    address = {"reason": "Superseded.", "successor": "https://example.org/better"}
    answer = catalogue.researcher.post("/stac/collections/whole/withdrawal", json=address)
    assert answer.status_code == 200, answer.text
    for path in ("/stac/collections/whole", "/stac/collections/whole/items", item):
        told = catalogue.anonymous.get(path)
        assert told.status_code == 410 and told.json()["successor"] == address["successor"]
    assert "whole" not in {one["id"] for one in catalogue.anonymous.get("/stac/collections").json()["collections"]}
    assert catalogue.researcher.post("/stac/collections", json=made).json()["code"] == "withdrawn"
    assert not catalogue.store.path("collections/whole").exists()
    assert catalogue.anonymous.get("/stac/collections/never").status_code == 404


def test_two_withdraw_at_once_and_another_creates(catalogue: Any) -> None:
    """One withdrawal, one tombstone, and never the item beside it."""
    path = an_item(catalogue, "busy")
    items = "/stac/collections/shown/items"

    def ask(n: int) -> int:
        client = catalogue.as_(catalogue.identities["researcher"])
        if n % 2:
            return int(client.post(f"{path}/withdrawal", json=REASON | {"reason": f"Reason {n}."}).status_code)
        return int(client.post(items, json=catalogue.item("busy")).status_code)

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(ask, range(6)))
    assert sorted(codes[1::2]) in ([200, 404, 404], [200, 410, 410], [200, 404, 410])
    assert set(codes[::2]) == {409}
    assert catalogue.anonymous.get(path).status_code == 410


def test_a_withdrawal_can_be_conditional(catalogue: Any) -> None:
    path = an_item(catalogue, "changed")
    tag = catalogue.researcher.get(path).headers["etag"]
    catalogue.researcher.patch(path, json={"properties": {"title": "Changed"}}).raise_for_status()
    refused = catalogue.researcher.post(f"{path}/withdrawal", json=REASON, headers={"If-Match": tag})
    assert refused.status_code == 412 and catalogue.researcher.get(path).status_code == 200


def test_an_id_that_no_file_can_have_is_not_there(catalogue: Any) -> None:
    name = "0" * 250
    for path in (f"/stac/collections/{name}", f"/stac/collections/shown/items/{name}"):
        assert catalogue.administrator.post(f"{path}/withdrawal", json=REASON).status_code == 404
        assert catalogue.administrator.delete(path).status_code == 404
