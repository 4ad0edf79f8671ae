"""The fields extension, by what it requires."""

from __future__ import annotations

from typing import Any

import pytest
from bocage_catalogue import fields
from hypothesis import given
from hypothesis import strategies as st

ITEM = {
    "type": "Feature", "stac_version": "1.1.0", "id": "one", "collection": "c", "geometry": {"type": "Point"},
    "bbox": [1, 2, 1, 2], "links": [], "assets": {"a": {"href": "x", "title": "A"}},
    "properties": {"datetime": None, "eo:cloud_cover": 5, "nested": {"a": 1, "b": 2}},
}  # fmt: skip
ALWAYS = {"type", "stac_version", "id", "collection"}


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ([], [], ITEM),
        (["geometry"], [], ["geometry"]),
        (["id"], [], []),
        (["nothing", "properties.nothing.x", "id.x"], [], ["properties"]),
        ([], ["geometry"], set(ITEM) - {"geometry"}),
        (["geometry"], ["geometry"], ["geometry"]),
        (["properties.nested.a"], ["properties"], {"properties": {"nested": {"a": 1}}}),
        (["properties.nested.a", "properties.eo:cloud_cover"], [],
         {"properties": {"nested": {"a": 1}, "eo:cloud_cover": 5}}),
        (["properties"], ["properties.nested"], {"properties": {"datetime": None, "eo:cloud_cover": 5}}),
        (["properties", "properties.nested.a"], [], {"properties": ITEM["properties"]}),
        (["properties.nested.a", "properties"], [], {"properties": ITEM["properties"]}),
        ([], ["properties.nested.a", "assets.a.title", "x.y"],
         ITEM | {"properties": {"datetime": None, "eo:cloud_cover": 5, "nested": {"b": 2}},
                 "assets": {"a": {"href": "x"}}}),
    ],
)  # fmt: skip
def test_what_is_shown(include: list[str], exclude: list[str], expected: Any) -> None:
    shown = fields.chosen(ITEM, include, fields.excluded(include, exclude), fields.OF_ITEMS)
    if isinstance(expected, dict) and "type" in expected:
        assert shown == expected
    elif isinstance(expected, dict):
        assert shown == {name: ITEM[name] for name in ALWAYS} | expected
    else:
        assert set(shown) == ALWAYS | set(expected)


PATHS = st.lists(st.sampled_from(["id", "properties", "properties.nested", "properties.nested.a", "assets.a", "x"]))


@given(PATHS, PATHS)
def test_the_document_itself_is_not_changed_and_nothing_is_made_up(include: list[str], exclude: list[str]) -> None:
    before = repr(ITEM)
    shown = fields.chosen(ITEM, include, fields.excluded(include, exclude), fields.OF_ITEMS)
    assert repr(ITEM) == before
    assert all(name in ITEM for name in shown)
    for path in include:  # what is included by name is shown, whatever is excluded above it
        node, told = ITEM, shown
        for name in path.split("."):
            if not isinstance(node, dict) or name not in node:
                break
            assert name in told
            node, told = node[name], told[name]


def test_by_http(catalogue: Any) -> None:
    made = catalogue.collection("seen", **{"bocage:audience": "public"})
    assert catalogue.service.post("/stac/collections", json=made).status_code == 201
    item = catalogue.item("one", platform="a")
    assert catalogue.service.post("/stac/collections/seen/items", json=item).status_code == 201
    client = catalogue.anonymous

    def shown(wanted: Any) -> dict[str, Any]:
        answer = client.post("/stac/search", json={"fields": wanted})
        assert answer.headers["content-type"] == "application/geo+json"
        return dict(answer.json()["features"][0])

    whole = shown({})
    assert whole["properties"]["platform"] == "a"
    for nothing in ({"include": None, "exclude": None}, {"include": [], "exclude": []}):
        assert shown(nothing) == whole
    assert shown({"exclude": ["geometry"]}) == {k: v for k, v in whole.items() if k != "geometry"}
    for empty in ([], None):
        default = shown({"include": empty, "exclude": ["geometry"]})
        assert "geometry" not in default and set(default["properties"]) == {"datetime"} and default["assets"] == {}
    nested = shown({"include": ["properties.platform"], "exclude": ["properties"]})
    assert set(nested) == {"type", "stac_version", "id", "collection", "properties"}
    assert nested["properties"] == {"platform": "a"}
    for path in ("/stac/search", "/stac/collections/seen/items"):
        answer = client.get(path, params={"fields": "-properties,+properties.platform"})
        assert answer.headers["content-type"] == "application/geo+json" and answer.json()["features"] == [nested]
        assert client.get(path, params={"fields": ""}).json()["features"] == [whole]
    for wrong in (None, [], "id", {"include": "id"}, {"exclude": [1]}):
        assert client.post("/stac/search", json={"fields": wrong}).status_code == 400, wrong
