"""How a collection is cited, whatever it holds: what is loaded past the API may be anything."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from bocage_catalogue.citation import Publication, citation, contacts_of, creators_of, datacite, schema_org
from bocage_catalogue.deposit_routes import preferred
from bocage_catalogue.depositing import next_version
from bocage_catalogue.landing_pages import embedded, page
from bocage_kit.problems import Problem
from hypothesis import given
from hypothesis import strategies as st

BASE = "http://127.0.0.1:8000"
PUBLICATION = Publication(
    "10.5072/bocage.x", "2", datetime(2026, 3, 1, tzinfo=UTC), "A centre", f"{BASE}/stac/deposits/c/landing", BASE
)
JANE = {"name": "Jane Doe", "organization": "A laboratory", "identifier": "https://orcid.org/0000-0002-1825-0097"}
COLLECTION: dict[str, Any] = {
    "id": "c",
    "title": "Snow.",
    "description": "Heights.",
    "contacts": [JANE | {"roles": ["author"]}, {"organization": "Help desk", "roles": ["contact"]}],
    "providers": [{"name": "Producer", "roles": ["producer"]}, {"name": "Host", "roles": ["host"]}],
    "extent": {
        "spatial": {"bbox": [[0, 40, 10, 50], [0, 40, 1, 41], [9, 49, 0, 10, 50, 5]]},
        "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
    },
}
ROW = {
    "collection": "c", "state": "published", "document": COLLECTION, "superseded_by": None, "supersedes": None,
    "withdrawn": None, "reason": None, "successor": None,
}  # fmt: skip


def test_the_sentence() -> None:
    assert citation(COLLECTION, PUBLICATION) == ("Jane Doe (2026): Snow. Version 2. A centre. doi:10.5072/bocage.x")


def test_who_made_it_and_whom_to_ask() -> None:
    assert [one.name for one in creators_of(COLLECTION)] == ["Jane Doe"]
    assert [one.name for one in contacts_of(COLLECTION)] == ["Help desk"]
    without = {**COLLECTION, "contacts": [{"organization": "Help desk"}]}
    assert [(one.name, one.personal) for one in creators_of(without)] == [("Producer", False)]
    assert [one.name for one in creators_of({**without, "providers": []})] == ["Help desk"]


def test_the_metadata() -> None:
    made = datacite(COLLECTION, PUBLICATION)
    assert made["creators"][0]["nameIdentifiers"][0]["nameIdentifier"] == "https://orcid.org/0000-0002-1825-0097"
    assert {"date": "2020-01-01/", "dateType": "Collected"} in made["dates"]
    # The first box is the whole where there are parts.
    assert [one["geoLocationBox"]["westBoundLongitude"] for one in made["geoLocations"]] == [0, 9]
    assert [one["geoLocationBox"]["northBoundLatitude"] for one in made["geoLocations"]] == [41, 50]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = ("title", "description", "contacts", "providers", "extent", "keywords", "license", "bocage:licences",
           "bocage:translations", "language")  # fmt: skip


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON))
def test_odd_members_break_nothing(members: dict[str, Any]) -> None:
    document = COLLECTION | members
    json.dumps([datacite(document, PUBLICATION), schema_org(document, PUBLICATION, BASE)])
    assert "<!doctype html>" in page({**ROW, "document": document}, PUBLICATION, "fr")


@pytest.mark.parametrize("boxes", [[["a", 1, 2, 3]], [[None] * 4], [{}], "x", [[1, 2, 3]], [[True, 1, 2, 3]]])
def test_boxes_that_are_none_are_none(boxes: Any) -> None:
    document = {**COLLECTION, "extent": {"spatial": {"bbox": boxes}, "temporal": {"interval": [[5, {}]]}}}
    assert "geoLocations" not in datacite(document, PUBLICATION)
    assert "<!doctype html>" in page({**ROW, "document": document}, PUBLICATION, "en")


@given(st.text())
def test_nothing_ends_the_data_within_a_page(text: str) -> None:
    made = embedded({"name": text + "</script><!--"})
    inner = made.removeprefix('<script type="application/ld+json">').removesuffix("</script>")
    assert "<" not in inner and json.loads(inner) == {"name": text + "</script><!--"}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/html"), ("*/*", "text/html"), ("text/html,application/json;q=0.9", "text/html"),
        ("application/json", "application/json"), ("text/html;q=0.1, application/json", "application/json"),
        ("application/json;q=x, text/html;q=0.1", "text/html"), ("image/png", "text/html"),
    ],
)  # fmt: skip
def test_what_is_preferred(accept: str, kind: str) -> None:
    assert preferred(accept, ("text/html", "application/json")) == kind


def test_the_next_version() -> None:
    assert [next_version(before) for before in (None, "1", "9")] == ["1", "2", "10"]
    with pytest.raises(Problem):
        next_version("1.0-beta")
