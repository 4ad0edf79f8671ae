"""What is left of what was withdrawn: why and when, for those who could see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bocage_kit.audience import AUDIENCE_FIELD, ORGANISATION_FIELD, OWNER_FIELD, SHARED_FIELD, visible
from bocage_kit.identity import Identity
from bocage_kit.problems import Problem

from bocage_catalogue.collection_search import collection_rows
from bocage_catalogue.database import Connection, Database
from bocage_catalogue.present import Document, stac

WHOLE = ""
"""In the place of an item's id: the collection itself."""
_FOUND = """
select collection, id, audience, owner, organisation, shared, reason, successor, at, document
from catalogue.tombstone where collection = $1 and (id = $2 or id = '') order by id
"""
_KEPT = """
insert into catalogue.tombstone (
    collection, id, audience, owner, organisation, shared, reason, successor, actor, document
) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""


async def keep(
    connection: Connection,
    identity: Identity,
    collection: str,
    item: str,
    document: Document,
    reason: str,
    successor: str | None,
) -> None:
    """Leave a tombstone of an object, as part of the transaction that removes it."""
    holder = document["properties"] if item else document
    audience = holder.get(AUDIENCE_FIELD) or "public"
    shared = holder.get(SHARED_FIELD)
    await connection.execute(
        _KEPT,
        collection,
        item,
        audience if audience in ("public", "organisation") else "owner",
        holder.get(OWNER_FIELD),
        holder.get(ORGANISATION_FIELD),
        shared if isinstance(shared, list) else None,
        reason,
        successor,
        identity.subject,
        document,
    )


def _seen(identity: Identity, row: Mapping[str, Any]) -> bool:
    owned = {
        AUDIENCE_FIELD: row["audience"],
        OWNER_FIELD: row["owner"],
        ORGANISATION_FIELD: row["organisation"],
        SHARED_FIELD: row["shared"],
    }
    return visible(identity, owned)


async def found(database: Database, identity: Identity, collection: str, item: str = WHOLE) -> Mapping[str, Any] | None:
    """The tombstone of an item, or else of its collection, if the caller could see what it stands for."""
    if "\0" in collection or "\0" in item:
        return None
    async with database.reading() as connection:
        rows = await connection.fetch(_FOUND, collection, item)
    if not rows:
        return None
    by_name = {row["id"]: row for row in rows}
    whole = by_name.get(WHOLE)
    if whole is not None:
        return whole if _seen(identity, whole) else None
    holder = (await collection_rows(database, identity)).get(collection)
    own = by_name.get(item)
    return own if own is not None and holder is not None and holder.visible and _seen(identity, own) else None


def _named(row: Mapping[str, Any]) -> str:
    return f"Item {row['collection']}/{row['id']}" if row["id"] else f"Collection {row['collection']}"


def successor_url(base: str, successor: str | None) -> str | None:
    """Where what took its place is found."""
    if successor is None or "://" in successor:
        return successor
    collection, _, item = successor.partition("/")
    return stac(base, "collections", collection, *(["items", item] if item else []))


def gone(row: Mapping[str, Any], base: str) -> Problem:
    """The answer to whoever asks for what was withdrawn."""
    told: Document = {"reason": row["reason"], "withdrawn": f"{row['at']:%Y-%m-%dT%H:%M:%SZ}"}
    following = ""
    if row["successor"] is not None:
        told["successor"] = successor_url(base, row["successor"])
        following = f" See {told['successor']} in its place."
    detail = f"{_named(row)} was withdrawn: {row['reason'].rstrip('.')}.{following}"
    return Problem(410, "withdrawn", detail, **told)


async def check_missing(database: Database, identity: Identity, collection: str, item: str = WHOLE) -> None:
    """Raises Problem 410 when what is not there was withdrawn, and the caller may know of it."""
    if (row := await found(database, identity, collection, item)) is not None:
        raise gone(row, identity.public_base)


_TAKEN = "select id from catalogue.tombstone where collection = $1 and id = any($2)"


async def taken(connection: Connection, collection: str, items: Sequence[str]) -> set[str]:
    """Those of the ids that withdrawn items had."""
    return {row["id"] for row in await connection.fetch(_TAKEN, collection, list(items))}


def used(collection: str, item: str = WHOLE) -> Problem:
    """Whoever cites an id means what had it."""
    what = f"item {collection}/{item}" if item else f"collection {collection}"
    return Problem(
        409, "withdrawn", f"The id of the withdrawn {what} is not used again: its tombstone stays. Choose another id."
    )


async def check_free(connection: Connection, collection: str, item: str = WHOLE) -> None:
    """Raises Problem 409 for the id of something that was withdrawn."""
    if await taken(connection, collection, [item]):
        raise used(collection, item)
