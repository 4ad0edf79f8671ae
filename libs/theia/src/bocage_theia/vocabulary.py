"""The vocabulary: variables, themes, centres, networks, portals and licences, as concepts of schemes.

A concept has labels in French and English, other names, and any number of broader concepts of its scheme.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

SCHEMES = ("variables", "themes", "domains", "cds", "ces", "art", "portals", "licences")
LANGUAGES = ("fr", "en")
STATES = ("active", "discussed", "to-create")
_NONE: Mapping[str, Any] = MappingProxyType({})


def _none() -> Mapping[str, Any]:
    return _NONE


class Misshapen(ValueError):
    """A file of the vocabulary is not what it should be."""


@dataclass(frozen=True, slots=True)
class Contact:
    name: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Concept:
    """One concept. What a fact comes from, if not from its scheme's source, stands in `source` and `sources`."""

    id: str
    scheme: str
    labels: Mapping[str, str]
    # Other names, by language; acronyms are the same in all.
    alternatives: Mapping[str, tuple[str, ...]] = field(default_factory=_none)
    acronyms: tuple[str, ...] = ()
    broader: tuple[str, ...] = ()
    # Of variables: the themes that it is presented under; narrower concepts are under those of their broader ones.
    themes: tuple[str, ...] = ()
    definitions: Mapping[str, str] = field(default_factory=_none)
    source: str | None = None
    sources: Mapping[str, str] = field(default_factory=_none)
    note: str | None = None
    # Follows from something else; no source that was read says it.
    assumed: bool = False
    # Of networks: one of STATES, or None where it is not known.
    state: str | None = None
    host: str | None = None
    # The line of the presentation where the label is another.
    deck: str | None = None
    members: tuple[str, ...] = ()
    contacts: tuple[Contact, ...] = ()
    address: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All labels and other names, each once."""
        others = [name for told in self.alternatives.values() for name in told]
        return tuple(dict.fromkeys([*self.labels.values(), *others, *self.acronyms]))


@dataclass(frozen=True, slots=True)
class Scheme:
    id: str
    title: Mapping[str, str]
    description: Mapping[str, str]
    source: str
    # By id, in the order in which they are presented.
    concepts: Mapping[str, Concept]

    def narrower(self, concept: str) -> tuple[str, ...]:
        return tuple(one.id for one in self.concepts.values() if concept in one.broader)

    def top(self) -> tuple[str, ...]:
        return tuple(one.id for one in self.concepts.values() if not one.broader)


@dataclass(frozen=True)
class Vocabulary:
    """All schemes."""

    schemes: Mapping[str, Scheme]
    _within: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict, repr=False, compare=False)

    def find(self, scheme: str, concept: str) -> Concept | None:
        found = self.schemes.get(scheme)
        return None if found is None else found.concepts.get(concept)

    def within(self, scheme: str, concept: str) -> frozenset[str]:
        """The ids of a concept and of all that are narrower; of an unknown one nothing."""
        key = (scheme, concept)
        if key not in self._within:
            held = self.schemes.get(scheme)
            if held is None or concept not in held.concepts:
                return frozenset()
            self._within[key] = frozenset(_closure(concept, held.narrower))
        return self._within[key]

    def ancestors(self, scheme: str, concept: str) -> tuple[Concept, ...]:
        """All broader concepts, the nearest first; of an unknown concept nothing."""
        held = self.schemes.get(scheme)
        if held is None or concept not in held.concepts:
            return ()
        found = _closure(concept, lambda one: held.concepts[one].broader)
        return tuple(held.concepts[one] for one in found[1:])

    def themes_of(self, variable: str) -> tuple[str, ...]:
        """The themes of a variable and of its broader ones, in the order of the themes."""
        own = self.find("variables", variable)
        if own is None:
            return ()
        # A variable's own themes hold; only one without any is presented under those of its broader ones.
        told = set(own.themes) or {theme for one in self.ancestors("variables", variable) for theme in one.themes}
        return tuple(theme for theme in self.schemes["themes"].concepts if theme in told)

    def __iter__(self) -> Iterator[Concept]:
        for scheme in self.schemes.values():
            yield from scheme.concepts.values()


def _closure(start: str, step: Any) -> list[str]:
    """`start` and all that `step` leads to, the nearest first."""
    found = [start]
    for one in found:
        found += [following for following in step(one) if following not in found]
    return found


@lru_cache(1)
def vocabulary() -> Vocabulary:
    """The vocabulary that this package holds."""
    folder = files("bocage_theia") / "vocabulary"
    texts = {name: (folder / f"{name}.yaml").read_text(encoding="utf-8") for name in SCHEMES}
    return Vocabulary({name: scheme_of(yaml.safe_load(text)) for name, text in texts.items()})


def scheme_of(told: Mapping[str, Any]) -> Scheme:
    """A scheme as its file tells it. Raises Misshapen."""
    name = str(told["id"])
    concepts = {one: _concept(name, one, members) for one, members in told["concepts"].items()}
    for one in concepts.values():
        if missing := [broader for broader in one.broader if broader not in concepts]:
            raise Misshapen(f"{name}/{one.id}: broader concepts that there are not: {', '.join(missing)}")
    scheme = Scheme(name, _both(told["title"], name), _both(told["description"], name), str(told["source"]), concepts)
    for one in concepts:
        if any(one in _closure(narrower, scheme.narrower) for narrower in scheme.narrower(one)):
            raise Misshapen(f"{name}/{one}: is broader than itself")
    return scheme


def _concept(scheme: str, name: str, told: Mapping[str, Any]) -> Concept:
    at = f"{scheme}/{name}"
    known = set(LANGUAGES) | {"describe"} | {one for one in Concept.__dataclass_fields__ if one not in _DERIVED}
    if unknown := told.keys() - known:
        raise Misshapen(f"{at}: members that mean nothing: {', '.join(sorted(unknown))}")
    if told.get("state") not in (None, *STATES):
        raise Misshapen(f"{at}: state must be one of {', '.join(STATES)}")
    alternatives = {language: tuple(names) for language, names in told.get("alternatives", {}).items()}
    if not alternatives.keys() <= set(LANGUAGES):
        raise Misshapen(f"{at}: alternatives are told by {', '.join(LANGUAGES)}")
    return Concept(
        id=name,
        scheme=scheme,
        labels=_both(told, at),
        alternatives=alternatives,
        acronyms=tuple(told.get("acronyms", ())),
        broader=tuple(told.get("broader", ())),
        themes=tuple(told.get("themes", ())),
        definitions=_both(told["describe"], at) if "describe" in told else _NONE,
        source=told.get("source"),
        sources=told.get("sources", _NONE),
        note=told.get("note"),
        assumed=bool(told.get("assumed", False)),
        state=told.get("state"),
        host=told.get("host"),
        deck=told.get("deck"),
        members=tuple(told.get("members", ())),
        contacts=tuple(Contact(**contact) for contact in told.get("contacts", ())),
        address=told.get("address"),
    )


_DERIVED = frozenset(("id", "scheme", "labels", "definitions"))


def _both(told: Mapping[str, Any], at: str) -> Mapping[str, str]:
    texts = {language: told.get(language) for language in LANGUAGES}
    if not all(isinstance(text, str) and text for text in texts.values()):
        raise Misshapen(f"{at}: needs a text in each of {', '.join(LANGUAGES)}")
    return {language: str(text) for language, text in texts.items()}
