"""From an item to the process that runs on it: what the link says is what is posted; writing back changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from bocage_catalogue import process_links
from catalogue_loading import collection, item, load
from hypothesis import given
from hypothesis import strategies as st
from pypgstac.load import Loader, Methods

Document = dict[str, Any]
BASE = "https://hub.example.org/bocage"


def image(number: int, of: int = 2, **links: int) -> Document:
    """An image of a stereo acquisition that names its partners."""
    return {
        "id": f"i{number}",
        "collection": "images",
        "properties": {"stereo-img:group": "g", "stereo-img:count": of, "stereo-img:number": number},
        "links": [
            {"rel": "related", "href": f"/stac/collections/images/items/{name}", "stereo-img:number": other}
            for name, other in links.items()
        ],
    }


def inputs(item: Document, *names: str) -> list[Document]:
    """What the links of an item post."""
    found = process_links.of(BASE, item, {"bocage:processes": list(names)}, "en")
    return [link["body"]["inputs"] for link in found if link.get("method") == "POST"]


def of_processes(item: Document) -> list[Document]:
    return [link for link in item["links"] if link["rel"] == "process"]


def test_partners_in_the_order_of_the_acquisition() -> None:
    whole = {"images": ["images/i1", "images/i2", "images/i3"]}
    assert inputs(image(2, 3, i3=3, i1=1), "dsm") == [whole]
    assert inputs(image(1, 3, i3=3, i2=2), "dsm") == [whole]
    alone = image(1)
    assert inputs(alone, "dsm") == [{"images": ["images/i1"]}], "what is missing, the process says"
    assert inputs(alone, "hillshade") == [{"item": "images/i1"}]
    away = {**alone, "links": [{"rel": "related", "href": "https://elsewhere.org/i2", "stereo-img:number": 2}]}
    assert inputs(away, "dsm") == [{"images": ["images/i1"]}]


def test_a_process_that_nobody_can_fill_in_is_linked_alone() -> None:
    found = process_links.of(BASE, image(1), {"bocage:processes": ["echo", "dsm"]}, "fr")
    assert [(link["rel"], link["href"], link.get("method", "GET")) for link in found] == [
        ("process", f"{BASE}/processing/processes/echo", "GET"),
        ("process", f"{BASE}/processing/processes/dsm", "GET"),
        ("process", f"{BASE}/processing/processes/dsm/execution", "POST"),
    ]
    assert found[2]["title"] == "Lancer sur cet objet : dsm"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["dsm", "related", "process"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["rel", "href", "stereo-img:number", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(named=JSON, links=JSON, properties=JSON)
def test_whatever_was_loaded_is_shown(named: Any, links: Any, properties: Any) -> None:
    item = {"id": "a", "collection": "c", "links": links, "properties": properties}
    for link in process_links.of(BASE, item, {"bocage:processes": named}, "en"):
        assert link["rel"] == "process" and link["href"].startswith(f"{BASE}/processing/processes/")


@pytest.fixture
def stereo(fresh_catalogue: Any) -> Any:
    """Two images of one acquisition, and a collection that names no process."""
    writer = fresh_catalogue.researcher
    for name, more in (("images", {"bocage:processes": ["dsm"]}), ("plain", {})):
        made = fresh_catalogue.collection(name, **{"bocage:audience": "public"}, **more)
        assert writer.post("/stac/collections", json=made).status_code == 201
    for number, other in ((1, 2), (2, 1)):
        body = fresh_catalogue.item(
            f"i{number}", **{"stereo-img:count": 2, "stereo-img:number": number, "stereo-img:group": "g"}
        )
        partner = f"{fresh_catalogue.base}/stac/collections/images/items/i{other}"
        body["links"] = [{"rel": "related", "href": partner, "stereo-img:number": other}]
        assert writer.post("/stac/collections/images/items", json=body).status_code == 201
    assert writer.post("/stac/collections/plain/items", json=fresh_catalogue.item("one")).status_code == 201
    return fresh_catalogue


def test_a_hit_of_a_search_says_what_to_post(stereo: Any) -> None:
    pages = [
        stereo.anonymous.get("/stac/search").json()["features"],
        stereo.anonymous.post("/stac/search", json={"collections": ["images", "plain"]}).json()["features"],
        stereo.anonymous.get("/stac/collections/images/items").json()["features"],
        [stereo.anonymous.get("/stac/collections/images/items/i2").json()],
    ]
    for found in pages:
        hits = {item["id"]: of_processes(item) for item in found}
        assert not hits.pop("one", []) and "i2" in hits
        for links in hits.values():
            described, run = links
            assert described["href"] == f"{stereo.base}/processing/processes/dsm"
            assert (run["href"], run["method"]) == (f"{stereo.base}/processing/processes/dsm/execution", "POST")
            assert run["body"] == {"inputs": {"images": ["images/i1", "images/i2"]}}
    answer = stereo.anonymous.get("/stac/collections/images/items/i2", headers={"Accept-Language": "fr"})
    assert of_processes(answer.json())[0]["title"] == "Le traitement dsm"
    assert "execution" not in answer.headers["Link"], "what only POST follows"


def test_writing_back_what_was_read_changes_nothing(stereo: Any) -> None:
    path, writer = "/stac/collections/images/items/i1", stereo.researcher
    before = writer.get(path)
    after = writer.put(path, json=before.json())
    assert after.status_code == 200 and after.json() == before.json()
    assert writer.get(path).headers["etag"] == before.headers["etag"]
    patched = writer.patch(path, json={"properties": {"title": "One"}}).json()
    assert of_processes(patched) == of_processes(before.json()) and patched["properties"]["title"] == "One"
    # No process any more: the links go with the word of the collection, at once.
    holder = writer.get("/stac/collections/images").json()
    del holder["bocage:processes"]
    assert writer.put("/stac/collections/images", json=holder).status_code == 200
    assert of_processes(writer.get(path).json()) == []
    # Where a collection names none, such a link is whoever's wrote it.
    body = stereo.item("two")
    body["links"] = [{"rel": "process", "href": "/processing/processes/dsm", "type": "application/json"}]
    made = writer.post("/stac/collections/plain/items", json=body).json()
    assert [link["href"] for link in of_processes(made)] == [f"{stereo.base}/processing/processes/dsm"]
    assert writer.put("/stac/collections/plain/items/two", json=made).json() == made


@pytest.mark.parametrize("named", ["dsm", ["dsm", "dsm"], ["../jobs"], [1], ["a"] * 30, {"dsm": 1}, [""]])
def test_what_can_be_no_process_is_refused(catalogue: Any, named: Any) -> None:
    body = catalogue.collection("odd", **{"bocage:processes": named})
    refused = catalogue.researcher.post("/stac/collections", json=body)
    assert refused.status_code == 400 and "bocage:processes" in refused.json()["detail"]


def test_what_was_loaded_past_the_api_is_named_too(
    fresh_catalogue: Any, admin: Any, loader: Loader, database: Any
) -> None:
    loader.load_collections(iter([collection("scenes", **{"bocage:processes": ["hillshade"]})]), Methods.insert)
    load(loader, [item("one")], Methods.insert)
    [found] = fresh_catalogue.service.get("/stac/search").json()["features"]
    assert of_processes(found)[1]["body"] == {"inputs": {"item": "scenes/one"}}
    admin.execute("update pgstac.collections set content = content - 'bocage:processes'")
    [found] = fresh_catalogue.service.get("/stac/search").json()["features"]
    assert of_processes(found) == []


def test_concepts_of_items_are_shown_as_those_of_collections(stereo: Any) -> None:
    """Relative names are kept; what is shown has the caller's base and titles in the caller's language."""
    body = stereo.item("three", themes=[{"scheme": "vocabulary/cds", "concepts": [{"id": "grenoble"}]}])
    path = "/stac/collections/plain/items/three"
    made = stereo.researcher.post("/stac/collections/plain/items", json=body)
    assert made.status_code == 201
    [entry] = stereo.anonymous.get(path).json()["properties"]["themes"]
    assert entry["scheme"] == f"{stereo.base}/stac/vocabulary/cds"
    assert entry["concepts"][0]["title"] == "CDS Grenoble"
    again = stereo.researcher.put(path, json=made.json())
    assert again.json() == made.json()
    body["properties"]["themes"][0]["concepts"][0]["id"] = "grenobel"
    refused = stereo.researcher.put(path, json=body)
    assert refused.status_code == 400 and refused.json()["suggestions"] == ["grenoble"]
    assert "properties.themes" in refused.json()["detail"]
