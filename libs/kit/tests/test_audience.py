"""The rule in Python and the rule in SQL are one rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from bocage_kit.audience import cache_key, cql2_filter, sees_everything, sees_shares, visible
from bocage_kit.identity import Identity
from hypothesis import given
from hypothesis import strategies as st

people = st.sampled_from(["anonymous", "ann", "bob", ""])
organisations = st.none() | st.sampled_from(["o1", "o2", ""])
identities = st.builds(
    Identity,
    subject=people,
    organisation=organisations,
    scopes=st.frozensets(st.sampled_from(["admin", "jobs:submit", "service:*", "service:read"]), max_size=2),
)
objects = st.fixed_dictionaries(
    {},
    optional={
        "bocage:audience": st.sampled_from(["public", "organisation", "owner", "unheard-of", ""]) | st.none(),
        "bocage:organisation": organisations,
        "bocage:owner": people | st.none(),
        "bocage:shared_with": st.lists(
            st.sampled_from(
                ["person:ann", "person:bob", "person:anonymous", "person:", "organisation:o1", "organisation:o2", "ann"]
            ),
            max_size=3,
        )
        | st.sampled_from(["person:ann", "organisation:o1"])
        | st.none(),
    },
)


def holds(expression: Mapping[str, Any], properties: Mapping[str, Any]) -> bool | None:
    """CQL2 with SQL's three values: a comparison with a missing property is neither true nor false."""
    operator: str = expression["op"]
    arguments: list[Any] = expression["args"]
    if operator in ("and", "or"):
        values = [holds(argument, properties) for argument in arguments]
        deciding = operator == "or"
        if deciding in values:
            return deciding
        return None if None in values else not deciding
    value = properties.get(arguments[0]["property"])
    if operator == "isNull":
        return value is None
    if operator == "a_overlaps":
        held = {value} if isinstance(value, str) else set(value or ())
        return None if value is None else bool(held & set(arguments[1]))
    assert operator == "="
    return None if value is None else bool(value == arguments[1])


@given(identity=identities, owned=objects)
def test_the_filter_says_what_the_function_says(identity: Identity, owned: dict[str, Any]) -> None:
    expression = cql2_filter(identity)
    assert visible(identity, owned) is (expression is None or holds(expression, owned) is True)


@given(first=identities, second=identities, owned=objects)
def test_equal_cache_keys_see_the_same(first: Identity, second: Identity, owned: dict[str, Any]) -> None:
    if cache_key(first) == cache_key(second):
        assert visible(first, owned) is visible(second, owned)


@given(identity=identities, owned=objects)
def test_whatever_anonymous_sees_everybody_sees(identity: Identity, owned: dict[str, Any]) -> None:
    if visible(Identity(subject="anonymous"), owned):
        assert visible(identity, owned)


OWNED = {"bocage:owner": "ann", "bocage:organisation": "o1"}


@pytest.mark.parametrize(
    ("audience", "subject", "organisation", "seen"),
    [
        ("public", "anonymous", None, True),
        ("organisation", "anonymous", None, False),
        ("organisation", "bob", "o1", True),
        ("organisation", "bob", "o2", False),
        ("organisation", "bob", None, False),
        ("owner", "bob", "o1", False),
        ("owner", "ann", "o2", True),
        ("unheard-of", "bob", "o1", False),
    ],
)
def test_who_sees_what(audience: str, subject: str, organisation: str | None, seen: bool) -> None:
    identity = Identity(subject=subject, organisation=organisation)
    assert visible(identity, {**OWNED, "bocage:audience": audience}) is seen


@pytest.mark.parametrize(
    ("shared", "seen"),
    [
        (["person:bob"], True),
        (["organisation:o2"], True),
        ("person:bob", True),
        (["person:ann", "organisation:o1"], False),
        (["bob"], False),
        ({"person:bob": 1}, False),
        ([], False),
        (None, False),
    ],
)
def test_an_object_is_shared_by_name(shared: Any, seen: bool) -> None:
    owned = {**OWNED, "bocage:audience": "owner", "bocage:shared_with": shared}
    bob = Identity(subject="bob", organisation="o2")
    assert visible(bob, owned) is seen
    assert not visible(Identity(subject="anonymous", organisation="o2"), owned)
    assert not sees_shares(bob, owned) and sees_shares(Identity(subject="ann"), owned)


def test_nobody_passes_for_an_ownerless_object() -> None:
    lost = {"bocage:audience": "owner"}
    assert not visible(Identity(subject="anonymous"), lost)
    assert not visible(Identity(subject="ann", organisation=None), {"bocage:audience": "organisation"})


def test_who_sees_everything() -> None:
    assert sees_everything(Identity(subject="root", scopes=frozenset({"admin"})))
    assert sees_everything(Identity(subject="service:tiles", scopes=frozenset({"service:*"})))
    assert not sees_everything(Identity(subject="ann", scopes=frozenset({"catalogue:admin"})))
