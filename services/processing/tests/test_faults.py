"""Kills, stops and losses, one at a time: the job ends once, and what comes back from the dead counts for nothing."""

from __future__ import annotations

import signal
import threading
import time

import httpx
import psycopg
from bocage_processing import leftovers
from bocage_processing.rehearsal.invariants import violations
from bocage_processing.rehearsal.platform import Platform, until

EXECUTE = "/processing/processes/make/execution"


def running(platform: Platform, job: str, attempt: int = 1) -> None:
    """Wait until a runner of this attempt lives."""
    until(lambda: any(mark == f"{job}:{attempt}" for _, mark in leftovers.marked()))


def sound(platform: Platform) -> None:
    until(lambda: not violations(platform.facts()), 6, 0.2)
    assert violations(platform.facts()) == []


def test_killed_dispatcher(platform: Platform) -> None:
    """Runner and grandchildren die, the next dispatcher takes over without waiting for the lease."""
    platform.start("service")
    platform.start("dispatcher", BOCAGE_JOB_LEASE_SECONDS="300")
    platform.serving()
    job = platform.submit("make", {"pause": 2, "misbehave": "family"})
    until(lambda: sum(mark == f"{job}:1" for _, mark in leftovers.marked()) == 3)
    platform.kill("dispatcher")
    platform.start("dispatcher", BOCAGE_JOB_LEASE_SECONDS="300")
    row = platform.ended(job, 20)
    assert (row["state"], row["attempt"]) == ("successful", 2)
    sound(platform)


def test_dispatcher_stopped_in_good_order_gives_its_jobs_back(platform: Platform) -> None:
    platform.start("service")
    platform.start("dispatcher")
    platform.serving()
    job = platform.submit("make", {"pause": 2})
    for _ in range(3):
        until(lambda: platform.job(job)["phase"] == "running")
        begin = time.monotonic()
        platform.kill("dispatcher", signal.SIGTERM)
        assert time.monotonic() - begin < 8
        assert platform.processes["dispatcher"].returncode == 0
        assert (platform.job(job)["state"], platform.living()) == ("accepted", set())
        platform.start("dispatcher")
    assert platform.ended(job)["state"] == "successful"
    assert platform.job(job)["attempt"] == 4
    sound(platform)


def test_dispatcher_stopped_past_its_lease_writes_nothing_that_counts(platform: Platform) -> None:
    platform.start("service")
    platform.start("stopped", "dispatcher")
    platform.serving()
    job = platform.submit("make", {"pause": 3})
    running(platform, job)
    platform.kill("stopped", signal.SIGSTOP)
    platform.start("other", "dispatcher")
    running(platform, job, 2)
    # The runner of the first attempt went on meanwhile; the sweeper of the second dispatcher ends it.
    until(lambda: platform.living() == {f"{job}:2"})
    platform.kill("stopped", signal.SIGCONT)
    row = platform.ended(job)
    assert (row["state"], row["ended_attempt"]) == ("successful", 2)
    sound(platform)


def test_runner_stopped_past_the_wall_limit(platform: Platform) -> None:
    platform.start("service")
    platform.start("dispatcher", BOCAGE_JOB_WALL_MINIMUM_SECONDS="2", BOCAGE_JOB_WALL_FACTOR="0")
    platform.serving()
    job = platform.submit("make", {"pause": 60})
    row = platform.ended(job)
    assert (row["state"], row["error"]["code"], row["attempt"]) == ("failed", "time-limit", 1)
    assert row["error"]["status"] == 500
    sound(platform)


def test_lost_message_is_sent_again(platform: Platform) -> None:
    platform.start("service")
    platform.serving()
    job = platform.submit("echo", {})
    assert platform.rows("delete from processing.procrastinate_jobs returning id")
    platform.start("dispatcher")
    assert platform.ended(job)["state"] == "successful"
    sound(platform)


def test_double_and_stale_messages_do_nothing(platform: Platform) -> None:
    platform.start("service")
    platform.serving()
    job = platform.submit("echo", {"pause": 0.5})
    copy = (
        "insert into processing.procrastinate_jobs (queue_name, task_name, args)"
        " select queue_name, task_name, args from processing.procrastinate_jobs limit 1"
    )
    platform.rows(copy)
    platform.rows(copy)
    platform.rows(
        "insert into processing.procrastinate_jobs (queue_name, task_name, args) values"
        " ('jobs', 'run_job', '{\"job_id\": \"00000000-0000-0000-0000-000000000000\"}'),"
        " ('jobs', 'run_job', '{\"job_id\": \"nonsense\"}')"
    )
    platform.start("dispatcher")
    row = platform.ended(job)
    assert (row["state"], row["attempt"]) == ("successful", 1)
    assert platform.ended(platform.submit("echo", {}))["state"] == "successful"
    sound(platform)


def test_service_killed_between_insert_and_commit(platform: Platform) -> None:
    platform.start("service")
    platform.serving()
    headers = {"Idempotency-Key": "once"}
    with psycopg.connect(platform.admin_url) as blocker:
        # The queue's table is written last: the job and the reservation are in the open transaction by then.
        blocker.execute("lock table processing.procrastinate_jobs in access exclusive mode")
        broken: list[Exception] = []

        def post() -> None:
            try:
                with platform.client() as client:
                    client.post(EXECUTE, json={"inputs": {}}, headers=headers)
            except httpx.HTTPError as error:
                broken.append(error)

        poster = threading.Thread(target=post)
        poster.start()
        waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        until(lambda: platform.rows(waiting))
        platform.kill("service")
        poster.join(20)
        assert broken
    until(
        lambda: not platform.rows("select 1 from pg_locks where mode = 'RowExclusiveLock' and pid <> pg_backend_pid()")
    )
    assert platform.rows("select 1 from processing.job") == []
    assert platform.rows("select 1 from rights.ledger_transaction where job is not null") == []
    platform.start("service")
    platform.start("dispatcher")
    platform.serving()
    with platform.client() as client:
        first = client.post(EXECUTE, json={"inputs": {}}, headers=headers).json()["id"]
        again = client.post(EXECUTE, json={"inputs": {}}, headers=headers).json()["id"]
    assert first == again
    assert platform.ended(first)["state"] == "successful"
    sound(platform)


def test_connections_cut_while_a_job_runs(platform: Platform) -> None:
    platform.start("service")
    platform.start("dispatcher")
    platform.serving()
    job = platform.submit("make", {"pause": 2})
    running(platform, job)
    for _ in range(5):
        platform.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        time.sleep(0.5)
        if platform.processes["dispatcher"].poll() is not None:
            platform.start("dispatcher")  # as the supervisor would
    assert platform.ended(job)["state"] == "successful"
    sound(platform)


def test_job_waits_for_disk_and_says_so(platform: Platform) -> None:
    platform.start("service")
    platform.start("dispatcher", BOCAGE_JOB_SPARE_DISK_BYTES=str(10**15))
    platform.serving()
    job = platform.submit("make", {"disk": 5_000_000_000})
    row = until(lambda: row if (row := platform.job(job))["phase"] == "waiting" else None)
    assert row["state"] == "accepted"
    with platform.client() as client:
        message = client.get(f"/processing/jobs/{job}").json()["message"]
    assert "disk" in message
    assert "5.00 GB" in message
    assert (platform.home / "jobs" / job).exists() is False
    other = platform.submit("make", {})
    with platform.client() as client:
        assert client.delete(f"/processing/jobs/{other}").json()["status"] == "dismissed"
    platform.kill("dispatcher", signal.SIGTERM)
    platform.start("dispatcher")
    assert platform.ended(job)["state"] == "successful"
    assert platform.job(other)["state"] == "dismissed"
    sound(platform)


def test_health_tells_that_the_dispatcher_is_gone(platform: Platform) -> None:
    platform.start("service")
    platform.serving()
    with platform.client() as client:
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["dispatcher"]) == (503, "failing")


def test_slow_checks_are_given_up(platform: Platform) -> None:
    platform.start("service", BOCAGE_CHECK_SECONDS="2")
    platform.serving()
    with platform.client() as client:
        answer = client.post(EXECUTE, json={"inputs": {"misbehave": "slow check"}})
    assert (answer.status_code, answer.json()["code"]) == (503, "check-failed")
    assert platform.rows("select 1 from processing.job") == []
    assert list((platform.home / "jobs").glob("check-*")) == []
