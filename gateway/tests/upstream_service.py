"""A service for the gateway's tests, run as a process of its own: `upstream_service.py SOCKET NAME`.

It tells what it received, streams, drips, hangs, dies on demand; as `rights` it gives tokens and streams revocations.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.types import Receive, Scope, Send


class Service:
    """State of one process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = "1.0"
        self.exchanges: list[dict[str, Any]] = []
        self.revoked: set[str] = set()
        self.listeners: set[asyncio.Queue[dict[str, Any]]] = set()
        self.dripping = 0
        self.broken_uploads = 0
        self.failing = False
        self.exchange_seconds = 0.0
        self.tokens = 0
        self.counted: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        action = path.rsplit("/", 1)[1]
        if path == "/identity":
            await self.identity(receive, send)
        elif path == "/identity/revocations":
            await self.revocations(send)
        elif path == "/usage":
            for each in json.loads(await body_of(receive))["counts"]:
                self.counted[each["person"]] = self.counted.get(each["person"], 0) + each["requests"]
            await reply(send, 200, {"used": []})
        elif path == "/healthz":
            state = {"status": "failing" if self.failing else "ok", "version": self.version, "service": self.name}
            extra = {"dispatcher": "ok"} if self.name == "processing" else {}
            await reply(send, 503 if self.failing else 200, state | extra)
        elif path == "/openapi.json":
            await reply(send, 200, self.openapi())
        elif action == "control":
            await self.control(query, send)
        else:
            await getattr(self, f"do_{action}", self.do_echo)(scope, receive, send, query)

    def openapi(self) -> dict[str, Any]:
        prefix = {"catalogue": "stac"}.get(self.name, self.name)
        answer = {"responses": {"200": {"description": f"version {self.version}"}}, "operationId": "read"}
        return {
            "openapi": "3.1.0",
            "info": {"title": self.name, "version": self.version},
            "paths": {f"/{prefix}/echo": {"get": answer}, "/identity": {"post": answer}},
        }

    async def identity(self, receive: Receive, send: Send) -> None:
        shown = json.loads(await body_of(receive))
        self.exchanges.append(shown)
        await asyncio.sleep(self.exchange_seconds)
        secret = shown.get("api_key") or shown.get("tile_token") or shown.get("bearer") or "anonymous.x"
        identifier = secret.split(".")[0]
        if identifier in self.revoked or identifier.startswith("bad"):
            await reply(send, 401, {"detail": "The credential is unknown, expired, revoked or suspended."})
            return
        if identifier == "pending":
            await reply(send, 403, {"code": "account-pending", "detail": "Ask the referent of the lab."})
            return
        if identifier == "away":
            await reply(send, 503, {"code": "provider-unavailable", "detail": "The provider does not answer."})
            return
        self.tokens += 1
        token = f"token-{identifier}-{self.tokens}"
        credential = None if identifier == "anonymous" else identifier
        document: dict[str, Any] = {"token": token, "expires": int(time.time()) + 60, "subject": identifier}
        document["credential"] = credential
        if identifier == "metered":
            limit = {"name": "day", "counted": "person", "unit": "requests", "period": "day", "amount": 10_000}
            document["meter"] = {"person": identifier, "policies": [{**limit, "used": 0}]}
        await reply(send, 200, document)

    async def revocations(self, send: Send) -> None:
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.listeners.add(queue)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"alive": true}\n', "more_body": True})
        while True:
            try:
                event = await asyncio.wait_for(queue.get(), 3)
            except TimeoutError:
                event = {"alive": True}
            if event.get("hang_up"):
                self.listeners.discard(queue)
                await send({"type": "http.response.body", "body": b""})
                return
            await send({"type": "http.response.body", "body": json.dumps(event).encode() + b"\n", "more_body": True})

    async def control(self, query: dict[str, str], send: Send) -> None:
        if "revoke" in query:
            self.revoked.add(query["revoke"])
        if "event" in query:
            for queue in self.listeners:
                queue.put_nowait(json.loads(query["event"]))
        if "version" in query:
            self.version = query["version"]
        if "failing" in query:
            self.failing = query["failing"] == "yes"
        if "exchange_seconds" in query:
            self.exchange_seconds = float(query["exchange_seconds"])
        known = ("exchanges", "dripping", "broken_uploads", "counted")
        await reply(send, 200, {name: getattr(self, name) for name in known} | {"listeners": len(self.listeners)})

    async def do_echo(self, scope: Scope, receive: Receive, send: Send, _: dict[str, str]) -> None:
        told = {
            "service": self.name,
            "method": scope["method"],
            "raw_path": scope["raw_path"].decode("latin1"),
            "query": scope["query_string"].decode("latin1"),
            "headers": [[n.decode("latin1"), v.decode("latin1")] for n, v in scope["headers"]],
            "body": (await body_of(receive)).decode("latin1"),
        }
        more = [
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"connection", b"x-secret-hop"),
            (b"x-secret-hop", b"1"),
            (b"x-accel-redirect", b"/etc/passwd"),
            (b"x-plain", b"kept"),
            (b"access-control-allow-credentials", b"true"),
        ]
        await reply(send, 200, told, more)

    async def do_answer(self, _s: Scope, _r: Receive, send: Send, query: dict[str, str]) -> None:
        """A status of the caller's choice, after a while when asked for."""
        await asyncio.sleep(float(query.get("after", "0")))
        status = int(query["status"])
        headers = [(b"etag", b'"1"'), (b"cache-control", b"max-age=9"), (b"bocage-charged-bytes", b"7")]
        if status in (204, 304):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await reply(send, status, {"status": status}, headers)

    async def do_stream(self, _s: Scope, _r: Receive, send: Send, query: dict[str, str]) -> None:
        total, block = int(query["bytes"]), bytes(range(256)) * 256
        length = [(b"content-length", str(total).encode())] if "length" in query else []
        await send({"type": "http.response.start", "status": 200, "headers": length})
        while total > 0:
            piece = block[:total] if total < len(block) else block
            total -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def do_drip(self, _s: Scope, receive: Receive, send: Send, query: dict[str, str]) -> None:
        self.dripping += 1
        try:
            if "silent" in query:  # the head is withheld: only a watcher of the connection can notice
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            left = asyncio.create_task(gone(receive))
            while not left.done():
                await send({"type": "http.response.body", "body": b"x" * 1024, "more_body": True})
                await asyncio.sleep(0.05)
        finally:
            self.dripping -= 1

    async def do_sink(self, _s: Scope, receive: Receive, send: Send, _: dict[str, str]) -> None:
        digest, size = hashlib.sha256(), 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.broken_uploads += 1
                return
            digest.update(message.get("body", b""))
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        await reply(send, 200, {"size": size, "sha256": digest.hexdigest()})

    async def do_early(self, _s: Scope, _r: Receive, send: Send, _: dict[str, str]) -> None:
        await reply(send, 403, {"detail": "not before I have read it"})

    async def do_hang(self, _s: Scope, receive: Receive, _send: Send, _: dict[str, str]) -> None:
        await gone(receive)

    async def do_die(self, _s: Scope, _r: Receive, send: Send, query: dict[str, str]) -> None:
        if "started" in query:
            length = [(b"content-length", b"1000000")] if "length" in query else []
            await send({"type": "http.response.start", "status": 200, "headers": length})
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
            await asyncio.sleep(0.1)
        os._exit(1)


async def gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def body_of(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def reply(
    send: Send, status: int, document: dict[str, Any], more: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(
        Service(sys.argv[2]),
        uds=sys.argv[1],
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )
