"""Clients that others wrote, against a whole platform."""

from __future__ import annotations

import pytest
from owslib.ogcapi.processes import Processes
from platforms import Running

pytestmark = pytest.mark.verify


def test_owslib_lists_and_runs_processes(running: Running) -> None:
    client = Processes(f"{running.url}/processing", headers={"X-API-Key": running.accounts.researcher})
    listed = {process["id"] for process in client.processes()}
    assert {"echo", "hillshade", "dsm"} <= listed
    described = client.process("echo")
    name = next(n for n, d in described["inputs"].items() if d["schema"].get("type") == "string")
    answer = client.execute("echo", inputs={name: "bonjour"}, async_=False)
    assert "bonjour" in str(answer)
