"""The pages that show every decision: category, purpose, licence and level, in English and French. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from bocage_kit.identity import Category, Level, Purpose

from bocage_rights.derivation import RULED, Effect, Rule, rule_for
from bocage_rights.terms import ANONYMOUS, CATEGORIES, Holder, Terms, highest

Language = Literal["en", "fr"]
Cell = Literal["yes", "accepted", "no"]
PAGES: Mapping[Language, str] = {"en": "reference/licence-decisions.md", "fr": "reference/licence-decisions.fr.md"}

_ALL_PURPOSES: frozenset[str] = frozenset(get_args(Purpose))
_DECLARED = frozenset({"research", "public_service", "education"})
_TIMELESS = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LicenceClass:
    """Licences with the same terms. A test holds them equal to what the registry knows from the start."""

    name: Mapping[Language, str]
    licences: tuple[str, ...]
    terms: Terms


CLASSES = (
    LicenceClass(
        {"en": "Open, attribution and share-alike", "fr": "Ouvertes, attribution et partage à l'identique"},
        ("CC0-1.0", "etalab-2.0", "CC-BY-4.0", "CC-BY-SA-4.0"),
        Terms("", "", "none", _ALL_PURPOSES, CATEGORIES, Level.JOB),
    ),
    LicenceClass(
        {"en": "Not for commercial use", "fr": "Sans usage commercial"},
        ("CC-BY-NC-4.0",),
        Terms("", "", "none", _DECLARED, CATEGORIES, Level.PREVIEW),
    ),
    LicenceClass(
        {"en": "Restricted to public bodies and research", "fr": "Restreintes au public et à la recherche"},
        ("LicenseRef-Bocage-Demonstration",),
        Terms("", "", "organisation", _DECLARED, frozenset({"public", "research"})),
    ),
    LicenceClass(
        {"en": "Restricted to those whom the owner admits", "fr": "Restreintes à ceux que le propriétaire admet"},
        ("LicenseRef-Bocage-Restricted",),
        Terms("", "", "organisation", _ALL_PURPOSES, CATEGORIES),
    ),
)


def holders() -> Iterator[Holder]:
    """Everybody there can be, the anonymous first."""
    yield ANONYMOUS
    for category in get_args(Category):
        for purpose in get_args(Purpose):
            yield Holder(category, purpose)


def cell(terms: Terms, holder: Holder, level: Level) -> Cell:
    if highest(terms, holder, "missing", _TIMELESS) >= level:
        return "yes"
    return "accepted" if highest(terms, holder, "accepted", _TIMELESS) >= level else "no"


WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "title": "Who may do what under which licence",
        "intro": "Made from the rules by `python -m bocage_rights.rules --write`; changes by hand are lost. "
        "Licences that an operator adds are listed by `GET /rights/licences`.",
        "legend": "**yes**: at once. **accepted**: once the terms are accepted. **no**: refused, with the reason.",
        "category": "Category", "purpose": "Purpose", "nobody": "without account",
        "yes": "yes", "accepted": "accepted", "no": "no",
        "metadata": "metadata", "preview": "preview", "tile": "tile", "asset": "asset", "job": "job",
        "public": "public", "research": "research", "private": "private", "commercial": "commercial",
        "public_service": "public service", "education": "education", "undeclared": "undeclared",
        "results": "What results inherit",
        "results_intro": "By what an output keeps of its inputs. *assumed* rules act as the stricter outcome until "
        "somebody confirms them; licences without a rule stay.",
        "licence": "Licence", "effect": "Kept", "outcome": "Rule", "status": "Known", "acts": "Acts as",
        "source": "Source",
        "pixels": "pixels", "elevation": "elevation", "index": "index", "statistic": "statistic",
        "keep": "terms stay", "release": "released", "same": "same licence", "forbid": "forbidden",
        "confirmed": "confirmed", "assumed": "assumed",
    },
    "fr": {
        "title": "Qui peut faire quoi sous quelle licence",
        "intro": "Page tirée des règles par `python -m bocage_rights.rules --write` ; les retouches à la main "
        "se perdent. Les licences qu'ajoute un exploitant sont listées par `GET /rights/licences`.",
        "legend": "**oui** : d'emblée. **accepté** : une fois les conditions acceptées. **non** : refusé, motif donné.",
        "category": "Catégorie", "purpose": "Finalité", "nobody": "sans compte",
        "yes": "oui", "accepted": "accepté", "no": "non",
        "metadata": "métadonnées", "preview": "aperçu", "tile": "tuile", "asset": "fichier", "job": "traitement",
        "public": "public", "research": "recherche", "private": "privé", "commercial": "commerciale",
        "public_service": "service public", "education": "enseignement", "undeclared": "non déclarée",
        "results": "Ce dont les résultats héritent",
        "results_intro": "Selon ce qu'une sortie garde de ses entrées. Une règle *supposée* agit comme la plus stricte "
        "tant que personne ne la confirme ; une licence sans règle reste.",
        "licence": "Licence", "effect": "Gardé", "outcome": "Règle", "status": "Connue", "acts": "Agit comme",
        "source": "Source",
        "pixels": "pixels", "elevation": "altitude", "index": "indice", "statistic": "statistique",
        "keep": "conditions gardées", "release": "libéré", "same": "même licence", "forbid": "interdit",
        "confirmed": "confirmée", "assumed": "supposée",
    },
}  # fmt: skip


def pages(rules: Sequence[Rule]) -> dict[str, str]:
    """Content by path below the documentation's folder."""
    return {PAGES[language]: page(rules, language) for language in PAGES}


def page(rules: Sequence[Rule], language: Language) -> str:
    say = WORDS[language]
    lines = [f"# {say['title']}", "", say["intro"], "", say["legend"]]
    for of in CLASSES:
        lines += ["", f"## {of.name[language]}", "", ", ".join(f"`{licence}`" for licence in of.licences), ""]
        levels = [level.name.lower() for level in Level]
        lines += _table([say["category"], say["purpose"], *(say[level] for level in levels)], _rows(of.terms, say))
    lines += ["", f"## {say['results']}", "", say["results_intro"], ""]
    heads = [say[name] for name in ("licence", "effect", "outcome", "status", "acts", "source")]
    lines += _table(heads, _rule_rows(rules, say))
    return "\n".join(lines) + "\n"


def _rows(terms: Terms, say: Mapping[str, str]) -> Iterator[list[str]]:
    for holder in holders():
        category = say["nobody"] if holder.category is None else say[holder.category]
        yield [category, say[holder.purpose], *(say[cell(terms, holder, level)] for level in Level)]


def _rule_rows(rules: Sequence[Rule], say: Mapping[str, str]) -> Iterator[list[str]]:
    known: dict[tuple[str, Effect], Rule] = {(rule.licence, rule.effect): rule for rule in rules}
    for licence in sorted({rule.licence for rule in rules}):
        for effect in RULED:
            rule = rule_for(known, licence, effect)
            source = f"{rule.source} ({rule.date})" if rule.date else rule.source
            words = (say[effect], say[rule.outcome], say[rule.status], say[rule.effective])
            yield [f"`{licence}`", *words, source]


def _table(heads: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
