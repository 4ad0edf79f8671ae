"""What a killed gateway forgets: the requests of its last second, and no others."""

from __future__ import annotations

import os
import signal
import time
import uuid

import pytest
from platforms import Running

from tests.e2e.test_canary import account

pytestmark = pytest.mark.slow
FLUSH_AND_ANSWER = 1.2
"""A flush each second, and the time that the database takes for it on a busy machine."""


def test_a_killed_gateway_forgets_a_second_at_most(running: Running) -> None:
    _, _, (key,) = account(running, f"Counted {uuid.uuid4().hex[:8]}", ["jobs:submit"])
    answered: list[float] = []
    with running.client(key["key"]) as client:
        until = time.monotonic() + 4.5
        while time.monotonic() < until:
            assert client.get("/processing/processes/echo").status_code == 200
            answered.append(time.monotonic())
        pid = running.platform._supervisor_call("getProcessInfo", "gateway")["pid"]
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
    running.platform.wait_until_healthy(30)
    with running.client(key["key"]) as client:
        told = client.get("/rights/usage", params={"by": "service"}).json()["usage"]
    counted = next(row["requests"] for row in told if row["service"] == "processing")
    owed = sum(moment < killed - FLUSH_AND_ANSWER for moment in answered)
    assert owed > 10
    assert owed <= counted <= len(answered), f"{len(answered) - counted} of {len(answered)} forgotten"
