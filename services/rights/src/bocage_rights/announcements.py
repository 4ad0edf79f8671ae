"""Listens to what the database announces and passes it to every open stream of this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator

import psycopg

CHANNEL = "bocage_rights"
_WAITING = 10_000
_log = logging.getLogger("bocage.rights.announcements")


class Announcements:
    """Streams end when the database can no longer be heard: a silent stream must not pass for good news."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._streams: set[asyncio.Queue[str | None]] = set()
        self._hearing = False

    async def listen(self) -> None:
        """Run until cancelled; reconnects for ever."""
        while True:
            try:
                await self._listen_once()
            except psycopg.Error as error:
                _log.warning("lost the database: %s", type(error).__name__)
            finally:
                self.end_streams()
            await asyncio.sleep(0.2)

    async def _listen_once(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=5, application_name="rights announcements"
        )
        async with connection:
            await connection.execute(f"listen {CHANNEL}")
            self._hearing = True
            async for notice in connection.notifies():
                for stream in list(self._streams):
                    self._put(stream, notice.payload)

    def _put(self, stream: asyncio.Queue[str | None], message: str | None) -> None:
        try:
            stream.put_nowait(message)
        except asyncio.QueueFull:
            # A reader that does not read gets its stream ended; it starts again with nothing held.
            self._streams.discard(stream)

    def end_streams(self) -> None:
        self._hearing = False
        for stream in list(self._streams):
            with contextlib.suppress(asyncio.QueueFull):
                stream.put_nowait(None)
            self._streams.discard(stream)

    def subscribe(self, alive_seconds: float) -> AsyncIterator[bytes] | None:
        """Lines of NDJSON, the first at once; None when nothing can be heard now.

        What is announced after this call is in the lines, however late their reader starts.
        """
        if not self._hearing:
            return None
        queue: asyncio.Queue[str | None] = asyncio.Queue(_WAITING)
        self._streams.add(queue)
        return self._lines(queue, alive_seconds)

    async def _lines(self, queue: asyncio.Queue[str | None], alive_seconds: float) -> AsyncIterator[bytes]:
        try:
            yield _line({"alive": True})
            while queue in self._streams or not queue.empty():
                try:
                    message = await asyncio.wait_for(queue.get(), alive_seconds)
                except TimeoutError:
                    yield _line({"alive": True})
                    continue
                if message is None:
                    return
                yield _line(json.loads(message))
        finally:
            self._streams.discard(queue)


def _line(document: object) -> bytes:
    return json.dumps(document).encode() + b"\n"
