"""The services behind their sockets: one pool of connections each, and patience while one restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from bocage_kit.problems import Problem
from yarl import URL

from bocage_gateway.headers import Headers
from bocage_gateway.line import Answer, BrokenLine, Heads, Line

_FIELD_BYTES = 64 * 1024
_KEEP_ALIVE_SECONDS = 30  # below the services' own 75: a request never meets a connection that is being closed
_CONNECTIONS = 512
_CONNECT_SECONDS = 5


def unavailable(service: str) -> Problem:
    return Problem(
        503,
        "service-unavailable",
        f"The {service} service does not answer; it may be restarting. Try again in a moment.",
        headers={"Retry-After": "2"},
        service=service,
    )


def broke_off(service: str) -> Problem:
    problem = unavailable(service)
    return Problem(
        502,
        "service-broke-off",
        f"The {service} service broke off before it answered; it may have restarted. Check whether the request took"
        " effect, then try again.",
        headers=problem.headers,
        service=service,
    )


def too_slow(service: str) -> Problem:
    return Problem(
        504,
        "service-too-slow",
        f"The {service} service did not answer in time. Ask for less at once, or try again later.",
        headers={"Retry-After": "10"},
        service=service,
    )


class Upstream:
    """One service. Make it inside a running event loop."""

    def __init__(self, service: str, socket: Path, patience: float) -> None:
        self.service, self._patience = service, patience
        self._down_since: float | None = None
        self._socket, self._host = str(socket), service.encode()
        self._loop = asyncio.get_running_loop()
        self._lines: list[Line] = []
        self._heads = Heads()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(socket), limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_SECONDS),
            auto_decompress=False,  # bytes pass through untouched
            cookie_jar=aiohttp.DummyCookieJar(),  # never mix the cookies of two callers
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            max_line_size=_FIELD_BYTES,
            max_field_size=_FIELD_BYTES,
        )

    async def at_once(
        self, method: str, target: bytes, headers: Headers, body: bytes, *, replayable: bool, again: bool = False
    ) -> Answer:
        """As `request`, for a request that is sent in one piece. Raises Problem or BrokenLine.

        What is asked `again` goes on a new connection: others may have ended with the one that broke. It waits a
        moment, since a process that is being killed lets go of its connections before it stops taking new ones.
        """
        pause, replays = 0.05, 1 if replayable else 0
        if again:
            await asyncio.sleep(pause)
        while True:
            try:
                line = None if again else self.idle()
                line = line or await self._connected()
            except OSError:
                if not self._worth_waiting():
                    raise unavailable(self.service) from None
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.4)
                continue
            answer = line.ask(method.encode(), target, self._host, headers, body)
            try:
                await answer.head()
            except BrokenLine:
                line.close()
                if replays == 0:
                    raise
                replays, again = replays - 1, True
                await asyncio.sleep(pause)
            except BaseException:
                line.close()
                raise
            else:
                self._down_since = None
                return answer

    def idle(self) -> Line | None:
        """The connection that was used last, unless it has been idle for so long that the service may be closing it."""
        oldest = self._loop.time() - _KEEP_ALIVE_SECONDS
        while self._lines:
            line = self._lines.pop()
            if line.open and line.idle_since > oldest:
                return line
            line.close()
        return None

    async def _connected(self) -> Line:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, line = await asyncio.get_running_loop().create_unix_connection(
                lambda: Line(self._lines, self._heads), self._socket
            )
        return line

    async def request(
        self,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: AsyncIterable[bytes] | bytes | None = None,
        *,
        replayable: bool,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the response once its head is there.

        A refused connection is tried again for a while, whatever the method, since nothing was sent. A connection that
        breaks before the response is tried again once, and only when `replayable`. Raises Problem or aiohttp's errors.
        """
        url = URL(f"http://{self.service}{target}", encoded=True)
        pause, replays = 0.05, 1 if replayable else 0
        while True:
            try:
                response = await self._session.request(method, url, headers=headers, data=body, allow_redirects=False)
            except aiohttp.ClientConnectorError:
                if not self._worth_waiting():
                    raise unavailable(self.service) from None
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.4)
            except (aiohttp.ClientError, OSError):
                if replays == 0:
                    raise
                replays -= 1
            else:
                self._down_since = None
                return response

    def _worth_waiting(self) -> bool:
        """Requests wait for a service that has just gone; they fail at once when it stays away."""
        now = asyncio.get_running_loop().time()
        if self._down_since is None:
            self._down_since = now
        return now - self._down_since < self._patience

    async def ask(self, path: str, seconds: float, headers: list[tuple[str, str]] | None = None) -> tuple[int, bytes]:
        """Status and body of one GET, without patience. Raises aiohttp's errors, OSError or TimeoutError."""
        async with (
            asyncio.timeout(seconds),
            self._session.get(URL(f"http://{self.service}{path}", encoded=True), headers=headers) as response,
        ):
            return response.status, await response.read()

    @asynccontextmanager
    async def stream(self, path: str, silence: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an endless GET; TimeoutError when none comes for `silence` seconds."""
        url = URL(f"http://{self.service}{path}", encoded=True)
        async with asyncio.timeout(silence):
            response = await self._session.get(url)
        async with response:
            if response.status != 200:
                raise aiohttp.ClientPayloadError(f"status {response.status}")

            async def lines() -> AsyncIterator[bytes]:
                while True:
                    async with asyncio.timeout(silence):
                        line = await response.content.readline()
                    if not line:
                        return
                    yield line

            yield lines()

    async def close(self) -> None:
        for line in list(self._lines):
            line.close()
        await self._session.close()
