"""Items shared by name: seen by those who are named, on every read path, and by nobody else."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

SHARED = "bocage:shared_with"
ITEM = "/stac/collections/pool/items/kept"


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any) -> None:
    public = catalogue.collection("pool", **{"bocage:audience": "public", "bocage:write_scope": "service"})
    assert catalogue.service.post("/stac/collections", json=public).status_code == 201
    for name in ("kept", "other"):
        owned = {"bocage:owner": "researcher", "bocage:audience": "owner", "bocage:organisation": catalogue.ours}
        made = catalogue.service.post("/stac/collections/pool/items", json=catalogue.item(name, **owned))
        assert made.status_code == 201, made.text


def share(client: httpx.Client, *names: str, path: str = ITEM) -> httpx.Response:
    return client.patch(path, json={"properties": {SHARED: list(names)}})


def sees(client: httpx.Client) -> bool:
    """Whether every way of reading shows the item, or none does."""
    found = [
        client.get(ITEM).status_code == 200,
        *(
            "kept" in [x["id"] for x in client.get(path, params=asked).json()["features"]]
            for path in ("/stac/search", "/stac/collections/pool/items")
            for asked in (
                {"ids": "kept"},
                {"filter": "id = 'kept'", "filter-lang": "cql2-text"},
                {"query": json.dumps({"id": {"eq": "kept"}})},
            )
        ),
        client.post("/stac/search", json={"ids": ["kept"]}).json()["numberMatched"] == 1,
    ]
    assert len(set(found)) == 1, found
    return found[0]


def test_named_people_and_organisations_see_it(catalogue: Any) -> None:
    researcher, stranger, colleague = catalogue.researcher, catalogue.stranger, catalogue.colleague
    assert sees(researcher) and not sees(stranger) and not sees(colleague) and not sees(catalogue.anonymous)
    assert share(researcher, "person:stranger").status_code == 200
    assert sees(stranger) and not sees(colleague) and not sees(catalogue.anonymous)
    assert share(researcher, f"organisation:{catalogue.ours}").status_code == 200
    assert sees(colleague) and sees(catalogue.reader) and not sees(stranger)
    assert share(researcher, "person:anonymous").status_code == 200
    assert not sees(catalogue.anonymous)
    assert share(researcher).status_code == 200
    assert SHARED not in researcher.get(ITEM).json()["properties"]
    assert not sees(colleague) and not sees(stranger)


def test_only_the_owner_is_told_with_whom(catalogue: Any) -> None:
    researcher, stranger = catalogue.researcher, catalogue.stranger
    names = [f"organisation:{catalogue.theirs}", "person:colleague"]
    assert share(researcher, *names, names[0]).json()["properties"][SHARED] == names
    for who in (researcher, catalogue.administrator, catalogue.service):
        assert who.get(ITEM).json()["properties"][SHARED] == names
    for who in (stranger, catalogue.colleague):
        assert SHARED not in who.get(ITEM).text
        for asked in ({"ids": "kept"}, {"ids": "kept", "fields": f"properties.{SHARED}"}):
            answer = who.get("/stac/search", params=asked)
            assert answer.status_code == 200 and "person:colleague" not in answer.text
        probing: list[tuple[str, dict[str, Any]]] = [
            ("GET", {"params": {"filter": f"\"{SHARED}\" = 'x'", "filter-lang": "cql2-text"}}),
            ("GET", {"params": {"filter": f'"properties.{SHARED}" IS NULL', "filter-lang": "cql2-text"}}),
            ("GET", {"params": {"query": json.dumps({SHARED: {"contains": "colleague"}})}}),
            ("GET", {"params": {"sortby": f"+properties.{SHARED}"}}),
            ("POST", {"json": {"sortby": [{"field": SHARED, "direction": "asc"}]}}),
            ("POST", {"json": {"filter": {"op": "a_contains", "args": [{"property": SHARED}, ["person:colleague"]]}}}),
        ]
        for method, more in probing:
            answer = who.request(method, "/stac/search", **more)
            assert answer.status_code == 400 and SHARED in answer.text, more
    assert SHARED not in json.dumps(stranger.get("/stac/queryables").json())


def test_only_the_owner_shares(catalogue: Any) -> None:
    researcher, administrator = catalogue.researcher, catalogue.administrator
    assert share(researcher, "person:stranger").status_code == 200
    assert share(catalogue.stranger, "person:stranger", "person:reader").status_code == 403
    assert share(catalogue.reader, "person:reader").status_code in (403, 404)
    # An administrator may change the audience, but not in whose sight the owner put it.
    assert share(administrator, "person:admin").status_code == 200
    assert researcher.get(ITEM).json()["properties"][SHARED] == ["person:stranger"]
    # What a service writes again without the field keeps it.
    shown = catalogue.service.get(ITEM).json()
    del shown["properties"][SHARED]
    assert catalogue.service.put(ITEM, json=shown).status_code == 200
    assert researcher.get(ITEM).json()["properties"][SHARED] == ["person:stranger"]
    body = researcher.get(ITEM).json()
    assert researcher.put(ITEM, json=body).json()["properties"][SHARED] == ["person:stranger"]
    test_patch = [
        {"op": "test", "path": f"/properties/{SHARED}", "value": ["person:nobody"]},
        {"op": "add", "path": f"/properties/{SHARED}", "value": []},
    ]
    assert researcher.patch(ITEM, json=test_patch).status_code == 409


@pytest.mark.parametrize(
    "value",
    ["person:x", {"person": "x"}, ["somebody"], ["person:"], [1], ["person:a b"], [f"person:{n}" for n in range(101)]],
)
def test_what_is_no_list_of_names(catalogue: Any, value: Any) -> None:
    answer = catalogue.researcher.patch(ITEM, json={"properties": {SHARED: value}})
    assert answer.status_code == 400 and SHARED in answer.json()["detail"]


def test_collections_are_not_shared(catalogue: Any) -> None:
    made = catalogue.collection("not-shared", **{SHARED: ["person:stranger"]})
    assert catalogue.researcher.post("/stac/collections", json=made).status_code == 400


def test_where_files_lie_is_the_operators_to_say(catalogue: Any) -> None:
    made = catalogue.collection("bucketed", **{"bocage:store": "frozen"})
    assert catalogue.researcher.post("/stac/collections", json=made).status_code == 403
    wrong = catalogue.collection("bucketed", **{"bocage:store": "No Store"})
    assert catalogue.administrator.post("/stac/collections", json=wrong).status_code == 400
    made["bocage:organisation"], made["bocage:audience"] = catalogue.ours, "public"
    assert catalogue.administrator.post("/stac/collections", json=made).status_code == 201
    own = f"{catalogue.base}/assets/bucketed/a/image"
    item = catalogue.item("a", {"image": {"href": own, "type": "image/tiff"}})
    posted = catalogue.researcher.post("/stac/collections/bucketed/items", json=item)
    assert posted.status_code == 201 and posted.json()["assets"]["image"]["href"] == own
    path = "/stac/collections/bucketed/items/a"
    internal = "s3:frozen:collections/bucketed/a/image"
    assert catalogue.service.get(path).json()["assets"]["image"]["href"] == internal
    assert catalogue.researcher.get(path).json()["assets"]["image"]["href"] == own
    body = catalogue.researcher.get(path).json()
    assert catalogue.researcher.put(path, json=body).status_code == 200
    assert catalogue.service.get(path).json()["assets"]["image"]["href"] == internal
    for href in (internal, "s3:other:collections/bucketed/a/image", "s3:frozen:collections/elsewhere/a/image"):
        item = catalogue.item("b", {"image": {"href": href}})
        assert catalogue.researcher.post("/stac/collections/bucketed/items", json=item).status_code == 400
        allowed = catalogue.service.post("/stac/collections/bucketed/items", json=item)
        assert allowed.status_code == (201 if href == internal else 400), allowed.text
    kept = catalogue.researcher.get("/stac/collections/bucketed").json()
    del kept["bocage:store"]
    assert catalogue.researcher.put("/stac/collections/bucketed", json=kept).json()["bocage:store"] == "frozen"
