"""What the catalogue stores of a collection and an item: read by SQL with rights' read-only role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bocage_kit.audience import ORGANISATION_FIELD, item_visible
from bocage_kit.identity import Identity
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """A collection, and its item when there is one of the name."""

    collection: Document
    item: Document | None

    def seen_by(self, identity: Identity) -> bool:
        return item_visible(identity, self.collection, self.item or {})

    def writable_by(self, identity: Identity) -> bool:
        """Whether the caller uploads files here; results come from services alone."""
        if not may_write_somewhere(identity) or self.collection.get("bocage:write_scope") == "service":
            return False
        if identity.has("catalogue:admin"):
            return True
        return identity.organisation is not None and self.collection.get(ORGANISATION_FIELD) == identity.organisation

    def asset(self, name: str) -> Document | None:
        found = ((self.item or {}).get("assets") or {}).get(name)
        return found if isinstance(found, Mapping) else None


def may_write_somewhere(identity: Identity) -> bool:
    return identity.has("catalogue:write") or identity.has("catalogue:admin")


async def find(connection: AsyncConnection, collection: str, item: str) -> Found | None:
    """None when there is no such collection."""
    if "\0" in collection + item:
        return None
    # pgSTAC's functions need its search path; a plan that knows the collection reads one partition and not all.
    await connection.execute(
        text("""select set_config('search_path', 'rights, pgstac, public', true),
                       set_config('plan_cache_mode', 'force_custom_plan', true)""")
    )
    row = (
        await connection.execute(
            text("""select c.content as collection,
                           case when i.id is not null then pgstac.content_hydrate(i) end as item
                      from pgstac.collections c
                      left join pgstac.items i on i.collection = :collection and i.id = :item
                     where c.id = :collection"""),
            {"collection": collection, "item": item},
        )
    ).one_or_none()
    return None if row is None else Found(row.collection, row.item)


async def refers_to(connection: AsyncConnection, collection: str, href: str) -> bool:
    """Whether an item of the collection names this stored object. Reads all its items: for replacements only."""
    found = await connection.execute(
        text("""select 1 from pgstac.items where collection = :collection
                   and jsonb_path_exists(content -> 'assets', '$.*.href ? (@ == $href)',
                                         jsonb_build_object('href', cast(:href as text))) limit 1"""),
        {"collection": collection, "href": href},
    )
    return found.first() is not None
