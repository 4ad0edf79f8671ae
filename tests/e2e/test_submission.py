"""One request, one job, one reservation: lost answers, races, empty accounts, and an organisation made by hand."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import uuid
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from platforms import Running

pytestmark = pytest.mark.slow


def echo_input(running: Running) -> dict[str, Any]:
    """A minimal request for `echo`, made from its own description."""
    with running.researcher as researcher:
        described = researcher.get("/processing/processes/echo").json()
    name = next(n for n, d in described["inputs"].items() if d["schema"].get("type") == "string")
    return {"inputs": {name: "bonjour"}}


def test_ten_at_once_with_one_key_are_one_job(running: Running) -> None:
    key = uuid.uuid4().hex
    body = echo_input(running)
    headers = {"X-API-Key": running.accounts.researcher, "Idempotency-Key": key, "Prefer": "respond-async"}

    async def submit() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=60) as client:
            return await asyncio.gather(
                *(client.post("/processing/processes/echo/execution", json=body) for _ in range(10))
            )

    answers = asyncio.run(submit())
    assert {answer.status_code for answer in answers} <= {200, 201}, [a.text for a in answers]
    assert len({answer.headers["Location"] for answer in answers}) == 1
    with running.researcher as researcher:
        other = researcher.post(
            "/processing/processes/echo/execution",
            json={"inputs": dict.fromkeys(body["inputs"], "another")},
            headers={"Idempotency-Key": key, "Prefer": "respond-async"},
        )
        assert other.status_code == 422, other.text
        job = answers[0].headers["Location"].rsplit("/", 1)[-1]
        entries = running.ledger(researcher)["entries"]
        assert len([e for e in entries if e.get("job") == job and e["kind"] == "reserve"]) == 1


class LosesTheFirstAnswer(threading.Thread):
    """Forwards bytes to the platform, and cuts the connection of the first execution before its answer passes."""

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(daemon=True)
        self.target, self.lost = target, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.forward, args=(client,), daemon=True).start()

    def forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.target) as server:
            execution = threading.Event()

            def upstream() -> None:
                while data := client.recv(65536):
                    if b"/execution" in data and data.startswith(b"POST"):
                        execution.set()
                    server.sendall(data)

            threading.Thread(target=upstream, daemon=True).start()
            try:
                while data := server.recv(65536):
                    if execution.is_set() and not self.lost:
                        self.lost += 1
                        client.shutdown(socket.SHUT_RDWR)  # a mere close waits for the thread that still reads
                        return
                    client.sendall(data)
            except OSError:
                return


def test_a_lost_answer_and_a_repeated_command_are_one_job(running: Running) -> None:
    parts = urlsplit(running.url)
    proxy = LosesTheFirstAnswer((str(parts.hostname), int(parts.port or 80)))
    proxy.start()
    body = echo_input(running)
    ((name, value),) = body["inputs"].items()
    with running.researcher as researcher:
        before = len(running.ledger(researcher)["entries"])
        key = uuid.uuid4().hex
        arguments = ["submit", "echo", "-i", f"{name}={value}", "--wait", "--json", "--idempotency-key", key]
        first = running.bocage("--url", f"http://127.0.0.1:{proxy.port}", *arguments)
        second = running.bocage(*arguments)
        assert proxy.lost == 1
        assert first.returncode == 0, first.stdout + first.stderr
        assert json.loads(first.stdout)["jobID"] == json.loads(second.stdout)["jobID"]
        entries = running.ledger(researcher)["entries"]
        assert len(entries) - before <= 3
        mine = [e for e in entries if e.get("job") == json.loads(first.stdout)["jobID"]]
        assert len([e for e in mine if e["kind"] == "reserve"]) == 1


def test_a_second_organisation_by_the_command_alone(running: Running) -> None:
    admin = running.accounts.admin

    def command(*arguments: str, key: str = admin, code: int = 0) -> dict[str, Any]:
        done = running.bocage(*arguments, "--json", key=key)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return dict(json.loads(done.stdout))

    organisation = command("admin", "org", "create", "Laboratoire Exemple", "--category", "research")
    person = command(
        "admin", "person", "create", "Ada Exemple", "--org", organisation["slug"], "--role", "representative"
    )
    minted = command(
        "admin", "key", "create", "--person", person["id"], "--purpose", "research", "--scope", "jobs:submit"
    )
    key = minted["key"]
    request = echo_input(running)
    ((name, value),) = request["inputs"].items()
    # No credits yet: refused before anything runs.
    command("submit", "echo", "-i", f"{name}={value}", "--wait", key=key, code=4)
    command("admin", "credits", "create", "50", "--org", organisation["slug"], "--reason", "first year")
    command("admin", "grant", "create", "LicenseRef-Bocage-Demonstration", "--org", organisation["slug"])
    job = command("submit", "echo", "-i", f"{name}={value}", "--wait", key=key)
    assert job["status"] == "successful"
    with running.client(key) as client:
        balance = running.ledger(client)
        assert Decimal(str(balance["balance"]["reserved"])) == 0
        assert Decimal(str(balance["balance"]["settled"])) > 0
        assert "LicenseRef-Bocage-Demonstration" in client.get("/rights/me").text
    told = command("ledger", "--job", job["jobID"], key=key)
    assert [entry["kind"] for entry in told["entries"]] == ["settle", "reserve"]
    assert told["entries"] == command("ledger", "--job", job["jobID"], "--org", organisation["slug"])["entries"]
    command("ledger", "--org", "platform-operator", key=key, code=1)
    assert command("admin", "key", "revoke", minted["id"])
    command("whoami", key=key, code=3)


def test_openapi_names_every_part(running: Running) -> None:
    with running.anonymous as anonymous:
        document = anonymous.get("/openapi.json").json()
        page = anonymous.get("/docs", headers={"Accept": "text/html"})
    for path in ("/stac/search", "/processing/jobs", "/rights/me", "/assets/{collection}/{item}/{asset}"):
        assert path in document["paths"], sorted(document["paths"])
    told = [(path, about) for path, item in document["paths"].items() for about in item.values() if "summary" in about]
    assert not [path for path, about in told if about["x-service"] == "rights" and " " not in about["summary"]]
    inside = ("/identity", "/usage", "/refusals", "/rights/derivations", "/rights/releases", "/rights/signed_grants")
    assert not [path for path in document["paths"] if path.startswith(inside)]
    assert page.status_code == 200
    assert "https://" not in page.text.replace("https://www.w3.org", "")
