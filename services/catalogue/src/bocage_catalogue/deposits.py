"""Deposits as the database keeps them: how far each is, who sees it, and its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bocage_kit.deposits import ACCEPTED, DRAFT, PUBLISHED, RETURNED, SUBMITTED
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem, not_found

from bocage_catalogue.authority import is_administrator
from bocage_catalogue.citation import Publication, citation
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.present import GEOJSON, JSON, Document, Link, link, stac
from bocage_catalogue.tombstones import WHOLE

WITHDRAWN, DISCARDED = "withdrawn", "discarded"
STATES = (DRAFT, SUBMITTED, RETURNED, ACCEPTED, PUBLISHED, WITHDRAWN, DISCARDED)
CITABLE = frozenset((PUBLISHED, WITHDRAWN))
DATACITE = "application/vnd.datacite.datacite+json"

Row = Mapping[str, Any]

# With the collection as it is, or as it was when it was withdrawn.
_COLUMNS = f"""
select d.collection, d.state, d.organisation, d.producer, d.version, d.supersedes, d.reviewer, d.identifier,
    d.published, d.created, d.changed, d.comment, p.identifier as previous, n.collection as superseded_by,
    n.identifier as following, n.state as following_state, coalesce(c.content, t.document) as document,
    t.reason, t.at as withdrawn, t.successor
from catalogue.deposit d
left join pgstac.collections c on c.id = d.collection
left join catalogue.tombstone t on t.collection = d.collection and t.id = '{WHOLE}'
left join catalogue.deposit p on p.collection = d.supersedes
left join catalogue.deposit n on n.supersedes = d.collection and n.state in ('published', 'withdrawn')
"""  # noqa: S608 - SQL of our own
_LISTED = f"""
{_COLUMNS} where ($1 or d.organisation = $2) and d.state = any($3)
order by d.created desc, d.collection limit $4 offset $5
"""
_COUNTED = "select count(*) from catalogue.deposit d where ($1 or d.organisation = $2) and d.state = any($3)"
_HISTORY = "select at, actor, was, became, comment from catalogue.deposit_event where collection = $1 order by id"


def may_follow(identity: Identity, row: Row) -> bool:
    """Whether the caller is told how a deposit fares: the producer's organisation, and reviewers."""
    if identity.anonymous:
        return False
    return is_administrator(identity) or row["organisation"] == identity.organisation


async def found(connection: Connection, name: str) -> Row | None:
    """A deposit, whoever asks."""
    if "\0" in name:
        return None
    rows = await connection.fetch(f"{_COLUMNS} where d.collection = $1", name)
    return rows[0] if rows else None


async def seen(database: Database, identity: Identity, name: str) -> Row:
    """A deposit that the caller follows, or that is published. Raises Problem 404."""
    async with database.reading() as connection:
        row = await found(connection, name)
    if row is None or not (row["state"] in CITABLE or may_follow(identity, row)):
        raise missing(name)
    return row


async def held(connection: Connection, identity: Identity, name: str) -> Row:
    """A deposit that the caller follows, held until the transaction ends. Raises Problem 404."""
    await connection.execute("select 1 from catalogue.deposit where collection = $1 for update", name)
    row = await found(connection, name)
    if row is None or not may_follow(identity, row):
        raise missing(name)
    return row


def missing(name: str) -> Problem:
    return not_found(f"Deposit {name}")


def misplaced(row: Row, *wanted: str) -> Problem:
    """The answer to a step that does not follow from the present state."""
    return Problem(
        409,
        "deposit-state",
        f"The deposit {row['collection']} is {row['state']}; this is for one that is {' or '.join(wanted)}.",
        state=row["state"],
    )


async def listed(
    database: Database, identity: Identity, states: Sequence[str], most: int, offset: int
) -> tuple[list[Row], int]:
    """The deposits that the caller follows, the newest first, and how many there are."""
    among = (is_administrator(identity), identity.organisation, list(states))
    async with database.reading() as connection:
        rows = await connection.fetch(_LISTED, *among, most, offset)
        return rows, await connection.fetchval(_COUNTED, *among)


async def history(database: Database, name: str) -> list[Document]:
    """Who moved a deposit when, in order."""
    async with database.reading() as connection:
        rows = await connection.fetch(_HISTORY, name)
    return [
        {"at": moment(row["at"]), "actor": row["actor"], "from": row["was"], "to": row["became"]}
        | ({"comment": row["comment"]} if row["comment"] else {})
        for row in rows
    ]


def moment(at: Any) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def landing_url(base: str, name: str) -> str:
    """Where an identifier leads: it stays, whatever becomes of the collection."""
    return stac(base, "deposits", name, "landing")


def publication_of(row: Row, base: str, publisher: str) -> Publication:
    """What is cited of a published deposit."""
    return Publication(
        row["identifier"],
        row["version"],
        row["published"],
        publisher,
        landing_url(base, row["collection"]),
        base,
        row["previous"],
        row["following"],
    )


def _links(row: Row, base: str) -> list[Link]:
    name, own = row["collection"], stac(base, "deposits", row["collection"])
    made = [link("self", own), link("root", stac(base))]
    if row["state"] not in (WITHDRAWN, DISCARDED):
        collection = stac(base, "collections", name)
        made += [link("collection", collection), link("items", f"{collection}/items", GEOJSON)]
        made.append(link("validation", f"{own}/validation"))
    if row["state"] in CITABLE:
        made += [
            link("about", f"{own}/landing", "text/html"),
            link("describedby", f"{own}/datacite", DATACITE),
        ]
    steps = {
        DRAFT: "submission",
        RETURNED: "submission",
        SUBMITTED: "review",
        ACCEPTED: "publication",
    }
    if (step := steps.get(row["state"])) is not None:
        made.append(link(step, f"{own}/{step}", JSON, method="POST"))
    for rel, other in (("predecessor-version", row["supersedes"]), ("successor-version", row["superseded_by"])):
        if other is not None:
            made.append(link(rel, stac(base, "deposits", other)))
    return made


def told(row: Row, identity: Identity, publisher: str, events: list[Document] | None = None) -> Document:
    """A deposit as the caller is told of it; what led to its publication is for those who follow it."""
    base, document = identity.public_base, row["document"] or {}
    made: Document = {
        "id": row["collection"],
        "state": row["state"],
        "title": document.get("title"),
        "version": row["version"],
        "supersedes": row["supersedes"],
        "superseded_by": row["superseded_by"],
        "links": _links(row, base),
    }
    if row["identifier"] is not None:
        made["identifier"] = row["identifier"]
    if row["state"] in CITABLE:
        made["published"] = moment(row["published"])
        made["citation"] = citation(document, publication_of(row, base, publisher))
    if row["withdrawn"] is not None:
        made |= {"withdrawn": moment(row["withdrawn"]), "reason": row["reason"]}
    if may_follow(identity, row):
        names = ("organisation", "producer", "reviewer", "comment")
        made |= {name: row[name] for name in names}
        made |= {"created": moment(row["created"]), "changed": moment(row["changed"])}
        if events is not None:
            made["history"] = events
    return made
