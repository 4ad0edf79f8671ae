"""Commands about organisations, people and keys, against a small server that keeps what it is asked."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

Asked = list[tuple[str, str, Any]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """(method, path with query, body) of each request; the server answers with what it was sent."""
    seen: Asked = []
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST", "PATCH", "DELETE"])
    async def anything(path: str, request: Request) -> Response:
        content = await request.body()
        query = f"?{request.url.query}" if request.url.query else ""
        seen.append((request.method, f"/{path}{query}", json.loads(content) if content else None))
        if request.method == "DELETE":
            return Response(status_code=204)
        if request.method == "GET":
            return JSONResponse({"keys": [{"id": "bk1", "name": "first", "project": "Ventoux", "made_by": None}]})
        if seen[-1][2].get("name") == "forbidden":
            return JSONResponse({"status": 403, "code": "scope-required", "detail": "No."}, 403)
        return JSONResponse({"id": "bk2", **json.loads(content)}, 201)

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in itertools.count():
        if server.started:
            break
        time.sleep(0.01)
    monkeypatch.setenv("BOCAGE_URL", f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    monkeypatch.setenv("BOCAGE_API_KEY", "bk.secret")
    yield seen
    server.should_exit = True
    thread.join(5)


ADMIN = "/rights/admin"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            ["org", "create", "Lab", "--category", "research", "--unverified", "--representative", "J. Doe",
             "--domain", "lab.fr", "--domain", "lab.org"],
            ("POST", f"{ADMIN}/organisations", {"name": "Lab", "category": "research", "representative": "J. Doe",
             "verified": False, "email_domains": ["lab.fr", "lab.org"]}),
        ),
        (["org", "create", "Lab", "--category", "public"],
         ("POST", f"{ADMIN}/organisations", {"name": "Lab", "category": "public"})),
        (["org", "verify", "a/b", "--reason", "statutes"],
         ("POST", f"{ADMIN}/organisations/a/b/verification", {"state": "verified", "reason": "statutes"})),
        (["org", "refuse", "lab", "--reason", "unknown"],
         ("POST", f"{ADMIN}/organisations/lab/verification", {"state": "refused", "reason": "unknown"})),
        (["person", "create", "CI", "--org", "lab", "--service"],
         ("POST", f"{ADMIN}/people", {"name": "CI", "organisation": "lab", "role": "member", "kind": "service"})),
        (["person", "activate", "p1", "--purpose", "research"],
         ("PATCH", f"{ADMIN}/people/p1", {"state": "active", "purpose": "research"})),
        (["person", "erase", "p1"], ("DELETE", f"{ADMIN}/people/p1", None)),
        (["key", "create", "--person", "p1", "--project", "Ventoux"],
         ("POST", f"{ADMIN}/keys", {"person": "p1", "name": "made by an administrator", "purpose": "undeclared",
          "scopes": [], "project": "Ventoux"})),
    ],
)  # fmt: skip
def test_admin_commands_ask_for_what_they_say(
    asked: Asked, bocage: Callable[..., Any], line: list[str], wanted: tuple[str, str, Any]
) -> None:
    done = bocage("admin", *line, "--json")
    assert done.code == 0, done.err
    assert isinstance(json.loads(done.out), dict)
    assert asked == [wanted]


def test_ones_own_keys(asked: Asked, bocage: Callable[..., Any]) -> None:
    listed = bocage("keys", "list")
    assert listed.code == 0 and "Ventoux" in listed.out
    made = bocage("keys", "create", "laptop", "--scope", "jobs:submit", "--project", "P", "--days", "2", "--json")
    assert made.code == 0 and json.loads(made.out)["id"] == "bk2" and "cannot be shown again" in made.err
    body = asked[-1][2]
    assert body.pop("expires") and body == {"name": "laptop", "scopes": ["jobs:submit"], "project": "P"}
    assert bocage("keys", "revoke", "bk2.secret", "--descendants").code == 0
    assert asked[-1][:2] == ("DELETE", "/rights/keys/bk2?descendants=true"), "a secret pasted by mistake is not sent"
    assert bocage("keys", "revoke", "bk2").code == 0
    assert asked[-1][:2] == ("DELETE", "/rights/keys/bk2")
    refused = bocage("keys", "create", "forbidden", "--json")
    assert refused.code == 3 and json.loads(refused.out)["code"] == "scope-required"


def test_a_reason_is_needed(asked: Asked, bocage: Callable[..., Any]) -> None:
    assert bocage("admin", "org", "refuse", "lab").code == 2
    assert asked == []
