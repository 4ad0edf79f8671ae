"""What must hold once all is quiet, whatever was killed: a pure function over rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]
TERMINAL = frozenset({"successful", "failed", "dismissed"})


@dataclass(frozen=True)
class Facts:
    """`ledger`: (job, kind, amount) of `reserve`, `settle`, `release`; `balance`: available, reserved, settled.

    `attempts_in_store` and `attempts_published`: (job, attempt) that have files, and that items refer to.
    """

    jobs: Sequence[Row]
    ledger: Sequence[Row]
    balance: Row
    living: Collection[str]
    attempts_in_store: Collection[tuple[str, int]]
    attempts_published: Collection[tuple[str, int]]


def violations(facts: Facts) -> list[str]:
    """Empty when all holds."""
    found: list[str] = []
    kinds = Counter((str(row["job"]), row["kind"]) for row in facts.ledger)
    accepted: set[tuple[str, int]] = set()
    for job in facts.jobs:
        name = str(job["id"])
        if job["state"] not in TERMINAL:
            found.append(f"{name} has not ended: {job['state']} {job['phase']}")
        endings = kinds[name, "settle"] + kinds[name, "release"]
        if kinds[name, "reserve"] != 1 or endings != 1:
            found.append(f"{name} has {kinds[name, 'reserve']} reservations and {endings} endings")
        if (kinds[name, "settle"] == 1) != (job["state"] == "successful"):
            found.append(f"{name} is {job['state']} and settled {kinds[name, 'settle']} times")
        if job["ended_attempt"] is not None and job["ended_attempt"] != job["attempt"]:
            found.append(f"{name}: attempt {job['ended_attempt']} ended it, while {job['attempt']} held it")
        if job["state"] == "successful":
            accepted.add((name, job["ended_attempt"]))
            if job["publishes"] and (name, job["ended_attempt"]) not in facts.attempts_published:
                found.append(f"{name} is successful and not in the catalogue")
            if job["publishes"] and (name, job["ended_attempt"]) not in facts.attempts_in_store:
                found.append(f"{name} is successful and its files are gone")
    found += [f"files of {job} attempt {n}, which does not count" for job, n in {*facts.attempts_in_store} - accepted]
    found += [f"item of {job} attempt {n}, which does not count" for job, n in {*facts.attempts_published} - accepted]
    found += [f"process of {mark} lives" for mark in facts.living]
    settled = sum((row["amount"] for row in facts.ledger if row["kind"] == "settle"), Decimal(0))
    if facts.balance["reserved"] != 0:
        found.append(f"{facts.balance['reserved']} credits are still reserved")
    if facts.balance["settled"] != settled:
        found.append(f"the account says {facts.balance['settled']} settled, the ledger {settled}")
    prices = sum((job["price"] or Decimal(0) for job in facts.jobs), Decimal(0))
    if prices != settled:
        found.append(f"the jobs say {prices} charged, the ledger {settled}")
    return found
