"""Kills, stops and restarts at random, but counted and from a seed, while jobs come in."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg

from bocage_processing import leftovers
from bocage_processing.rehearsal.platform import Platform

DISPATCHERS = ("dispatcher-a", "dispatcher-b")
_RUNNING = "select count(*) as n from job where state = 'running' and phase in ('staging', 'running')"
_PUBLISHING = "select count(*) as n from job where phase = 'publishing'"
_OPEN = "select count(*) as n from job where state in ('accepted', 'running')"


@dataclass
class Database:
    """The database's server, killed and started again as a supervisor would."""

    begin: Callable[[], subprocess.Popen[bytes]]
    server: subprocess.Popen[bytes]

    def crash(self) -> None:
        self.server.kill()
        self.server.wait(10)
        for _ in range(50):
            try:
                self.server = self.begin()
                return
            except Exception:  # what the last server left must vanish first
                time.sleep(0.2)
        raise TimeoutError


@dataclass
class Storm:
    """`stop_seconds` is longer than a lease. `counts`: what was done, and while what went on."""

    platform: Platform
    database: Database
    seed: int
    seconds: float
    jobs_wanted: int = 30
    running_wanted: int = 10
    publishing_wanted: int = 2
    stop_seconds: float = 5.0
    counts: Counter[str] = field(default_factory=Counter)
    submitted: dict[str, str] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _quiet: threading.Event = field(default_factory=threading.Event)

    def run(self, drain_seconds: float) -> None:
        """Blow, then wait until every job has ended."""
        dice = random.Random(self.seed)  # noqa: S311 - a seed, not a secret
        threads = [threading.Thread(target=self._supervise), threading.Thread(target=self._submit, args=[self.seed])]
        for thread in threads:
            thread.start()
        try:
            self._blow(dice)
            self._over.set()
            threads[1].join(60)
            deadline = time.monotonic() + drain_seconds
            while self.rows(_OPEN)[0]["n"] and time.monotonic() < deadline:
                time.sleep(0.3)
        finally:
            self._over.set()
            self._quiet.set()
            for thread in threads:
                thread.join(60)

    def rows(self, query: str) -> list[dict[str, Any]]:
        while True:
            try:
                return self.platform.rows(query)
            except psycopg.OperationalError:
                time.sleep(0.2)

    def _blow(self, dice: random.Random) -> None:
        begin = time.monotonic()
        actions: dict[str, tuple[Callable[[random.Random], bool], int]] = {
            "runner": (self._kill_runner, 5),
            "dispatcher": (self._kill_dispatcher, 4),
            "service": (self._kill_service, 1),
            "stop": (self._stop_dispatcher, 1),
            "stop runner": (self._stop_runner, 1),
            "database": (self._kill_database, 0),
        }
        names, weights = list(actions), [weight for _, weight in actions.values()]
        must = list(actions)  # each of them once at least
        while time.monotonic() - begin < self.seconds or must or not self._enough():
            if time.monotonic() - begin > 6 * self.seconds:
                return
            if self.counts["publishing"] < self.publishing_wanted and self.rows(_PUBLISHING)[0]["n"]:
                self._kill_publishers()
            elif self.rows(_RUNNING)[0]["n"]:
                name = dice.choice(must) if must else dice.choices(names, weights)[0]
                if actions[name][0](dice) and name in must:
                    must.remove(name)
            time.sleep(dice.uniform(0.2, 0.8))

    def _enough(self) -> bool:
        return self.counts["running"] >= self.running_wanted and self.counts["publishing"] >= self.publishing_wanted

    def _count(self, target: str, during: str = "running") -> bool:
        self.counts[target] += 1
        self.counts[during] += 1
        return True

    def _kill_runner(self, dice: random.Random) -> bool:
        pid = self._runner(dice)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return self._count("runner")

    def _kill_dispatcher(self, dice: random.Random) -> bool:
        self.platform.kill(dice.choice(DISPATCHERS))
        return self._count("dispatcher")

    def _kill_publishers(self) -> None:
        """Who publishes is not known from outside: both go, so that it is hit."""
        for name in DISPATCHERS:
            self.platform.kill(name)
        self._count("dispatcher", "publishing")

    def _kill_service(self, _dice: random.Random) -> bool:
        self.platform.kill("service")
        return self._count("service")

    def _kill_database(self, _dice: random.Random) -> bool:
        self.database.crash()
        return self._count("database")

    def _stop_dispatcher(self, dice: random.Random) -> bool:
        process = self.platform.processes[dice.choice(DISPATCHERS)]
        if process.poll() is not None:
            return False
        self._pause(process.pid)
        self.counts["stopped dispatcher"] += 1
        return True

    def _stop_runner(self, dice: random.Random) -> bool:
        pid = self._runner(dice)
        if pid is None:
            return False
        self._pause(pid)
        self.counts["stopped runner"] += 1
        return True

    def _runner(self, dice: random.Random) -> int | None:
        """A process of one of our jobs."""
        ours = {str(row["id"]) for row in self.rows("select id from job")}
        found = sorted(pid for pid, mark in leftovers.marked() if mark.partition(":")[0] in ours)
        return dice.choice(found) if found else None

    def _pause(self, pid: int) -> None:
        def resume() -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            threading.Timer(self.stop_seconds, resume).start()

    def _supervise(self) -> None:
        while not self._quiet.wait(0.2):
            for name in ("service", *DISPATCHERS):
                if self.platform.processes[name].poll() is not None:
                    self.platform.start(name, name.partition("-")[0])

    def _submit(self, seed: int) -> None:
        """Keep some jobs open; each under a key, sent again until it is answered."""
        dice = random.Random(seed + 1)  # noqa: S311 - a seed, not a secret
        number = 0
        while not self._over.is_set() or number < self.jobs_wanted:
            if self.rows(_OPEN)[0]["n"] >= 6 and not self._over.is_set():
                time.sleep(0.2)
                continue
            process = "echo" if dice.random() < 0.6 else "make"
            body = {"inputs": {"pause": round(dice.uniform(0.1, 1.5), 1)}}
            key = f"key-{number}"
            while not self._quiet.is_set():
                try:
                    with self.platform.client() as client:
                        answer = client.post(
                            f"/processing/processes/{process}/execution", json=body,
                            headers={"Idempotency-Key": key, "Prefer": "respond-async"}, timeout=25,
                        )  # fmt: skip
                    if answer.status_code == 201:
                        self.submitted[key] = answer.json()["jobID"]
                        break
                    assert answer.status_code >= 500, answer.text
                except httpx.HTTPError:
                    pass
                time.sleep(0.2)
            number += 1
