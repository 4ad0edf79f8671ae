"""Everything is killed, in turn and again, the database too: every job ends once, is paid once, and leaves no trace."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bocage_deploy.cluster import Cluster, install_programs
from bocage_deploy.database import SERVICES, Access, provision, role_of
from bocage_deploy.home import Home
from bocage_processing.rehearsal.invariants import violations
from bocage_processing.rehearsal.peers import StandIns
from bocage_processing.rehearsal.platform import Platform
from bocage_processing.rehearsal.storm import DISPATCHERS, Database, Storm

SECONDS = float(os.environ.get("BOCAGE_CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("BOCAGE_CHAOS_SEED", "2"))


@pytest.fixture
def storm() -> Iterator[Storm]:
    """A platform with a cluster of its own, since that is killed too."""
    root = Path(tempfile.mkdtemp(prefix="bc-", dir="/tmp"))
    home = Home(root)
    home.make()
    cluster = Cluster(home, install_programs())
    cluster.make()
    database = Database(cluster.start, cluster.start())
    passwords = {service: cluster.set_passfile(role_of(service)) for service in SERVICES}
    provision(Access(cluster.url, lambda service, name: cluster.url(name, role_of(service)), passwords))
    peers = StandIns(root)
    peers.delay = 0.4
    platform = Platform(
        root, cluster.url("bocage", role_of("processing")), cluster.url("bocage"), peers,
        {"BOCAGE_JOB_MAX_ATTEMPTS": "12"},
    )  # fmt: skip
    platform.prepare()
    peers.start("rights")
    peers.start("catalogue")
    try:
        platform.start("service")
        for name in DISPATCHERS:
            platform.start(name, "dispatcher")
        platform.serving(40)
        yield Storm(platform, database, SEED, SECONDS)
    finally:
        platform.close()
        cluster.stop(database.server)
        shutil.rmtree(root, ignore_errors=True)


@pytest.mark.chaos
def test_chaos(storm: Storm) -> None:
    storm.run(drain_seconds=240)
    print(dict(storm.counts), f"{len(storm.submitted)} jobs")
    assert storm.counts["running"] >= 10
    assert storm.counts["publishing"] >= 2
    for target in ("dispatcher", "runner", "service", "database"):
        assert storm.counts[target] >= 1, storm.counts
    assert storm.counts["stopped dispatcher"] >= 1
    assert storm.counts["stopped runner"] >= 1
    assert len(storm.submitted) >= 30

    deadline = time.monotonic() + 20
    while (found := violations(storm.platform.facts())) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert found == []
    jobs = storm.platform.rows("select id, state, attempt, idempotency_key as key from job")
    assert {row["key"]: str(row["id"]) for row in jobs} == storm.submitted
    states = [row["state"] for row in jobs]
    print({state: states.count(state) for state in set(states)}, "attempts", sum(row["attempt"] for row in jobs))
    assert states.count("successful") >= 0.8 * len(states)
    assert sum(row["attempt"] for row in jobs) > len(jobs)
