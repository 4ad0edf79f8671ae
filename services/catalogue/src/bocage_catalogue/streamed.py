"""Long answers: made while they are sent, ended when their reader leaves, and not too many at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager

from bocage_kit.problems import Problem
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

# An export holds a connection and a snapshot of the database, which keeps what was deleted since from being cleared.
AT_ONCE, OF_ONE_CALLER = 4, 2
LONGEST_SECONDS = 3600.0


class Places:
    """How many exports run at once, and how many of one caller."""

    def __init__(self, most: int = AT_ONCE, of_one: int = OF_ONE_CALLER) -> None:
        self._most, self._of_one = most, of_one
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, subject: str) -> Iterator[None]:
        """Raises Problem 503 when all are taken."""
        if self._taken.total() >= self._most or self._taken[subject] >= self._of_one:
            raise Problem(
                503,
                "exports-busy",
                f"At most {self._of_one} exports of one account and {self._most} altogether run at once; try again"
                " when one has ended.",
                headers={"Retry-After": "5"},
            )
        self._taken[subject] += 1
        try:
            yield
        finally:
            self._taken[subject] -= 1


class Streamed(Response):
    """An answer by pieces. What is refused before the first of them is made is refused with a status as ever.

    An error afterwards leaves the answer without its end, so that nobody takes it for the whole.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str]) -> None:
        self.status_code, self.media_type, self.background = 200, media_type, None
        self._pieces = pieces
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending, leaving = asyncio.create_task(self._send(send)), asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()  # of what is done it is nothing
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        async with asyncio.timeout(LONGEST_SECONDS), aclosing(self._pieces):
            piece: bytes | None = await anext(self._pieces, b"")
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while piece is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = await anext(self._pieces, None)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
