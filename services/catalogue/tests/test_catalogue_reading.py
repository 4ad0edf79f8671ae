"""The read half: what the API says, in which form, and how it refuses."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any) -> None:
    """Five items in one public collection, one of them cloudy."""
    service = catalogue.service
    made = catalogue.collection("open", license="CC-BY-4.0", **{"bocage:licences": ["CC-BY-4.0"]})
    assert service.post("/stac/collections", json=made).status_code == 201
    for n in range(5):
        item = catalogue.item(f"i{n}", **{"eo:cloud_cover": n * 10, "proj:code": "EPSG:32631"})
        item["properties"]["datetime"] = f"2024-05-0{n + 1}T10:30:00Z"
        answer = service.post("/stac/collections/open/items", json=item)
        assert answer.status_code == 201, answer.text


def test_landing_page_links_to_the_platforms_documents(catalogue: Any) -> None:
    for path in ("/stac", "/stac/"):
        answer = catalogue.anonymous.get(path)
        assert answer.status_code == 200
        page = answer.json()
        links = {link["rel"]: link["href"] for link in page["links"]}
        assert links["service-desc"] == f"{catalogue.base}/openapi.json"
        assert links["service-doc"] == f"{catalogue.base}/docs"
        assert links["root"] == links["self"] == f"{catalogue.base}/stac"
        assert links["child"] == f"{catalogue.base}/stac/collections/open"
        for name in ("v1.0.0/item-search#sort", "v1.1.0/item-search#sort", "v1.0.0/item-search#filter", "v1.0.0/core"):
            assert f"https://api.stacspec.org/{name}" in page["conformsTo"]
        assert "https://api.stacspec.org/v1.0.0-rc.2/item-search#filter" in page["conformsTo"]
        assert "https://api.stacspec.org/v1.0.0-rc.1/collection-search#free-text" in page["conformsTo"]
    assert catalogue.anonymous.get("/stac/conformance").json()["conformsTo"] == page["conformsTo"]


@pytest.mark.parametrize(
    "path", ["/stac", "/stac/collections", "/stac/collections/open", "/stac/collections/open/items/i1", "/healthz"]
)
def test_head_is_get_without_a_body(catalogue: Any, path: str) -> None:
    got, head = catalogue.anonymous.get(path), catalogue.anonymous.head(path)
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers["content-length"] == str(len(got.content))


def test_health_tells_the_database(catalogue: Any) -> None:
    answer = catalogue.anonymous.get("/healthz")
    assert answer.json()["database"] == "ok"


def test_search_by_every_means_counts_and_finds(catalogue: Any) -> None:
    client = catalogue.anonymous
    low = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 25]}
    for parameters, body in [
        ({"filter": '"eo:cloud_cover" < 25'}, {"filter": low}),
        ({"query": '{"eo:cloud_cover": {"lt": 25}}'}, {"query": {"eo:cloud_cover": {"lt": 25}}}),
        ({"datetime": "../2024-05-03T23:00:00Z"}, {"datetime": "../2024-05-03T23:00:00Z"}),
        ({"ids": "i0,i1,i2"}, {"ids": ["i0", "i1", "i2"]}),
    ]:
        got = client.get("/stac/search", params=parameters).json()
        posted = client.post("/stac/search", json=body).json()
        listed = client.get("/stac/collections/open/items", params=parameters if "ids" not in parameters else {}).json()
        for found in (got, posted):
            assert found["numberMatched"] == 3 == found["numberReturned"], parameters
            assert {item["id"] for item in found["features"]} == {"i0", "i1", "i2"}
        assert listed["numberMatched"] == (5 if "ids" in parameters else 3)
    both = {"query": {"eo:cloud_cover": {"gte": 10}}, "filter": low}
    assert client.post("/stac/search", json=both).json()["numberMatched"] == 2


def test_paging_visits_everything_once_by_get_and_by_post(catalogue: Any) -> None:
    client = catalogue.anonymous
    seen: list[str] = []
    page = client.get("/stac/search", params={"limit": 2, "sortby": "-eo:cloud_cover"}).json()
    while True:
        assert page["numberMatched"] == 5
        seen += [item["id"] for item in page["features"]]
        following = [link for link in page["links"] if link["rel"] == "next"]
        if not following:
            break
        assert following[0]["href"].startswith(f"{catalogue.base}/stac/search?")
        page = client.get(following[0]["href"].removeprefix(catalogue.base)).json()
    assert seen == ["i4", "i3", "i2", "i1", "i0"]
    body: dict[str, Any] = {"limit": 3, "sortby": [{"field": "id", "direction": "asc"}]}
    page = client.post("/stac/search", json=body).json()
    onward = next(link for link in page["links"] if link["rel"] == "next")
    page = client.post("/stac/search", json=onward["body"]).json()
    assert [item["id"] for item in page["features"]] == ["i3", "i4"]


def test_fields_leave_out_and_keep_the_media_type(catalogue: Any) -> None:
    answer = catalogue.anonymous.get("/stac/search", params={"fields": "id,properties.eo:cloud_cover"})
    assert answer.headers["content-type"] == "application/geo+json"
    assert set(answer.json()["features"][0]) == {"id", "collection", "type", "stac_version", "properties"}
    answer = catalogue.anonymous.post("/stac/search", json={"fields": {"exclude": ["collection", "links", "id"]}})
    assert not {"collection", "links", "id"} & set(answer.json()["features"][0])


def test_free_text_and_paging_of_collections(catalogue: Any) -> None:
    for name in ("glacier", "forest"):
        made = catalogue.collection(name, description=f"All about the {name}.")
        assert catalogue.service.post("/stac/collections", json=made).status_code == 201
    client = catalogue.anonymous
    found = client.get("/stac/collections", params={"q": "glacier"}).json()
    assert [c["id"] for c in found["collections"]] == ["glacier"]
    assert found["numberMatched"] == 1
    found = client.get("/stac/collections", params={"limit": 2, "sortby": "id"}).json()
    assert found["numberMatched"] == 3
    following = next(link["href"] for link in found["links"] if link["rel"] == "next")
    rest = client.get(following.removeprefix(catalogue.base)).json()
    assert [c["id"] for c in found["collections"] + rest["collections"]] == ["forest", "glacier", "open"]
    found = client.get("/stac/collections", params={"filter": "id = 'forest'"}).json()
    assert [c["id"] for c in found["collections"]] == ["forest"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"bbox": "1,2,3"},
        {"bbox": "a,b,c,d"},
        {"bbox": "0,50,1,40"},
        {"bbox": "0,0,1,1", "intersects": '{"type":"Point","coordinates":[0,0]}'},
        {"intersects": "{nonsense"},
        {"datetime": "yesterday"},
        {"datetime": "2024-05-02T00:00:00Z/2024-05-01T00:00:00Z"},
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "many"},
        {"filter": "id ="},
        {"filter": "frobnicate(id)"},
        {"filter": '{"op":"frob","args":[]}', "filter-lang": "cql2-json"},
        {"filter": "id", "filter-lang": "cql2-text"},
        {"filter": "eo:cloud_cover <> TIMESTAMP('nope')"},
        {"filter": "id = 'x'", "filter-lang": "cql9"},
        {"query": "{"},
        {"query": '{"a": {"frob": 1}}'},
        {"query": '{"a": 1}'},
        {"sortby": "-"},
        {"token": "next:6f70656e:00"},
        {"token": "sideways"},
        {"token": "next:zz:zz"},
    ],
)
def test_what_makes_no_sense_is_a_400_problem(catalogue: Any, parameters: dict[str, str]) -> None:
    answer = catalogue.anonymous.get("/stac/search", params=parameters)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] and problem["description"] == problem["detail"] and problem["request_id"]
    assert "pgstac" not in answer.text.lower() and "select " not in answer.text.lower()


@pytest.mark.parametrize(
    "body",
    [
        {"filter": {"op": "frob", "args": [{"property": "id"}, "x"]}},
        {"filter": {"op": "and", "args": [{"op": "frob", "args": []}]}},
        {"filter": {"op": "=", "args": [{"property": ""}, "x"]}},
        {"filter": {"op": "like", "args": [{"property": "datetime"}, "x"]}},
        {"filter": {"op": "s_intersects", "args": [{"property": "geometry"}, {"type": "Blob", "coordinates": []}]}},
        {"filter": {"op": "=", "args": [{"property": "datetime"}, "not a time"]}},
        {"filter": "id = ", "filter-lang": "cql2-text"},
        {"collections": 5},
        {"bbox": [0, 50, 1, 40]},
        {"limit": -1},
        {"sortby": [{"field": "id", "direction": "sideways"}]},
        {"query": {"a": {"frob": 1}}},
    ],
)
def test_a_search_body_that_makes_no_sense_is_a_400_problem(catalogue: Any, body: dict[str, Any]) -> None:
    answer = catalogue.anonymous.post("/stac/search", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 3000 + "id='x'" + ")" * 3000,
        "NOT " * 2000 + "(id='x')",
        "(NOT " * 20 + "id='x'" + ")" * 20,
        "-" * 4000 + "1 = rank",
        "- " * 500 + "1 = rank",
        "+".join(["rank"] * 1000) + " = 1",
        "rank" + "^1" * 1000 + " = 1",
        " OR ".join(["id='x'"] * 4000),
    ],
)
def test_filters_that_would_end_the_parser_are_refused(catalogue: Any, text: str) -> None:
    """Each of these ends or stalls the process when it reaches the parser."""
    answer = catalogue.anonymous.get("/stac/search", params={"filter": text})
    assert answer.status_code == 400, answer.text[:200]
    nested: dict[str, Any] = {"op": "=", "args": [{"property": "id"}, "x"]}
    for _ in range(300):
        nested = {"op": "not", "args": [nested]}
    assert catalogue.anonymous.post("/stac/search", json={"filter": nested}).status_code == 400
    assert catalogue.anonymous.get("/healthz").status_code == 200


def test_a_rich_filter_is_answered(catalogue: Any) -> None:
    clause = "(id = 'i{n}' AND (\"eo:cloud_cover\" > -1.5 OR NOT (id LIKE '%-+(x')))"
    text = " OR ".join(clause.format(n=n) for n in range(12))
    answer = catalogue.anonymous.get("/stac/search", params={"filter": text})
    assert answer.status_code == 200, answer.text
    assert answer.json()["numberMatched"] == 5


def test_a_huge_limit_is_capped(catalogue: Any) -> None:
    assert catalogue.anonymous.get("/stac/search", params={"limit": 1_000_000}).json()["numberReturned"] == 5


def test_unknown_things_are_404_problems(catalogue: Any) -> None:
    for path in (
        "collections/none",
        "collections/none/items",
        "collections/open/items/none",
        "collections/none/queryables",
    ):
        answer = catalogue.anonymous.get(f"/stac/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_without_an_identity_nothing_is_answered(catalogue: Any) -> None:
    answer = catalogue.anonymous.get("/stac", headers={"Bocage-Identity": "forged"})
    assert answer.status_code == 401


def test_epsg_beside_the_code(catalogue: Any) -> None:
    item = catalogue.anonymous.get("/stac/collections/open/items/i1").json()
    assert item["properties"]["proj:epsg"] == 32631
    assert item["properties"]["proj:code"] == "EPSG:32631"


def test_queryables_have_their_own_address(catalogue: Any) -> None:
    for path in ("/stac/queryables", "/stac/collections/open/queryables"):
        answer = catalogue.anonymous.get(path)
        assert answer.headers["content-type"] == "application/schema+json"
        assert answer.json()["$id"] == catalogue.base + path


@pytest.mark.parametrize(
    "body", ["null", "[]", "[[[]]]", "1e999", '"x"', "true", '{"ids":["\\ud800"]}', '{"ids":["\\u0000"]}']
)
def test_a_search_that_is_none_is_the_callers_fault(catalogue: Any, body: str) -> None:
    client = catalogue.anonymous
    answer = client.post("/stac/search", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_searches_too_large_to_plan_are_refused(catalogue: Any) -> None:
    terms = [{"op": "=", "args": [{"property": "id"}, str(n)]} for n in range(2000)]
    line = {"type": "LineString", "coordinates": [[n / 1000, n / 1000] for n in range(20_000)]}
    for body in ({"filter": {"op": "or", "args": terms}}, {"intersects": line}):
        answer = catalogue.anonymous.post("/stac/search", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid-request"), answer.text
    few = {"filter": {"op": "or", "args": terms[:200]}, "limit": 10**9}
    assert catalogue.anonymous.post("/stac/search", json=few).status_code == 200
