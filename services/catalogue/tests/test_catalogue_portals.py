"""The entry portals: views of one catalogue, with the same objects in each, as far as the caller sees them."""

from __future__ import annotations

from typing import Any

import pystac_client
import pytest
from bocage_kit.identity import HEADER
from offline_schemas import faults, schema_folder
from test_catalogue_subjects import MADE

PORTALS = ["data-terra", "aeris", "odatis", "formater", "theia", "pndb"]
IN = {
    "data-terra": {"bright", "muddy", "roots"},
    "aeris": set[str](),
    "odatis": {"muddy", "roots"},
    "formater": set[str](),
    "theia": {"bright", "muddy"},
    "pndb": set[str](),
}


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any) -> None:
    for name, members in MADE.items():
        made = catalogue.collection(name, **{"bocage:audience": "public", "title": name.title(), **members})
        assert catalogue.service.post("/stac/collections", json=made).status_code == 201
        for n in range(3):
            item = catalogue.item(f"{name}-{n}", **{"bocage:audience": "public" if n else "owner"})
            assert catalogue.service.post(f"/stac/collections/{name}/items", json=item).status_code == 201


def get(catalogue: Any, path: str, who: str = "anonymous", **asked: Any) -> Any:
    answer = getattr(catalogue, who).get(path, **asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def of(document: Any, rel: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == rel]


def test_six_children_before_the_collections(catalogue: Any) -> None:
    root = get(catalogue, "/stac")
    own = [f"{catalogue.base}/stac/catalogs/{name}" for name in PORTALS]
    assert of(root, "child")[:6] == own and len(of(root, "child")) == 6 + len(MADE) - 1
    children = get(catalogue, "/stac/children")["children"]
    assert [of(child, "self")[0] for child in children] == of(root, "child")
    listed = get(catalogue, "/stac/catalogs")
    assert listed["catalogs"] == children[:6]
    assert [get(catalogue, x.removeprefix(catalogue.base)) for x in own] == children[:6]


@pytest.mark.parametrize("portal", PORTALS)
def test_a_portal_holds_what_names_it(catalogue: Any, portal: str) -> None:
    page = get(catalogue, f"/stac/catalogs/{portal}")
    assert page["type"] == "Catalog" and page["id"] == portal
    canonical = [f"{catalogue.base}/stac/collections/{name}" for name in sorted(IN[portal])]
    assert of(page, "child") == canonical
    assert of(page, "root") == of(page, "parent") == [f"{catalogue.base}/stac"]
    listed = get(catalogue, f"/stac/catalogs/{portal}/collections")
    assert listed["numberMatched"] == len(canonical)
    assert [of(one, "self")[0] for one in listed["collections"]] == canonical
    # The same objects: with the same members and links as anywhere.
    for one in listed["collections"]:
        assert one == get(catalogue, f"/stac/collections/{one['id']}")
        assert one == get(catalogue, f"/stac/catalogs/{portal}/collections/{one['id']}")
    found = get(catalogue, f"/stac/catalogs/{portal}/search?limit=100")
    assert {item["id"] for item in found["features"]} == {f"{name}-{n}" for name in IN[portal] for n in (1, 2)}
    assert found["numberMatched"] == len(found["features"])
    for item in found["features"]:
        assert item == get(catalogue, f"/stac/collections/{item['collection']}/items/{item['id']}")
    posted = catalogue.anonymous.post(f"/stac/catalogs/{portal}/search", json={"limit": 100}).json()
    assert posted["features"] == found["features"]


def test_searches_are_narrowed_and_never_widened(catalogue: Any) -> None:
    def ids(**asked: Any) -> set[str]:
        by_get = get(catalogue, "/stac/catalogs/theia/search", params=asked)
        body = {name: value.split(",") if name in ("collections", "ids") else value for name, value in asked.items()}
        by_post = catalogue.anonymous.post("/stac/catalogs/theia/search", json=body).json()
        assert by_get["features"] == by_post["features"]
        return {item["id"] for item in by_get["features"]}

    assert ids(collections="roots,muddy") == {"muddy-1", "muddy-2"}
    assert ids(ids="roots-1,muddy-1") == {"muddy-1"}
    assert ids(variable="albedo") == {"bright-1", "bright-2"}
    assert ids(portal="odatis") == {"muddy-1", "muddy-2"}
    assert ids(portal="aeris") == set()
    assert ids(**{"filter": "collection <> 'bright'", "filter-lang": "cql2-text"}) == {"muddy-1", "muddy-2"}
    assert get(catalogue, "/stac/catalogs/theia/collections?portal=odatis&sortby=-id")["numberMatched"] == 1
    assert get(catalogue, "/stac/catalogs/theia/collections?q=turbidity")["collections"][0]["id"] == "muddy"


def test_pages_stay_within_the_portal(catalogue: Any) -> None:
    for method in ("GET", "POST"):
        path, asked, seen = "/stac/catalogs/data-terra/search", {"limit": 2}, list[str]()
        while path:
            client = catalogue.anonymous
            answer = client.get(path, params=asked) if method == "GET" else client.post(path, json=asked)
            page = answer.json()
            assert of(page, "parent") == [f"{catalogue.base}/stac/catalogs/data-terra"]
            seen += [item["id"] for item in page["features"]]
            path = ""
            for link in page["links"]:
                if link["rel"] == "next":
                    assert link["href"].startswith(f"{catalogue.base}/stac/catalogs/data-terra/search")
                    path, asked = link["href"].removeprefix(catalogue.base), link.get("body")
        assert sorted(seen) == sorted(f"{name}-{n}" for name in IN["data-terra"] for n in (1, 2))
    page = get(catalogue, "/stac/catalogs/data-terra/collections?limit=2")
    assert len(page["collections"]) == 2 and "/catalogs/data-terra/collections?" in of(page, "next")[0]
    assert of(page, "parent") == [f"{catalogue.base}/stac/catalogs/data-terra"]


def test_the_audience_is_asked_as_everywhere(catalogue: Any) -> None:
    hidden = "/stac/catalogs/aeris"
    assert of(get(catalogue, hidden), "child") == []
    assert catalogue.anonymous.get(f"{hidden}/collections/hidden").status_code == 404
    assert get(catalogue, f"{hidden}/search")["features"] == []
    assert [x.rpartition("/")[2] for x in of(get(catalogue, hidden, "administrator"), "child")] == ["hidden"]
    assert get(catalogue, f"{hidden}/search", "administrator")["numberMatched"] == 3
    assert get(catalogue, f"{hidden}/collections/hidden", "administrator")["id"] == "hidden"


def test_what_there_is_not(catalogue: Any) -> None:
    client = catalogue.anonymous
    for path in ("", "/collections", "/collections/bright", "/search"):
        answer = client.get(f"/stac/catalogs/thea{path}")
        assert answer.status_code == 404 and "theia" in answer.json()["detail"], answer.text
    assert client.post("/stac/catalogs/thea/search", json={}).status_code == 404
    assert client.get("/stac/catalogs/theia/collections/roots").status_code == 404
    assert client.get("/stac/catalogs/theia/search?variabel=albedo").status_code == 400
    assert client.get("/stac/catalogs/theia/search?variable=abledo").status_code == 400
    for body in ("[]", "x", '{"limit": 0}', '{"portal": 3}'):
        answer = client.post("/stac/catalogs/theia/search", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, body
    assert client.delete("/stac/catalogs/theia").status_code == 405


def test_languages(catalogue: Any) -> None:
    page = get(catalogue, "/stac/catalogs/odatis", headers={"Accept-Language": "fr"})
    assert page["description"] == "L'océan." and page["language"]["code"] == "fr"
    assert get(catalogue, "/stac/catalogs/odatis?language=en")["description"] == "The ocean."


def test_they_are_valid_catalogues(catalogue: Any) -> None:
    schema_folder()
    for portal in PORTALS:
        page = get(catalogue, f"/stac/catalogs/{portal}")
        assert page["stac_extensions"] and list(faults(page)) == []
    broken = {name: value for name, value in page.items() if name != "description"}
    assert any("description" in fault for fault in faults(broken))


def test_clients_walk_them(catalogue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pystac-client and browsers do: open the portal, list, walk down, search."""
    identity = catalogue.identities["anonymous"].model_copy(update={"public_base": catalogue.url})
    headers = {HEADER: catalogue.headers(identity)[HEADER]}
    opened = pystac_client.Client.open(f"{catalogue.url}/stac/catalogs/theia", headers=headers)
    assert {one.id for one in opened.get_collections()} == IN["theia"]
    assert opened.get_collection("muddy").id == "muddy"
    assert {one.id for one in opened.get_children()} == IN["theia"]
    found = opened.search(method="POST", limit=1)
    assert {item.id for item in found.items()} == {f"{name}-{n}" for name in IN["theia"] for n in (1, 2)}
    assert found.matched() == 4
    root = pystac_client.Client.open(f"{catalogue.url}/stac", headers=headers)
    below = {child.id for child in root.get_children()}
    assert below == {*PORTALS, *MADE} - {"hidden"}
