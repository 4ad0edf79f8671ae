"""Recalled items and what was made of them, as `rights` lists them: looked at each half second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from bocage_kit.problems import Problem
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

_BLOCKED = text("select collection, item, min(reason) as reason from rights.blocked_item group by collection, item")
_EVERY_SECONDS = 0.5
_BELIEVED_SECONDS = 10.0
_log = logging.getLogger("bocage.tiles.recalls")


class Recalls:
    """A list that could not be renewed for long is believed no more: better no tile than a recalled one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._blocked: Mapping[tuple[str, str], str] = {}
        self._read_at = float("-inf")

    def reason(self, collection: str, item: str) -> str | None:
        """Why an item is blocked; None when it is not. Raises Problem when nobody can tell."""
        if time.monotonic() - self._read_at > _BELIEVED_SECONDS:
            raise Problem(
                503, "recalls-unknown", "The list of recalls can't be read; try again.", headers={"Retry-After": "2"}
            )
        return self._blocked.get((collection, item))

    async def read(self) -> None:
        asked_at = time.monotonic()
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_BLOCKED)).all()
        self._blocked = {(row.collection, row.item): row.reason for row in rows}
        self._read_at = asked_at

    async def follow(self) -> None:
        """Run until cancelled."""
        while True:
            await self.try_to_read()
            await asyncio.sleep(_EVERY_SECONDS)

    async def try_to_read(self) -> None:
        try:
            await self.read()
        except SQLAlchemyError as error:
            _log.warning("recalls not read", extra={"reason": type(error).__name__})
