"""A catalogue in memory and a `rights` that signs and keeps all terms, on the sockets of the real ones: for tests."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from bocage_kit.identity import Identity, new_key, sign
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse


class StandIns:
    """`delay` slows the catalogue's writes down; `refuse` makes it answer 503; `held` is why no result is released."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.key = new_key()
        self.documents: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.delay, self.refuse = 0.0, False
        self.held = ""
        (home / "identity").mkdir(exist_ok=True)
        (home / "run").mkdir(exist_ok=True)
        (home / "secrets").mkdir(exist_ok=True)
        keys = json.dumps({"keys": [self.key.as_dict(private=False)]})
        (home / "identity" / "public-keys.json").write_text(keys)
        (home / "secrets" / "processing.key").write_text("processing.secret")
        self._servers: dict[str, tuple[uvicorn.Server, threading.Thread]] = {}

    def token(self, **identity: Any) -> str:
        return sign(Identity(**identity), self.key)

    def start(self, name: str) -> None:
        app = {"rights": self._rights, "catalogue": self._catalogue}[name]()
        config = uvicorn.Config(app, uds=str(self.home / "run" / f"{name}.sock"), log_level="critical", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        self._servers[name] = (server, thread)

    def stop(self, name: str) -> None:
        server, thread = self._servers.pop(name)
        server.should_exit = server.force_exit = True
        thread.join(5)
        (self.home / "run" / f"{name}.sock").unlink(missing_ok=True)

    def close(self) -> None:
        for name in list(self._servers):
            self.stop(name)

    def _rights(self) -> FastAPI:
        app = FastAPI()

        @app.post("/identity")
        def identity() -> dict[str, Any]:
            scopes = frozenset({"service:*"})
            token = self.token(subject="service:processing", scopes=scopes)
            return {"token": token, "expires": time.time() + 60, "subject": "service:processing", "credential": None}

        @app.post("/rights/derivations")
        def derivations(asked: dict[str, Any]) -> dict[str, Any]:
            """All terms of the inputs stay."""
            kept = {licence for one in asked["inputs"] for licence in one["licences"]}
            own = {asked["process_licence"]} - {None}
            return {
                "licences": {n: sorted(own | (kept if e != "none" else set())) for n, e in asked["outputs"].items()},
                "attribution": "; ".join(sorted({one["attribution"] for one in asked["inputs"]} - {""})),
                "embargo_until": None,
                "audience": {"asked": asked["audience"], "given": asked["audience"]},
                "notes": [],
            }

        @app.post("/rights/releases")
        def releases(asked: dict[str, Any]) -> JSONResponse:
            if self.held:
                return JSONResponse({"code": "held", "detail": self.held, "title": "Results held"}, 409)
            return JSONResponse({"job": asked["job"], "outcome": "released"})

        return app

    def _catalogue(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def note(request: Request, call: Callable[[Request], Awaitable[Any]]) -> Any:
            self.calls.append((request.method, request.url.path))
            if self.refuse:
                return JSONResponse({"title": "away"}, 503)
            if request.method != "GET":
                await asyncio.sleep(self.delay)
            return await call(request)

        @app.get("/stac/{path:path}")
        def get(path: str) -> JSONResponse:
            found = self.documents.get(path)
            return JSONResponse(found or {"code": "NotFound"}, 200 if found else 404)

        @app.put("/stac/{path:path}")
        async def put(path: str, request: Request) -> JSONResponse:
            if path not in self.documents:
                return JSONResponse({"code": "NotFound"}, 404)
            self.documents[path] = await request.json()
            return JSONResponse({}, 200)

        @app.post("/stac/{path:path}")
        async def post(path: str, request: Request) -> JSONResponse:
            document = await request.json()
            place = f"{path}/{document['id']}"
            parent = path.rpartition("/")[0]
            if path.endswith("/items") and parent not in self.documents:
                return JSONResponse({"code": "NotFound"}, 404)
            if place in self.documents:
                return JSONResponse({"code": "Conflict"}, 409)
            self.documents[place] = document
            return JSONResponse(document, 201)

        return app
