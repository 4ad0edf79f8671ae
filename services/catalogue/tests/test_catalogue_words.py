"""Free text: concepts are found in both languages, and the right record comes first."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from bocage_catalogue.concept_words import told
from bocage_theia.vocabulary import vocabulary
from test_catalogue_subjects import themes


def collection(catalogue: Any, name: str, title: str, french: str, **concepts: Any) -> dict[str, Any]:
    description = concepts.pop("description", "Made for a test.")
    keywords = concepts.pop("keywords", None)
    told = {"fr": {"title": french}}
    made = catalogue.collection(name, title=title, description=description, **themes(portals="theia", **concepts))
    made |= {"bocage:audience": "public", "bocage:translations": told}
    return made | ({"keywords": keywords} if keywords else {})


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any) -> None:
    make = lambda *told, **concepts: collection(catalogue, *told, **concepts)  # noqa: E731
    made = [
        make("a-mentions", "Thermal series", "Séries thermiques", variables="surface-temperature",
             description="Albedo, albedo and albedo again: soil moisture, forests, LAI and turbidity are elsewhere."),
        make("b-keyword", "Meadows of Aubrac", "Prairies de l'Aubrac", variables="grassland", keywords=["albedo"]),
        make("c-concept", "Reflected sunlight", "Lumière réfléchie", variables="albedo", cds="toulouse"),
        make("d-title", "Surface albedo, France", "Albédo de surface, France", variables="albedo", cds="toulouse"),
        make("moisture", "Soil moisture by plot", "Humidité du sol à la parcelle", variables="soil-moisture-thrs",
             cds="montpellier"),
        make("spm", "Matter in rivers", "Matières dans les rivières", variables="suspended-matter"),
        make("leaf", "Canopies", "Canopées", variables=["lai", "fcover"]),
        make("daily-et", "Water that plants give", "Eau rendue par les plantes", variables="daily-evapotranspiration"),
        make("fires", "Burn scars", "Cicatrices de feux", variables="fire-severity"),
        make("clear", "Trees that were cut", "Arbres coupés", variables="clear-cut"),
        make("cover", "Classes of the ground", "Classes du sol", variables="land-cover"),
    ]  # fmt: skip
    hidden = make("hidden", "Albedo of a secret place", "Albédo secret", variables="albedo")
    for one in [*made, {**hidden, "bocage:audience": "owner"}]:
        assert catalogue.service.post("/stac/collections", json=one).status_code == 201
        name, title = one["id"], "Albedo by name" if one["id"] == "leaf" else "A scene"
        item = catalogue.item(f"{name}-1", title=title, **{"bocage:audience": "public"})
        assert catalogue.service.post(f"/stac/collections/{name}/items", json=item).status_code == 201


def found(catalogue: Any, q: str, who: str = "anonymous", **more: str) -> list[str]:
    answer = getattr(catalogue, who).get("/stac/collections", params={"q": q, "limit": "100", **more})
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["collections"]]


def test_title_before_concept_before_keyword_before_description(catalogue: Any) -> None:
    for q in ("albedo", "albédo", "ALBÉDO", "Albedo"):
        assert found(catalogue, q) == ["d-title", "c-concept", "b-keyword", "a-mentions"]
    assert found(catalogue, "albedo", sortby="id") == ["a-mentions", "b-keyword", "c-concept", "d-title"]
    assert found(catalogue, "albedo", sortby="-title") == ["a-mentions", "d-title", "c-concept", "b-keyword"]
    assert found(catalogue, "albedo", limit="1", offset="1") == ["c-concept"]
    assert found(catalogue, "albedo", who="administrator")[:2] == ["d-title", "hidden"]


@pytest.mark.parametrize(
    ("q", "first", "most"),
    [
        ("humidité", "moisture", 1), ("humidite du sol", "moisture", 1), ("soil moisture", "moisture", 2),
        ("very high spatial resolution", "moisture", 1), ("THRS", "moisture", 1),
        ("MES", "spm", 1), ("SPM", "spm", 1), ("matières en suspension", "spm", 1), ("suspended matter", "spm", 1),
        ("LAI", "leaf", 2), ("leaf area index", "leaf", 1), ("surface foliaire", "leaf", 1), ("FCOVER", "leaf", 1),
        ("évapotranspiration", "daily-et", 1), ("evapotranspiration", "daily-et", 1), ("ET", "daily-et", 1),
        ("LST", "a-mentions", 1), ("OSO", "cover", 1), ("occupation des sols", "cover", 1), ("land cover", "cover", 1),
        ("coupes rases", "clear", 1), ("clear-cut", "clear", 1), ("sévérité des feux", "fires", 1),
        ("burn severity", "fires", 1), ("dNBR", "fires", 1),
    ],
)  # fmt: skip
def test_a_word_for_one_variable_finds_it_alone(catalogue: Any, q: str, first: str, most: int) -> None:
    ids = found(catalogue, q)
    assert ids[:1] == [first] and len(ids) <= most


def test_what_is_broader_is_found_too_and_what_is_above_all_is_not(catalogue: Any) -> None:
    assert found(catalogue, "forêt") == ["clear"]
    assert found(catalogue, "forests") == ["clear", "a-mentions"]
    assert found(catalogue, "qualité des eaux") == ["spm"]
    assert found(catalogue, "propriétés de la végétation") == ["fires", "leaf"]
    for q in ("variables", "variables modélisées", "direct variables", "modelled"):
        assert found(catalogue, q) == []


def test_hosts_and_portals(catalogue: Any) -> None:
    assert found(catalogue, "CNES") == ["c-concept", "d-title"]
    assert found(catalogue, "CDS Montpellier") == ["moisture"]
    assert len(found(catalogue, "THEIA")) == 11


def test_a_longer_vocabulary_does_not_match_what_it_does_not_hold(catalogue: Any) -> None:
    for q in ("moisture soil", "zebra", "!!", "albedozz"):
        assert found(catalogue, q) == []


def test_items_are_found_by_their_collections_concepts(catalogue: Any) -> None:
    def items(q: str, **more: Any) -> set[str]:
        answer = catalogue.anonymous.post("/stac/search", json={"q": [q], **more})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["numberMatched"] == len(told["features"])
        return {one["id"] for one in told["features"]}

    assert items("albédo") == {"c-concept-1", "d-title-1", "leaf-1"}
    assert items("evapotranspiration") == {"daily-et-1"}
    assert items("forest") == {"clear-1"}
    assert items("variables") == set()
    assert items("albédo", collections=["leaf", "spm"]) == {"leaf-1"}
    assert items("albédo", variable="lai") == {"leaf-1"}
    assert items("zebra") == set()
    counted = catalogue.anonymous.get("/stac/aggregate", params={"q": "albédo", "aggregations": "total_count"})
    assert counted.json()["aggregations"][0]["value"] == 3


def test_words_follow_the_vocabulary(module_database: Any, catalogue: Any) -> None:
    """A concept's new name is found at once, by collections that were there before; nothing else is written."""
    import asyncio

    from bocage_catalogue import concept_words
    from bocage_catalogue.database import Database

    async def learn() -> None:
        async with Database.open(module_database.url("catalogue")) as database:
            await concept_words.learn(database)

    with psycopg.connect(module_database.admin_url, autocommit=True) as connection:
        sizes = "select count(*), max(xmin::text::bigint) from catalogue.finished_collection"
        before = connection.execute(sizes).fetchone()
        asyncio.run(learn())
        assert connection.execute(sizes).fetchone() == before
        connection.execute("update catalogue.concept set words = '' where key = 'variables/lai'")
        connection.execute("insert into catalogue.concept values ('variables/gone', 'gone:1')")
        asyncio.run(learn())
        assert connection.execute(sizes).fetchone() != before
        keys = {row[0] for row in connection.execute("select key from catalogue.concept")}
    assert keys == {key for key, *_ in told(vocabulary())}
    assert found(catalogue, "LAI")[0] == "leaf"


def test_two_learn_at_once(module_database: Any) -> None:
    import asyncio

    from bocage_catalogue import concept_words
    from bocage_catalogue.database import Database

    async def both() -> None:
        async with Database.open(module_database.url("catalogue")) as database:
            await asyncio.gather(*(concept_words.learn(database) for _ in range(4)))

    with psycopg.connect(module_database.admin_url, autocommit=True) as connection:
        connection.execute("truncate catalogue.concept")
        asyncio.run(both())
        assert connection.execute("select count(*) from catalogue.concept").fetchone() == (len(list(vocabulary())),)
