"""Spellings of licences, as catalogues have them."""

from __future__ import annotations

import pytest
from bocage_kit.licences import licences_of
from bocage_kit.spdx import normalised
from hypothesis import given
from hypothesis import strategies as st

KNOWN = ["CC0-1.0", "CC-BY-4.0", "CC-BY-NC-SA-4.0", "CC-BY-SA-3.0", "etalab-2.0", "MIT", "Apache-2.0", "ODbL-1.0"]


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("CC-BY-SA", "CC-BY-SA-4.0"),
        ("cc-by-nc", "CC-BY-NC-4.0"),
        ("CC-NC-BY-SA", "CC-BY-NC-SA-4.0"),
        ("Etalab-2.0", "etalab-2.0"),
        ("Licence Ouverte v2.0 (Etalab)", "etalab-2.0"),
        ("Creative Commons Attribution-NonCommercial 4.0 International", "CC-BY-NC-4.0"),
        ("CC-BY-3.0", "CC-BY-3.0"),
        ("cc0", "CC0-1.0"),
        ("apache 2.0", "Apache-2.0"),
        ("CC-BY-3.0-DE", "CC-BY-3.0-DE"),
        ("CC-BY-SA-ND", "CC-BY-SA-ND"),
        ("CC-NC-4.0", "CC-NC-4.0"),
        ("proprietary", "proprietary"),
        ("CC-BY-4.0 AND MIT", "CC-BY-4.0 AND MIT"),
        ("LicenseRef-cc-by", "LicenseRef-cc-by"),
        ("", ""),
    ],
)
def test_spellings(spelling: str, expected: str) -> None:
    assert normalised(spelling) == expected


@given(st.text(max_size=40) | st.sampled_from(KNOWN))
def test_normalising_again_changes_nothing(spelling: str) -> None:
    assert normalised(normalised(spelling)) == normalised(spelling)


@given(st.sampled_from(KNOWN), st.data())
def test_case_and_separators_do_not_matter(name: str, data: st.DataObject) -> None:
    said = "".join(
        data.draw(st.sampled_from(["-", " ", "_"])) if c == "-" else data.draw(st.sampled_from([c.lower(), c.upper()]))
        for c in name
    )
    assert normalised(said) == name


def test_the_license_of_a_collection_is_taken_as_meant() -> None:
    assert licences_of({"license": "CC-NC-BY-SA"}) == ("CC-BY-NC-SA-4.0",)
