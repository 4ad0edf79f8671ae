"""Counts requests and bytes, refuses what is over a limit, and hands the counts to `rights` once a second.

A gateway that is killed loses the counts of its last second. Several gateways share limits through the answer to each
flush: together they let pass at most the limit and what each of the others took within one flush.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import aiohttp
from bocage_kit.problems import Problem, quota_exceeded

from bocage_gateway.limits import CALENDAR, UNITS, Holder, Period, Policy, Window, policy_header
from bocage_gateway.upstream import Upstream

FLUSH_SECONDS = 1.0
_HOLDERS = 50_000
_LINES = 50_000
_MOST = 2**53 - 1
_log = logging.getLogger("bocage.gateway")
_Line = tuple[str | None, str, str, str | None, str | None]
_Key = tuple[str, str]

BYTES_COUNT = frozenset({b"assets", b"tiles", b"stac"})
"""First segments of the paths whose answers' bytes are counted."""
_WITH_COLLECTION = {b"assets": 2, b"tiles": 3, b"stac": 3}
"""Where the collection stands in a path, when it stands in it."""


class Meter:
    """One caller: who is counted, and within which limits."""

    __slots__ = ("_checks", "_flushed", "organisation", "person", "policy", "project")

    def __init__(
        self, person: str, organisation: str | None, project: str | None, limits: list[tuple[Policy, Holder]],
        flushed: bool,
    ) -> None:  # fmt: skip
        self.person, self.organisation, self.project = person, organisation, project
        self._flushed = flushed
        self.policy = policy_header([policy for policy, _ in limits])
        self._checks = [
            (f'"{p.name}";r='.encode(), p, holder.requests if p.unit == "requests" else holder.bytes)
            for p, holder in limits
        ]

    def check(self, now: float, *, bytes_count: bool) -> None:
        """Raises the Problem of the limits that are used up."""
        broken: list[tuple[Policy, Window]] = []
        for _, policy, window in self._checks:
            window.advance(now)
            if window.used(policy.period, now) >= policy.amount and (bytes_count or policy.unit == "requests"):
                broken.append((policy, window))
        if broken:
            raise _refusal(broken, now)

    def header(self, now: float) -> bytes:
        """RateLimit: what is left of each limit, and when some of it comes back."""
        parts = []
        for prefix, policy, window in self._checks:
            window.advance(now)
            left = policy.amount - window.used(policy.period, now)
            parts.append(b"%b%d;t=%d" % (prefix, left if left > 0 else 0, window.ends(policy.period, now)))
        return b", ".join(parts)

    def warnings(self, now: float) -> list[dict[str, Any]]:
        """Calendar limits of which 80 % are used, by those who are counted in the database."""
        found = []
        for _, policy, window in self._checks if self._flushed else ():
            used = window.used(policy.period, now)
            if policy.period != "minute" and policy.amount and used * 5 >= policy.amount * 4:
                found.append(
                    {
                        "counted": policy.counted,
                        "holder": self.person if policy.counted == "person" else self.organisation,
                        "unit": policy.unit,
                        "period": policy.period,
                        "amount": policy.amount,
                        "used": used,
                    }
                )
        return found


def _refusal(broken: list[tuple[Policy, Window]], now: float) -> Problem:
    wait = max(window.ends(policy.period, now) for policy, window in broken)
    named = ", ".join(f"{policy.amount} {policy.unit} a {policy.period}" for policy, _ in broken)
    return quota_exceeded(
        f"Your limit is used up: {named}. Come back in {wait} s; /rights/quotas shows all your limits.",
        [policy.name for policy, _ in broken],
        wait,
    )


class Metering:
    """All counts of this gateway."""

    def __init__(self, rights: Upstream | None) -> None:
        self._rights = rights
        self._holders: OrderedDict[_Key, Holder] = OrderedDict()
        self._addresses: OrderedDict[str, Meter] = OrderedDict()
        self._anonymous: Mapping[str, Any] = {}
        self._lines: dict[_Line, list[int]] = {}
        self._touched: dict[str, Meter] = {}
        self._batch: dict[str, Any] | None = None
        self._warned: dict[tuple[str, ...], float] = {}

    def meter(self, told: Mapping[str, Any] | None) -> Meter:
        """The meter of an account, from what `rights` tells of it."""
        told = told or {"person": "unknown"}
        person, organisation = str(told["person"]), told.get("organisation")
        now = time.time()
        limits = []
        for each in told.get("policies", ()):
            policy = Policy(each["name"], each["counted"], each["unit"], each["period"], int(each["amount"]))
            name = person if policy.counted == "person" else str(organisation)
            holder = self._holder((policy.counted, name), now)
            window: Window = holder.requests if policy.unit == "requests" else holder.bytes
            if not window.used(policy.period, now):
                window.learn({policy.period: int(each.get("used", 0))}, now)
            limits.append((policy, holder))
        return Meter(person, organisation, told.get("project"), limits, flushed=True)

    def learn_anonymous(self, told: Mapping[str, Any]) -> None:
        """What holds for callers without a credential."""
        if told.get("policies") != self._anonymous.get("policies"):
            self._addresses.clear()
        self._anonymous = told

    def anonymous(self, address: str) -> Meter:
        """The meter of a network address, whose counts stay in this gateway."""
        meter = self._addresses.get(address)
        if meter is not None:
            return meter
        now = time.time()
        holder = self._holder(("address", address), now)
        policies = [
            Policy(x["name"], x["counted"], x["unit"], x["period"], int(x["amount"]))
            for x in self._anonymous.get("policies", ())
        ]
        meter = Meter("anonymous", None, None, [(policy, holder) for policy in policies], flushed=False)
        self._addresses[address] = meter
        if len(self._addresses) > _HOLDERS:
            self._addresses.popitem(last=False)
        return meter

    def count(self, meter: Meter, service: str, collection: str | None, requests: int, size: int, now: float) -> None:
        """Add to the caller's windows and to the next batch."""
        for _, policy, window in meter._checks:
            window.advance(now)
        for window, amount in meter_windows(meter, requests, size):
            window.add(amount)
        line = (meter.organisation, meter.person, service, collection, meter.project)
        counted = self._lines.get(line)
        if counted is None:
            if len(self._lines) >= _LINES:
                return
            self._lines[line] = [requests, size]
            self._touched[meter.person] = meter
        else:
            counted[0] += requests
            counted[1] += size

    def _holder(self, key: _Key, now: float) -> Holder:
        holder = self._holders.get(key)
        if holder is None:
            holder = self._holders[key] = Holder.new(now)
            if len(self._holders) > _HOLDERS:
                self._holders.popitem(last=False)
        else:
            self._holders.move_to_end(key)
        return holder
