"""Answers in the caller's language, and translations that survive being written back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from bocage_catalogue import language
from hypothesis import given, settings
from hypothesis import strategies as st
from pypgstac.load import Methods

FRENCH = {"Accept-Language": "fr-FR,fr;q=0.9,en;q=0.5"}


TEXTS = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["a", "b", ""]),
        "description": st.sampled_from(["c", "d"]),
        "keywords": st.lists(st.sampled_from(["e", "f"]), max_size=2),
        "other": st.just("g"),
    },
)
HOLDERS = st.builds(
    lambda texts, translations, own: {
        **texts,
        "bocage:translations": translations,
        **({} if own is None else {"language": {"code": own}}),
    },
    TEXTS,
    st.dictionaries(st.sampled_from(["en", "fr", "de"]), TEXTS, max_size=3),
    st.sampled_from([None, "en", "fr", "de"]),
)


@settings(max_examples=500)
@given(HOLDERS, st.lists(st.sampled_from(["en", "fr", "de"]), min_size=1, max_size=3))
def test_what_was_read_in_any_language_is_written_back_the_same(holder: dict[str, Any], tongues: list[str]) -> None:
    """As it is kept, so it is kept again, whichever language it was read in, and however often."""
    kept = copy.deepcopy(holder)
    language.native(kept)
    for tongue in tongues:
        shown = copy.deepcopy(kept)
        said = language.show(shown, tongue)
        assert said == bool(language.translations_of(kept))
        if said:
            assert shown["language"]["code"] not in [one["code"] for one in shown["languages"]]
        language.native(shown)
        assert shown == kept


@settings(max_examples=200)
@given(HOLDERS)
def test_no_text_is_lost(holder: dict[str, Any]) -> None:
    """Showing moves texts; it drops only what stood twice in an object's own language."""

    def texts(of: dict[str, Any]) -> list[str]:
        return sorted(
            f"{name} {text}"
            for part in (of, *of["bocage:translations"].values())
            for name, text in part.items()
            if name in ("title", "description", "keywords", "other")
        )

    own = language.spoken(holder) or "en"
    twice = holder["bocage:translations"].get(own, {})
    plain = copy.deepcopy(holder)
    plain["bocage:translations"][own] = {
        name: text for name, text in twice.items() if name not in holder or name == "other"
    }
    before = texts(plain)
    language.show(holder, "fr")
    assert texts(holder) == before


def _translated(catalogue: Any) -> dict[str, Any]:
    made = catalogue.collection(
        "snow",
        title="Snow cover",
        description="Each day.",
        keywords=["snow"],
        license="CC-BY-4.0",
        **{
            "bocage:audience": "public",
            "bocage:licences": ["CC-BY-4.0"],
            "bocage:translations": {"fr": {"title": "Enneigement", "keywords": ["neige"]}},
        },
    )
    return dict(made)


def test_a_collection_in_two_languages(catalogue: Any) -> None:
    service, path = catalogue.service, "/stac/collections/snow"
    assert service.post("/stac/collections", json=_translated(catalogue)).status_code == 201
    english, french = service.get(path), service.get(path, headers=FRENCH)
    assert english.headers["content-language"] == "en" and french.headers["content-language"] == "fr"
    assert english.json()["title"] == "Snow cover" and french.json()["title"] == "Enneigement"
    assert french.json()["keywords"] == ["neige"] and french.json()["description"] == "Each day."
    assert french.json()["language"]["code"] == "fr"
    assert [one["code"] for one in french.json()["languages"]] == ["en"]
    assert french.json()["bocage:translations"] == {"en": {"title": "Snow cover", "keywords": ["snow"]}}
    assert language.EXTENSION in french.json()["stac_extensions"]
    # Written back in either language it is what it was.
    for read in (english, french):
        assert service.put(path, json=read.json()).status_code == 200
        assert service.get(path).content == english.content
    assert service.get(path, params={"language": "fr"}).json() == french.json()
    listed = service.get("/stac/collections", headers=FRENCH).json()["collections"]
    assert [one["title"] for one in listed] == ["Enneigement"]
    # A change made in French is one.
    changed = {**french.json(), "title": "La neige"}
    assert service.put(path, json=changed, headers=FRENCH).status_code == 200
    assert service.get(path).json()["title"] == "Snow cover"
    assert service.get(path, headers=FRENCH).json()["title"] == "La neige"
    # A part is changed in the language that it is read in.
    patched = service.patch(path, json={"title": "Neige"}, headers=FRENCH)
    assert patched.headers["content-language"] == "fr" and patched.json()["title"] == "Neige"
    assert service.get(path).json()["title"] == "Snow cover"
    assert service.patch(path, json={"title": "Snow"}).json()["bocage:translations"]["fr"]["title"] == "Neige"


def test_the_landing_page_and_items_in_french(catalogue: Any) -> None:
    page = catalogue.anonymous.get("/stac", headers=FRENCH)
    assert page.headers["content-language"] == "fr" and "Accept-Language" in page.headers["vary"]
    assert page.json()["title"] == "Catalogue de Bocage" and page.json()["language"]["code"] == "fr"
    titles = {link["rel"]: link.get("title") for link in page.json()["links"]}
    assert titles["conformance"] == "Classes de conformité"
    alternates = [(link["hreflang"], link["href"]) for link in page.json()["links"] if link["rel"] == "alternate"]
    assert [code for code, _ in alternates] == ["en", "fr"]
    for code, href in alternates:
        answer = catalogue.anonymous.get(href.removeprefix(catalogue.base))
        assert answer.headers["content-language"] == code == answer.json()["language"]["code"]
    service = catalogue.service
    named = {**_translated(catalogue), "id": "named"}
    assert service.post("/stac/collections", json=named).status_code == 201
    item = catalogue.item("one", title="First", **{"bocage:translations": {"fr": {"title": "Premier"}}})
    assert service.post("/stac/collections/named/items", json=item).status_code == 201
    path = "/stac/collections/named/items/one"
    english, french = (service.get(path, headers=headers) for headers in ({}, FRENCH))
    assert english.json()["properties"]["title"] == "First" and french.json()["properties"]["title"] == "Premier"
    assert service.put(path, json=french.json()).status_code == 200
    assert service.get(path).content == english.content
    found = service.get("/stac/search", params={"ids": "one"}, headers=FRENCH).json()["features"]
    assert [one["properties"]["title"] for one in found] == ["Premier"]
    told = service.get("/stac/changes", params={"include": "item", "collections": "named"}, headers=FRENCH)
    assert told.headers["content-language"] == "fr"
    assert [one["item"] for one in told.json()["changes"] if "item" in one] == found


@pytest.mark.parametrize(
    "translations",
    [
        "fr", ["fr"], {"": {}}, {"français": {}}, {"fr": "titre"}, {"fr": {"title": 1}}, {"fr": {"title": ""}},
        {"fr": {"keywords": "neige"}}, {"fr": {"keywords": [1]}}, {"fr": {"license": "x"}},
        {f"x{a}{b}": {} for a in "abcdefgh" for b in "abcdefgh"},
    ],
    ids=lambda x: str(x)[:30],
)  # fmt: skip
def test_translations_that_are_none_are_refused(catalogue: Any, translations: Any) -> None:
    made = catalogue.collection("refused", **{"bocage:translations": translations})
    answer = catalogue.service.post("/stac/collections", json=made)
    assert answer.status_code == 400 and "bocage:translations" in answer.json()["detail"]


def test_translations_that_nobody_checked_hinder_no_reading(admin: Any, loader: Any, fresh_catalogue: Any) -> None:
    odd = [{"fr": {"title": 5}}, {"fr": "x", "de": {"title": "T"}}, "fr", {"fr": {"title": "ok"}, "en": {"title": 1}}]
    made = [
        fresh_catalogue.collection(f"odd{n}", **{"bocage:translations": one, "bocage:audience": "public"})
        for n, one in enumerate(odd)
    ]
    loader.load_collections(iter(made), Methods.insert)
    for headers in ({}, FRENCH):
        answer = fresh_catalogue.anonymous.get("/stac/collections", headers=headers)
        assert answer.status_code == 200 and answer.json()["numberReturned"] == len(odd)


def test_what_may_be_asked_for_is_titled_in_french(catalogue: Any) -> None:
    told = catalogue.anonymous.get("/stac/queryables", headers=FRENCH)
    assert told.headers["content-language"] == "fr" and told.json()["title"].startswith("Propriétés")
    assert told.json()["properties"]["id"]["title"] == "Identifiant"
    assert catalogue.anonymous.get("/stac/queryables").json()["properties"]["id"]["title"] == "Identifier"


def test_problems_are_in_english(catalogue: Any) -> None:
    answer = catalogue.anonymous.get("/stac/collections/none", headers=FRENCH)
    assert answer.status_code == 404 and answer.headers["content-language"] == "en"
    assert "Accept-Language" in answer.headers["vary"]
