"""Work for a client that is still there: when it leaves, what the database does for it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

# What takes no longer is not worth the watching.
_SECONDS = 0.2


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


@asynccontextmanager
async def attended(request: Request) -> AsyncIterator[None]:
    """Breaks off what is done within when the client leaves. Raises ClientLeft."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    watchers: list[asyncio.Task[None]] = []
    left = False

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    timer = loop.call_later(_SECONDS, lambda: watchers.append(loop.create_task(watch())))
    try:
        yield
    except asyncio.CancelledError:
        if not left:
            raise
        task.uncancel()
        raise ClientLeft from None
    finally:
        timer.cancel()
        for watcher in watchers:
            watcher.cancel()
