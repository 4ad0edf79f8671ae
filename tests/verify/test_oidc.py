"""Signing in at a certified OpenID Connect server, through the whole platform."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from bocage_deploy.home import Home
from bocage_deploy.platform import Platform
from joserfc.jwk import RSAKey
from platforms import Running, free_port

pytestmark = pytest.mark.verify

VERSION = "9.5.1"  # of the npm package oidc-provider; it runs on Node 20
AUDIENCE = "https://bocage.test/api"
CLIENTS = {
    "ada": ("ada@lab.example.fr", True), "mallory": ("mallory@lab.example.fr", False), "eve": ("eve@else.org", True),
}  # fmt: skip


def installed() -> Path:
    """A folder with the server's packages, kept between runs."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not there, and the OpenID Connect server is an npm package")
    root = Path(os.environ.get("BOCAGE_ENGINES") or Path.home() / ".cache" / "bocage")
    folder = root / f"oidc-provider-{VERSION}"
    if not (folder / "node_modules" / "oidc-provider").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"oidc-provider@{VERSION}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            pytest.skip(f"npm can't install the OpenID Connect server: {done.stderr[-300:]}")
    return folder


@dataclass
class Server:
    folder: Path
    work: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, kid: str) -> None:
        key = RSAKey.generate_key(2048, parameters={"kid": kid, "use": "sig", "alg": "RS256"}, private=True)
        (self.work / "keys.json").write_text(json.dumps({"keys": [key.as_dict(private=True)]}))
        clients = [
            {
                "client_id": name, "client_secret": f"secret of {name}", "grant_types": ["client_credentials"],
                "redirect_uris": [], "response_types": [], "email": email, "verified": verified,
            }
            for name, (email, verified) in CLIENTS.items()
        ]  # fmt: skip
        (self.work / "clients.json").write_text(json.dumps(clients))
        # Packages are looked for beside the script.
        script = self.folder / "oidc_server.mjs"
        shutil.copy(Path(__file__).parent / "oidc_server.mjs", script)
        files = [str(self.work / "keys.json"), str(self.work / "clients.json")]
        log = (self.work / "server.log").open("ab")
        self.process = subprocess.Popen(["node", str(script), str(self.port), *files], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                if httpx.get(f"{self.issuer}/jwks").status_code == 200:
                    return
            except httpx.TransportError:
                assert time.monotonic() < deadline, (self.work / "server.log").read_text()[-2000:]
                time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def token(self, client: str, token_url: str, **more: str) -> str:
        body = {"grant_type": "client_credentials", "resource": AUDIENCE, **more}
        answer = httpx.post(token_url, data=body, auth=(client, f"secret of {client}"))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[Running, Server]]:
    folder = installed()
    root = Path(tempfile.mkdtemp(prefix="bocage-oidc-", dir="/tmp"))
    work = Path(tempfile.mkdtemp(prefix="oidc-"))
    server = Server(folder, work, free_port())
    server.start("first")
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("BOCAGE_")},
        "BOCAGE_PORT": str(free_port()),
        "BOCAGE_OIDC_ISSUERS": server.issuer,
        "BOCAGE_OIDC_AUDIENCE": AUDIENCE,
    }
    environment.pop("DATABASE_URL", None)
    platform = Platform(Home(root), environment, lambda text: None)
    try:
        platform.start(with_parent=True, with_engine=False)
        yield Running(platform, platform.demonstration_accounts()), server
    finally:
        platform.stop()
        server.stop()
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(work, ignore_errors=True)


def test_from_first_login_to_a_job_and_over_a_change_of_keys(opened: tuple[Running, Server]) -> None:
    running, server = opened
    with running.anonymous as public:
        schemes = public.get("/openapi.json").json()["components"]["securitySchemes"]
    token_url = schemes["OAuth2PasswordBearer"]["flows"]["password"]["tokenUrl"]
    assert token_url.startswith(server.issuer) and server.issuer in schemes["OpenIdConnect"]["openIdConnectUrl"]

    def me(client: str, **more: str) -> httpx.Response:
        token = server.token(client, token_url, **more)
        return httpx.get(f"{running.url}/rights/me", headers={"Authorization": f"Bearer {token}"}, timeout=30)

    with running.admin as admin:
        wanted: dict[str, Any] = {"name": "Lab", "category": "research", "email_domains": ["lab.example.fr"]}
        assert admin.post("/rights/admin/organisations", json=wanted).status_code == 201
        assert me("eve").json()["code"] == "account-unknown"
        assert me("mallory").json()["code"] == "account-unknown", "an address that is not verified is none"
        waits = me("ada")
        assert (waits.status_code, waits.json()["code"]) == (403, "account-pending")
        (person,) = admin.get("/rights/admin/people", params={"organisation": "lab"}).json()["people"]
        path = f"/rights/admin/people/{person['id']}"
        assert admin.patch(path, json={"state": "active", "purpose": "research"}).status_code == 200
        grant = {"organisation": "lab", "amount": 10, "reason": "test"}
        assert admin.post("/rights/admin/credits", json=grant).status_code == 201
        answer = me("ada")
        assert answer.status_code == 200, answer.text
        assert answer.json()["subject"] == person["id"] and answer.json()["purpose"] == "research"
        assert answer.json()["scopes"] == ["catalogue:write", "jobs:submit"]
        assert me("ada", scope="jobs:submit rights:manage").json()["scopes"] == ["jobs:submit"]

        bearer = {"Authorization": f"Bearer {server.token('ada', token_url)}"}
        job = {"inputs": {"stringInput": "Value1"}}
        done = httpx.post(f"{running.url}/processing/processes/echo/execution", json=job, headers=bearer, timeout=60)
        assert done.status_code in (200, 201), done.text

        other = server.token("ada", token_url, resource="https://elsewhere.test/api")
        refused = httpx.get(f"{running.url}/rights/me", headers={"Authorization": f"Bearer {other}"})
        assert refused.status_code == 401 and "audience" in refused.json()["detail"]

        server.stop()
        server.start("second")
        deadline = time.monotonic() + 20
        while (answer := me("ada")).status_code != 200:
            assert answer.status_code == 401 and time.monotonic() < deadline, answer.text
            time.sleep(1)

        assert admin.patch(path, json={"state": "suspended"}).status_code == 200
        deadline = time.monotonic() + 1
        while httpx.get(f"{running.url}/rights/me", headers=bearer).status_code == 200:
            assert time.monotonic() < deadline, "a suspended person's tokens stop within a second"
