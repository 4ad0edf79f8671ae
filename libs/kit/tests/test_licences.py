"""The licence decision, by its properties."""

from __future__ import annotations

from typing import Any

import pytest
from bocage_kit.identity import Identity, Level
from bocage_kit.licences import decide, item_licences, licences_of
from hypothesis import given
from hypothesis import strategies as st

names = st.sampled_from(["CC-BY-4.0", "CC-BY-NC-4.0", "LicenseRef-a", "LicenseRef-b"])
levels = st.sampled_from(list(Level))
grants = st.dictionaries(names, levels)
asked = st.lists(names, max_size=4)


def holder(licences: dict[str, Level], *scopes: str) -> Identity:
    return Identity(subject="ann", licences=licences, scopes=frozenset(scopes))


@given(granted=grants, licences=asked, level=levels)
def test_allowed_means_every_licence_reaches_the_level(
    granted: dict[str, Level], licences: list[str], level: Level
) -> None:
    decision = decide(holder(granted), licences, level)
    expected = {x for x in licences if level > Level.METADATA and (x not in granted or granted[x] < level)}
    assert set(decision.missing) == expected
    assert decision.allowed is (not expected)
    assert list(decision.missing) == sorted(set(decision.missing))


@given(granted=grants, licences=asked)
def test_what_is_allowed_at_a_level_is_allowed_below(granted: dict[str, Level], licences: list[str]) -> None:
    answers = [decide(holder(granted), licences, level).allowed for level in sorted(Level)]
    assert answers == sorted(answers, reverse=True)


@given(granted=grants, licences=asked, level=levels, more=names)
def test_more_grants_never_take_away(granted: dict[str, Level], licences: list[str], level: Level, more: str) -> None:
    if decide(holder(granted), licences, level).allowed:
        assert decide(holder({**granted, more: Level.JOB}), licences, level).allowed


@given(granted=grants, licences=asked, level=levels, more=names)
def test_more_licences_never_allow(granted: dict[str, Level], licences: list[str], level: Level, more: str) -> None:
    if not decide(holder(granted), licences, level).allowed:
        assert not decide(holder(granted), [*licences, more], level).allowed


@given(licences=asked, level=levels)
def test_services_are_asked_for_no_terms_and_admins_are(licences: list[str], level: Level) -> None:
    assert decide(holder({}, "service:*"), licences, level).allowed
    assert decide(holder({}, "admin"), licences, level).allowed is (level is Level.METADATA or not licences)


def test_an_unknown_licence_is_not_granted() -> None:
    assert decide(holder({"CC-BY-4.0": Level.JOB}), ["LicenseRef-new"], Level.PREVIEW).missing == ("LicenseRef-new",)


COLLECTION = {"bocage:licences": ["LicenseRef-collection"], "license": "CC-BY-4.0"}
ITEM = {"properties": {"bocage:licences": ["LicenseRef-item"]}}
ASSET = {"bocage:licences": ["LicenseRef-asset"]}


@pytest.mark.parametrize(
    ("collection", "item", "asset", "expected"),
    [
        (COLLECTION, ITEM, ASSET, ("LicenseRef-asset",)),
        (COLLECTION, ITEM, {}, ("LicenseRef-item",)),
        (COLLECTION, {"properties": {}}, {}, ("LicenseRef-collection",)),
        (COLLECTION, None, None, ("LicenseRef-collection",)),
        ({"license": "CC-BY-4.0"}, {"properties": {}}, {"license": "MIT"}, ("MIT",)),
        ({"license": "CC-BY-4.0"}, None, None, ("CC-BY-4.0",)),
        ({"license": "other"}, None, None, ("LicenseRef-undeclared",)),
        ({}, {"properties": {}}, {}, ("LicenseRef-undeclared",)),
        (COLLECTION, ITEM, {"bocage:licences": []}, ()),
    ],
)
def test_the_nearest_declaration_holds(
    collection: dict[str, Any], item: dict[str, Any] | None, asset: dict[str, Any] | None, expected: tuple[str, ...]
) -> None:
    assert licences_of(collection, item, asset) == expected


def test_an_item_needs_what_all_its_assets_need() -> None:
    item = {**ITEM, "assets": {"dsm": ASSET, "report": {}}}
    assert item_licences(COLLECTION, item) == ("LicenseRef-asset", "LicenseRef-item")
    assert item_licences(COLLECTION, ITEM) == ("LicenseRef-item",)
