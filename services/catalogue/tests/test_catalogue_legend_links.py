"""Links of a collection to the legends of its styles."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bocage_catalogue import legend_links
from hypothesis import given
from hypothesis import strategies as st

RENDER = "https://stac-extensions.github.io/render/v2.0.0/schema.json"
STYLES = {
    "zebra": {"assets": ["image"], "rescale": [[0, 1]], "bocage:default": True},
    "heat": {
        "assets": ["image"],
        "title": "Heat",
        "rescale": [[0, 1]],
        "bocage:translations": {"fr": {"title": "Chaleur"}},
    },
    "plain grey": {"assets": ["image"], "rescale": [[0, 1]]},
}


@pytest.fixture(scope="module")
def styled(catalogue: Any) -> str:
    made = catalogue.collection(
        "styled",
        stac_extensions=[RENDER],
        renders=STYLES,
        item_assets={"image": {"type": "image/tiff", "title": "Image"}},
    )
    answer = catalogue.service.post("/stac/collections", json=made)
    assert answer.status_code == 201, answer.text
    return "/stac/collections/styled"


def legends(collection: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {link["render"]: link for link in collection["links"] if link["rel"] == "legend"}


def test_a_collection_leads_to_the_legend_of_each_style_in_the_language_asked_for(catalogue: Any, styled: str) -> None:
    english = legends(catalogue.service.get(styled).json())
    assert list(english) == ["zebra", "heat", "plain grey"]
    assert {name: link["title"] for name, link in english.items()} == {
        "zebra": "Legend: zebra",
        "heat": "Legend: Heat",
        "plain grey": "Legend: plain grey",
    }
    assert all(link["type"] == "image/png" for link in english.values())
    assert english["heat"]["href"].endswith("/tiles/collections/styled/legends/heat.png")
    assert english["plain grey"]["href"].endswith("/legends/plain%20grey.png")
    assert legends(catalogue.service.get(styled, params={"language": "fr"}).json())["heat"]["title"] == (
        "Légende : Chaleur"
    )
    listed = catalogue.service.get("/stac/collections", params={"limit": 1000}).json()["collections"]
    assert legends(next(one for one in listed if one["id"] == "styled")) == english


def test_written_back_as_read_it_keeps_no_links_of_ours_and_all_of_others(catalogue: Any, styled: str) -> None:
    service = catalogue.service
    read = service.get(styled).json()
    theirs = {"rel": "legend", "href": "https://example.org/legend.png", "type": "image/png"}
    assert service.put(styled, json=read | {"links": [*read["links"], theirs]}).status_code == 200
    again = service.get(styled).json()
    assert sorted(link["href"] for link in again["links"] if link["rel"] == "legend") == sorted(
        [theirs["href"], *(link["href"] for link in legends(read).values())]
    )
    written = service.put(styled, json=again)
    assert written.status_code == 200
    assert written.headers["etag"] == service.get(styled).headers["etag"]
    assert service.get(styled).json()["links"] == again["links"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["title", "bocage:translations", "fr", "/", ""]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(ANYTHING, st.sampled_from(["en", "fr"]))
def test_whatever_stands_in_renders_the_links_are_links(renders: Any, tongue: str) -> None:
    for link in legend_links.of("https://hub.example.org", {"id": "c", "renders": renders}, tongue):
        assert isinstance(link["title"], str)
        assert json.dumps(link)
        assert legend_links.is_made(link["rel"], link["href"].removeprefix("https://hub.example.org"))
