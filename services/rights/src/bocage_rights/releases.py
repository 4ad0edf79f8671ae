"""Whether the results of a job may be handed out now, and what they were made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from bocage_kit.identity import Category, Identity, Level, Purpose
from bocage_kit.licences import decide, item_licences
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights import audit, recalls
from bocage_rights.catalogue import find
from bocage_rights.registry import entries
from bocage_rights.required import required
from bocage_rights.terms import Holder


@dataclass(frozen=True)
class Asked:
    """A job whose results are ready; `licences` are those of its inputs at submission."""

    job: str
    process: str
    organisation: str
    owner: str
    purpose: Purpose
    inputs: Sequence[tuple[str, str]]
    licences: Sequence[str]


@dataclass
class Hindrance:
    """What stands in the way, in words that say how to mend it, and as data."""

    sentences: list[str] = field(default_factory=list)
    required_terms: list[dict[str, Any]] = field(default_factory=list)
    recalled: list[dict[str, str]] = field(default_factory=list)


_MEND = {
    "missing": "accept it",
    "outdated": "its text has changed: accept it anew",
    "purpose": "it does not allow the purpose {purpose}",
    "category": "it is no longer open to your category of organisation",
    "embargo": "it is under embargo",
    "unknown": "the platform does not know it: ask the operator",
}
_ACCOUNT = text(
    """select o.category, o.state, p.state as person_state, p.id::text as person
         from organisation o left join person p on p.organisation = o.id and p.id = cast(:person as uuid)
        where o.id = cast(:organisation as uuid)"""
)


async def hindrance(connection: AsyncConnection, asked: Asked, base: str) -> Hindrance | None:
    """None when the results may be handed out."""
    found = Hindrance()
    person = _uuid(asked.owner)
    account = (await connection.execute(_ACCOUNT, {"organisation": asked.organisation, "person": person})).one_or_none()
    if account is None or account.state != "active" or account.person_state == "suspended":
        who = "organisation" if account is None or account.state != "active" else "account"
        found.sentences.append(f"the {who} is suspended: ask the operator")
    category: Category = "private" if account is None else account.category
    known = await entries(
        connection, Holder(category, asked.purpose), asked.organisation, account.person if account else None
    )
    granted = {licence: entry.level for licence, entry in known.items()}
    owner = Identity(subject=asked.owner, organisation=asked.organisation, licences=granted)
    licences = set(asked.licences)
    for collection, item in asked.inputs:
        reference = f"{collection}/{item}"
        if (stopped := await recalls.blocked(connection, collection, item)) is not None:
            of = "" if stopped.origin == reference else f" (by the recall of {stopped.origin})"
            found.sentences.append(f"the input {reference} is recalled{of}: {stopped.reason}")
            found.recalled.append({"item": reference, "origin": stopped.origin, "reason": stopped.reason})
        document = await find(connection, collection, item)
        if document is None or document.item is None:
            continue  # taken out of the catalogue since: what was agreed at submission holds
        licences |= set(item_licences(document.collection, document.item))
        condition = await recalls.condition(connection, document, collection, item)
        if (end := decide(owner, (), Level.JOB, condition, datetime.now(UTC)).embargo_until) is not None:
            found.sentences.append(f"the input {reference} is under embargo until {end.isoformat()}")
    found.required_terms = required(known, licences, Level.JOB, base)
    for term in found.required_terms:
        mend = _MEND.get(str(term["reason"]), "it is not granted").format(purpose=asked.purpose)
        until = f" until {term['embargo_until']}" if "embargo_until" in term else ""
        where = f" ({term['accept_url']})" if term.get("acceptance_mends") else ""
        found.sentences.append(f"{term['licence']}: {mend}{until}{where}")
    return found if found.sentences else None


async def record(connection: AsyncConnection, asked: Asked) -> Literal["released", "replay"]:
    """Keep what the results were made of; again does no harm."""
    new = 0
    for collection, item in asked.inputs:
        added = await connection.execute(
            text(
                """insert into lineage (collection, item, input_collection, input_item, job, licences)
                   values (:process, :job, :collection, :item, :job, :licences) on conflict do nothing"""
            ),
            {
                "process": asked.process,
                "job": asked.job,
                "collection": collection,
                "item": item,
                "licences": sorted(set(asked.licences)),
            },
        )
        new += added.rowcount
    return "released" if new or not asked.inputs else "replay"


async def note_hold(connection: AsyncConnection, asked: Asked, found: Hindrance, actor: str) -> None:
    """Chain that results are held, and why: once for each reason, however often it is asked."""
    target, detail = f"job:{asked.job}", {"owner": asked.owner, "because": found.sentences}
    last = text("select detail from audit where kind = 'job' and target = :target order by id desc limit 1")
    if (await connection.execute(last, {"target": target})).scalar_one_or_none() != detail:
        await audit.note(connection, "job", "job.held", target, detail, actor)


def references(names: Iterable[str]) -> list[tuple[str, str]]:
    """`collection/item`, once each."""
    return [(name.partition("/")[0], name.partition("/")[2]) for name in dict.fromkeys(names)]


def _uuid(value: str) -> str | None:
    try:
        return str(UUID(value))
    except ValueError:
        return None
