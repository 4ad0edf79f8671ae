"""What a licence lets a holder do: pure functions over what the registry read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from bocage_kit.identity import Category, Level, Purpose

Need = Literal["none", "user", "organisation"]
Standing = Literal["accepted", "outdated", "missing"]
Reason = Literal["missing", "outdated", "purpose", "category", "embargo", "unknown", "unverified"]

CATEGORIES: frozenset[str] = frozenset(get_args(Category))


@dataclass(frozen=True)
class Terms:
    """The version of a licence that is in force."""

    licence: str
    version: str
    needs: Need
    purposes: frozenset[str]
    categories: frozenset[str]
    fallback: Level = Level.METADATA
    """What is left to those who do not fulfil the terms."""
    embargo_until: datetime | None = None
    embargo_from: datetime | None = None

    def under_embargo(self, now: datetime) -> bool:
        begun = self.embargo_from is None or self.embargo_from <= now
        return begun and self.embargo_until is not None and now < self.embargo_until


@dataclass(frozen=True)
class Holder:
    """Who asks, and for what. Without a category it is an anonymous caller."""

    category: Category | None = None
    purpose: Purpose = "undeclared"
    verified: bool = True
    """Of the organisation: while it is not, nothing that needs acceptance is held."""


ANONYMOUS = Holder()


@dataclass(frozen=True)
class Act:
    """An acceptance or its withdrawal, in the order of time; `by_organisation` when made for all of its people."""

    version: str
    accepts: bool
    by_organisation: bool


def standing(versions: Sequence[tuple[str, bool]], acts: Sequence[Act], needs: Need) -> Standing:
    """Where the holder stands with the last of `versions`, given as (version, whether it must be accepted anew).

    A person's own acceptance suffices where `user` is needed; the organisation's suffices everywhere.
    """
    found: list[Standing] = []
    for by_organisation in (True, False):
        if not by_organisation and needs == "organisation":
            continue
        own = [act for act in acts if act.by_organisation is by_organisation]
        if own and own[-1].accepts:
            names = [version for version, _ in versions]
            later = versions[names.index(own[-1].version) + 1 :] if own[-1].version in names else versions
            found.append("outdated" if any(anew for _, anew in later) else "accepted")
    if "accepted" in found:
        return "accepted"
    return "outdated" if found else "missing"


def refusal(terms: Terms, holder: Holder, stands: Standing, now: datetime) -> Reason | None:
    """Why `holder` may not go beyond the fallback level; None when it may."""
    if terms.under_embargo(now):
        return "embargo"
    if holder.category is None:
        # Nobody accepts anything anonymously, and what is kept for some categories is not for the unknown.
        if terms.needs != "none":
            return "missing"
        if not terms.categories.issuperset(CATEGORIES):
            return "category"
    elif holder.category not in terms.categories:
        return "category"
    if holder.purpose not in terms.purposes:
        return "purpose"
    if terms.needs != "none" and not holder.verified:
        return "unverified"
    if terms.needs != "none" and stands != "accepted":
        return stands
    return None


def highest(terms: Terms, holder: Holder, stands: Standing, now: datetime) -> Level:
    """The highest level granted. Whatever anonymous may do, every holder may."""
    allowed = refusal(terms, holder, stands, now) is None or refusal(terms, ANONYMOUS, "missing", now) is None
    return Level.JOB if allowed else terms.fallback
