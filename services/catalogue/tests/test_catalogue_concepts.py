"""Concepts as they are stored and shown, without a catalogue: nothing is lost, and nothing fails."""

from __future__ import annotations

from typing import Any

from bocage_catalogue.concepts import close, show, stored
from bocage_kit.problems import Problem
from bocage_theia.vocabulary import vocabulary
from hypothesis import given
from hypothesis import strategies as st

BASES = ("http://127.0.0.1:8000", "https://hub.example.org/bocage")
IDS = [(one.scheme, one.id) for one in vocabulary()]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["vocabulary/variables", "albedo"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["scheme", "concepts", "id", "title"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.lists(st.lists(st.sampled_from(IDS), min_size=1, max_size=4), min_size=1, max_size=4),
    st.sampled_from(BASES),
    st.sampled_from(["en", "fr"]),
)
def test_showing_and_storing_are_inverse(entries: list[list[tuple[str, str]]], base: str, tongue: str) -> None:
    kept = [
        {
            "scheme": f"vocabulary/{entry[0][0]}",
            "concepts": [{"id": name} for scheme, name in entry if scheme == entry[0][0]],
        }
        for entry in entries
    ]
    holder = {"themes": kept}
    show(holder, base, tongue)
    assert holder["themes"] != kept
    stored(holder, base)
    assert holder["themes"] == kept
    stored(holder, base)
    assert holder["themes"] == kept


@given(JUNK)
def test_nothing_that_was_loaded_makes_showing_fail(themes_: Any) -> None:
    holder = {"themes": themes_}
    show(holder, BASES[0], "fr")
    try:
        stored(holder, BASES[0])
    except Problem as problem:
        assert problem.status == 400


@given(st.sampled_from(IDS), st.integers(0, 30))
def test_a_letter_that_is_missing_is_guessed(which: tuple[str, str], place: int) -> None:
    scheme = vocabulary().schemes[which[0]]
    if len(which[1]) < 5:
        return
    place %= len(which[1])
    wrong = which[1][:place] + which[1][place + 1 :]
    assert wrong in scheme.concepts or which[1] in close(scheme, wrong)
