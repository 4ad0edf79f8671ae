"""What every answer has, whichever route makes it: HEAD wherever GET is, and by which headers it was chosen."""

from __future__ import annotations

from bocage_kit.language import ENGLISH, of_scope
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# In the scope of a GET that was a HEAD: what is long to make need not be made.
HEAD = "bocage.head"
VARY = "Accept, Accept-Encoding, Accept-Language"
_VARY = (b"vary", VARY.encode())


class HeadAsGet:
    """Answers HEAD by the GET route; `/stac` is `/stac/`, without a redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == scope.get("root_path", "") + "/stac":
            scope["path"] += "/"
        if scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self.app({**scope, "method": "GET", HEAD: True}, receive, bodiless)


def tell(headers: list[tuple[bytes, bytes]], status: int, scope: Scope) -> None:
    """Add to the headers of an answer by what it was chosen, and its language."""
    headers.append(_VARY)
    if all(name.lower() != b"content-language" for name, _ in headers):
        # Problems are in English, whatever was asked for.
        tongue = ENGLISH if status >= 400 else of_scope(scope)
        headers.append((b"content-language", tongue.encode()))


class Negotiated:
    """Says by what an answer was chosen (Vary) and in which language it is; credentials the gateway adds."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ())]
                tell(headers, message["status"], scope)
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, told)
