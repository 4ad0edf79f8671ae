"""In which language a request wants its answer: the platform speaks English and French."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

ENGLISH, FRENCH = "en", "fr"
OFFERED = (ENGLISH, FRENCH)
TRANSLATIONS_FIELD = "bocage:translations"
_LONGEST = 500


def of_scope(scope: Mapping[str, Any]) -> str:
    """What an ASGI request asks for: by the parameter `language`, else by its header, else English."""
    if b"language=" in scope["query_string"]:
        named = parse_qs(scope["query_string"].decode("latin1")).get("language")
        if named:
            return chosen(named[-1])
    return of_headers(scope["headers"])


def of_headers(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """What the headers alone ask for, with names in lower case."""
    for name, value in headers:
        if name == b"accept-language":
            return chosen(value.decode("latin1"))
    return ENGLISH


@lru_cache(1024)
def chosen(accepted: str) -> str:
    """The offered language that `accepted`, an Accept-Language, likes best; what can't be read likes nothing."""
    best, liked = ENGLISH, 0.0
    for part in accepted[:_LONGEST].split(","):
        tag, _, parameter = part.partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        primary = tag.strip().lower().partition("-")[0]
        found = ENGLISH if primary == "*" else primary
        if found in OFFERED and weight > liked:
            best, liked = found, weight
    return best


def own_language(holder: Mapping[str, Any]) -> str:
    """The language of an object's own texts: English, unless its `language` says otherwise."""
    said = holder.get("language")
    code = said.get("code") if isinstance(said, Mapping) else None
    return code.lower().partition("-")[0] if isinstance(code, str) and code else ENGLISH


def texts(holder: Mapping[str, Any], member: str, own: str = ENGLISH) -> dict[str, str]:
    """A text of an object by language: its own, and its translations."""
    found = {own: holder[member]} if isinstance(holder.get(member), str) else {}
    translations = holder.get(TRANSLATIONS_FIELD)
    for code, members in (translations if isinstance(translations, Mapping) else {}).items():
        text = members.get(member) if isinstance(members, Mapping) else None
        if isinstance(text, str):
            found[str(code)] = text
    return found


def best(by_language: Mapping[str, str], wanted: str) -> str:
    """The text in the wanted language, else in English, else in any; empty where there is none."""
    for code in (wanted, ENGLISH, *by_language):
        if by_language.get(code):
            return by_language[code]
    return ""
