"""Reads the licences in force and who accepted them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bocage_kit.identity import Identity, Level
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights.terms import Act, Holder, Reason, Standing, Terms, highest, refusal, standing

_VERSIONS = text(
    """select v.licence, v.version, v.needs_acceptance, v.reaccept, v.purposes, v.categories, v.fallback,
              v.embargo_from, v.embargo_until, v.share_alike, v.url, v.sha256_en, v.sha256_fr, v.valid_from,
              v.attribution_en, v.attribution_fr, v.attribution_derived_en, v.attribution_derived_fr,
              l.title_en, l.title_fr, l.kind, l.demonstration
         from licence_version v join licence l on l.id = v.licence
        where v.valid_from <= now() order by v.licence, v.valid_from, v.version"""
)
_ACTS = text(
    """select licence, version, action, on_behalf from acceptance
        where organisation = cast(:organisation as uuid)
          and (on_behalf = 'organisation' or person = cast(:person as uuid)) order by id"""
)
_VERIFIED = text("select verification = 'verified' from organisation where id = cast(:organisation as uuid)")


@dataclass(frozen=True)
class Entry:
    """A licence as it stands for one caller."""

    terms: Terms
    titles: Mapping[str, str]
    sha256: Mapping[str, str]
    url: str | None
    kind: str
    demonstration: bool
    valid_from: datetime
    share_alike: bool
    attribution: Mapping[str, str | None]
    """Asked for with unaltered data, by language."""
    attribution_derived: Mapping[str, str | None]
    """Asked for with what is made of them."""
    standing: Standing
    level: Level
    reason: Reason | None


def holder_of(identity: Identity) -> Holder:
    return Holder(identity.category, identity.purpose)


async def entries(
    connection: AsyncConnection, holder: Holder, organisation: str | None, person: str | None
) -> dict[str, Entry]:
    """Every licence by its id, decided for `holder`."""
    versions = (await connection.execute(_VERSIONS)).all()
    acts: dict[str, list[Act]] = {}
    if organisation is not None:
        verified = (await connection.execute(_VERIFIED, {"organisation": organisation})).scalar_one_or_none()
        holder = replace(holder, verified=bool(verified))
        for row in await connection.execute(_ACTS, {"organisation": organisation, "person": person}):
            acts.setdefault(row.licence, []).append(
                Act(row.version, row.action == "accept", row.on_behalf == "organisation")
            )
    history: dict[str, list[tuple[str, bool]]] = {}
    for row in versions:
        history.setdefault(row.licence, []).append((row.version, row.reaccept))
    now = datetime.now(UTC)
    found: dict[str, Entry] = {}
    for row in versions:  # the last version of each licence wins
        terms = Terms(
            row.licence,
            row.version,
            row.needs_acceptance,
            frozenset(row.purposes),
            frozenset(row.categories),
            Level(row.fallback),
            row.embargo_until,
            row.embargo_from,
        )
        stands = standing(history[row.licence], acts.get(row.licence, []), terms.needs)
        found[row.licence] = Entry(
            terms,
            {"en": row.title_en, "fr": row.title_fr},
            {"en": row.sha256_en, "fr": row.sha256_fr},
            row.url,
            row.kind,
            row.demonstration,
            row.valid_from,
            row.share_alike,
            {"en": row.attribution_en, "fr": row.attribution_fr},
            {"en": row.attribution_derived_en, "fr": row.attribution_derived_fr},
            stands,
            highest(terms, holder, stands, now),
            refusal(terms, holder, stands, now),
        )
    return found


async def entries_for(connection: AsyncConnection, identity: Identity) -> dict[str, Entry]:
    person = None if identity.anonymous or identity.service else identity.subject
    return await entries(connection, holder_of(identity), identity.organisation, person)


async def levels(
    connection: AsyncConnection, holder: Holder, organisation: str | None, person: str | None
) -> dict[str, Level]:
    """What the identity carries: only what is more than metadata, which everybody has."""
    known = await entries(connection, holder, organisation, person)
    return {licence: entry.level for licence, entry in known.items() if entry.level > Level.METADATA}
