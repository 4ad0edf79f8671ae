from __future__ import annotations

import json

import pytest
from bocage_kit.json_values import MAX_DEPTH, impossible


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[1e999]",
        '{"a": -Infinity}',
        '"\\u0000"',
        '{"a\\u0000": 1}',
        '["\\ud800"]',
        '{"\\udfff": 1}',
        "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2),
        '{"a":' * 900 + "1" + "}" * 900,
    ],
)
def test_what_cannot_be_kept_is_named(text: str) -> None:
    assert impossible(json.loads(text))


@pytest.mark.parametrize("text", ["null", "[]", '"\\ud83d\\ude00 é"', "[1, 2.5, true]", "[" * 60 + "]" * 60])
def test_the_rest_is_kept(text: str) -> None:
    assert impossible(json.loads(text)) is None
