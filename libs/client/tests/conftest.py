"""Real TIFF files, and a small real HTTP server that answers as the platform does."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import uvicorn
from affine import Affine
from bocage_client.cli import run
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from harvest_sources import Served, serving
from rasterio.rpc import RPC

KEY = "bk_researcher.secret"
WriteImage = Callable[..., Path]


def parallel_rpc(tangent: float = 0.1) -> RPC:
    """Northward and eastward rows and columns of 0.5 m near 44 N 5 E, leaning with height to the east."""
    linear = [0.0] * 20
    line, sample = list(linear), list(linear)
    line[2] = -1.0
    sample[1], sample[3] = 1.0, tangent
    return RPC(
        err_bias=0.0, err_rand=0.0, line_off=400.0, samp_off=400.0, lat_off=44.0, long_off=5.0, height_off=300.0,
        line_scale=400.0, samp_scale=400.0, lat_scale=0.0018, long_scale=0.0025, height_scale=200.0,
        line_num_coeff=line, line_den_coeff=[1.0] + [0.0] * 19,
        samp_num_coeff=sample, samp_den_coeff=[1.0] + [0.0] * 19,
    )  # fmt: skip


@pytest.fixture
def write_image(tmp_path: Path) -> WriteImage:
    def write(name: str = "view.tif", **options: Any) -> Path:
        path = tmp_path / name
        size = options.pop("size", 120)
        options.setdefault("rpcs", parallel_rpc())
        pixels = np.random.default_rng(abs(hash(name)) % 1000).integers(1, 4000, (size, size), dtype="uint16")
        with rasterio.open(
            path, "w", driver="GTiff", width=size, height=size, count=1, dtype="uint16",
            **{k: v for k, v in options.items() if v is not None},
        ) as raster:  # fmt: skip
            raster.write(pixels, 1)
        return path

    return write


@pytest.fixture
def crop() -> Callable[[float, float], Affine]:
    return lambda column, row: Affine(1, 0, column, 0, 1, row)


@dataclass
class Stub:
    """What the little server holds and what it was asked."""

    url: str = ""
    collections: dict[str, dict[str, Any]] = field(default_factory=dict)
    items: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_key: dict[str, str] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    lose_answers: int = 0
    unavailable: int = 0
    polls_to_end: int = 2
    ending: dict[str, Any] = field(default_factory=lambda: {"status": "successful", "message": "Done."})
    results: tuple[int, dict[str, Any]] = (200, {"text": "bonjour"})
    refusal: tuple[int, dict[str, Any]] | None = None
    upload_pause: float = 0.0
    retry_after: int = 0
    lose_bulk_answers: int = 0
    cut_exports: int = 0
    accepted: bool = False


def problem(status: int, code: str, detail: str = "It cannot be.", **more: Any) -> JSONResponse:
    document = {"type": f"urn:bocage:problem:{code}", "title": code, "status": status, "detail": detail, "code": code}
    return JSONResponse(document | more, status, media_type="application/problem+json")


async def lost() -> AsyncIterator[bytes]:
    """An answer that its reader never gets whole."""
    yield b"{"
    raise ConnectionResetError


def stub_app(stub: Stub) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def count(request: Request, call_next: Any) -> Response:
        stub.seen[f"{request.method} {request.url.path}"] += 1
        if stub.unavailable > 0:
            stub.unavailable -= 1
            refused = problem(503, "busy")
            if stub.retry_after:
                refused.headers["Retry-After"] = str(stub.retry_after)
            return refused
        if request.headers.get("x-api-key", KEY) != KEY:
            return problem(401, "unauthenticated", "A valid credential is needed.")
        answer: Response = await call_next(request)
        return answer

    @app.get("/rights/me")
    def me(request: Request) -> Any:
        known = "x-api-key" in request.headers
        return {"subject": "ada" if known else "anonymous", "organisation": None, "purpose": "research", "scopes": []}

    @app.get("/rights/licences/{licence}")
    def licence(licence: str) -> Any:
        required = None if stub.accepted else {"accept_url": "x", "reason": "missing"}
        return {
            "id": licence, "version": "1", "text": {"en": f"{stub.url}/text"}, "needs_acceptance": "organisation",
            "text_sha256": {"en": hashlib.sha256(b"Terms.").hexdigest()}, "yours": {"required": required},
        }  # fmt: skip

    @app.post("/rights/licences/{licence}/acceptance", status_code=201)
    async def acceptance(licence: str, request: Request) -> Any:
        assert (await request.json())["text_sha256"] == hashlib.sha256(b"Terms.").hexdigest()
        stub.accepted = True
        return {"licence": licence}

    @app.post("/rights/admin/keys", status_code=201)
    async def key(request: Request) -> Any:
        return {"id": "bk_new", "key": "bk_new.secret", **await request.json()}

    @app.get("/processing/processes/{process}")
    def process(process: str) -> Any:
        if process != "dsm":
            return problem(404, "no-such-process")
        schemas: dict[str, Any] = {
            "images": {"schema": {"type": "array", "items": {"type": "string"}}},
            "resolution": {"schema": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
            "ortho": {"schema": {"type": "boolean"}},
            "text": {"schema": {"type": "string"}},
        }
        return {"id": "dsm", "version": "1", "title": "DSM", "inputs": schemas, "outputs": {}}

    @app.post("/processing/processes/{process}/execution")
    async def execution(process: str, request: Request) -> Any:
        if stub.refusal:
            status, document = stub.refusal
            return JSONResponse({"status": status, **document}, status, media_type="application/problem+json")
        key, body = request.headers["idempotency-key"], await request.json()
        stub.bodies.append(body)
        if key not in stub.by_key:
            stub.by_key[key] = job = str(uuid.uuid4())
            stub.jobs[job] = {"jobID": job, "processID": process, "type": "process", "status": "accepted", "polls": 0}
        if stub.lose_answers > 0:
            stub.lose_answers -= 1
            return StreamingResponse(lost(), 201, headers={"Content-Length": "1000"})
        return JSONResponse(stub.jobs[stub.by_key[key]], 201)

    @app.get("/processing/jobs/{job}")
    def status(job: str) -> Any:
        if job not in stub.jobs:
            return problem(404, "no-such-job")
        found = stub.jobs[job]
        found["polls"] += 1
        if found["status"] != "dismissed":
            found |= {"status": "running", "progress": 10, "message": "Matching."}
            if found["polls"] >= stub.polls_to_end:
                found |= stub.ending
        return found

    @app.delete("/processing/jobs/{job}")
    def dismiss(job: str) -> Any:
        stub.jobs[job]["status"] = "dismissed"
        return stub.jobs[job]

    @app.get("/processing/jobs/{job}/results")
    def results(job: str) -> Any:
        status, document = stub.results
        return JSONResponse(document, status)

    @app.get("/stac/collections/{c}")
    def collection(c: str) -> Any:
        return stub.collections.get(c) or problem(404, "not-found")

    @app.post("/stac/collections", status_code=201)
    async def create(request: Request) -> Any:
        document = await request.json()
        if document["id"] in stub.collections or document["id"] == "hidden":
            return problem(409, "conflict")
        stub.collections[document["id"]] = document
        return document

    @app.get("/stac/collections/{c}/items/{i}")
    def item(c: str, i: str) -> Any:
        return stub.items.get((c, i)) or problem(404, "not-found")

    @app.put("/stac/collections/{c}")
    async def replace(c: str, request: Request) -> Any:
        stub.collections[c] = await request.json()
        return stub.collections[c]

    @app.get("/stac/search")
    def matched() -> Any:
        return {"features": [], "numberMatched": len(stub.items)}

    @app.post("/stac/search")
    async def search(request: Request) -> Any:
        body = await request.json()
        keys = [(c, i) for c in body["collections"] for i in body.get("ids", [i for k, i in stub.items if k == c])]
        return {"features": [stub.items[key] for key in keys if key in stub.items], "links": []}

    @app.post("/stac/export")
    async def export() -> Response:
        content = b"".join(json.dumps(x).encode() + b"\n" for x in stub.items.values())
        cut = stub.cut_exports > 0
        stub.cut_exports -= 1

        async def pieces() -> AsyncIterator[bytes]:
            yield content[: len(content) // 2]
            if cut:
                raise ConnectionResetError
            yield content[len(content) // 2 :]

        headers = {"Content-Length": str(len(content))}
        return StreamingResponse(pieces(), media_type="application/x-ndjson", headers=headers)

    @app.post("/stac/collections/{c}/items", status_code=201)
    async def add(c: str, request: Request) -> Any:
        document = await request.json()
        if document["type"] == "FeatureCollection":
            await asyncio.sleep(stub.upload_pause)
            answer = bulk(stub, c, document["features"], request.query_params["mode"], request.query_params["method"])
            if stub.lose_bulk_answers > 0:
                stub.lose_bulk_answers -= 1
                return StreamingResponse(lost(), 201, headers={"Content-Length": "1000"})
            return answer
        if any(asset["href"] not in stub.objects for asset in document["assets"].values()):
            return problem(400, "asset-href")
        stub.items[c, document["id"]] = document
        return document

    @app.delete("/stac/collections/{c}/items/{i}")
    def delete(c: str, i: str) -> Any:
        return {"deleted": i} if stub.items.pop((c, i), None) else problem(404, "not-found")

    @app.put("/stac/collections/{c}/items/{i}")
    async def update(c: str, i: str, request: Request) -> Any:
        stub.items[c, i] = await request.json()
        return stub.items[c, i]

    @app.api_route("/assets/{path:path}", methods=["PUT", "HEAD", "GET"])
    async def assets(path: str, request: Request) -> Any:
        key = "/assets/" + path
        if path.startswith("foreign/"):
            return problem(403, "not-owner", "The collection belongs to another organisation.")
        if request.method == "PUT":
            digest, content = hashlib.sha256(), b""
            async for chunk in request.stream():
                content += chunk
                digest.update(chunk)
                await asyncio.sleep(stub.upload_pause)
            assert digest.hexdigest() == request.headers["content-sha256"]
            stub.objects[key] = content
            return {"href": stub.url + key, "size": len(content), "sha256": digest.hexdigest()}
        if key not in stub.objects:
            return problem(404, "not-found")
        return _ranged(request, stub.objects[key])

    return app


def bulk(stub: Stub, collection: str, features: list[dict[str, Any]], mode: str, method: str) -> JSONResponse:
    """Many items at once: all or nothing, or each for itself; a result for each."""
    if collection not in stub.collections:
        return problem(404, "not-found", "The collection does not exist.")
    results: list[dict[str, Any]] = []
    for index, feature in enumerate(features):
        known = stub.items.get((collection, feature["id"]))
        said: dict[str, Any] = {"index": index, "id": feature["id"], "status": 201 if known is None else 200}
        if "bad" in feature["properties"]:
            fault = {"field": "properties.bad", "reason": "it is bad"}
            said |= {"status": 400, "code": "invalid-object", "detail": "It is not valid.", "errors": [fault]}
        elif known is not None and method == "insert":
            said |= {"status": 409, "code": "exists"}
        elif known == feature:
            said["unchanged"] = True
        results.append(said)
    refused = [x for x in results if x["status"] >= 400]
    if refused and mode == "all":
        for said in results:
            said |= {"status": 424, "code": "not-written"} if said["status"] < 400 else {}
        return problem(max(x["status"] for x in refused), "refused", results=results)
    for said, feature in zip(results, features, strict=True):
        if said["status"] < 400 and not said.get("unchanged"):
            stub.items[collection, feature["id"]] = feature
    return JSONResponse({"results": results[::-1]}, 207 if mode == "partial" else 201)


def _ranged(request: Request, content: bytes) -> Response:
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Accept-Ranges": "bytes"}
    status, part = 200, content
    if (wanted := request.headers.get("range", "")).startswith("bytes="):
        first, last = wanted.removeprefix("bytes=").split("-")
        end = min(int(last), len(content) - 1) if last else len(content) - 1
        part, status = content[int(first) : end + 1], 206
        headers["Content-Range"] = f"bytes {first}-{end}/{len(content)}"
    headers["Content-Length"] = str(len(part))
    return Response(part if request.method == "GET" else b"", status, headers=headers, media_type="image/tiff")


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None: ...


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stub]:
    stub = Stub()
    server = _Server(uvicorn.Config(stub_app(stub), port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in itertools.count():
        if server.started:
            break
        time.sleep(0.01)
    stub.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    monkeypatch.setenv("BOCAGE_URL", stub.url)
    monkeypatch.setenv("BOCAGE_API_KEY", KEY)
    monkeypatch.setenv("BOCAGE_CONFIG", str(tmp_path / "own" / "client.json"))
    monkeypatch.setenv("BOCAGE_STATE", str(tmp_path / "own" / "state"))
    monkeypatch.setenv("BOCAGE_RETRY_SECONDS", "3")
    yield stub
    server.should_exit = True
    thread.join(5)


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def bocage(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    def call(*arguments: str | Path) -> Done:
        capfd.readouterr()
        code = run([str(x) for x in arguments])
        out, err = capfd.readouterr()
        return Done(int(code), out, err)

    return call


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    with ExitStack() as stack:
        yield lambda dialect, **held: stack.enter_context(serving(Served(**held), dialect))
