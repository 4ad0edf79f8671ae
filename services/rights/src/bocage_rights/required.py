"""What stands between a caller and a licence, in the words that refusals carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bocage_kit.identity import Level
from bocage_kit.urls import public_url

from bocage_rights.registry import Entry

_MENDED_BY_ACCEPTANCE = ("missing", "outdated")


def term(entry: Entry | None, licence: str, base: str) -> dict[str, Any]:
    """One entry of `required_terms`."""
    if entry is None:
        url = public_url(base, "rights", "licences")
        return {"licence": licence, "version": None, "title": licence, "url": url, "reason": "unknown"}
    version = entry.terms.version
    stated: dict[str, Any] = {
        "licence": licence,
        "version": version,
        "title": entry.titles["en"],
        "url": public_url(base, "rights", "licences", licence, "versions", version, "text"),
        "reason": entry.reason or "missing",
        "text_sha256": entry.sha256["en"],
        "accept_url": public_url(base, "rights", "licences", licence, "acceptance"),
        "acceptance_mends": (entry.reason or "missing") in _MENDED_BY_ACCEPTANCE,
    }
    if stated["reason"] == "purpose":
        stated["purposes"] = sorted(entry.terms.purposes)
    if stated["reason"] == "category":
        stated["categories"] = sorted(entry.terms.categories)
    if stated["reason"] == "embargo" and entry.terms.embargo_until is not None:
        stated["embargo_until"] = entry.terms.embargo_until.isoformat()
    return stated


def required(known: Mapping[str, Entry], licences: Iterable[str], level: Level, base: str) -> list[dict[str, Any]]:
    """The terms that are missing for `level`; empty when nothing is."""
    if level is Level.METADATA:
        return []
    asked = sorted(set(licences))
    return [term(known.get(x), x, base) for x in asked if x not in known or known[x].level < level]
