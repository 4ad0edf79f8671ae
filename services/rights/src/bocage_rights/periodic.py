"""Work that is done again every second, whatever becomes of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

_log = logging.getLogger("bocage.rights.periodic")


async def every(seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` until cancelled, and once more then. A database that is away is waited for."""
    failing = False
    try:
        while True:
            failing = await _once(name, work, failing)
            await asyncio.sleep(seconds)
    finally:
        await _once(name, work, failing)


async def _once(name: str, work: Callable[[], Awaitable[None]], was_failing: bool) -> bool:
    try:
        await work()
    except (SQLAlchemyError, OSError) as error:
        if not was_failing:
            _log.warning("%s: %s", name, type(error).__name__)
        return True
    except Exception:
        # One bad row must not end all later work.
        if not was_failing:
            _log.exception("%s failed", name)
        return True
    return False
