"""Concepts of the vocabulary in collections: members `themes` (themes extension) as they are stored and as shown.

Stored is the scheme's relative name, `vocabulary/variables`, and of a concept its id alone; shown are the scheme's
address below the caller's own base, and titles in the caller's language. Schemes of others are left as they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from bocage_kit.problems import Problem
from bocage_kit.urls import public_url
from bocage_theia.vocabulary import Scheme, vocabulary

Document = dict[str, Any]

THEMES_FIELD = "themes"
THEMES = "https://stac-extensions.github.io/themes/v1.0.0/schema.json"
_FOLDER = "vocabulary/"
# What is made for each answer, and so taken off what is written.
_MADE = ("title", "url")


def scheme_url(base: str, scheme: str) -> str:
    return public_url(base, "stac", "vocabulary", scheme)


def concept_url(base: str, scheme: str, concept: str) -> str:
    return public_url(base, "stac", "vocabulary", scheme, concept)


def key_of(scheme: str, concept: str) -> str:
    """A concept as the database knows it."""
    return f"{scheme}/{concept}"


def plain(text: str) -> str:
    """Without accents and case."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in apart if not unicodedata.combining(sign))


def close(scheme: Scheme, written: str) -> list[str]:
    """Ids of a scheme that `written` may have meant: by id, or by any of its names."""
    names = {
        plain(name): one.id for one in scheme.concepts.values() for name in (*one.names, one.id.replace("-", " "))
    } | {one: one for one in scheme.concepts}
    found = get_close_matches(plain(written), names, 6, 0.7)
    return list(dict.fromkeys(names[name] for name in found))[:3]


def unknown(at: str, scheme: Scheme, written: str) -> Problem:
    """The refusal of an id that a scheme does not hold."""
    suggestions = close(scheme, written)
    listed = f"/stac/vocabulary/{scheme.id} lists what there is."
    meant = f"Did you mean {' or '.join(suggestions)}?" if suggestions else listed
    return Problem(
        400, "unknown-concept", f"{at}: the vocabulary has no {written[:60]!r} in {scheme.id}. {meant}",
        at=at, scheme=scheme.id, concept=written[:60], suggestions=suggestions,
    )  # fmt: skip


def _own(scheme: Any, base: str) -> str | None:
    """The name of a scheme of ours, in either form; None for one of others'."""
    if not isinstance(scheme, str):
        return None
    for start in (_FOLDER, public_url(base, "stac", "vocabulary") + "/"):
        if scheme.startswith(start):
            return scheme.removeprefix(start).rstrip("/")
    return None


def _entries(themes: Any) -> Iterator[Document]:
    for entry in themes if isinstance(themes, list) else ():
        if isinstance(entry, dict):
            yield entry


def _concepts(entry: Document) -> list[Any]:
    found = entry.get("concepts")
    return found if isinstance(found, list) else []


def stored(holder: Document, base: str, at: str = THEMES_FIELD) -> None:
    """Turn the themes of what is written, in place, into those that are kept.

    Raises Problem 400 for a scheme or a concept that the vocabulary does not hold.
    """
    kept: list[Any] = []
    themes = holder.get(THEMES_FIELD)
    if not isinstance(themes, list):
        return
    for place, entry in enumerate(themes):
        name = _own(entry.get("scheme"), base) if isinstance(entry, dict) else None
        if name is None:
            kept.append(entry)
            continue
        scheme = vocabulary().schemes.get(name)
        if scheme is None:
            raise _no_scheme(f"{at}[{place}].scheme", name, vocabulary().schemes)
        concepts: list[Any] = []
        for number, concept in enumerate(_concepts(entry)):
            if not isinstance(concept, dict) or not isinstance(concept.get("id"), str):
                concepts.append(concept)  # which is no concept: the extension's schema says so
                continue
            if concept["id"] not in scheme.concepts:
                raise unknown(f"{at}[{place}].concepts[{number}].id", scheme, concept["id"])
            concepts.append({member: value for member, value in concept.items() if member not in _MADE})
        kept.append({**entry, "scheme": _FOLDER + name} | ({"concepts": concepts} if "concepts" in entry else {}))
    holder[THEMES_FIELD] = kept


def _no_scheme(at: str, name: str, schemes: Iterable[str]) -> Problem:
    suggestions = get_close_matches(name, list(schemes), 1)
    meant = f"Did you mean {suggestions[0]}?" if suggestions else f"There are {', '.join(schemes)}."
    return Problem(
        400, "unknown-scheme", f"{at}: the vocabulary has no scheme {name[:60]!r}. {meant}",
        at=at, suggestions=suggestions,
    )  # fmt: skip


def show(holder: Document, base: str, tongue: str) -> None:
    """Turn the themes that are kept, in place, into those that a caller reads. Never fails on what was loaded."""
    themes = holder.get(THEMES_FIELD)
    if not isinstance(themes, list):
        return
    holder[THEMES_FIELD] = [_shown(entry, base, tongue) for entry in themes]


def _shown(entry: Any, base: str, tongue: str) -> Any:
    scheme = entry.get("scheme") if isinstance(entry, dict) else None
    if not isinstance(scheme, str) or not scheme.startswith(_FOLDER):
        return entry
    name = scheme.removeprefix(_FOLDER)
    return {
        **entry,
        "scheme": scheme_url(base, name),
        "concepts": [_titled(concept, name, base, tongue) for concept in _concepts(entry)],
    }


def _titled(concept: Any, scheme: str, base: str, tongue: str) -> Any:
    known = vocabulary().find(scheme, str(concept.get("id"))) if isinstance(concept, dict) else None
    if known is None:
        return concept
    return {**concept, "title": known.labels[tongue], "url": concept_url(base, scheme, known.id)}
