"""What results inherit: the worked cases, and the properties that hold for all."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import reduce
from typing import Any

import pytest
from bocage_kit.audience import Audience
from bocage_rights.derivation import (
    NOTHING,
    RULED,
    Conflict,
    Effect,
    Inheritance,
    Inherited,
    Input,
    Outcome,
    Rule,
    Status,
    derive,
    inheritance,
    settle,
)
from bocage_rights.rules import by_pair, read
from hypothesis import given
from hypothesis import strategies as st

OWN = "CC-BY-NC-4.0"
DEMONSTRATION = "LicenseRef-Bocage-Demonstration"
OUTPUTS: dict[str, Effect] = {
    "dsm": "elevation", "hillshade": "elevation", "ortho": "pixels", "quicklook": "pixels", "report": "none",
}  # fmt: skip
PACKAGED = by_pair(read())


def image(*licences: str, reference: str = "images/1", **more: Any) -> Input:
    return Input(reference, frozenset(licences), **more)


def results(
    *inputs: Input,
    outputs: dict[str, Effect] = OUTPUTS,
    confirmed: tuple[Rule, ...] = (),
    process: str | None = OWN,
    asked: Audience = "owner",
    organisation: str | None = "us",
    attributions: dict[str, str] | None = None,
) -> dict[str, Inherited]:
    rules = {**PACKAGED, **by_pair(confirmed)}
    return derive(
        inputs, outputs, rules, process_licence=process, asked=asked, organisation=organisation,
        attributions=attributions or {},
    )  # fmt: skip


def rule(licence: str, effect: Effect, outcome: Outcome, status: Status = "confirmed") -> Rule:
    return Rule(licence, effect, outcome, status, "a letter of the owner", date(2026, 12, 1), 2)


@pytest.mark.parametrize("licences", [("etalab-2.0",), ("CC-BY-4.0",), ("CC0-1.0", "etalab-2.0", "CC-BY-4.0")])
def test_open_inputs_give_exactly_the_process_own_terms_with_attribution(licences: tuple[str, ...]) -> None:
    found = results(image(*licences, attribution="IGN 2026"), attributions={"CC-BY-4.0": "Contains a dataset"})
    assert {one.licences for one in found.values()} == {(OWN,)}
    assert all("IGN 2026" in one.attribution and one.notes == () for one in found.values())
    assert all(("Contains a dataset" in one.attribution) == ("CC-BY-4.0" in licences) for one in found.values())


def test_restricted_inputs_under_an_assumed_rule_restrict_every_asset_made_of_them_and_say_so() -> None:
    found = results(image(DEMONSTRATION), image("CC-BY-4.0", reference="images/2"))
    for name, effect in OUTPUTS.items():
        assert (DEMONSTRATION in found[name].licences) == (effect != "none")
        assert OWN in found[name].licences
    assert "assumed" in found["dsm"].notes[0] and DEMONSTRATION in found["dsm"].notes[0]
    assert found["ortho"].notes == ()


def test_restricted_inputs_confirmed_as_releasable_free_the_elevation_but_not_the_ortho() -> None:
    found = results(image(DEMONSTRATION), confirmed=(rule(DEMONSTRATION, "elevation", "release"),))
    assert found["dsm"].licences == found["hillshade"].licences == (OWN,)
    assert found["ortho"].licences == found["quicklook"].licences == (OWN, DEMONSTRATION)
    assert found["dsm"].notes == ()


@pytest.mark.parametrize(("process", "licences"), [(None, ()), ("etalab-2.0", ("etalab-2.0",))])
def test_a_field_mean_of_restricted_images_is_an_open_statistic(process: str | None, licences: tuple[str, ...]) -> None:
    outputs: dict[str, Effect] = {"mean": "statistic", "ndvi": "index"}
    found = results(image(DEMONSTRATION), outputs=outputs, process=process)
    assert found["mean"].licences == licences
    assert DEMONSTRATION in found["ndvi"].licences


def test_open_licences_name_what_holds_where_the_process_has_no_terms() -> None:
    found = results(image("CC-BY-4.0"), outputs={"ortho": "pixels", "dsm": "elevation", "echo": "none"}, process=None)
    assert [one.licences for one in found.values()] == [("CC-BY-4.0",), ("CC-BY-4.0",), ()]


@pytest.mark.parametrize(
    ("inputs", "process"),
    [
        ((image("CC-BY-SA-4.0"), image("LicenseRef-Other-SA", reference="images/2")), None),
        ((image("CC-BY-SA-4.0"), image(DEMONSTRATION, reference="images/2")), None),
        ((image("CC-BY-SA-4.0", "CC-BY-NC-4.0"),), None),
        ((image("CC-BY-SA-4.0"),), OWN),
    ],
)
def test_terms_that_clash_are_refused_and_named(inputs: tuple[Input, ...], process: str | None) -> None:
    other = tuple(rule("LicenseRef-Other-SA", effect, "same") for effect in RULED)
    with pytest.raises(Conflict) as caught:
        results(*inputs, process=process, confirmed=other)
    assert "CC-BY-SA-4.0" in caught.value.licences and len(caught.value.licences) == 2
    assert set(caught.value.inputs) == {one.reference for one in inputs}


def test_a_share_alike_goes_with_what_is_released_and_with_itself() -> None:
    found = results(image("CC-BY-SA-4.0", "etalab-2.0"), image("CC-BY-SA-4.0"), process="CC-BY-SA-4.0")
    assert found["ortho"].licences == found["dsm"].licences == ("CC-BY-SA-4.0",)


def test_what_is_forbidden_is_refused() -> None:
    with pytest.raises(Conflict, match="Nothing may be made"):
        results(image("LicenseRef-No"), confirmed=(rule("LicenseRef-No", "elevation", "forbid", "assumed"),))


@pytest.mark.parametrize(
    ("audience", "organisation", "asked", "given_"),
    [
        ("organisation", "them", "public", "organisation"),
        ("owner", "them", "organisation", "owner"),
        ("organisation", "them", "owner", "owner"),
        ("organisation", "us", "public", "public"),
        ("public", "them", "public", "public"),
        ("owner", None, "public", "owner"),
    ],
)
def test_results_are_seen_by_no_more_than_inputs_of_others_allow(
    audience: Audience, organisation: str | None, asked: Audience, given_: Audience
) -> None:
    one = image("CC0-1.0", audience=audience, organisation=organisation)
    assert {out.audience for out in results(one, asked=asked).values()} == {given_}


def test_the_last_embargo_holds_even_where_the_licence_is_released() -> None:
    first, last = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    found = results(image("CC0-1.0", embargo_until=last), image("CC0-1.0", embargo_until=first), image("CC0-1.0"))
    assert {one.embargo_until for one in found.values()} == {last}


NAMES = [f"LicenseRef-{x}" for x in "ABCDE"]
outcomes: st.SearchStrategy[Outcome] = st.sampled_from(["keep", "release", "same", "forbid"])
statuses: st.SearchStrategy[Status] = st.sampled_from(["confirmed", "assumed"])
effects: st.SearchStrategy[Effect] = st.sampled_from([*RULED, "none"])
audiences: st.SearchStrategy[Audience] = st.sampled_from(["owner", "organisation", "public"])
moments = st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
inputs_ = st.builds(
    Input,
    reference=st.sampled_from(["a/1", "a/2", "b/1"]),
    licences=st.frozensets(st.sampled_from(NAMES), max_size=3),
    attribution=st.sampled_from(["", "IGN", "CNES"]),
    audience=audiences,
    organisation=st.sampled_from([None, "us", "them"]),
    embargo_until=moments,
)
rules_ = st.dictionaries(st.tuples(st.sampled_from(NAMES), st.sampled_from(RULED)), st.tuples(outcomes, statuses)).map(
    lambda found: {pair: rule(*pair, *said) for pair, said in found.items()}
)


def passed(one: Input, effect: Effect, rules: Any) -> Inheritance:
    return inheritance(one, effect, rules, "us", {"LicenseRef-A": "with A"})


@given(inputs_, inputs_, inputs_, effects, rules_)
def test_joining_is_associative_commutative_and_idempotent(
    a: Input, b: Input, c: Input, of: Effect, rules: Any
) -> None:
    x, y, z = (passed(one, of, rules) for one in (a, b, c))
    assert x.join(y) == y.join(x)
    assert x.join(y).join(z) == x.join(y.join(z))
    assert x.join(x) == x == x.join(NOTHING)


def outcome_of(inputs: list[Input], effect: Effect, rules: Any, process: str | None, asked: Audience) -> Any:
    try:
        joined = reduce(Inheritance.join, (passed(one, effect, rules) for one in inputs), NOTHING)
        return settle(joined, process, asked)
    except Conflict as conflict:
        return conflict.licences


@given(st.lists(inputs_, max_size=4), st.randoms(), effects, rules_, st.sampled_from([None, OWN]), audiences)
def test_neither_order_nor_repetition_matters(
    inputs: list[Input], random: Any, of: Effect, rules: Any, process: str | None, asked: Audience
) -> None:
    shuffled = inputs + inputs[:1]
    random.shuffle(shuffled)
    assert outcome_of(inputs, of, rules, process, asked) == outcome_of(shuffled, of, rules, process, asked)


@given(st.lists(inputs_, max_size=4), effects, rules_, st.sampled_from([None, OWN, NAMES[0]]), audiences)
def test_never_less_restrictive_than_the_rules_allow(
    inputs: list[Input], of: Effect, rules: Any, process: str | None, asked: Audience
) -> None:
    found = outcome_of(inputs, of, rules, process, asked)
    licences = {x for one in inputs for x in one.licences} if of != "none" else set()
    said = {x: rules.get((x, of)) for x in licences}
    forbidden = {x for x, r in said.items() if r and r.outcome == "forbid"}
    alike = {x for x, r in said.items() if r and r.outcome == "same"}
    # Only a confirmed release, written down, frees: everything else stays.
    freed = {x for x, r in said.items() if r and r.outcome == "release" and r.status == "confirmed"}
    staying = (licences - freed) | ({process} if process else set())
    if isinstance(found, tuple):
        assert forbidden or len(alike) > 1 or (alike and staying != alike)
        return
    assert not forbidden
    assert staying <= set(found.licences)
    if alike:
        assert set(found.licences) == alike and len(alike) == 1
    ends = [one.embargo_until for one in inputs if one.embargo_until]
    assert found.embargo_until == max(ends, default=None)
    width = ["owner", "organisation", "public"].index
    assert width(found.audience) <= width(asked)
    for one in inputs:
        if one.organisation != "us":
            assert width(found.audience) <= width(one.audience)
        assert not one.attribution or one.attribution in found.attribution
    if any(r is None or r.status == "assumed" for r in said.values()):
        assert found.notes


@given(st.lists(inputs_, min_size=1, max_size=3), inputs_, effects, rules_)
def test_another_input_never_loosens(inputs: list[Input], more: Input, of: Effect, rules: Any) -> None:
    before = outcome_of(inputs, of, rules, OWN, "public")
    after = outcome_of([*inputs, more], of, rules, OWN, "public")
    if isinstance(before, tuple):
        assert isinstance(after, tuple)
    elif isinstance(after, Inherited):
        assert set(before.licences) <= set(after.licences)
        assert set(before.attribution) <= set(after.attribution)
