"""What really happened on a platform stands in its audit and in its register, by the command."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from canary import Target, collection, item
from platforms import LICENCE, Running

from tests.e2e.test_canary import account, raster

pytestmark = pytest.mark.slow


def test_taken_refused_and_paid(running: Running, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex[:10]
    owner, person, (key,) = account(running, f"Audited {mark}", ["catalogue:write", "jobs:submit"])
    target = Target("", f"audited{mark}", "one", "", "", "", person["id"], owner["id"], running.url)
    with running.client(key["key"]) as client, running.company as company, running.admin as admin:
        assert client.post("/stac/collections", json=collection(target)).status_code == 201
        assert client.put(f"/assets/{target.reference}/image", content=raster()).status_code == 201
        made = client.post(f"/stac/collections/{target.collection}/items", json=item(target))
        assert made.status_code == 201, made.text
        assert client.get(f"/assets/{target.reference}/image").status_code == 200
        request = {"inputs": {"item": target.reference}}
        assert company.post("/processing/processes/hillshade/execution", json=request).status_code == 403
        info = company.get(f"/tiles/collections/{target.collection}/items/one/preview.png", params={"assets": "image"})
        assert info.status_code == 403
        execution = "/processing/processes/hillshade/execution"
        job = client.post(execution, json=request, headers={"Prefer": "respond-async"}).json()["jobID"]
        engineer = company.get("/rights/me").json()

        def command(*arguments: str, code: int = 0) -> dict[str, Any]:
            done = running.bocage("admin", *arguments, "--json", key=running.accounts.admin)
            assert done.returncode == code, done.stdout + done.stderr
            return dict(json.loads(done.stdout))

        refused = command("audit", "list", "--kind", "job", "--limit", "1000")["audit"]
        mine = [x for x in refused if x["detail"].get("organisation") == engineer["organisation"]["id"]]
        assert {x["action"] for x in mine} == {"job.refused"}
        assert mine[-1]["detail"]["missing"][0]["licence"] == LICENCE
        paid = command("audit", "list", "--kind", "money", "--actor", person["id"])["audit"]
        assert [x["detail"]["job"] for x in paid if x["action"].endswith(".reserve")] == [job]
        time.sleep(1.5)
        denials = admin.get("/rights/admin/denials", params={"licence": LICENCE}).json()["denials"]
        assert [x for x in denials if x["category"] == "private" and x["level"] in ("tile", "preview")]

        output = tmp_path / "register.csv"
        told = command("register", LICENCE, "-o", str(output))
        assert told["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
        assert person["id"] in output.read_text()
        delivered = command("audit", "list", "--kind", "administration", "--limit", "1000")["audit"][-1]
        assert delivered["detail"]["sha256"] == told["sha256"]
        deadline = time.monotonic() + 10
        while (verdict := command("audit", "verify"))["pending"] and time.monotonic() < deadline:
            time.sleep(0.5)
        assert verdict["intact"]
        assert command("audit", "verify", "--head", verdict["head"])["intact"]
        wrong = command("audit", "verify", "--head", "1:" + "0" * 64, code=5)
        assert wrong["code"] == "audit-broken"
