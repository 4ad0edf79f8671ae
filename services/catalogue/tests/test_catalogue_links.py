"""Links behind any base, a valid document of the API, declared access, and third-party clients."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pystac
import pystac_client
import pytest
from bocage_catalogue.app import create_app
from bocage_catalogue.settings import CatalogueSettings
from bocage_kit.access import declarations, undeclared_routes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from offline_schemas import faults, schema_folder
from openapi_spec_validator import validate as validate_openapi
from pystac.validation.stac_validator import JsonSchemaSTACValidator

BASES = [
    "http://127.0.0.1:8000",
    "http://localhost:18080",
    "https://hub.example.org",
    "https://hub.example.org/bocage",
    "https://hub.example.org/stac",
    "https://hub.example.org:8443/a/stac/b",
    "http://[::1]:8000",
]


# Concepts are many, and alike: some of them are looked at.
SOME = "(?!mangrove|data-terra|geodev)"
ALIKE = re.compile(rf"/vocabulary/[a-z]+/{SOME}|[?](variable|theme|cds|ces|art|portal)={SOME}")


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any) -> None:
    service = catalogue.service
    made = catalogue.collection("links", license="other", **{"bocage:licences": ["CC-BY-4.0", "LicenseRef-Test"]})
    assert service.post("/stac/collections", json=made).status_code == 201
    for n in range(4):
        file = {"href": f"store:collections/links/l{n}/image", "type": "image/tiff", "roles": ["data"]}
        item = catalogue.item(f"l{n}", {"image": file}, **{"proj:code": "EPSG:32631"})
        item["stac_extensions"] = ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"]
        item["links"] = [{"rel": "derived_from", "href": "/stac/collections/links/items/l0"}]
        assert service.post("/stac/collections/links/items", json=item).status_code == 201


def hrefs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("href"), str):
            yield node["href"]
        for inner in node.values():
            yield from hrefs(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from hrefs(inner)


def check_links(catalogue: Any, base: str) -> None:
    """Every link of every answer begins with the base once, and those of ours lead to an answer."""
    identity = catalogue.identities["anonymous"].model_copy(update={"public_base": base})
    client = catalogue.as_(identity)
    seen: set[str] = set()
    waiting = ["/stac", "/stac/search?limit=2", "/stac/collections/links/items?limit=2&sortby=-id"]
    while waiting:
        path = waiting.pop()
        # What is to be summed up, nobody but the caller can say.
        answer = client.get(path, params={"aggregations": "total_count"} if path.endswith("/aggregate") else None)
        if path == "/stac/deposits":
            # For accounts alone, which is told with a problem.
            assert answer.status_code == 401
            continue
        assert answer.status_code == 200, path
        documents = answer.text.splitlines() if path.endswith("/export") else [answer.text]
        for href in (href for document in documents for href in hrefs(json.loads(document))):
            assert href.startswith(base + "/"), (path, href)
            rest = href.removeprefix(base)
            assert not rest.startswith("//") and "/stac/stac" not in rest, href
            if rest.startswith("/stac") and rest not in seen and not ALIKE.search(rest):
                seen.add(rest)
                waiting.append(rest)
    assert {"/stac/collections/links/items/l3", "/stac/collections/links/queryables"} <= seen
    assert any("token=" in path for path in seen)
    page = client.post("/stac/search", json={"limit": 2}).json()
    assert all(href.startswith(f"{base}/") for href in hrefs(page))
    client.close()


@pytest.mark.parametrize("base", BASES)
def test_links_are_right_behind_every_base(catalogue: Any, base: str) -> None:
    check_links(catalogue, base)


segments = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=8)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scheme=st.sampled_from(["http", "https"]),
    host=st.lists(st.text("abcxyz", min_size=1, max_size=6), min_size=1, max_size=3).map(".".join),
    port=st.sampled_from(["", ":80", ":443", ":8000"]),
    path=st.lists(segments, max_size=3),
)
def test_links_are_right_behind_any_base(catalogue: Any, scheme: str, host: str, port: str, path: list[str]) -> None:
    check_links(catalogue, "".join([scheme, "://", host, port, *(f"/{part}" for part in path)]))


def test_a_body_read_through_one_base_may_be_written_through_another(catalogue: Any) -> None:
    service = catalogue.identities["administrator"].model_copy(update={"public_base": "https://hub.example.org/bocage"})
    client, path = catalogue.as_(service), "/stac/collections/links/items/l1"
    before = client.get(path)
    assert client.put(path, content=before.content, headers={"content-type": "application/json"}).status_code == 200
    assert client.get(path).content == before.content
    assert catalogue.anonymous.get(path).json()["assets"]["image"]["href"] == f"{catalogue.base}/assets/links/l1/image"


def test_every_route_says_who_may_call_it(tmp_path: Path) -> None:
    app = create_app(CatalogueSettings(home=tmp_path, database="postgresql://nobody@/none"))
    assert undeclared_routes(app) == []
    found = declarations(app)
    assert len(found) > 15
    for route, access in found.items():
        writes = any(verb in route for verb in ("PUT", "PATCH", "DELETE")) or (
            "POST" in route and not route.endswith(("/search", "/aggregate", "/export"))
        )
        assert access is not None
        assert access.account is writes, route


def test_the_document_of_the_api_is_valid(catalogue: Any) -> None:
    document = catalogue.anonymous.get("/openapi.json").json()
    validate_openapi(document)
    names = [op["operationId"] for path in document["paths"].values() for op in path.values() if "operationId" in op]
    assert len(names) == len(set(names)) > 15
    assert {"/stac", "/stac/search", "/stac/collections/{collection_id}/items/{item_id}"} <= set(document["paths"])
    assert all(path.startswith("/stac") for path in document["paths"])


def test_pystac_client_opens_searches_and_counts(catalogue: Any) -> None:
    identity = catalogue.identities["anonymous"].model_copy(update={"public_base": catalogue.url})
    client = pystac_client.Client.open(f"{catalogue.url}/stac", headers=catalogue.headers(identity))
    for name in (
        "SORT",
        "FILTER",
        "QUERY",
        "FIELDS",
        "ITEM_SEARCH",
        "COLLECTION_SEARCH",
        "COLLECTION_SEARCH_FREE_TEXT",
    ):
        assert client.conforms_to(name), name
    for method in ("GET", "POST"):
        search = client.search(collections=["links"], limit=3, method=method, sortby="-id")
        assert search.matched() == 4
        assert [item.id for item in search.items()] == ["l3", "l2", "l1", "l0"]
    filtered = client.search(filter={"op": "=", "args": [{"property": "id"}, "l2"]}, filter_lang="cql2-json")
    assert [item.id for item in filtered.items()] == ["l2"]
    assert [c.id for c in client.collection_search(q="links").collections()] == ["links"]
    collection = client.get_collection("links")
    assert isinstance(collection, pystac_client.CollectionClient)
    assert [item.id for item in collection.get_items("l1")] == ["l1"]
    item = collection.get_item("l0")
    assert item is not None
    assert item.assets["image"].href == f"{catalogue.url}/assets/links/l0/image"
    with pytest.raises(pystac_client.exceptions.APIError):
        list(client.search(filter={"op": "frob", "args": [1, 2]}).items())


def test_what_is_served_is_valid_by_every_schema_it_declares(catalogue: Any) -> None:
    schema_folder()
    validator = JsonSchemaSTACValidator()
    client = catalogue.anonymous
    item = client.get("/stac/collections/links/items/l1").json()
    collection = client.get("/stac/collections/links").json()
    assert len(item["stac_extensions"]) == 3 and len(collection["stac_extensions"]) == 1
    for document, kind in ((item, pystac.STACObjectType.ITEM), (collection, pystac.STACObjectType.COLLECTION)):
        validator.validate_core(document, kind, "1.1.0")
        assert list(faults(document)) == []
    broken = {**item, "properties": {**item["properties"], "proj:epsg": "32631"}}
    assert any("/projection/" in fault for fault in faults(broken))
