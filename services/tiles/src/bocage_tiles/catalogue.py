"""Items as pgSTAC holds them, read with a read-only role and kept for some seconds."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bocage_kit.problems import Problem
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

_ITEM = text("select pgstac.get_item(:item, :collection), pgstac.get_collection(:collection)")


@dataclass(frozen=True)
class Found:
    """An item with its collection; `revision` changes whenever either does."""

    item: Mapping[str, Any]
    collection: Mapping[str, Any]
    revision: str

    @property
    def assets(self) -> Mapping[str, Mapping[str, Any]]:
        return self.item.get("assets") or {}


class Items:
    """Reads items; what is found is kept for `seconds`, what is not found is asked again."""

    def __init__(self, engine: AsyncEngine, seconds: float, limit: int = 2048) -> None:
        self._engine, self._seconds, self._limit = engine, seconds, limit
        self._kept: OrderedDict[tuple[str, str], tuple[float, Found]] = OrderedDict()

    async def get(self, collection: str, item: str) -> Found | None:
        key = (collection, item)
        if (kept := self._kept.get(key)) is not None and time.monotonic() < kept[0]:
            return kept[1]
        found = await self._read(collection, item)
        if found is None:
            self._kept.pop(key, None)
            return None
        self._kept[key] = (time.monotonic() + self._seconds, found)
        self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return found

    async def _read(self, collection: str, item: str) -> Found | None:
        try:
            async with self._engine.connect() as connection:
                row = (await connection.execute(_ITEM, {"item": item, "collection": collection})).one_or_none()
        except SQLAlchemyError as error:
            raise Problem(
                503, "catalogue-unavailable", "The catalogue does not answer; try again.", headers={"Retry-After": "2"}
            ) from error
        if row is None or row[0] is None or row[1] is None:
            return None
        digest = hashlib.sha256(json.dumps([row[0], row[1]], sort_keys=True).encode()).hexdigest()
        return Found(row[0], row[1], digest)
