"""What collections are about: how it is written and shown, and searched by, among collections and among items."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bocage_catalogue.concepts import THEMES
from bocage_catalogue.subjects import FILTERS, MOST
from bocage_theia.vocabulary import vocabulary

BASES = ("http://127.0.0.1:8000", "https://hub.example.org/bocage")


def themes(**concepts: str | list[str]) -> dict[str, Any]:
    """The members by which a collection speaks of the vocabulary: ids by scheme."""
    return {
        "stac_extensions": [THEMES],
        "themes": [
            {
                "scheme": f"vocabulary/{scheme}",
                "concepts": [{"id": one} for one in (ids if isinstance(ids, list) else [ids])],
            }
            for scheme, ids in concepts.items()
        ],
    }


MADE: dict[str, dict[str, Any]] = {
    "bright": themes(variables="albedo", cds="toulouse", portals="theia"),
    "muddy": themes(variables=["turbidity", "suspended-matter"], cds="toulouse", portals=["theia", "odatis"]),
    "thirsty": themes(variables="daily-evapotranspiration", ces="evapotranspiration", cds="montpellier"),
    "soils": themes(variables="soil-properties", art="bretagne", cds="montpellier", themes="vegetation-carbon-soils"),
    "roots": themes(variables="mangrove", portals="odatis"),
    "plain": {},
    "hidden": themes(variables="albedo", cds="grenoble", portals="aeris") | {"bocage:audience": "owner"},
}


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any) -> None:
    for name, members in MADE.items():
        made = catalogue.collection(name, **{"bocage:audience": "public", "title": name, **members})
        assert catalogue.service.post("/stac/collections", json=made).status_code == 201
        item = catalogue.item(f"{name}-1", **{"bocage:audience": "public", "variable": "own"})
        assert catalogue.service.post(f"/stac/collections/{name}/items", json=item).status_code == 201


QUESTIONS: list[tuple[dict[str, str], set[str]]] = [
    ({"variable": "albedo"}, {"bright"}),
    ({"variable": "albedo,turbidity"}, {"bright", "muddy"}),
    ({"variable": " albedo , mangrove "}, {"bright", "roots"}),
    ({"variable": "water-colour"}, {"muddy"}),
    ({"variable": "direct-variables"}, {"bright"}),
    ({"variable": "descriptive-variables"}, {"roots"}),
    ({"variable": "semi-natural-spaces"}, {"roots"}),
    ({"variable": "evapotranspiration"}, {"thirsty"}),
    ({"variable": "lai"}, set()),
    ({"cds": "toulouse"}, {"bright", "muddy"}),
    ({"cds": "montpellier"}, {"thirsty", "soils"}),
    ({"cds": "grenoble"}, set()),
    ({"ces": "evapotranspiration"}, {"thirsty"}),
    ({"art": "bretagne"}, {"soils"}),
    ({"portal": "odatis"}, {"muddy", "roots"}),
    ({"portal": "data-terra"}, {"bright", "muddy", "roots"}),
    ({"theme": "water"}, {"muddy", "thirsty", "roots"}),
    ({"theme": "vegetation-carbon-soils"}, {"thirsty", "soils"}),
    ({"theme": "land"}, {"roots"}),
    ({"cds": "toulouse", "variable": "turbidity"}, {"muddy"}),
    ({"cds": "montpellier", "variable": "turbidity"}, set()),
]
CONDITIONS: list[tuple[str, set[str]]] = [
    ("variable = 'albedo'", {"bright"}),
    ("'albedo' = variable", {"bright"}),
    ("variable = 'water-colour' OR variable = 'albedo'", {"bright", "muddy"}),
    ("variable IN ('albedo', 'mangrove')", {"bright", "roots"}),
    ("variable <> 'albedo' AND cds = 'toulouse'", {"muddy"}),
    ("NOT (variable = 'albedo')", {"muddy", "thirsty", "soils", "roots", "plain"}),
    ("variable <> 'albedo'", {"muddy", "thirsty", "soils", "roots", "plain"}),
    ("variable IS NULL", {"plain"}),
    ("NOT (portal IS NULL)", {"bright", "muddy", "roots"}),
    ("a_contains(variable, ('turbidity', 'suspended-matter'))", {"muddy"}),
    ("a_contains(variable, ('turbidity', 'albedo'))", set()),
    ("a_overlaps(variable, ('turbidity', 'albedo'))", {"bright", "muddy"}),
    ("a_equals(variable, ('turbidity', 'suspended-matter'))", {"muddy"}),
    ("a_equals(variable, ('turbidity'))", set()),
    ("a_containedBy(variable, ('water-colour')) AND cds = 'toulouse'", {"muddy"}),
    ("variable = 'lai'", set()),
    ("NOT (variable = 'lai') AND cds = 'toulouse'", {"bright", "muddy"}),
]


def collections(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.text
    found = answer.json()
    if "features" in found:
        assert found["numberMatched"] == len(found["features"])
        return {one["collection"] for one in found["features"]}
    assert found["numberMatched"] == len(found["collections"])
    return {one["id"] for one in found["collections"]}


@pytest.mark.parametrize(("asked", "expected"), QUESTIONS, ids=range(len(QUESTIONS)))
def test_filters(catalogue: Any, asked: dict[str, str], expected: set[str]) -> None:
    client = catalogue.anonymous
    assert collections(client.get("/stac/collections", params=asked)) == expected
    # The item of a hidden collection is public by itself, and not found all the same.
    assert collections(client.get("/stac/search", params=asked)) == expected
    assert collections(client.post("/stac/search", json=asked)) == expected
    listed = {name: value.split(",") for name, value in asked.items()}
    assert collections(client.post("/stac/search", json=listed)) == expected
    named = client.get("/stac/search", params={**asked, "collections": "bright,plain"})
    assert collections(named) == expected & {"bright", "plain"}
    for name in ("bright", "plain"):
        within = client.get(f"/stac/collections/{name}/items", params=asked)
        assert collections(within) == expected & {name}
    counted = client.get("/stac/aggregate", params={**asked, "aggregations": "total_count"}).json()
    assert counted["aggregations"][0]["value"] == len(expected)
    counted = client.post("/stac/aggregate", json={**asked, "aggregations": ["total_count"]}).json()
    assert counted["aggregations"][0]["value"] == len(expected)
    lines = client.get("/stac/export", params=asked).text.splitlines()
    assert {json.loads(line)["collection"] for line in lines} == expected
    lines = client.post("/stac/export", json=asked).text.splitlines()
    assert {json.loads(line)["collection"] for line in lines} == expected


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS, ids=range(len(CONDITIONS)))
def test_conditions(catalogue: Any, condition: str, expected: set[str]) -> None:
    asked = {"filter": condition, "filter-lang": "cql2-text"}
    assert collections(catalogue.anonymous.get("/stac/collections", params=asked)) == expected
    assert collections(catalogue.anonymous.get("/stac/search", params=asked)) == expected
    assert collections(catalogue.anonymous.post("/stac/search", json=asked)) == expected


def test_those_who_see_more_find_more(catalogue: Any) -> None:
    for asked in ({"variable": "albedo"}, {"filter": "variable = 'albedo'"}):
        assert collections(catalogue.administrator.get("/stac/collections", params=asked)) == {"bright", "hidden"}
        assert collections(catalogue.administrator.get("/stac/search", params=asked)) == {"bright", "hidden"}
        assert collections(catalogue.stranger.get("/stac/search", params=asked)) == {"bright"}


def test_the_query_extension_and_an_items_own_property(catalogue: Any) -> None:
    client = catalogue.anonymous
    asked = {"query": json.dumps({"variable": {"eq": "albedo"}})}
    assert collections(client.get("/stac/search", params=asked)) == {"bright"}
    asked = {"query": json.dumps({"cds": {"eq": "grenoble"}})}
    assert collections(client.get("/stac/search", params=asked)) == set()
    assert collections(client.get("/stac/collections", params=asked)) == set()
    asked = {"query": json.dumps({"cds": {"in": ["montpellier", "grenoble"]}})}
    assert collections(client.get("/stac/search", params=asked)) == {"thirsty", "soils"}
    # What the items themselves call `variable` is still there, by its long name.
    own = {"op": "=", "args": [{"property": "properties.variable"}, "own"]}
    assert collections(client.post("/stac/search", json={"filter": own})) == MADE.keys() - {"hidden"}


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({"variable": "albédo"}, ["albedo"]),
        ({"variable": "abledo"}, ["albedo"]),
        ({"variable": "Turbidité"}, ["turbidity"]),
        ({"cds": "Toulouze"}, ["toulouse"]),
        ({"portal": "ODATIS"}, ["odatis"]),
        ({"filter": "variable = 'abledo'"}, ["albedo"]),
        ({"filter": "cds IN ('toulouse', 'grenobel')"}, ["grenoble"]),
        ({"variable": "zzzz"}, []),
    ],
)
def test_did_you_mean(catalogue: Any, asked: dict[str, str], meant: list[str]) -> None:
    for path in ("/stac/collections", "/stac/search", "/stac/export"):
        answer = catalogue.anonymous.get(path, params=asked)
        assert answer.status_code == 400, answer.text
        problem = answer.json()
        assert problem["code"] == "unknown-concept" and problem["suggestions"][:1] == meant
        assert ("Did you mean" in problem["detail"]) == bool(meant)


@pytest.mark.parametrize(
    "asked",
    [
        {"variable": ","},
        {"variable": ",".join(["albedo"] * (MOST + 1))},
        {"filter": "variable LIKE 'alb%'"},
        {"filter": "variable < 'albedo'"},
        {"filter": "variable = 3"},
        {"filter": "variable = cds"},
        {"filter": "casei(variable) = 'albedo'"},
        {"filter": '{"op": "isNull", "args": []}', "filter-lang": "cql2-json"},
        {"filter": '{"op": "in", "args": [{"property": "variable"}, []]}', "filter-lang": "cql2-json"},
        {"filter": '{"op": "in", "args": [{"property": "variable"}, "albedo"]}', "filter-lang": "cql2-json"},
        {
            "filter": '{"op": "=", "args": [{"property": "variable"}, {"property": "variable"}]}',
            "filter-lang": "cql2-json",
        },
        {"filter": '{"op": "and", "args": {"property": "variable"}}', "filter-lang": "cql2-json"},
        {"filter": '{"property": "variable"}', "filter-lang": "cql2-json"},
        {"filter": '{"op": "=", "args": [{"property": ["variable"]}, 1]}', "filter-lang": "cql2-json"},
        {"filter": '{"op": "=", "args": [[{"property": "variable"}], "a"]}', "filter-lang": "cql2-json"},
        {"query": '{"variable": {"startsWith": "alb"}}'},
        {"sortby": "variable"},
    ],
)
def test_what_makes_no_sense_is_refused(catalogue: Any, asked: dict[str, str]) -> None:
    path = "/stac/collections"
    for path in ("/stac/collections", "/stac/search"):
        if asked == {"sortby": "variable"} and path == "/stac/search":
            continue  # the items have a property of this name
        answer = catalogue.anonymous.get(path, params=asked)
        assert answer.status_code == 400, (path, answer.text)
        assert answer.json()["detail"]


@pytest.mark.parametrize("value", [{}, 3, [3], [], [["albedo"]]])
def test_members_of_bodies_are_checked(catalogue: Any, value: Any) -> None:
    for path in ("/stac/search", "/stac/export", "/stac/aggregate"):
        answer = catalogue.anonymous.post(path, json={"variable": value, "aggregations": ["total_count"]})
        assert answer.status_code == 400, answer.text


def test_pages_keep_the_filter(catalogue: Any) -> None:
    client = catalogue.anonymous
    answer = client.get("/stac/search", params={"cds": "toulouse,montpellier", "limit": 1}).json()
    found = [answer["features"][0]["collection"]]
    while links := [link for link in answer["links"] if link["rel"] == "next"]:
        assert "cds=toulouse" in links[0]["href"]
        answer = client.get(links[0]["href"].removeprefix(catalogue.base)).json()
        found += [one["collection"] for one in answer["features"]]
    assert sorted(found) == ["bright", "muddy", "soils", "thirsty"]


def test_explained(catalogue: Any) -> None:
    asked = {"variable": "albedo", "filter": "cds = 'montpellier'", "explain": "true"}
    found = catalogue.anonymous.get("/stac/search", params=asked).json()
    assert found["features"] == [] and found["bocage:explain"]["none_left_by"] == "filter"


def test_stored_relative_shown_absolute(catalogue: Any, admin_of: Any) -> None:
    kept = "select content -> 'themes' as themes from pgstac.collections where id = 'muddy'"
    before = admin_of(kept)
    assert before == MADE["muddy"]["themes"]
    for base in BASES:
        for tongue, title in (("en", "Turbidity"), ("fr", "Turbidité")):
            service = catalogue.identities["service"].model_copy(update={"public_base": base})
            client = catalogue.as_(service)
            answer = client.get("/stac/collections/muddy", headers={"Accept-Language": tongue})
            shown = answer.json()
            assert shown["themes"][0]["scheme"] == f"{base}/stac/vocabulary/variables"
            concept = shown["themes"][0]["concepts"][0]
            assert concept == {
                "id": "turbidity", "title": title, "url": f"{base}/stac/vocabulary/variables/turbidity",
            }  # fmt: skip
            listed = client.get("/stac/collections?limit=100", headers={"Accept-Language": tongue}).json()
            assert shown in listed["collections"]
            # A body that was read may be sent back, and nothing changes: not even the tag.
            again = client.put("/stac/collections/muddy", json=shown, headers={"Accept-Language": tongue})
            assert again.status_code == 200 and again.headers["etag"] == answer.headers["etag"]
            patched = client.patch("/stac/collections/muddy", json={"themes": shown["themes"]})
            assert patched.status_code == 200
            assert admin_of(kept) == before


@pytest.fixture
def admin_of(module_database: Any) -> Any:
    import psycopg

    def value(sql: str) -> Any:
        with psycopg.connect(module_database.admin_url) as connection:
            row = connection.execute(sql).fetchone()
            assert row is not None
            return row[0]

    return value


def test_items_speak_of_concepts_in_the_same_way(catalogue: Any) -> None:
    service = catalogue.service
    own = [{"scheme": f"{BASES[0]}/stac/vocabulary/variables", "concepts": [{"id": "albedo", "title": "whatever"}]}]
    item = catalogue.item("speaks", themes=own, **{"bocage:audience": "public"})
    item["stac_extensions"] = [THEMES]
    assert service.post("/stac/collections/plain/items", json=item).status_code == 201
    for tongue, title in (("en", "Albedo"), ("fr", "Albédo")):
        answer = service.get("/stac/collections/plain/items/speaks", headers={"Accept-Language": tongue})
        (entry,) = answer.json()["properties"]["themes"]
        assert entry["scheme"] == own[0]["scheme"] and entry["concepts"][0]["title"] == title
        page = service.get("/stac/search", params={"ids": "speaks"}, headers={"Accept-Language": tongue})
        assert page.json()["features"] == [answer.json()]
        again = service.put("/stac/collections/plain/items/speaks", json=answer.json())
        assert again.headers["etag"].partition("-")[0] == answer.headers["etag"].partition("-")[0]
    other = catalogue.as_(catalogue.identities["service"].model_copy(update={"public_base": BASES[1]}))
    shown = other.get("/stac/collections/plain/items/speaks").json()["properties"]["themes"]
    assert shown[0]["scheme"] == f"{BASES[1]}/stac/vocabulary/variables"
    wrong = service.patch("/stac/collections/plain/items/speaks", json={"properties": {"themes": [
        {"scheme": "vocabulary/variables", "concepts": [{"id": "abledo"}]}]}})  # fmt: skip
    assert wrong.status_code == 400 and "albedo" in wrong.text and "properties.themes[0]" in wrong.text
    assert service.delete("/stac/collections/plain/items/speaks").status_code == 200


def test_queryables_name_the_filters(catalogue: Any) -> None:
    for path in ("/stac/queryables", "/stac/collections/bright/queryables"):
        told = catalogue.anonymous.get(path, headers={"Accept-Language": "fr"}).json()["properties"]
        assert "albedo" in told["variable"]["enum"] and told["cds"]["title"] == "Centres de données et de services"
        assert FILTERS.keys() <= told.keys()
    assert not FILTERS.keys() - {"variable"} & catalogue.anonymous.get("/stac/sortables").json()["properties"].keys()


def test_schemes_of_others_are_left_alone(catalogue: Any) -> None:
    foreign = [
        {"scheme": "https://example.org/vocabulary/variables", "concepts": [{"id": "nothing of ours", "title": "N"}]},
        {"scheme": "https://gcmd.earthdata.nasa.gov/kms", "concepts": [{"id": "x", "url": "https://example.org/x"}]},
    ]
    made = catalogue.collection("foreign", stac_extensions=[THEMES], themes=foreign)
    service = catalogue.service
    assert service.post("/stac/collections", json=made).status_code == 201
    assert service.get("/stac/collections/foreign").json()["themes"] == foreign
    assert service.delete("/stac/collections/foreign").status_code == 200


@pytest.mark.parametrize(
    ("entry", "code", "said"),
    [
        ({"scheme": "vocabulary/variables", "concepts": [{"id": "albdo"}]}, "unknown-concept", "Did you mean albedo?"),
        ({"scheme": f"{BASES[0]}/stac/vocabulary/cds", "concepts": [{"id": "paris"}]}, "unknown-concept", "paris"),
        ({"scheme": "vocabulary/variabels", "concepts": [{"id": "albedo"}]}, "unknown-scheme", "variables?"),
        ({"scheme": "vocabulary/", "concepts": [{"id": "albedo"}]}, "unknown-scheme", "There are"),
        ({"scheme": "vocabulary/variables", "concepts": [{"title": "x"}]}, "invalid-object", "id"),
        ({"scheme": "vocabulary/variables", "concepts": []}, "invalid-object", "concepts"),
        ({"scheme": "vocabulary/variables", "concepts": "albedo"}, "invalid-object", "concepts"),
        ({"scheme": "vocabulary/variables"}, "invalid-object", "concepts"),
        ({"scheme": 3, "concepts": [{"id": "albedo"}]}, "invalid-object", "scheme"),
        ("vocabulary/variables", "invalid-object", "themes"),
    ],
)
def test_what_the_vocabulary_does_not_hold_is_refused(catalogue: Any, entry: Any, code: str, said: str) -> None:
    made = catalogue.collection("wrong", stac_extensions=[THEMES], themes=[entry])
    answer = catalogue.service.post("/stac/collections", json=made)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == code and said in answer.json()["detail"], answer.text


def test_each_filter_is_a_scheme() -> None:
    assert set(FILTERS.values()) <= vocabulary().schemes.keys()
