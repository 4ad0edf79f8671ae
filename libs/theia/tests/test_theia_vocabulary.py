"""The vocabulary is the deck's: its tree, its lines, no circle, no label twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from bocage_theia.vocabulary import LANGUAGES, SCHEMES, Misshapen, scheme_of, vocabulary

# The deck itself, where it lies beside the checkout.
SEED = Path(__file__).parents[3].parent / "shared" / "seed" / "data-terra-theia-deck.txt"

# The deck's lines of variables, by slide, with their indentation; what a slide prints under a word in brackets is ours.
DECK = """
Variables directes
  Réflectance
    Réflectance de surface / bande spectrale
    Épaisseur optique des aérosols
    Contenu intégré en vapeur d'eau
    Masque de nuages
    Réflectance de surface (synthèse mensuelle)
    Réflectance des surfaces en eau
  Micro-onde
  Albédo
  Emissivité
  Température de surfaces (y compris sol/eau)
  Topographie (3D : raster/nuage pts)
Variables modélisées
  Humidité du sol THRS
  Humidité du sol HRS
  Couleurs/qualité des eaux
    Concentration matières en suspension
    Turbidité
    Concentration en Chlorophylle-a
    Coefficient d'abs. de MO. Présence d'algues toxique
    Débit sédimentaire et d'éléments
  Evapotranspiration
    Flux de chaleur de surface
    Rayonnement net
    Evapotranspiration journalière
    Evapotranspiration décadaire
    Indice de stress
Variables descriptives/observées
  Hauteur des lacs et des rivières
  Surfaces en eau
  Volumes d'eau
  Irrigation (parcelle irriguée)
  Mangrove
  Zones humides
  Occupation des sols
  Espaces (semi-)naturels
    Peupleraie
    Haie
    Surfaces brûlées
    Contours de feux
    Mangrove
    Prairie
  Urbain
    Tache artificialisée
    Empreinte des bâtiments
    Tissus urbains (morpho-types)
    Changements urbains
    Végétation urbaine
Variables modélisées
  Forêt
    Surfaces terrières
    Santé des forêts
    Zone déforestation
    Coupe rase
  Classes paysagères
  Maladies Infectieuses
  Carbone
    Flux nets annuels de CO₂ sur grandes cultures
    Biomasse des grandes cultures
    Rendement
  Propriétés de la végétation (y compris des forêts)
    Fraction de couverture de la végétation
    Surface foliaire (LAI)
    Hauteur/Volume/Biomasse
    Vegetation Optical Depth (Low Res)
    Vegetation Optical Depth (S1)
    Indicateurs phénologiques
    Dynamic Habitat Index
    Stock carbone
    Sévérité des feux
  Evapotranspiration
  Propriétés des Sols
"""
# Concepts that divide a line, or that the deck names in an example of a product.
OURS = {"cdom", "toxic-algae", "sediment-flux", "element-flux", "intermediate-crops"}


def told() -> list[tuple[str, str | None]]:
    """Each line of the deck with the line that it stands under."""
    above: list[str] = []
    found = []
    for line in DECK.strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        above = [*above[:depth], line.strip()]
        found.append((above[-1], above[-2] if depth else None))
    return found


def test_the_tree_is_the_decks() -> None:
    concepts = vocabulary().schemes["variables"].concepts
    label = {one.id: one.labels["fr"] for one in concepts.values()}
    ours = {
        (label[one.id], label[broader]) for one in concepts.values() if one.id not in OURS for broader in one.broader
    }
    assert ours == {(line, above) for line, above in told() if above is not None}
    assert {label[one] for one in concepts if one not in OURS} == {line for line, _ in told()}
    assert {label[one] for one in vocabulary().schemes["variables"].top()} == {
        line for line, above in told() if above is None
    }
    assert all(concepts[one].note for one in OURS)


def test_every_line_stands_in_the_deck_itself() -> None:
    if not SEED.exists():
        pytest.skip("the deck itself is not on this machine: its lines are compared as this test holds them")
    deck = _plain(SEED.read_text(encoding="utf-8"))
    assert [line for line, _ in told() if _plain(line) not in deck] == []
    for centre in vocabulary().schemes["cds"].concepts.values():
        assert centre.deck is not None
        assert _plain(centre.deck) in deck
    for name in ("Bourgogne-Franche-Comté", "Bretagne", "GéoDEV", "Nouvelle-Calédonie", "Languedoc-Roussillon"):
        assert _plain(name) in deck


def _plain(text: str) -> str:
    # The deck's text breaks « y compris » with a bullet.
    return re.sub(r"\s+", " ", text).replace("y - compris", "y compris").casefold()


def test_no_label_is_there_twice_and_none_is_empty() -> None:
    for scheme in vocabulary().schemes.values():
        for language in LANGUAGES:
            labels = [one.labels[language] for one in scheme.concepts.values()]
            assert len(labels) == len({label.casefold() for label in labels}), (scheme.id, language)


def test_what_is_referred_to_is_there() -> None:
    words = vocabulary()
    assert tuple(words.schemes) == SCHEMES
    for one in words:
        assert all(words.find(one.scheme, broader) for broader in one.broader)
        assert all(words.find("themes", theme) for theme in one.themes), one.id
        assert one.id not in {ancestor.id for ancestor in words.ancestors(one.scheme, one.id)}


def test_several_parents_and_several_themes() -> None:
    words = vocabulary()
    assert {one.id for one in words.ancestors("variables", "mangrove")} == {
        "descriptive-variables",
        "semi-natural-spaces",
    }
    assert words.themes_of("mangrove") == ("water", "land")
    assert words.themes_of("stress-index") == ("water", "vegetation-carbon-soils")
    assert words.themes_of("albedo") == ()
    assert words.themes_of("nothing") == ()
    assert words.within("variables", "water-colour") == {
        "water-colour", "suspended-matter", "turbidity", "chlorophyll-a", "cdom-toxic-algae", "cdom", "toxic-algae",
        "sediment-element-flux", "sediment-flux", "element-flux",
    }  # fmt: skip
    assert words.within("variables", "nothing") == words.within("nothing", "water-colour") == frozenset()
    # What is broader than a concept holds all that the concept holds.
    for one in words:
        for broader in one.broader:
            assert words.within(one.scheme, one.id) < words.within(one.scheme, broader)


def test_centres_networks_and_portals() -> None:
    words = vocabulary()
    assert {one.id: one.host for one in words.schemes["cds"].concepts.values()} == {
        "toulouse": "CNES",
        "montpellier": "INRAE-IRD",
        "grenoble": "CNRS OSU Grenoble",
        "strasbourg": "CNRS OSU EOST - Unistra",
    }
    assert {one.id: one.state for one in words.schemes["art"].concepts.values()} == {
        "bourgogne-franche-comte": "active",
        "bretagne": "active",
        "geodev": "active",
        "nouvelle-caledonie-pacifique": None,
        "languedoc-roussillon": None,
    }
    assert len(words.schemes["portals"].concepts) == 6
    assert words.within("portals", "data-terra") == set(words.schemes["portals"].concepts)
    # A centre either has a source of its own or says that it is assumed.
    for centre in words.schemes["ces"].concepts.values():
        assert (centre.source is None) == centre.assumed, centre.id


@pytest.mark.parametrize(
    ("concepts", "fault"),
    [
        ({"a": {"fr": "A", "en": "A", "broader": ["b"]}}, "there are not: b"),
        ({"a": {"fr": "A", "en": "A", "broader": ["b"]}, "b": {"fr": "B", "en": "B", "broader": ["a"]}}, "itself"),
        ({"a": {"fr": "A"}}, "a text in each"),
        ({"a": {"fr": "A", "en": "A", "borader": []}}, "borader"),
        ({"a": {"fr": "A", "en": "A", "state": "asleep"}}, "state"),
        ({"a": {"fr": "A", "en": "A", "alternatives": {"de": ["A"]}}}, "alternatives"),
    ],
)
def test_a_faulty_file_is_refused(concepts: dict[str, Any], fault: str) -> None:
    both = {"fr": "X", "en": "X"}
    with pytest.raises(Misshapen, match=fault):
        scheme_of({"id": "x", "title": both, "description": both, "source": "x", "concepts": concepts})
