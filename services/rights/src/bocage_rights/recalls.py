"""Recalled items and all that was made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bocage_kit.licences import Condition, condition_of
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bocage_rights.catalogue import Found

_COLUMNS = "id::text, collection, item, reason, recalled_by, at, lifted_by, lifted_at"


@dataclass(frozen=True)
class Blocked:
    """Why an item is blocked: the recalled item, itself or one that it was made of."""

    recall: str
    origin: str
    reason: str


async def blocked(connection: AsyncConnection, collection: str, item: str) -> Blocked | None:
    row = (
        await connection.execute(
            text("select recall::text, collection, item, reason from rights.recalls_of(:collection, :item) limit 1"),
            {"collection": collection, "item": item},
        )
    ).first()
    return None if row is None else Blocked(row.recall, f"{row.collection}/{row.item}", row.reason)


async def condition(connection: AsyncConnection, found: Found, collection: str, item: str) -> Condition:
    """What besides licences stands between callers and an item that was found."""
    stopped = await blocked(connection, collection, item)
    return condition_of(found.collection, found.item, None if stopped is None else stopped.reason)


async def make(connection: AsyncConnection, collection: str, item: str, reason: str, by: str) -> Row[Any] | None:
    """None when the item is recalled already."""
    query = text(
        f"""insert into recall (collection, item, reason, recalled_by) values (:collection, :item, :reason, :by)
            on conflict (collection, item) where lifted_at is null do nothing returning {_COLUMNS}"""  # noqa: S608
    )
    values = {"collection": collection, "item": item, "reason": reason, "by": by}
    return (await connection.execute(query, values)).one_or_none()


async def lift(connection: AsyncConnection, recall: str, by: str) -> Row[Any] | None:
    """None when there is no such recall in force."""
    query = text(
        f"""update recall set lifted_by = :by, lifted_at = clock_timestamp()
             where id = cast(:id as uuid) and lifted_at is null returning {_COLUMNS}"""  # noqa: S608
    )
    return (await connection.execute(query, {"id": recall, "by": by})).one_or_none()


async def listed(connection: AsyncConnection) -> list[Row[Any]]:
    """Newest first, lifted ones too."""
    return list(await connection.execute(text(f"select {_COLUMNS} from recall order by at desc")))  # noqa: S608


async def one(connection: AsyncConnection, recall: str) -> Row[Any] | None:
    query = text(f"select {_COLUMNS} from recall where id = cast(:id as uuid)")  # noqa: S608
    return (await connection.execute(query, {"id": recall})).one_or_none()


async def descendants(connection: AsyncConnection, collection: str, item: str) -> list[Row[Any]]:
    """All that was made of an item, however indirectly, with the jobs that made it."""
    return list(
        await connection.execute(
            text(
                """with recursive below (collection, item) as (
                       select :collection, :item
                       union
                       select l.collection, l.item from below b
                         join lineage l on (l.input_collection, l.input_item) = (b.collection, b.item)
                   )
                   select l.collection, l.item, l.input_collection, l.input_item, l.job, l.licences, l.at
                     from below b join lineage l on (l.input_collection, l.input_item) = (b.collection, b.item)
                    order by l.at, l.collection, l.item"""
            ),
            {"collection": collection, "item": item},
        )
    )
