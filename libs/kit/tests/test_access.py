"""Who may call a route: declared on each, and held to."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from bocage_kit import problems
from bocage_kit.access import (
    ACCOUNT,
    ACCOUNT_OR_LINK,
    ANYONE,
    ANYONE_OR_LINK,
    OPEN,
    Caller,
    declared,
    scope,
    undeclared_routes,
)
from bocage_kit.identity import Identity, LinkScope
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

IDENTITIES = {
    "anonymous": Identity(subject="anonymous"),
    "anonymous-with-scope": Identity(subject="anonymous", scopes=frozenset({"jobs:submit"})),
    "ann": Identity(subject="ann"),
    "submitter": Identity(subject="bob", scopes=frozenset({"jobs:submit"})),
    "admin": Identity(subject="root", scopes=frozenset({"admin"})),
    "by-link": Identity(
        subject="ann",
        scopes=frozenset({"admin", "service:*"}),
        link=LinkScope(collection="c", item="i", asset="a", signed=0, expires=1),
    ),
    "service": Identity(subject="service:tiles", scopes=frozenset({"service:*"})),
}


class Pretending:
    """Puts an identity where the service's middleware puts the verified one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = dict(scope.get("headers", ())).get(b"who", b"").decode()
        if sent in IDENTITIES:
            scope.setdefault("state", {})["identity"] = IDENTITIES[sent]
        await self.app(scope, receive, send)


def make_app() -> FastAPI:
    app = FastAPI()

    async def answer(request: Request) -> dict[str, str]:
        return {"path": request.url.path}

    async def tell(caller: Caller) -> str:
        return caller.subject

    app.add_api_route("/open", answer, dependencies=[Depends(OPEN)])
    app.add_api_route("/anyone", tell, dependencies=[Depends(ANYONE)])
    app.add_api_route("/account", tell, dependencies=[Depends(ACCOUNT)])
    app.add_api_route("/submit", tell, dependencies=[Depends(scope("jobs:submit"))])
    app.add_api_route("/file", tell, dependencies=[Depends(ANYONE_OR_LINK)])
    app.add_api_route("/upload", tell, dependencies=[Depends(ACCOUNT_OR_LINK)])
    app.add_api_route("/inner", tell, dependencies=[Depends(scope("service:read"))])
    problems.add_handlers(app)
    app.add_middleware(Pretending)
    return app


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        ("nobody", "/open", 200),
        ("nobody", "/anyone", 401),
        ("nobody", "/account", 401),
        ("nobody", "/submit", 401),
        ("anonymous", "/anyone", 200),
        ("anonymous", "/account", 401),
        ("anonymous", "/submit", 401),
        ("ann", "/account", 200),
        ("ann", "/submit", 403),
        ("submitter", "/submit", 200),
        ("submitter", "/inner", 403),
        ("admin", "/submit", 200),
        ("admin", "/inner", 403),
        ("service", "/inner", 200),
        ("service", "/submit", 403),
    ],
)
async def test_who_may_call(who: str, path: str, status: int) -> None:
    transport = httpx.ASGITransport(make_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get(path, headers={"who": who})
    assert answer.status_code == status
    if status == 401:
        assert "ApiKey" in answer.headers["www-authenticate"]
    if status >= 400:
        document: dict[str, Any] = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert document["status"] == status
        assert document["description"] == document["detail"]
    if status == 403:
        assert document["required_scope"] in ("jobs:submit", "service:read")


@pytest.mark.parametrize("path", ["/anyone", "/account", "/submit", "/inner"])
async def test_signed_links_reach_files_alone(path: str) -> None:
    """Whatever the scopes of the key behind them."""
    transport = httpx.ASGITransport(make_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        refused = await client.get(path, headers={"who": "by-link"})
        assert (refused.status_code, refused.json()["code"]) == (403, "signed-link")
        for open_ in ("/file", "/upload"):
            assert (await client.get(open_, headers={"who": "by-link"})).status_code == 200
        assert (await client.get("/file", headers={"who": "anonymous"})).status_code == 200
        assert (await client.get("/upload", headers={"who": "anonymous"})).status_code == 401


def test_routes_that_say_nothing_are_found() -> None:
    app = make_app()
    assert undeclared_routes(app) == []
    app.add_api_route("/forgotten", lambda: None, methods=["POST"])
    assert undeclared_routes(app) == ["['POST'] /forgotten"]


def test_routers_may_declare_for_all_their_routes() -> None:
    router = APIRouter(dependencies=[Depends(ACCOUNT)])
    router.add_api_route("/x", lambda: None)
    app = FastAPI()
    app.include_router(router, prefix="/inner")
    assert undeclared_routes(app) == []
    included = FastAPI()
    included.include_router(APIRouter())
    bare = APIRouter()
    bare.add_api_route("/y", lambda: None)
    included.include_router(bare, prefix="/inner")
    assert undeclared_routes(included) == ["['GET'] /inner/y"]


def test_the_declaration_of_a_route() -> None:
    routes = {route.path: declared(route) for route in make_app().routes if isinstance(route, APIRoute)}
    assert routes["/open"] is OPEN
    assert routes["/anyone"] is ANYONE
    submit = routes["/submit"]
    assert submit is not None
    assert submit.scope == "jobs:submit"
