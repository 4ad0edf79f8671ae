"""What makes a FastAPI application one of Bocage's services: verified identity, public links, problems, health."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bocage_kit import logs, problems
from bocage_kit.access import OPEN
from bocage_kit.front import Quick
from bocage_kit.identity import HEADER, InvalidIdentity, Verifier
from bocage_kit.quick import Answers, Quickly
from bocage_kit.urls import root_path

_HEADER = HEADER.lower().encode()
_REQUEST_ID = re.compile(rb"^[A-Za-z0-9_-]{8,64}$")


class _Public(NamedTuple):
    """A public base, as a request is made to look."""

    scheme: str
    root: str
    server: tuple[str | None, int]
    host: tuple[bytes, bytes]


@lru_cache(1024)
def _public(public_base: str) -> _Public:
    base = urlsplit(public_base)
    server = (base.hostname, base.port or (443 if base.scheme == "https" else 80))
    return _Public(base.scheme, root_path(public_base), server, (b"host", base.netloc.encode()))


class IdentityMiddleware:
    """Verifies the identity token and makes the request look as the public sees it.

    After it, `request.url_for` and `base_url` of any library are right behind any proxy: scheme, host and root path
    come from the base that the gateway decided. It trusts no other header.
    """

    def __init__(self, app: ASGIApp, verifier: Verifier, exempt: frozenset[str]) -> None:
        self.app, self.verifier, self.exempt = app, verifier, exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        token = sent = b""
        shown = []
        for header in scope["headers"]:
            name = header[0]
            if name == b"host":
                continue
            shown.append(header)
            if name == _HEADER:
                token = header[1]
            elif name == b"x-request-id":
                sent = header[1]
        request_id = sent.decode() if _REQUEST_ID.match(sent) else os.urandom(16).hex()
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        if scope["path"] in self.exempt:
            await self.app(scope, receive, send)
            return
        try:
            identity = self.verifier.verify(token.decode("latin1"))
        except InvalidIdentity:
            refusal = problems.unauthenticated("The request carries no valid identity; call through the gateway.")
            await problems.response(refusal, request_id)(scope, receive, send)
            return
        state["identity"] = identity
        public = _public(identity.public_base)
        scope["scheme"] = public.scheme
        scope["root_path"] = public.root
        scope["path"] = public.root + scope["path"]
        scope["server"] = public.server
        shown.append(public.host)
        scope["headers"] = shown
        started = time.perf_counter()
        status = 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        except Exception as error:
            if status == 0:
                problem = problems.fault(error, request_id)
                await problems.response(problem, request_id)(scope, receive, observed)
            elif status != 500:
                raise  # the answer is broken off: its reader must see that
            # What has been answered goes no further: the server would close the connection, and the next request
            # that the gateway sends on it would be lost.
        finally:
            logs.requests.answered(
                logs.Answered(
                    time.time(),
                    request_id,
                    scope["method"],
                    scope["path"],  # never the query: it may hold a tile token
                    status,
                    round((time.perf_counter() - started) * 1000, 1),
                    identity.subject,
                )
            )


class Fronted(FastAPI):
    """An application whose own middlewares stand before the framework's layers: what one of them answers passes none.

    The framework's answer to an error of ours is left out: `IdentityMiddleware`, the first of them, has one.
    """

    quick: Quick | None = None
    """What answers before the application is called at all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What FastAPI and Starlette do here, in one coroutine instead of two.
        scope["app"] = self
        if self.root_path:
            scope["root_path"] = self.root_path
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        front, self.user_middleware = self.user_middleware, []
        stack: ASGIApp = super().build_middleware_stack()
        assert isinstance(stack, ServerErrorMiddleware)
        stack = stack.app
        for layer in reversed(front):
            stack = layer.cls(stack, *layer.args, **layer.kwargs)
        self.user_middleware = front
        return stack


Health = Callable[[], Awaitable[dict[str, object]]]


def equip(
    app: FastAPI,
    *,
    name: str,
    version: str,
    public_keys: Path,
    health: Health,
    validation_status: int = 422,
    tokenless: frozenset[str] = frozenset(),
    quick: Answers | None = None,
) -> None:
    """Turn `app` into a service. `health` answers `{"status": "ok" | "failing", ...}`; its route is `/healthz`.

    `tokenless` names further paths that carry no identity: those of `rights` that make identities. `quick` answers, as
    the application would, what needs none of its layers.
    """

    async def healthz() -> JSONResponse:
        state = await health()
        return JSONResponse({"service": name, "version": version, **state}, 200 if state.get("status") == "ok" else 503)

    app.add_api_route("/healthz", healthz, methods=["GET"], dependencies=[Depends(OPEN)], include_in_schema=False)
    problems.add_handlers(app, validation_status)
    verifier = Verifier(public_keys)
    app.add_middleware(
        IdentityMiddleware, verifier=verifier, exempt=frozenset({"/healthz", "/openapi.json"}) | tokenless
    )
    if quick is not None:
        assert isinstance(app, Fronted)
        app.quick = Quickly(verifier, quick)
