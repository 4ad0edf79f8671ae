"""Which language a request wants, and the texts that an object has in it."""

from __future__ import annotations

import pytest
from bocage_kit import language


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "en"),
        ("fr", "fr"),
        ("FR-ca", "fr"),
        ("de, fr;q=0.2", "fr"),
        ("en;q=0.2, fr;q=0.3", "fr"),
        ("fr;q=0.3, en;q=0.3", "fr"),
        ("fr;q=0", "en"),
        ("*", "en"),
        ("fr;q=x, en", "en"),
        ("fr;q=nan", "en"),
        ("de", "en"),
        (";;,,;q=1", "en"),
        (", " * 5000 + "fr", "en"),
    ],
)
def test_the_language_that_is_liked_best(header: str, expected: str) -> None:
    assert language.chosen(header) == expected


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        (b"", [], "en"),
        (b"limit=1&language=fr", [], "fr"),
        (b"language=en&language=fr", [], "fr"),
        (b"language=", [(b"accept-language", b"fr")], "fr"),
        (b"language=en", [(b"accept-language", b"fr")], "en"),
        (b"", [(b"accept", b"*/*"), (b"accept-language", b"fr-FR,en;q=0.5")], "fr"),
    ],
)
def test_the_parameter_goes_before_the_header(query: bytes, headers: list[tuple[bytes, bytes]], expected: str) -> None:
    assert language.of_scope({"query_string": query, "headers": headers}) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [(None, "en"), ("fr", "en"), ({"code": "fr-CA"}, "fr"), ({"code": ""}, "en"), ({"code": 1}, "en")],
)
def test_whose_own_language(said: object, expected: str) -> None:
    assert language.own_language({"language": said}) == expected


def test_texts_by_language() -> None:
    translations = {"fr": {"title": "Lac"}, "de": {"title": 1}, "es": "Lago"}
    found = language.texts({"title": "Lake", "bocage:translations": translations}, "title")
    assert found == {"en": "Lake", "fr": "Lac"}
    assert [language.best(found, tongue) for tongue in ("fr", "en", "de")] == ["Lac", "Lake", "Lake"]
    assert language.best({"fr": "Lac"}, "en") == "Lac" and language.best({}, "fr") == ""
    assert language.texts({"title": 3, "bocage:translations": []}, "title") == {}
