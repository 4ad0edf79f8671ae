"""Items as pgSTAC holds them, read with a read-only role and kept for some seconds."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bocage_kit.problems import Problem
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from bocage_tiles.styles import Style, read_styles

# So soon after it was read, a name that is not there is not looked for once more.
_AT_ONCE = 1.0
_ITEM = text("select pgstac.get_item(:item, :collection), pgstac.get_collection(:collection)")
_COLLECTION = text("select '{}'::jsonb, pgstac.get_collection(:collection)")


@dataclass(frozen=True)
class Found:
    """An item with its collection; `revision` changes whenever either does. Of a collection alone the item is empty."""

    item: Mapping[str, Any]
    collection: Mapping[str, Any]
    revision: str

    @property
    def assets(self) -> Mapping[str, Mapping[str, Any]]:
        return self.item.get("assets") or {}

    @cached_property
    def described(self) -> Mapping[str, Mapping[str, Any]]:
        """The assets with what `item_assets` says of each; of a collection alone, `item_assets`."""
        said = self.collection.get("item_assets")
        templates: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
        names = self.assets if self.item else templates
        return {name: {**_object(templates.get(name)), **_object(self.assets.get(name))} for name in names}

    @cached_property
    def styles(self) -> Mapping[str, Style]:
        """Read once for each revision; the item's own come before its collection's."""
        holders = (self.item, _object(self.item.get("properties")), self.collection)
        return read_styles(holders, self.described, whole=bool(self.item))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


class Items:
    """Reads items; what is found is kept for `seconds`, what is not found is asked again."""

    def __init__(self, engine: AsyncEngine, seconds: float, limit: int = 2048) -> None:
        self._engine, self._seconds, self._limit = engine, seconds, limit
        self._kept: OrderedDict[tuple[str, str | None], tuple[float, Found]] = OrderedDict()

    async def get(self, collection: str, item: str | None, style: str | None = None) -> Found | None:
        """An item with its collection, or a collection alone. One that is kept without the style is read anew."""
        key = (collection, item)
        now, kept = time.monotonic(), self._kept.get(key)
        if kept is not None and now < kept[0]:
            read = kept[0] - self._seconds
            if style is None or style in kept[1].styles or now < read + _AT_ONCE:
                return kept[1]
        found = await self._read(collection, item)
        if found is None:
            self._kept.pop(key, None)
            return None
        if kept is not None and kept[1].revision == found.revision:
            # As it was: what has been worked out of it holds.
            found = kept[1]
        self._kept[key] = (time.monotonic() + self._seconds, found)
        self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return found

    async def _read(self, collection: str, item: str | None) -> Found | None:
        asked, statement = {"collection": collection}, _COLLECTION
        if item is not None:
            asked, statement = asked | {"item": item}, _ITEM
        try:
            async with self._engine.connect() as connection:
                row = (await connection.execute(statement, asked)).one_or_none()
        except SQLAlchemyError as error:
            raise Problem(
                503, "catalogue-unavailable", "The catalogue does not answer; try again.", headers={"Retry-After": "2"}
            ) from error
        if row is None or row[0] is None or row[1] is None:
            return None
        digest = hashlib.sha256(json.dumps([row[0], row[1]], sort_keys=True).encode()).hexdigest()
        return Found(row[0], row[1], digest)
