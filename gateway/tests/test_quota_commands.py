"""The administrator's and the account's commands of credits, prices, limits and statements, against real services."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx


def test_commands(opened: tuple[httpx.Client, dict[str, str]], tmp_path: Path) -> None:
    client, keys = opened

    def bocage(who: str, *arguments: str, code: int = 0) -> Any:
        done = subprocess.run(
            [str(Path(sys.executable).parent / "bocage"), "--json", *arguments],
            env={
                "PATH": os.environ["PATH"], "HOME": str(tmp_path), "BOCAGE_URL": str(client.base_url).rstrip("/"),
                "BOCAGE_API_KEY": keys[who], "BOCAGE_RETRY_SECONDS": "0.2",
            },
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return json.loads(done.stdout)

    organisations = {x["name"]: x["slug"] for x in bocage("admin", "admin", "org", "list")["organisations"]}
    giver, taker = organisations["Demonstration institute"], organisations["Demonstration company"]
    move = ("admin", "credits", "transfer", "5", "--from", giver, "--to", taker, "--reason", "test")
    assert bocage("admin", *move)["outcome"] == "transferred"
    bocage("researcher", *move, code=3)
    adjusted = bocage("admin", "admin", "credits", "adjust", "--org", giver, "--reason", "test", "--", "-1.5")
    assert adjusted["balance"]["available"] == 993.5
    nobody = "00000000-0000-0000-0000-000000000000"
    bocage("admin", "admin", "credits", "refund", nobody, "1", "--reason", "test", code=1)

    price = ("admin", "tariff", "create", "7", "--unit", "megapixels", "--process", "dsm", "--category", "research")
    assert bocage("admin", *price)["price"] == "7"
    assert any(x["price"] == 7 for x in bocage("admin", "admin", "tariff", "list")["tariffs"])

    limit = ("--unit", "credits", "--window", "month", "--counted", "organisation", "--reason", "test")
    made = bocage("admin", "admin", "quota", "set", "50", *limit, "--org", giver)
    shown = {x["name"]: x for x in bocage("researcher", "quotas")["quotas"]}
    assert shown["credits-month-organisation"]["limit"] == 50
    limits = bocage("admin", "admin", "quota", "list", "--org", giver)["limits"]
    assert "credits-month-organisation" in {x["name"] for x in limits}
    bocage("admin", "admin", "quota", "revoke", str(made["id"]))
    assert "quota_warnings" in bocage("admin", "admin", "quota", "warnings")
    bocage("admin", "admin", "plan", "create", "pilot", "--description", "a project")
    bocage("admin", "admin", "plan", "assign", "pilot", "--org", taker, "--reason", "test")
    assert bocage("admin", "admin", "plan", "list")["assignments"][0]["plan"] == "pilot"
    used = bocage("researcher", "usage", "--by", "service", "--by", "day")
    assert used["by"] == ["service", "day"]
    assert bocage("admin", "usage", "--org", giver)["organisation"] == used["organisation"]
