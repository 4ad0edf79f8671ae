"""Runs that go wrong, and how they end: the cause told, nothing charged, nothing left behind."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
from bocage_processing import leftovers
from bocage_processing.rehearsal.platform import Platform, until


def held(platform: Platform) -> dict[str, Any]:
    return platform.row("select reserved, settled from rights.credit_account")


def left_behind(platform: Platform, job: str) -> list[str]:
    """Files of a job in the store, and inputs or half-written files in its folder."""
    stored = (platform.home / "store" / "results").rglob(f"{job}/**/*")
    work = [p for name in ("inputs", "work") for p in (platform.home / "jobs" / job).rglob(f"{name}/*")]
    return [str(path) for path in [*stored, *work] if path.is_file()]


def runner_of(platform: Platform, job: str) -> int:
    """The process id of a job's runner, once it runs."""
    until(lambda: platform.job(job)["phase"] == "running")
    found: int = until(lambda: next((pid for pid, mark in leftovers.marked() if mark.startswith(job)), None))
    return found


@pytest.mark.parametrize("how", ["family", "deaf"])
def test_cancel_kills_the_whole_family_within_two_seconds(served: Platform, how: str) -> None:
    before = held(served)
    job = served.submit("make", {"pause": 60, "misbehave": how})
    family = 3 if how == "family" else 1
    until(lambda: sum(mark.startswith(job) for _, mark in leftovers.marked()) == family)
    until(lambda: served.job(job)["progress"] > 0 or how == "deaf")
    begin = time.monotonic()
    with served.client() as client:
        assert client.delete(f"/processing/jobs/{job}").json()["status"] == "dismissed"
    until(lambda: not served.living(), 3, 0.02)
    assert time.monotonic() - begin < 2.0
    assert served.ended(job)["state"] == "dismissed"
    assert held(served) == before
    until(lambda: not left_behind(served, job), 3)


@pytest.mark.parametrize("how", ["raise", "engine", "segfault", "vanish", "steal"])
def test_platform_faults_are_tried_again_then_told_and_not_charged(served: Platform, how: str) -> None:
    before = held(served)
    job = served.submit("make", {"misbehave": how})
    row = served.ended(job)
    assert (row["state"], row["attempt"], row["price"]) == ("failed", 3, 0)
    assert held(served) == before
    with served.client() as client:
        answer = client.get(f"/processing/jobs/{job}/results")
        status = client.get(f"/processing/jobs/{job}")
        logs = client.get(f"/processing/jobs/{job}/logs")
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    for text in (answer.text, status.text, logs.text):
        assert not any(word in text for word in ("secret", "postgres", "Traceback", "/etc", str(served.home)))
    until(lambda: not left_behind(served, job), 5)


def test_input_at_fault_fails_once_with_the_remedy(served: Platform) -> None:
    before = held(served)
    job = served.submit("make", {"misbehave": "input"})
    row = served.ended(job)
    assert (row["state"], row["attempt"]) == ("failed", 1)
    with served.client() as client:
        answer = client.get(f"/processing/jobs/{job}/results")
        status = client.get(f"/processing/jobs/{job}").json()
    assert (answer.status_code, answer.json()["code"]) == (422, "truncated-image")
    assert answer.json()["remedy"] == "Send the file again."
    assert status["exception"]["code"] == "truncated-image"
    assert held(served) == before
    assert left_behind(served, job) == []


def test_a_killed_runner_is_replaced(served: Platform) -> None:
    job = served.submit("make", {"pause": 1.5})
    os.kill(runner_of(served, job), signal.SIGKILL)
    row = served.ended(job)
    assert (row["state"], row["attempt"], row["ended_attempt"]) == ("successful", 2, 2)
    item = served.peers.documents[f"collections/make/items/{job}"]
    assert item["assets"]["data"]["href"] == f"store:results/make/{job}/2/data.json"


def test_endless_output_is_cut(served: Platform) -> None:
    job = served.submit("make", {"misbehave": "chatter"})
    assert served.ended(job)["state"] == "successful"
    assert (served.home / "jobs" / job / "1" / "output.log").stat().st_size < 32e6


def test_charged_is_what_was_used_and_never_more_than_quoted(served: Platform) -> None:
    before = held(served)
    less = served.ended(served.submit("make", {"megapixels": 4, "used": 2}))
    more = served.ended(served.submit("make", {"megapixels": 4, "used": 40}))
    assert (less["reserved"], less["price"]) == (9, 5)
    assert (more["reserved"], more["price"]) == (9, 9)
    after = held(served)
    assert (after["reserved"], after["settled"] - before["settled"]) == (0, 14)


def test_progress_never_falls(served: Platform) -> None:
    job = served.submit("echo", {"pause": 2})
    seen: list[int] = []
    while served.job(job)["state"] in ("accepted", "running"):
        seen.append(served.job(job)["progress"])
        time.sleep(0.05)
    assert seen == sorted(seen)
    assert len(set(seen)) > 2


def test_publication_waits_for_the_catalogue(served: Platform) -> None:
    served.peers.stop("catalogue")
    try:
        job = served.submit("make", {})
        row = until(lambda: row if (row := served.job(job))["phase"] == "publishing" else None)
        assert (row["state"], row["price"]) == ("running", 3)
        until(lambda: served.row("select tries from processing.outbox where job = %s", job)["tries"] >= 2)
        with served.client() as client:
            status = client.get(f"/processing/jobs/{job}").json()
            assert (status["status"], "ublish" in status["message"]) == ("running", True)
            assert client.get(f"/processing/jobs/{job}/results").status_code == 404
            assert client.delete(f"/processing/jobs/{job}").json()["code"] == "job-ending"
    finally:
        served.peers.start("catalogue")
    assert served.ended(job)["state"] == "successful"
    assert f"collections/make/items/{job}" in served.peers.documents


def test_refused_publication_goes_on_trying(served: Platform) -> None:
    served.peers.refuse = True
    job = served.submit("make", {})
    until(lambda: served.rows("select 1 from processing.outbox where job = %s and last_error like '%%503%%'", job))
    served.peers.refuse = False
    assert served.ended(job)["state"] == "successful"
    posts = [path for method, path in served.peers.calls if method == "POST" and path.endswith("make/items")]
    assert posts
