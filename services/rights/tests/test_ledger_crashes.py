"""Service and PostgreSQL are killed at random while credits move; then every balance is the replay of its entries."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from bocage_deploy.cluster import Cluster, install_programs
from bocage_deploy.database import SERVICES, Access, provision, role_of
from bocage_deploy.home import Home
from bocage_kit.identity import HEADER
from bocage_rights.bootstrap import run
from bocage_rights.replay import differences
from bocage_rights.settings import RightsSettings

KILLS = 6
DATABASE = "bocage"


class Machine:
    """A cluster and a rights service of their own, to be killed."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        self.home.make()
        self.cluster = Cluster(self.home, install_programs())
        self.cluster.make()
        self.server = self.cluster.start()
        passwords = {service: self.cluster.set_passfile(role_of(service)) for service in SERVICES}
        access = Access(self.cluster.url, lambda service, name: self.cluster.url(name, role_of(service)), passwords)
        provision(access, DATABASE)
        self.settings = RightsSettings(home=folder / "rights", database=self.url("rights"))
        self.settings.home.mkdir()
        output = self.settings.home / "keys.json"
        asyncio.run(run(self.settings, with_demonstration=True, output=output, admin=None))
        self.admin = json.loads(output.read_text())["admin"]
        self.service = self.start_service()

    def url(self, service: str) -> str:
        return self.cluster.url(DATABASE, role_of(service))

    def start_service(self) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "BOCAGE_HOME": str(self.settings.home),
            "BOCAGE_DATABASE": self.settings.database,
            "BOCAGE_LOG_LEVEL": "CRITICAL",
        }
        log = (self.settings.home / "service.log").open("ab")
        return subprocess.Popen([sys.executable, "-m", "bocage_rights"], env=environment, stdout=log, stderr=log)

    def kill_service(self) -> None:
        self.service.kill()
        self.service.wait()
        self.service = self.start_service()

    def kill_database(self) -> None:
        """The postmaster and all that it has started, at once."""
        postmaster = psutil.Process(self.server.pid)
        postmaster.suspend()  # or a child that it makes meanwhile outlives it, and waits for the dead for ever
        doomed = [postmaster, *postmaster.children(recursive=True)]
        for process in doomed:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.server.wait()
        psutil.wait_procs(doomed[1:], timeout=10)
        self.server = self.cluster.start()

    def close(self) -> None:
        self.service.kill()
        self.service.wait()
        self.cluster.stop(self.server)


@pytest.fixture
def machine() -> Iterator[Machine]:
    # Not pytest's own folder: the database's user could not walk through it.
    folder = Path(tempfile.mkdtemp(prefix="blc-", dir="/tmp"))
    made = Machine(folder)
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


class Traffic:
    """Clients that try each move until they have an answer, as a client with an idempotency key does."""

    def __init__(self, machine: Machine, owners: list[str]) -> None:
        self.machine, self.owners = machine, owners
        self.stop = threading.Event()
        self.answered: dict[str, str] = {}
        self.granted = 0
        self.failed: list[str] = []
        self.lost = 0
        self._lock = threading.Lock()

    def over_http(self, seed: int) -> None:
        dice = random.Random(seed)
        socket = str(self.machine.settings.sockets / "rights.sock")
        with httpx.Client(transport=httpx.HTTPTransport(uds=socket), base_url="http://rights", timeout=10) as http:
            while not self.stop.is_set():
                key, (source, target) = str(uuid.uuid4()), dice.sample(self.owners, 2)
                if dice.random() < 0.4:
                    path, body = "credits", {"organisation": source, "amount": "3"}
                else:
                    path, body = "credits/transfers", {"source": source, "target": target, "amount": "2"}
                body |= {"reason": "storm", "idempotency_key": key}
                status = self._insist(lambda path=path, body=body: self._post(http, path, body))
                with self._lock:
                    if status == 201:
                        self.answered[key] = path
                        self.granted += 3 if path == "credits" else 0
                    elif status not in (402, None):
                        self.failed.append(f"{path}: {status}")

    def _post(self, http: httpx.Client, path: str, body: dict[str, Any]) -> int | None:
        token = http.post("/identity", json={"api_key": self.machine.admin, "public_base": "http://bocage.test"})
        if token.status_code != 200:
            return None
        answer = http.post(f"/rights/admin/{path}", json=body, headers={HEADER: token.json()["token"]})
        # A connection that broke under a statement is a fault of the server's: the move may have been made or not.
        return None if answer.status_code >= 500 else answer.status_code

    def of_jobs(self, seed: int) -> None:
        dice = random.Random(seed)
        while not self.stop.is_set():
            owner, job = dice.choice(self.owners), str(uuid.uuid4())
            reserve = "select rights.job_reserve(%s::uuid, %s::uuid, 'p', 5, 0.5, 'dsm', array['c'])"
            if self._insist(lambda owner=owner, job=job, q=reserve: self._sql(q, owner, job)) != "reserved":
                continue
            match dice.randrange(4):
                case 0:
                    self._insist(lambda job=job: self._sql("select rights.credit_release(%s::uuid)", job))
                case 1:
                    pass  # stays open
                case _:
                    self._insist(lambda job=job: self._sql("select rights.job_settle(%s::uuid, 4, 0.4)", job))

    def _sql(self, query: str, *values: object) -> Any:
        try:
            with psycopg.connect(self.machine.url("processing"), autocommit=True, connect_timeout=3) as connection:
                row = connection.execute(query, values).fetchone()
        except psycopg.OperationalError:
            return None
        except psycopg.Error as error:
            return error.sqlstate
        assert row
        return "reserved" if row[0] == "replay" else row[0]

    def _insist(self, attempt: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            try:
                if (answer := attempt()) is not None:
                    return answer
            except httpx.TransportError:
                pass
            self.lost += 1
            time.sleep(0.1)
        self.failed.append("no answer for too long")
        return None


def test_killed_at_random_the_ledger_stays_exact(machine: Machine) -> None:
    with psycopg.connect(machine.url("rights"), autocommit=True) as connection:
        owners = []
        for number in range(3):
            row = connection.execute(
                "insert into organisation (name, slug, category) values (%s, %s, 'research') returning id::text",
                [f"Storm {number}", f"storm-{number}"],
            ).fetchone()
            assert row
            owners.append(row[0])
            connection.execute("select credit_grant(%s::uuid, 400, 'storm', null)", [row[0]])
    traffic = Traffic(machine, owners)
    threads = [threading.Thread(target=traffic.over_http, args=(seed,)) for seed in range(3)]
    threads += [threading.Thread(target=traffic.of_jobs, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    dice = random.Random(4)
    try:
        for number in range(KILLS):
            time.sleep(dice.uniform(0.8, 2.0))
            (machine.kill_database if number % 2 else machine.kill_service)()
        time.sleep(2)
    finally:
        traffic.stop.set()
        for thread in threads:
            thread.join()
    assert traffic.failed == []
    assert traffic.lost > 0, "the kills were noticed"
    assert len(traffic.answered) > 20, "there was traffic"
    with psycopg.connect(machine.url("rights"), autocommit=True) as connection:
        assert differences(connection) == []
        keys = connection.execute(
            "select idempotency_key, count(*) from ledger_transaction where idempotency_key = any(%s) group by 1",
            [list(traffic.answered)],
        ).fetchall()
        assert len(keys) == len(traffic.answered), "what was answered is there"
        assert {count for _, count in keys} == {1}
        total = connection.execute(
            "select sum(available + reserved + settled) from credit_account where organisation = any(%s::uuid[])",
            [owners],
        ).fetchone()
        assert total == (1200 + traffic.granted,)
        wrong = connection.execute(
            """select j.job from counted_job j join ledger_transaction r on r.job = j.job and r.kind = 'reserve'
                 left join ledger_transaction e on e.job = j.job and e.kind in ('settle', 'release')
                where j.credits <> case e.kind when 'settle' then e.amount when 'release' then 0 else r.amount end"""
        ).fetchall()
        assert wrong == [], "quotas count what the ledger says"
