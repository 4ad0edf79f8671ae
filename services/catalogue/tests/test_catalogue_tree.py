"""The face of the API: what leads where, in bodies and in headers, by GET and by HEAD."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from bocage_catalogue.answers import link_header
from bocage_kit.identity import Identity, Level

LINK = re.compile(r'<([^>]+)>; rel="([^"]+)"; type="([^"]+)"(?:; hreflang="([^"]+)")?')
ITEMS = 7


@pytest.fixture(scope="module", autouse=True)
def loaded(catalogue: Any) -> None:
    """Two public collections of which one has items, one of them the owner's own; and a hidden collection."""
    service = catalogue.service
    for name, audience in (("seen", "public"), ("empty", "public"), ("hidden", "owner")):
        made = catalogue.collection(name, title=f"The {name}", **{"bocage:audience": audience})
        assert service.post("/stac/collections", json=made).status_code == 201
    for name in ("seen", "hidden"):
        for n in range(ITEMS):
            audience = "owner" if n == 0 else "public"
            item = catalogue.item(f"i{n}", **{"bocage:audience": audience, "bocage:owner": "somebody"})
            assert service.post(f"/stac/collections/{name}/items", json=item).status_code == 201


def links_of(document: dict[str, Any], rel: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == rel]


def path_of(catalogue: Any, href: str) -> str:
    assert href.startswith(catalogue.base + "/")
    return str(href.removeprefix(catalogue.base))


def browsed(catalogue: Any, client: Any, path: str) -> set[str]:
    """All items that are reached by `child`, `item`, `items` and `next` alone."""
    found: set[str] = set()
    document = client.get(path).json()
    for rel in ("child", "items", "next"):
        for href in links_of(document, rel):
            found |= browsed(catalogue, client, path_of(catalogue, href))
    return found | {f"{item['collection']}/{item['id']}" for item in document.get("features", ())}


@pytest.mark.parametrize(
    ("who", "collections", "all_items"), [("anonymous", {"seen"}, False), ("administrator", {"seen", "hidden"}, True)]
)
def test_every_item_that_is_seen_is_reached_from_the_root(
    catalogue: Any, who: str, collections: set[str], all_items: bool
) -> None:
    expected = {f"{name}/i{n}" for name in collections for n in range(ITEMS) if all_items or n}
    assert browsed(catalogue, getattr(catalogue, who), "/stac") == expected


@pytest.mark.parametrize("who", ["anonymous", "researcher", "administrator", "service"])
def test_children_are_what_the_roots_links_lead_to(catalogue: Any, who: str) -> None:
    client = getattr(catalogue, who)
    root = client.get("/stac").json()
    (children,) = links_of(root, "children")
    answer = client.get(path_of(catalogue, children))
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert links_of(told, "self") == [children] and links_of(told, "root") == links_of(root, "root")
    followed = [client.get(path_of(catalogue, href)).json() for href in links_of(root, "child")]
    assert told["children"] == followed
    assert ("hidden" in {child["id"] for child in followed}) == (who in ("administrator", "service"))


def test_the_root_leads_to_everything(catalogue: Any) -> None:
    root = catalogue.anonymous.get("/stac").json()
    wanted = {"self", "root", "data", "children", "conformance", "service-desc", "service-doc", "alternate", "child"}
    wanted |= {"export", "changes", "aggregate", "aggregations"}
    rels = [link["rel"] for link in root["links"]]
    assert wanted <= set(rels)
    methods = {link.get("method") for link in root["links"] if link["rel"] == "search"}
    assert methods == {"GET", "POST"}
    assert root["conformsTo"] == catalogue.anonymous.get("/stac/conformance").json()["conformsTo"]
    assert len(root["conformsTo"]) == len(set(root["conformsTo"]))


PATHS = [
    "/stac",
    "/stac/children",
    "/stac/collections",
    "/stac/collections?limit=1",
    "/stac/collections/seen",
    "/stac/search",
    "/stac/search?limit=2",
    "/stac/collections/seen/items?limit=2",
    "/stac/collections/seen/items/i1",
]


@pytest.mark.parametrize("path", PATHS)
def test_links_in_the_header_are_those_of_the_body(catalogue: Any, path: str) -> None:
    answer = catalogue.anonymous.get(path)
    told = {(href, rel, type_) for href, rel, type_, _ in LINK.findall(answer.headers["link"])}
    body = {
        (link["href"], link["rel"], link["type"])
        for link in answer.json()["links"]
        if link["rel"] not in ("child", "license", "item") and link.get("method", "GET") == "GET"
    }
    assert told == body


def test_pages_are_walked_by_the_header_alone(catalogue: Any) -> None:
    path, seen = "/stac/collections?limit=1", []
    while path:
        answer = catalogue.administrator.get(path)
        seen += [collection["id"] for collection in answer.json()["collections"]]
        following = [href for href, rel, *_ in LINK.findall(answer.headers["link"]) if rel == "next"]
        path = path_of(catalogue, following[0]) if following else ""
    assert seen == ["empty", "hidden", "seen"]


def test_a_header_has_room_for_so_much_and_holds_nothing_else() -> None:
    long = {"rel": "self", "href": "https://a/" + "x" * 3000}
    odd = [
        {"rel": "self", "href": href}
        for href in ('https://a/>; rel="next"', "https://a/\r\nX: y", "https://a/é", "https://a/<")
    ]
    many = [{"rel": "items", "href": f"https://a/{n}"} for n in range(1000)]
    assert link_header([long, *odd]) == ""
    header = link_header([long, *odd, *many])
    assert len(header) <= 4000 and header.startswith("<https://a/0>")
    assert link_header([{"rel": "next", "href": "https://a", "method": "POST", "body": {}}]) == ""


@pytest.mark.parametrize(
    "path",
    [*PATHS, "/stac/conformance", "/stac/queryables", "/stac/sortables", "/stac/collections/seen/queryables",
     "/stac/aggregations", "/stac/aggregate?aggregations=total_count", "/stac/changes", "/stac/collections/none",
     "/stac/search?limit=x"],
)  # fmt: skip
def test_head_answers_as_get_without_its_body_and_says_what_it_depends_on(catalogue: Any, path: str) -> None:
    got, headed = catalogue.anonymous.get(path), catalogue.anonymous.head(path)
    assert headed.status_code == got.status_code and headed.content == b""
    kept = {name: value for name, value in got.headers.items() if name != "date"}
    if got.status_code < 400:
        assert {name: value for name, value in headed.headers.items() if name != "date"} == kept
    varied = {name.strip() for value in got.headers.get_list("vary") for name in value.split(",")}
    assert {"Accept", "Accept-Encoding", "Accept-Language"} <= varied
    assert got.headers["content-language"] == "en"


def test_what_gated_files_are_stored_in_and_whether_terms_are_accepted(catalogue: Any) -> None:
    """Of collections and of items, for who accepted and who did not; of open licences nothing is said."""
    service = catalogue.service
    for name, licence in (("asks", "LicenseRef-Test"), ("open", "CC-BY-4.0")):
        made = catalogue.collection(
            name, license="other", **{"bocage:audience": "public", "bocage:licences": [licence]}
        )
        assert service.post("/stac/collections", json=made).status_code == 201
        catalogue.put_file(f"collections/{name}/one/image")
        item = catalogue.item("one", {"image": {"href": f"store:collections/{name}/one/image"}})
        assert service.post(f"/stac/collections/{name}/items", json=item).status_code == 201
    accepted = Identity(
        subject="reader", public_base=catalogue.base,
        licences={"LicenseRef-Test": Level.ASSET, "CC-BY-4.0": Level.ASSET},
    )  # fmt: skip
    refused = Identity(subject="other", public_base=catalogue.base, licences={"CC-BY-4.0": Level.ASSET})
    for who, holds in ((accepted, True), (refused, False)):
        client = catalogue.as_(who)
        assert client.get("/stac/collections/asks").json()["bocage:terms_accepted"] is holds
        item = client.get("/stac/collections/asks/items/one").json()
        assert item["properties"]["bocage:terms_accepted"] is holds
        assert item["assets"]["image"]["storage:refs"] == ["bocage"]
        scheme = item["properties"]["storage:schemes"]["bocage"]
        assert urlsplit(scheme["platform"]).path.endswith("/assets") and scheme["type"]
        assert "https://stac-extensions.github.io/storage/v2.0.0/schema.json" in item["stac_extensions"]
        found = client.get("/stac/search", params={"collections": "asks"}).json()["features"]
        assert found == [item]
        free = client.get("/stac/collections/open/items/one").json()
        assert "bocage:terms_accepted" not in free["properties"] and "storage:schemes" not in free["properties"]
        assert "bocage:terms_accepted" not in client.get("/stac/collections/open").json()
    before = service.get("/stac/collections/asks/items/one").content
    assert service.put("/stac/collections/asks/items/one", json=orjson.loads(before)).status_code == 200
    assert service.get("/stac/collections/asks/items/one").content == before
