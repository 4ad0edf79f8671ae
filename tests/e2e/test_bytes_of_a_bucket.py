"""Bytes that a bucket sends are charged here, once, and what is said of it inside stays inside."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from bocage_deploy.home import Home
from bocage_deploy.platform import Platform
from canary import Target, collection, item
from platforms import LICENCE, Running, free_port
from s3_server import running_s3

from tests.e2e.test_canary import account

pytestmark = pytest.mark.slow
CONTENT = bytes(range(256)) * 4096


@dataclass(frozen=True)
class Frozen:
    running: Running
    target: Target
    key: str

    def charged(self) -> int:
        """Bytes in the statement of the one person who used the collection, by service."""
        with self.running.client(self.key) as client:
            told = client.get("/rights/usage", params={"by": "service"}).json()["usage"]
        return sum(row["bytes"] for row in told if row["service"] in ("assets", "rights"))


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frozen]:
    """A platform whose collection lies in a bucket, with one file in it."""
    root = Path(tempfile.mkdtemp(prefix="bocage-bkt-", dir="/tmp"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOCAGE_") or k == "BOCAGE_ENGINES"}
    environment["BOCAGE_PORT"] = str(free_port())
    environment.pop("DATABASE_URL", None)
    platform = Platform(Home(root), environment, lambda text: None)
    platform.home.make()
    with running_s3(tmp_path_factory.mktemp("s3")) as s3:
        s3.join(root, public_base=s3.address)
        platform.start(with_parent=True, with_engine=False)
        try:
            yield filled(Running(platform, platform.demonstration_accounts()))
        finally:
            platform.stop()
            shutil.rmtree(root, ignore_errors=True)


def filled(running: Running) -> Frozen:
    mark = uuid.uuid4().hex[:8]
    owner, person, (key,) = account(running, f"Frozen {mark}", ["catalogue:write", "jobs:submit"])
    target = Target("", f"frozen{mark}", "one", "", "", "", person["id"], owner["id"], running.url)
    with running.client(key["key"]) as client, running.admin as admin:
        made = client.post("/stac/collections", json=collection(target))
        assert made.status_code == 201, made.text
        set_ = admin.patch(f"/stac/collections/{target.collection}", json={"bocage:store": "frozen"})
        assert set_.is_success, set_.text
        asset = f"{running.url}/assets/{target.reference}/image"
        link = client.post("/rights/sign_urls_put", json={"urls": [asset]}).json()["hrefs"][asset]
        assert httpx.put(link, content=CONTENT).is_success
        made = client.post(f"/stac/collections/{target.collection}/items", json=item(target))
        assert made.status_code == 201, made.text
    return Frozen(running, target, key["key"])


def test_a_redirect_and_a_signature_are_charged_with_the_size(frozen: Frozen) -> None:
    path = f"/assets/{frozen.target.reference}/image"
    with frozen.running.client(frozen.key) as client:
        time.sleep(1.5)
        before = frozen.charged()
        head = client.head(path)
        redirect = client.get(path)
        assert head.status_code == redirect.status_code == 302
        assert httpx.get(redirect.headers["location"]).content == CONTENT
        signed = client.get("/rights/sign", params={"url": f"{frozen.running.url}{path}"})
        assert httpx.get(signed.json()["href"], follow_redirects=True).content == CONTENT, signed.text
        straight = client.get("/rights/sign", params={"url": redirect.headers["location"].partition("?")[0]})
        assert httpx.get(straight.json()["href"]).content == CONTENT, straight.text
        for answer in (head, redirect, signed, straight):
            assert not [name for name in answer.headers if "charged" in name]
        deadline = time.monotonic() + 5
        while (added := frozen.charged() - before) < 3 * len(CONTENT) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert 3 * len(CONTENT) <= added < 3 * len(CONTENT) + 20_000, "once each; a HEAD takes nothing"
        by_collection = client.get("/rights/usage", params={"by": "collection"}).json()["usage"]
        assert any(
            row["collection"] == frozen.target.collection and row["bytes"] >= len(CONTENT) for row in by_collection
        )
    deadline = time.monotonic() + 5
    while (taken := in_register(frozen)) != ("sign", 3, 3 * len(CONTENT)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert taken == ("sign", 3, 3 * len(CONTENT))


def in_register(frozen: Frozen) -> tuple[str, int, int]:
    with frozen.running.admin as admin:
        asked = {"params": {"licence": LICENCE}, "headers": {"Accept": "application/json"}}
        entries = admin.get("/rights/admin/registers", **asked).json()["register"]
    taken = [row for row in entries if row["collection"] == frozen.target.collection]
    assert len(taken) <= 1
    return (taken[0]["kind"], taken[0]["count"], taken[0]["bytes"]) if taken else ("nothing yet", 0, 0)


def test_a_limit_on_bytes_counts_them(frozen: Frozen) -> None:
    with frozen.running.client(frozen.key) as client, frozen.running.admin as admin:
        person = client.get("/rights/me").json()["subject"]
        path = f"/assets/{frozen.target.reference}/image"
        place = client.get(path).headers["location"].partition("?")[0]
        limit = {"person": person, "unit": "bytes", "window": "minute", "amount": len(CONTENT) // 2, "reason": "test"}
        assert admin.post("/rights/admin/quotas", json=limit).status_code == 201
        time.sleep(0.5)
        answers = [client.get(path) for _ in range(3)]
        assert answers[-1].status_code == 429
        assert answers[-1].json()["violated-policies"] == ["bytes-minute"]
        assert client.get("/rights/sign", params={"url": place}).status_code == 429, "nor by signing"
        assert client.get("/rights/quotas").status_code == 200
