"""The write half: who may, what is refused and why, and that a body that was read changes nothing when written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bocage_kit.identity import Identity
from catalogue_assets import asset, uploaded

SCENES = "/stac/collections/scenes"
ITEMS = f"{SCENES}/items"


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any) -> None:
    """The researcher's collection, and the platform's for results."""
    scenes = catalogue.collection(
        "scenes",
        item_assets={"image": {"type": "image/tiff; application=geotiff", "roles": ["data"], "title": "Image"}},
    )
    assert catalogue.researcher.post("/stac/collections", json=scenes).status_code == 201
    results = catalogue.collection("dsm", **{"bocage:write_scope": "service", "bocage:audience": "public"})
    assert catalogue.service.post("/stac/collections", json=results).status_code == 201


def test_a_new_collection_belongs_to_its_maker(catalogue: Any) -> None:
    theft = {"bocage:organisation": catalogue.theirs, "bocage:owner": "stranger", "bocage:write_scope": "service"}
    answer = catalogue.researcher.post("/stac/collections", json=catalogue.collection("mine", **theft))
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{catalogue.base}/stac/collections/mine"
    made = answer.json()
    assert made["bocage:organisation"] == catalogue.ours
    assert made["bocage:owner"] == "researcher"
    assert made["bocage:audience"] == "organisation"
    assert "bocage:write_scope" not in made
    assert catalogue.researcher.post("/stac/collections", json=catalogue.collection("mine")).status_code == 409


def test_services_say_who_owns(catalogue: Any) -> None:
    owned = {"bocage:organisation": catalogue.theirs, "bocage:owner": "stranger", "bocage:audience": "owner"}
    answer = catalogue.service.post("/stac/collections/dsm/items", json=catalogue.item("job-1", **owned))
    assert answer.status_code == 201
    assert owned.items() <= answer.json()["properties"].items()
    assert catalogue.stranger.get("/stac/collections/dsm/items/job-1").status_code == 200
    assert catalogue.researcher.get("/stac/collections/dsm/items/job-1").status_code == 404


def test_a_new_item_inherits_and_is_found_at_its_location(catalogue: Any) -> None:
    stolen = {"bocage:owner": "stranger", "bocage:organisation": catalogue.theirs}
    answer = catalogue.researcher.post(ITEMS, json=catalogue.item("one", **stolen))
    assert answer.status_code == 201, answer.text
    location = answer.headers["location"]
    assert location == f"{catalogue.base}{ITEMS}/one"
    shown = catalogue.researcher.get(location.removeprefix(catalogue.base)).json()
    assert shown == answer.json()
    assert shown["assets"] == {}
    properties = shown["properties"]
    assert properties["bocage:owner"] == "researcher"
    assert properties["bocage:organisation"] == catalogue.ours
    assert properties["bocage:audience"] == "organisation"
    assert properties["bocage:licences"] == ["LicenseRef-Test"]
    assert catalogue.anonymous.get(f"{ITEMS}/one").status_code == 404


def test_who_may_write(catalogue: Any) -> None:
    item = catalogue.item("who")
    assert catalogue.anonymous.post(ITEMS, json=item).status_code == 401
    refused = catalogue.reader.post(ITEMS, json=item)
    assert (refused.status_code, refused.json()["required_scope"]) == (403, "catalogue:write")
    assert catalogue.stranger.post(ITEMS, json=item).status_code == 404
    public = catalogue.collection("seen", **{"bocage:audience": "public"})
    assert catalogue.researcher.post("/stac/collections", json=public).status_code == 201
    assert catalogue.stranger.post("/stac/collections/seen/items", json=item).status_code == 403
    assert catalogue.stranger.delete("/stac/collections/seen").status_code == 403
    assert catalogue.colleague.post("/stac/collections/seen/items", json=item).status_code == 201
    assert catalogue.researcher.post("/stac/collections/dsm/items", json=item).status_code == 403
    assert catalogue.administrator.post("/stac/collections/dsm/items", json=item).status_code == 403
    assert catalogue.administrator.post("/stac/collections/seen/items", json=catalogue.item("a")).status_code == 201
    homeless = Identity(subject="homeless", scopes=frozenset({"catalogue:write"}), public_base=catalogue.base)
    assert catalogue.as_(homeless).post("/stac/collections", json=catalogue.collection("none")).status_code == 403
    impostor = Identity(subject="service:processing", scopes=frozenset({"catalogue:write"}))
    assert catalogue.as_(impostor).post("/stac/collections/dsm/items", json=item).status_code == 403


@pytest.mark.parametrize("who", ["researcher", "administrator", "service"])
def test_writing_what_was_read_changes_nothing(catalogue: Any, who: str) -> None:
    client, path = getattr(catalogue, who), f"{ITEMS}/same-{who}"
    catalogue.put_file(f"collections/scenes/same-{who}/image")
    item = catalogue.item(
        f"same-{who}",
        {
            "image": asset(f"/assets/scenes/same-{who}/image", title=None, **{"proj:code": "EPSG:32631"}),
            "elsewhere": asset("https://example.org/x.tif", **{"bocage:external": True}),
        },
        **{"proj:code": "EPSG:32631", "datetime": None, "start_datetime": "2024-01-01T00:00:00Z"},
        end_datetime="2024-01-02T00:00:00.123456Z",
        nested={"a": [1, 2.50, None], "gone": None},
    )
    item["stac_extensions"] = ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"]
    item["links"] = [
        {"rel": "self", "href": "https://example.org/wrong"},
        {"rel": "derived_from", "href": f"{catalogue.base}/stac/collections/scenes/items/one"},
        {"rel": "about", "href": "https://example.org/about"},
    ]
    assert catalogue.researcher.post(ITEMS, json=item).status_code == 201
    stored = catalogue.service.get(path).content
    before = client.get(path).content
    written = client.put(path, content=before, headers={"content-type": "application/json"})
    assert written.status_code == 200, written.text
    assert client.get(path).content == before == written.content
    assert client.patch(path, json={}).content == before
    assert catalogue.service.get(path).content == stored
    kept = [
        (link["rel"], link["href"])
        for link in client.get(path).json()["links"]
        if link["rel"] in ("derived_from", "about")
    ]
    assert kept == [
        ("derived_from", f"{catalogue.base}/stac/collections/scenes/items/one"),
        ("about", "https://example.org/about"),
    ]
    before = client.get(SCENES).content
    assert client.put(SCENES, content=before, headers={"content-type": "application/json"}).status_code == 200
    assert client.get(SCENES).content == before


def test_what_the_path_says_need_not_be_in_the_body(catalogue: Any) -> None:
    client, path = catalogue.researcher, f"{ITEMS}/pathed"
    made = catalogue.item("pathed")
    nameless = {name: value for name, value in made.items() if name not in ("id", "collection")}
    assert client.put(path, json=nameless).status_code == 404
    assert client.post(ITEMS, json=nameless).status_code == 400
    first = client.post(ITEMS, json={**nameless, "id": "pathed"})
    assert first.status_code == 201 and first.json()["collection"] == "scenes"
    again = client.put(path, json=nameless)
    assert (again.status_code, again.headers["etag"]) == (200, first.headers["etag"]), again.text
    assert client.put(path, json={**nameless, "id": "other"}).status_code == 400
    whole = client.get(SCENES)
    rest = {name: value for name, value in whole.json().items() if name != "id"}
    assert client.put(SCENES, json=rest).headers["etag"] == whole.headers["etag"]
    assert client.delete(path).status_code == 200


@pytest.mark.parametrize(("version", "status"), [("1.0.0", 201), ("1.0.1", 201), ("1.0", 400), ("0.9.0", 400)])
def test_older_objects_are_kept_as_what_they_are_now(catalogue: Any, version: str, status: int) -> None:
    client = catalogue.researcher
    older = catalogue.collection("older", stac_version=version, license="proprietary")
    made = client.post("/stac/collections", json=older)
    assert made.status_code == status, made.text
    if status == 201:
        assert made.json()["stac_version"] == "1.1.0"
        assert client.delete("/stac/collections/older").status_code == 200
    answer = client.post(ITEMS, json=catalogue.item("older") | {"stac_version": version})
    assert answer.status_code == status, answer.text
    if status == 201:
        assert answer.json()["stac_version"] == "1.1.0"
        kept = client.put(f"{ITEMS}/older", json=answer.json() | {"stac_version": version})
        assert kept.headers["etag"] == answer.headers["etag"]
        assert client.delete(f"{ITEMS}/older").status_code == 200
    else:
        assert "1.0.x" in answer.json()["detail"]


def test_ownership_survives_an_update(catalogue: Any) -> None:
    path = f"{ITEMS}/kept"
    assert catalogue.researcher.post(ITEMS, json=catalogue.item("kept")).status_code == 201
    changed = catalogue.item("kept", title="new", **{"bocage:owner": "colleague", "bocage:organisation": "x"})
    answer = catalogue.colleague.put(path, json=changed)
    assert answer.status_code == 200, answer.text
    properties = answer.json()["properties"]
    assert (properties["title"], properties["bocage:owner"], properties["bocage:organisation"]) == (
        "new",
        "researcher",
        catalogue.ours,
    )
    assert properties["bocage:audience"] == "organisation"
    moved = catalogue.collection("scenes", **{"bocage:organisation": catalogue.theirs, "bocage:owner": "x"})
    owned = catalogue.colleague.patch(SCENES, json={"bocage:organisation": catalogue.theirs, "keywords": ["k"]}).json()
    assert (owned["bocage:organisation"], owned["keywords"]) == (catalogue.ours, ["k"])
    assert catalogue.stranger.put(SCENES, json=moved).status_code == 404


def test_patches_merge_and_edit(catalogue: Any) -> None:
    path = f"{ITEMS}/patched"
    assert catalogue.researcher.post(ITEMS, json=catalogue.item("patched", a=1, b=2)).status_code == 201
    answer = catalogue.researcher.patch(path, json={"properties": {"a": None, "c": 3}})
    assert answer.status_code == 200, answer.text
    properties = answer.json()["properties"]
    assert ("a" in properties, properties["b"], properties["c"]) == (False, 2, 3)
    edit = [{"op": "replace", "path": "/properties/b", "value": 5}]
    headers = {"content-type": "application/json-patch+json"}
    assert catalogue.researcher.patch(path, json=edit, headers=headers).json()["properties"]["b"] == 5
    for wrong in ([{"op": "remove", "path": "/nothing"}], {"id": "other"}, {"geometry": None}):
        assert catalogue.researcher.patch(path, json=wrong).status_code == 400
    assert catalogue.researcher.patch(f"{ITEMS}/none", json={}).status_code == 404


def broken(catalogue: Any) -> list[dict[str, Any]]:
    item = catalogue.item("fine")
    far = {"type": "Point", "coordinates": [500, 10]}
    return [
        item | {"id": "a/b"},
        item | {"id": "a b"},
        item | {"id": ".."},
        item | {"id": ""},
        item | {"id": "é"},
        item | {"id": "x" * 300},
        item | {"collection": "dsm"},
        item | {"geometry": None},
        item | {"geometry": far},
        item | {"geometry": {"type": "Polygon", "coordinates": []}},
        item | {"geometry": {"type": "Point", "coordinates": ["a", "b"]}},
        item | {"bbox": [1, 2, 3]},
        item | {"bbox": [0, 50, 1, 40]},
        item | {"stac_version": "0.9.0"},
        item | {"properties": {}},
        item | {"properties": {"datetime": "yesterday"}},
        item | {"properties": item["properties"] | {"bocage:audience": "everybody"}},
        item | {"properties": item["properties"] | {"bocage:audience": None}},
        item | {"properties": item["properties"] | {"bocage:licences": "CC0-1.0"}},
        item | {"links": [{"rel": "about", "href": "javascript:alert(1)"}]},
        item | {"links": [{"rel": "about", "href": "file:///etc/passwd"}]},
        item | {"assets": {"a": {"title": "no href"}}},
        item | {"type": "Blob"},
        {key: value for key, value in item.items() if key != "assets"},
    ]


def test_what_is_no_item_is_refused(catalogue: Any) -> None:
    for body in broken(catalogue):
        answer = catalogue.researcher.post(ITEMS, json=body)
        assert answer.status_code == 400, (body, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    for raw in (b"{", b"[]", b"", b'"item"'):
        answer = catalogue.researcher.post(ITEMS, content=raw, headers={"content-type": "application/json"})
        assert answer.status_code == 400, raw
    assert catalogue.researcher.get(f"{ITEMS}/fine").status_code == 404


def test_statuses_of_updates_and_deletions(catalogue: Any) -> None:
    client = catalogue.researcher
    assert client.put(f"{ITEMS}/absent", json=catalogue.item("absent")).status_code == 404
    assert client.delete(f"{ITEMS}/absent").status_code == 404
    assert client.post("/stac/collections/none/items", json=catalogue.item("x")).status_code == 404
    assert client.put("/stac/collections/none", json=catalogue.collection("none")).status_code == 404
    assert client.post(ITEMS, json=catalogue.item("one")).status_code in (201, 409)
    assert client.put(f"{ITEMS}/one", json=catalogue.item("two")).status_code == 400
    assert client.put(SCENES, json=catalogue.collection("other")).status_code == 400
    assert client.post(ITEMS, json=catalogue.item("one")).status_code == 409
    bad = catalogue.collection("a/b")
    assert client.post("/stac/collections", json=bad).status_code == 400
    assert client.post("/stac/collections", json={"id": "x"}).status_code == 400
    local = catalogue.collection("local", assets={"thumbnail": asset("file:///etc/passwd")})
    assert client.post("/stac/collections", json=local).status_code == 400


def test_several_items_are_made_all_or_none(catalogue: Any) -> None:
    def together(*names: str) -> dict[str, Any]:
        return {"type": "FeatureCollection", "features": [catalogue.item(name) for name in names]}

    assert catalogue.researcher.post(ITEMS, json=together("m1", "m2")).status_code == 201
    assert catalogue.researcher.post(ITEMS, json=together("m3", "m2")).status_code == 409
    assert catalogue.researcher.get(f"{ITEMS}/m3").status_code == 404
    assert catalogue.researcher.post(ITEMS, json=together("m4", "m4")).status_code == 400


def test_deleting_an_item_removes_its_uploads_alone(catalogue: Any) -> None:
    for name in ("gone", "stays"):
        item = catalogue.item(name, {"image": uploaded(catalogue, name)})
        assert catalogue.researcher.post(ITEMS, json=item).status_code == 201
    assert catalogue.stranger.delete(f"{ITEMS}/gone").status_code == 404
    assert catalogue.store.head("collections/scenes/gone/image") is not None
    assert catalogue.researcher.delete(f"{ITEMS}/gone").status_code == 200
    assert catalogue.store.head("collections/scenes/gone/image") is None
    assert catalogue.store.head("collections/scenes/stays/image") is not None
    assert catalogue.researcher.get(f"{ITEMS}/gone").status_code == 404


def test_deleting_a_collection_takes_its_items_and_uploads(catalogue: Any) -> None:
    assert catalogue.researcher.post("/stac/collections", json=catalogue.collection("brief")).status_code == 201
    item = catalogue.item("b", {"image": uploaded(catalogue, "b", collection="brief")})
    assert catalogue.researcher.post("/stac/collections/brief/items", json=item).status_code == 201
    assert catalogue.researcher.delete("/stac/collections/brief").status_code == 200
    assert catalogue.store.head("collections/brief/b/image") is None
    assert catalogue.researcher.get("/stac/search", params={"ids": "b"}).json()["numberMatched"] == 0


def test_a_result_is_published_by_put_then_post_and_again(catalogue: Any) -> None:
    """What processing does: PUT; on 404, POST; and the same once more after a lost answer."""
    path = "/stac/collections/dsm/items/job-2"
    item = catalogue.item("job-2", {"dsm": asset("store:results/dsm/job-2/1/dsm.tif")})
    assert catalogue.service.put(path, json=item).status_code == 404
    assert catalogue.service.post("/stac/collections/dsm/items", json=item).status_code == 201
    assert catalogue.service.put(path, json=item).status_code == 200
    again = catalogue.item("job-2", {"dsm": asset("store:results/dsm/job-2/2/dsm.tif")})
    assert catalogue.service.put(path, json=again).status_code == 200
    assert catalogue.anonymous.get(path).json()["assets"]["dsm"]["href"] == f"{catalogue.base}/assets/dsm/job-2/dsm"
    assert catalogue.service.get(path).json()["assets"]["dsm"]["href"] == "store:results/dsm/job-2/2/dsm.tif"


def test_writers_at_once_lose_nothing(catalogue: Any) -> None:
    client = catalogue.researcher
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: client.post(ITEMS, json=catalogue.item("race")).status_code, range(8)))
        assert sorted(made) == [201] + [409] * 7
        path = f"{ITEMS}/race"
        codes = list(pool.map(lambda n: client.patch(path, json={"properties": {f"n{n}": n}}).status_code, range(16)))
        assert codes == [200] * 16
        properties = client.get(path).json()["properties"]
        assert all(properties[f"n{n}"] == n for n in range(16))
        codes = list(pool.map(lambda n: client.put(path, json=catalogue.item("race", n=n)).status_code, range(8)))
        assert codes == [200] * 8
        others = list(pool.map(lambda n: client.post(ITEMS, json=catalogue.item(f"r{n}")).status_code, range(16)))
        assert others == [201] * 16
        gone = list(pool.map(lambda _: client.delete(path).status_code, range(4)))
        assert sorted(gone) == [200, 404, 404, 404]
