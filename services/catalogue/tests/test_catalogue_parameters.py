"""Parameters of addresses: those that an operation takes, and those that it does not know."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


@pytest.fixture(scope="module", autouse=True)
def loaded(catalogue: Any) -> None:
    for holder, names in (("scenes", ("forest", "field", "odd")), ("others", ("other",))):
        made = catalogue.collection(holder, **{"bocage:audience": "public"})
        assert catalogue.researcher.post("/stac/collections", json=made).status_code == 201
        items = {"type": "FeatureCollection", "features": [catalogue.item(name) for name in names]}
        assert catalogue.researcher.post(f"/stac/collections/{holder}/items", json=items).status_code == 201


def found(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {item["id"] for item in answer.json()["features"]}


def test_a_parameter_that_is_not_known_is_refused_with_what_was_meant(catalogue: Any) -> None:
    for path, wrong, right in (
        ("/stac/search", "collection", "collections"), ("/stac/search", "filter_lang", "filter-lang"),
        ("/stac/collections", "sort_by", "sortby"), ("/stac/changes", "collection", "collections"),
    ):  # fmt: skip
        problem = catalogue.anonymous.get(path, params={wrong: "x"}).json()
        assert (problem["status"], problem["code"], problem["parameter"]) == (400, "unknown-parameter", wrong)
        assert problem["suggestions"] == [right] and f"Did you mean {right}?" in problem["detail"]
    told = catalogue.anonymous.head("/stac/search", params={"nothing-like-it": "x"})
    assert told.status_code == 400
    posted = catalogue.researcher.post("/stac/collections/none/items", params={"mod": "partial"}, json={})
    assert (posted.status_code, posted.json()["suggestions"]) == (400, ["mode"])
    assert catalogue.anonymous.post("/stac/collections", params={"x": "y"}, json={}).status_code == 401


def test_the_items_of_a_collection_may_be_asked_for_by_name(catalogue: Any) -> None:
    path = "/stac/collections/scenes/items"
    for asked, expected in (
        ({}, {"forest", "field", "odd"}), ({"ids": "odd,field,other"}, {"odd", "field"}), ({"ids": "other"}, set()),
        ({"collections": "scenes"}, {"forest", "field", "odd"}), ({"collections": "others"}, set()),
        ({"collections": "others,scenes", "ids": "odd"}, {"odd"}),
    ):  # fmt: skip
        assert found(catalogue.anonymous.get(path, params=asked)) == expected
    walked = [catalogue.anonymous.get(path, params={"collections": "scenes", "ids": "odd,field", "limit": 1}).json()]
    following = next(link["href"] for link in walked[0]["links"] if link["rel"] == "next")
    walked.append(catalogue.anonymous.get(following.removeprefix(catalogue.base)).json())
    assert {item["id"] for page in walked for item in page["features"]} == {"odd", "field"}
