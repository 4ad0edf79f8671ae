"""The licence decision, by its properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bocage_kit.identity import Identity, Level
from bocage_kit.licences import FREE, Condition, condition_of, decide, item_licences, licences_of, refusal
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


NOW = datetime(2026, 1, 1, tzinfo=UTC)
conditions = st.builds(
    Condition,
    embargo_until=st.sampled_from([None, NOW - timedelta(1), NOW, NOW + timedelta(1)]),
    organisation=st.sampled_from([None, "us", "them"]),
    recalled=st.sampled_from([None, "faulty"]),
)


@given(granted=grants, more=grants, licences=asked, level=levels, condition=conditions)
def test_whatever_anonymous_may_every_account_may(
    granted: dict[str, Level], more: dict[str, Level], licences: list[str], level: Level, condition: Condition
) -> None:
    """An account is granted what anonymous is, at least: that `rights` sees to, and is tested there."""
    anonymous = Identity(subject="anonymous", licences=granted)
    both = {x: max(granted.get(x, Level.METADATA), more.get(x, Level.METADATA)) for x in {*granted, *more}}
    for organisation in (None, "us", "them"):
        account = Identity(subject="ann", organisation=organisation, licences=both)
        if decide(anonymous, licences, level, condition, NOW).allowed:
            assert decide(account, licences, level, condition, NOW).allowed


@given(granted=grants, licences=asked, level=levels, condition=conditions, organisation=st.sampled_from([None, "us"]))
def test_embargo_and_recall_only_ever_take_away(
    granted: dict[str, Level], licences: list[str], level: Level, condition: Condition, organisation: str | None
) -> None:
    caller = Identity(subject="ann", organisation=organisation, licences=granted)
    decision = decide(caller, licences, level, condition, NOW)
    free = decide(caller, licences, level)
    assert decision.missing == free.missing
    stopped = condition.recalled is not None or (
        condition.embargo_until is not None
        and condition.embargo_until > NOW
        and (organisation is None or condition.organisation != organisation)
    )
    assert decision.allowed is (free.allowed and not (stopped and level > Level.METADATA))
    assert bool(decision.reasons) is not decision.allowed


def test_a_refusal_says_what_weighs_most() -> None:
    caller = holder({})
    everything = decide(caller, ["L"], Level.TILE, Condition(NOW, None, "faulty"), NOW - timedelta(1))
    assert refusal(everything, ["L"]).code == "recalled"
    embargo = refusal(decide(caller, ["L"], Level.TILE, Condition(NOW), NOW - timedelta(1)), ["L"])
    assert (embargo.code, embargo.members["required_terms"][0]["reason"]) == ("embargo", "embargo")
    assert refusal(decide(caller, ["L"], Level.TILE), ["L"]).members["required_terms"] == [
        {"licence": "L", "reason": "missing"}
    ]


@pytest.mark.parametrize(
    ("collection", "properties", "expected"),
    [
        ({}, {}, FREE),
        ({}, {"bocage:embargo_until": None}, FREE),
        ({}, {"bocage:embargo_until": "2026-01-01T00:00:00Z"}, Condition(NOW)),
        ({"bocage:embargo_until": "2026-01-01"}, {"bocage:organisation": "us"}, Condition(NOW, "us")),
        ({"bocage:embargo_until": "2026-01-01", "bocage:organisation": "us"}, {"bocage:embargo_until": "2025-01-01"},
         Condition(NOW, "us")),
        ({}, {"bocage:embargo_until": "soon"}, Condition(datetime.max.replace(tzinfo=UTC))),
        ({}, {"bocage:embargo_until": 2026}, Condition(datetime.max.replace(tzinfo=UTC))),
        ({"bocage:recalled": "faulty"}, {}, Condition(recalled="faulty")),
    ],
)  # fmt: skip
def test_conditions_are_read_strictly(
    collection: dict[str, Any], properties: dict[str, Any], expected: Condition
) -> None:
    assert condition_of(collection, {"properties": properties}) == expected


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
