"""No secret in any log, error, URL, environment or process list: all of them are searched after real traffic."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from bocage_deploy.cluster import Cluster, find_programs
from platforms import Running

pytestmark = pytest.mark.slow


@dataclass
class Hunt:
    """Secrets by name, and the places that were searched with what was found there."""

    secrets: dict[str, bytes]
    searched: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def search(self, place: str, content: bytes, but: frozenset[str] = frozenset()) -> None:
        self.searched.append(place)
        self.found += [f"{name} in {place}" for name, x in self.secrets.items() if name not in but and x in content]


def secret_half(credential: str) -> bytes:
    return credential.split(".", 1)[1].encode()


def of_the_home(root: Path) -> dict[str, bytes]:
    """Every secret of the platform itself: whatever lies in its private folder."""
    secrets: dict[str, bytes] = {}
    for path in sorted((root / "secrets").iterdir()):
        text = path.read_text().strip()
        if path.suffix == ".json":
            for number, key in enumerate(json.loads(text).get("keys", [])):
                secrets[f"{path.name} d{number}"] = key["d"].encode()
                raw = base64.urlsafe_b64decode(key["d"] + "==")
                secrets[f"{path.name} d{number} hex"] = raw.hex().encode()
        elif path.suffix == ".key":
            secrets[path.name] = secret_half(text)
        else:  # a password file's last field is the password
            secrets[path.name] = text.rsplit(":", 1)[-1].encode()
    for path in root.rglob("*.pgpass"):
        secrets[str(path.relative_to(root))] = path.read_text().strip().rsplit(":", 1)[-1].encode()
    return {name: value for name, value in secrets.items() if len(value) >= 16}


def traffic(running: Running) -> tuple[dict[str, bytes], list[tuple[str, httpx.Response]]]:
    """Keys made, used, refused and revoked; tokens; uploads; jobs good and bad. What was minted, and all answers."""
    secrets: dict[str, bytes] = {}
    answers: list[tuple[str, httpx.Response]] = []

    def ask(client: httpx.Client, method: str, url: str, mints: str = "", **more: Any) -> httpx.Response:
        answer = client.request(method, url, **more)
        answers.append((mints, answer))
        return answer

    for name in ("researcher", "company", "admin"):
        secrets[f"key of the {name}"] = secret_half(getattr(running.accounts, name))
    with running.researcher as researcher, running.admin as admin, running.anonymous as anonymous:
        made = ask(
            researcher, "POST", "/rights/keys", "a key", json={"name": "hunted", "scopes": ["jobs:submit"]}
        ).json()
        secrets["a key"] = secret_half(made["key"])
        token = ask(researcher, "POST", "/rights/tile_tokens", "a tile token", json={"collections": ["echo"]}).json()
        secrets["a tile token"] = secret_half(token["token"])
        for client in (researcher, admin, anonymous):
            for path in ("/", "/openapi.json", "/healthz", "/rights/me", "/rights/keys", "/rights/tile_tokens"):
                ask(client, "GET", path)
            for path in (
                "/rights/admin/keys",
                "/rights/admin/audit",
                "/rights/ledger",
                "/processing/jobs",
                "/stac/search",
            ):
                ask(client, "GET", path)
        for path in ("/tiles/collections/echo/items/none/info", "/tiles/collections/echo/items/none/preview.png"):
            ask(anonymous, "GET", path, params={"token": token["token"]})
            ask(anonymous, "GET", path, params={"token": token["token"] + "x"})
        with running.client(made["key"]) as fresh:
            inputs = {"inputs": {"stringInput": "bonjour"}}
            ask(fresh, "POST", "/processing/processes/echo/execution", json=inputs)
            ask(fresh, "POST", "/processing/processes/echo/execution", json={"inputs": {"integerInput": "no"}})
            ask(fresh, "POST", "/processing/processes/none/execution", json=inputs)
            ask(fresh, "PUT", "/assets/none/none/image", content=b"x")
            # Where keys do not belong.
            ask(anonymous, "GET", "/rights/me", params={"api_key": made["key"]})
            ask(anonymous, "GET", "/rights/me", headers={"Authorization": f"Bearer {made['key']}"})
            ask(anonymous, "GET", "/rights/me", headers={"Cookie": f"key={made['key']}"})
            ask(researcher, "DELETE", f"/rights/keys/{made['key']}")
            ask(researcher, "DELETE", f"/rights/keys/{made['id']}")
            time.sleep(1)
            assert ask(fresh, "GET", "/rights/me").status_code == 401
        wrong = f"{made['id']}.{uuid.uuid4().hex}{uuid.uuid4().hex}"
        secrets["a refused key"] = secret_half(wrong)
        with running.client(wrong) as refused:
            assert ask(refused, "GET", "/rights/me").status_code == 401
            ask(refused, "POST", "/processing/processes/echo/execution", json=inputs)
    return secrets, answers


def processes(root: Path) -> Iterator[psutil.Process]:
    """The supervisor with all below it; and any other process that names this platform's home."""
    supervisor = psutil.Process(int((root / "supervisor.pid").read_text()))
    yield supervisor
    yield from supervisor.children(recursive=True)


def search_processes(hunt: Hunt, root: Path) -> None:
    for process in processes(root):
        for part in ("environ", "cmdline"):
            try:
                content = Path(f"/proc/{process.pid}/{part}").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
            hunt.search(f"{part} of {process.pid}", content)


def search_files(hunt: Hunt, root: Path) -> None:
    """Everything that is kept but the secrets' own folder and the database's binary files."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if relative.parts[0] in ("secrets", "postgres") or path.suffix == ".pgpass" or not path.is_file():
            continue
        hunt.search(str(relative), path.read_bytes())


def search_database(hunt: Hunt, running: Running) -> None:
    """Every row of every table of ours: jobs with their problems, the audit chain, the queue."""
    cluster = Cluster(running.platform.home, find_programs())
    with psycopg.connect(cluster.url(running.platform.database_name)) as connection:
        tables = connection.execute(
            """select format('%I.%I', schemaname, tablename) from pg_tables
                where schemaname in ('rights', 'processing', 'catalogue', 'tiles')"""
        ).fetchall()
        for (table,) in tables:
            rows = connection.execute(f"select t::text from {table} t").fetchall()  # type: ignore[arg-type]
            hunt.search(table, "\n".join(row for (row,) in rows).encode())
        texts = connection.execute("select coalesce(query, '') from pg_stat_activity").fetchall()
        hunt.search("running statements", "\n".join(row for (row,) in texts).encode())


def test_no_secret_lies_about(running: Running) -> None:
    minted, answers = traffic(running)
    root = running.platform.home.root
    hunt = Hunt(of_the_home(root) | minted)
    assert {"pepper", "signing-key.json d0", "tiles.key", "a key", "a tile token"} <= set(hunt.secrets)
    assert sum("pgpass" in name or "password" in name for name in hunt.secrets) >= 4, sorted(hunt.secrets)
    for mints, answer in answers:
        # The answer that mints shows it, once; a request's own address is its sender's.
        hunt.search(
            f"{answer.request.method} {answer.request.url.path}",
            answer.content + str(answer.headers).encode(),
            but=frozenset({mints} if mints else ()),
        )
    time.sleep(1.5)  # batches and logs of the last second
    search_processes(hunt, root)
    search_files(hunt, root)
    search_database(hunt, running)
    assert hunt.found == []
    assert len([x for x in hunt.searched if x.startswith("environ")]) >= 8
    assert len([x for x in hunt.searched if x.startswith("logs/")]) >= 6
    assert {"rights.audit", "rights.api_key"} <= set(hunt.searched)


def test_the_hunt_finds_what_is_planted(running: Running, tmp_path: Path) -> None:
    root = running.platform.home.root
    planted = uuid.uuid4().hex
    hunt = Hunt({"planted": planted.encode()})
    log = root / "logs" / f"planted-{planted[:6]}.log"
    log.write_text(f'{{"message": "key {planted}"}}\n')
    try:
        search_files(hunt, root)
    finally:
        log.unlink()
    assert hunt.found == [f"planted in logs/{log.name}"]
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", planted], env={"LEAK": planted})
    try:
        while planted.encode() not in Path(f"/proc/{child.pid}/cmdline").read_bytes():
            time.sleep(0.01)  # it is still a copy of ourselves
        for part in ("environ", "cmdline"):
            content = Path(f"/proc/{child.pid}/{part}").read_bytes()
            hunt.search(part, content)
    finally:
        child.kill()
        child.wait()
    assert hunt.found[1:] == ["planted in environ", "planted in cmdline"]
