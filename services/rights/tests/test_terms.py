"""The rule of licences, over everything that licences and holders can be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from bocage_kit.identity import Category, Identity, Level, Purpose
from bocage_kit.licences import decide
from bocage_rights.delivery import file_name, matches_any, media_type_of, satisfiable
from bocage_rights.terms import ANONYMOUS, Act, Holder, Standing, Terms, highest, refusal, standing
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PURPOSES = sorted(get_args(Purpose))
CATEGORIES = sorted(get_args(Category))
EVERYBODY, EVERYTHING = frozenset(CATEGORIES), frozenset(PURPOSES)

terms = st.builds(
    Terms,
    licence=st.just("L"),
    version=st.just("2"),
    needs=st.sampled_from(["none", "user", "organisation"]),
    purposes=st.frozensets(st.sampled_from(PURPOSES)),
    categories=st.frozensets(st.sampled_from(CATEGORIES)),
    fallback=st.sampled_from(list(Level)),
    embargo_until=st.sampled_from([None, NOW - timedelta(1), NOW + timedelta(1)]),
)
holders = st.builds(Holder, category=st.sampled_from(CATEGORIES), purpose=st.sampled_from(PURPOSES))
standings: st.SearchStrategy[Standing] = st.sampled_from(["accepted", "outdated", "missing"])


@given(terms, holders, standings)
def test_whatever_anonymous_may_do_every_account_may(of: Terms, holder: Holder, stands: Standing) -> None:
    assert highest(of, holder, stands, NOW) >= highest(of, ANONYMOUS, "missing", NOW)


@given(terms, holders, standings)
def test_more_than_the_fallback_needs_every_condition(of: Terms, holder: Holder, stands: Standing) -> None:
    level = highest(of, holder, stands, NOW)
    assert level >= of.fallback
    open_to_all = refusal(of, ANONYMOUS, "missing", NOW) is None
    if level > of.fallback and not open_to_all:
        assert holder.category in of.categories and holder.purpose in of.purposes
        assert of.needs == "none" or stands == "accepted"
    if of.embargo_until is not None and of.embargo_until > NOW:
        assert level == of.fallback


@given(terms, holders)
def test_accepting_never_takes_away(of: Terms, holder: Holder) -> None:
    assert highest(of, holder, "accepted", NOW) >= highest(of, holder, "missing", NOW)


@given(terms, holders, standings)
def test_a_reason_is_given_exactly_when_the_terms_are_not_fulfilled(
    of: Terms, holder: Holder, stands: Standing
) -> None:
    if refusal(of, holder, stands, NOW) is None:
        assert highest(of, holder, stands, NOW) is Level.JOB


@pytest.mark.parametrize(
    ("of", "holder", "stands", "reason"),
    [
        (Terms("l", "1", "none", EVERYTHING, EVERYBODY), ANONYMOUS, "missing", None),
        (Terms("l", "1", "none", frozenset({"research"}), EVERYBODY), ANONYMOUS, "missing", "purpose"),
        (Terms("l", "1", "none", EVERYTHING, frozenset({"public"})), ANONYMOUS, "missing", "category"),
        (Terms("l", "1", "user", EVERYTHING, EVERYBODY), ANONYMOUS, "accepted", "missing"),
        (Terms("l", "1", "user", EVERYTHING, EVERYBODY), Holder("public"), "outdated", "outdated"),
        (Terms("l", "1", "user", EVERYTHING, frozenset({"public"})), Holder("private"), "accepted", "category"),
        (
            Terms("l", "1", "user", frozenset({"research"}), EVERYBODY),
            Holder("private", "commercial"),
            "accepted",
            "purpose",
        ),
    ],
)
def test_reasons(of: Terms, holder: Holder, stands: Standing, reason: str | None) -> None:
    assert refusal(of, holder, stands, NOW) == reason


@pytest.mark.parametrize(
    ("acts", "needs", "expected"),
    [
        ([], "user", "missing"),
        ([Act("2", True, False)], "user", "accepted"),
        ([Act("2", True, False)], "organisation", "missing"),
        ([Act("2", True, True)], "organisation", "accepted"),
        ([Act("2", True, True)], "user", "accepted"),
        ([Act("1", True, True)], "organisation", "outdated"),
        ([Act("2", True, True), Act("2", False, True)], "organisation", "missing"),
        ([Act("2", True, True), Act("2", False, True), Act("2", True, True)], "organisation", "accepted"),
        ([Act("2", True, True), Act("2", False, True), Act("2", True, False)], "user", "accepted"),
    ],
)
def test_standing(acts: list[Act], needs: str, expected: str) -> None:
    assert standing([("1", True), ("2", True)], acts, needs) == expected  # type: ignore[arg-type]


def test_a_new_version_that_needs_no_new_acceptance() -> None:
    assert standing([("1", True), ("2", False)], [Act("1", True, True)], "organisation") == "accepted"
    assert standing([("1", True), ("2", True), ("3", False)], [Act("1", True, True)], "user") == "outdated"


@given(st.dictionaries(st.sampled_from("abc"), st.sampled_from(list(Level))), st.sets(st.sampled_from("abcd")))
def test_all_licences_of_an_object_must_be_granted(granted: dict[str, Level], needed: set[str]) -> None:
    identity = Identity(subject="p", licences=granted)
    for level in Level:
        expected = level is Level.METADATA or all(granted.get(x, Level.METADATA) >= level for x in needed)
        assert decide(identity, needed, level).allowed is expected


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        ("bytes=0-0", 10, True),
        ("bytes=9-", 10, True),
        ("bytes=10-", 10, False),
        ("bytes=-1", 10, True),
        ("bytes=-0", 10, False),
        ("bytes=-5", 0, False),
        ("bytes=0-", 0, False),
        ("bytes=20-30, 0-1", 10, True),
        ("bytes=5-1", 10, None),
        ("bytes=a-b", 10, None),
        ("lines=0-1", 10, None),
        ("bytes=" + "0-0," * 200 + "1-1", 10, None),
    ],
)
def test_ranges(header: str, size: int, expected: bool | None) -> None:
    assert satisfiable(header, size) is expected


def test_names_and_types() -> None:
    assert (
        media_type_of(None, "text/html\r\nx: y", "image/tiff; application=geotiff") == "image/tiff; application=geotiff"
    )
    assert media_type_of(None) == "application/octet-stream"
    assert file_name("a", "b", "results/x/y/1/dsm.tif", "image/tiff") == "a-b.tif"
    assert file_name("a", "b.tif", "collections/c/a/b.tif", "image/tiff") == "a-b.tif"
    assert file_name('a"/..\n', "é", "collections/c/a/b", "image/tiff; application=geotiff").isascii()
    assert matches_any('W/"x", "y"', '"x"') and matches_any("*", '"x"') and not matches_any('"xy"', '"x"')
