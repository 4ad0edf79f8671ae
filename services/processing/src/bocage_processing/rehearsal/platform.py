"""The processing part of a platform, for drills: its service, its dispatchers, an account with credits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from bocage_kit.identity import HEADER
from psycopg.rows import dict_row

from bocage_processing import leftovers
from bocage_processing.rehearsal.invariants import Facts
from bocage_processing.rehearsal.peers import StandIns

REGISTRY = "bocage_processing.rehearsal.processes:processes"
QUICK = {
    "BOCAGE_PROCESS_REGISTRY": REGISTRY,
    "BOCAGE_JOB_LEASE_SECONDS": "3",
    "BOCAGE_JOB_BEAT_SECONDS": "0.5",
    "BOCAGE_JOB_REAP_SECONDS": "0.5",
    "BOCAGE_JOB_STALLED_SECONDS": "2.5",
    "BOCAGE_JOB_WAIT_SECONDS": "0.5",
    "BOCAGE_JOB_POLL_SECONDS": "0.1",
    "BOCAGE_PUBLISH_BACKOFF_SECONDS": "2",
    "BOCAGE_JOB_SPARE_DISK_BYTES": "0",
    "BOCAGE_JOB_CORES": "2",
    "BOCAGE_LOG_LEVEL": "WARNING",
}
OPEN = ("accepted", "running")


def state_of(pid: int) -> str | None:
    """A process's state letter by /proc; None when it is gone. A zombie (Z) does not live."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def until(what: Callable[[], Any], seconds: float = 45.0, every: float = 0.05) -> Any:
    """The first true answer of `what`. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(every)
    return found


@dataclass
class Platform:
    """`url` is the service's database, `admin_url` one that may read everything."""

    home: Path
    url: str
    admin_url: str
    stand_ins: StandIns | None
    environment: Mapping[str, str] = field(default_factory=dict)
    organisation: uuid.UUID = field(default_factory=uuid.uuid4)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    logs: dict[str, Path] = field(default_factory=dict)

    @property
    def peers(self) -> StandIns:
        assert self.stand_ins is not None, "the real peers serve"
        return self.stand_ins

    def prepare(self, credits: float = 1000) -> None:
        """An organisation with credits, and prices of the rehearsed processes."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(
                "insert into rights.organisation (id, name, slug, category)"
                " values (%s, 'Rehearsal', 'rehearsal', 'public')",
                [self.organisation],
            )
            connection.execute("select rights.credit_grant(%s, %s, 'rehearsal', 'first')", [self.organisation, credits])
            connection.execute(
                "insert into rights.tariff (process, unit, price, valid_from)"
                " values ('make', 'job', 1, '2025-01-01'), ('make', 'megapixels', 2, '2025-01-01'),"
                " ('tally', 'job', 1, '2025-01-01')"
            )

    def start(self, name: str, kind: str | None = None, **environment: str) -> subprocess.Popen[bytes]:
        """`service`, `dispatcher` or another service's name, under a name of one's own."""
        modules = {"service": "bocage_processing", "dispatcher": "bocage_processing.dispatcher"}
        module = modules.get(kind or name, f"bocage_{kind or name}")
        self.logs.setdefault(name, self.home / f"{name}.log")
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")}
        told = {"BOCAGE_HOME": str(self.home), "BOCAGE_DATABASE": self.url}
        with self.logs[name].open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                env={**kept, **told, **QUICK, **self.environment, **environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes[name] = process
        return process

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait(20)

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait(10)
        known = {str(row["id"]) for row in self.rows("select id from processing.job")}
        leftovers.kill(lambda mark: mark.partition(":")[0] in known)
        if self.stand_ins is not None:
            self.stand_ins.close()

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        path = "-c search_path=processing,public"
        with psycopg.connect(
            self.admin_url, autocommit=True, row_factory=dict_row, connect_timeout=5, options=path
        ) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def row(self, query: str, *values: object) -> dict[str, Any]:
        (found,) = self.rows(query, *values)
        return found

    def job(self, job: str) -> dict[str, Any]:
        return self.row("select * from processing.job where id = %s", job)

    def identity(self, **fields: Any) -> dict[str, str]:
        """Headers of a caller: a researcher of the organisation unless `fields` say otherwise."""
        known = {
            "subject": "person-1", "organisation": str(self.organisation), "category": "research",
            "purpose": "research", "scopes": frozenset({"jobs:submit"}), "public_base": "http://bocage.example:8000",
        }  # fmt: skip
        return {HEADER: self.peers.token(**{**known, **fields})}

    def client(self, **fields: Any) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.home / "run" / "processing.sock"), retries=2)
        return httpx.Client(
            transport=transport, base_url="http://processing", headers=self.identity(**fields), timeout=70
        )

    def serving(self, seconds: float = 20.0) -> None:
        """Wait until the service answers."""

        def answers() -> bool:
            try:
                with self.client() as client:
                    return client.get("/processing/processes").status_code == 200
            except httpx.HTTPError:
                return False

        until(answers, seconds)

    def submit(self, process: str, inputs: Mapping[str, Any], **body: Any) -> str:
        with self.client() as client:
            answer = client.post(
                f"/processing/processes/{process}/execution", json={"inputs": dict(inputs), **body},
                headers={"Prefer": "respond-async"},
            )  # fmt: skip
        assert answer.status_code == 201, answer.text
        return str(answer.json()["jobID"])

    def ended(self, job: str, seconds: float = 30.0) -> dict[str, Any]:
        found: dict[str, Any] = until(
            lambda: row if (row := self.job(job))["state"] not in OPEN else None, seconds, 0.1
        )
        return found

    def living(self) -> set[str]:
        """Marks of processes of our jobs that live."""
        known = {str(row["id"]) for row in self.rows("select id from processing.job")}
        return {
            mark
            for pid, mark in leftovers.marked()
            if mark.partition(":")[0] in known and state_of(pid) not in (None, "Z", "X")
        }

    def facts(self) -> Facts:
        stored = {
            (attempt.parent.name, int(attempt.name))
            for attempt in (self.home / "store" / "results").glob("*/*/*")
            if attempt.is_dir() and any(not path.name.startswith(".") for path in attempt.iterdir())
        }
        items = [d for d in list(self.peers.documents.values()) if d.get("type") == "Feature"]
        hrefs = [asset["href"] for item in items for asset in item["assets"].values()]
        published = {(h.split("/")[2], int(h.split("/")[3])) for h in hrefs if h.startswith("store:results/")}
        return Facts(
            jobs=self.rows("select * from processing.job"),
            ledger=self.rows("select job, kind, amount from rights.ledger_transaction where job is not null"),
            balance=self.row("select * from rights.balance(%s)", self.organisation),
            living=self.living(),
            attempts_in_store=stored,
            attempts_published=published,
        )
