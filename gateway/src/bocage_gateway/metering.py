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
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from bocage_kit.problems import Problem, quota_exceeded

from bocage_gateway.limits import Check, Holder, Period, Policy, Window, policy_header
from bocage_gateway.upstream import Upstream

FLUSH_SECONDS = 1.0
_REMEMBERED = 50_000
_MOST_WARNINGS = 1000
_log = logging.getLogger("bocage.gateway")
_Line = tuple[str | None, str, str, str | None, str | None]
_Key = tuple[str, str]

BYTES_COUNT = frozenset({b"assets", b"tiles", b"stac"})
"""First segments of the paths whose answers' bytes are counted."""
SIGNING = (b"/rights/sign", b"/rights/sas/")
"""Where paths begin that give away bytes which a bucket sends: a limit on bytes closes them too."""


def collection_of(raw_path: bytes) -> str | None:
    """The collection that a path names: `/assets/{c}/…`, `/tiles/collections/{c}/…`, `/stac/collections/{c}/…`."""
    parts = raw_path.split(b"/", 4)
    if len(parts) > 2 and parts[1] == b"assets":
        name = parts[2]
    elif len(parts) > 3 and parts[2] == b"collections":
        name = parts[3]
    else:
        return None
    return name.decode("ascii", "replace")[:300] or None


class Meter:
    """One caller: who is counted, and within which limits."""

    __slots__ = ("_checks", "_windows", "organisation", "person", "policy", "project", "shared")

    def __init__(
        self,
        told: Mapping[str, Any],
        limits: Sequence[tuple[Policy, Holder]],
        *,
        shared: bool,
    ) -> None:
        self.person: str = told["person"]
        self.organisation: str | None = told.get("organisation")
        self.project: str | None = told.get("project")
        self.shared = shared
        """Whether `rights` adds up what all gateways count; addresses are each gateway's own business."""
        self.policy = policy_header([policy for policy, _ in limits])
        self._checks = [Check(policy, holder.of(policy.unit)) for policy, holder in limits]
        holders = {id(holder): holder for _, holder in limits}.values()
        self._windows = [(holder.requests, holder.bytes) for holder in holders]

    def check(self, now: float, *, bytes_count: bool) -> None:
        """Raises the Problem of the limits that are used up."""
        broken: list[tuple[Policy, Window]] = []
        for check in self._checks:
            if check.left(now) < 1 and (bytes_count or check.policy.unit == "requests"):
                broken.append((check.policy, check.window))
        if broken:
            raise _refusal(broken, now)

    def add(self, requests: int, size: int) -> None:
        for of_requests, of_bytes in self._windows:
            if requests:
                of_requests.add(requests)
            if size:
                of_bytes.add(size)

    def begin(self) -> None:
        """Count a request that is let in; it is in no batch before its `end`."""
        for of_requests, _ in self._windows:
            of_requests.add(1)
            of_requests.open += 1

    def end(self) -> None:
        for of_requests, _ in self._windows:
            of_requests.open -= 1

    def take_back(self) -> None:
        """Nothing came of a request that `begin` let in: it is asked anew, and counted then."""
        for of_requests, _ in self._windows:
            of_requests.take_back(1)
            of_requests.open -= 1

    def header(self, now: float) -> bytes:
        """RateLimit: what is left of each limit, and when some of it comes back."""
        return b", ".join([check.told(now) for check in self._checks])

    def warnings(self, now: float) -> list[dict[str, Any]]:
        """Calendar limits of which 80 % are used."""
        found = []
        for check in self._checks:
            policy = check.policy
            used = check.window.used(policy.period, now)
            if policy.period != "minute" and policy.amount and used * 5 >= policy.amount * 4:
                holder = self.person if policy.counted == "person" else self.organisation
                same = {"counted": policy.counted, "holder": holder, "unit": policy.unit, "period": policy.period}
                found.append({**same, "amount": policy.amount, "used": used})
        return found


def _refusal(broken: Sequence[tuple[Policy, Window]], now: float) -> Problem:
    wait = max(window.ends(policy.period, now) for policy, window in broken)
    named = ", ".join(f"{policy.amount} {policy.unit} a {policy.period}" for policy, _ in broken)
    return quota_exceeded(
        f"Your limit is used up: {named}. Come back in {wait} s; /rights/quotas shows all your limits.",
        [policy.name for policy, _ in broken],
        wait,
    )


class Metering:
    """All counts of this gateway."""

    def __init__(self, rights: Upstream) -> None:
        self._rights = rights
        self._holders: OrderedDict[_Key, Holder] = OrderedDict()
        # Apart from the accounts: who comes from many addresses must not push out what accounts have used.
        self._of_addresses: OrderedDict[_Key, Holder] = OrderedDict()
        self._addresses: OrderedDict[str, Meter] = OrderedDict()
        self._anonymous: Mapping[str, Any] = {"person": "anonymous"}
        self._lines: dict[_Line, list[int]] = {}
        self._touched: dict[str, Meter] = {}
        self._unanswered: dict[str, Any] | None = None

    def account(self, told: Mapping[str, Any]) -> Meter:
        """The meter of an account, from what `rights` tells of it. What was counted before goes on."""
        now = time.time()
        names = {"person": str(told["person"]), "organisation": str(told.get("organisation"))}
        limits = []
        for each in told.get("policies", ()):
            policy = _policy(each)
            holder = _holder(self._holders, (policy.counted, names[policy.counted]), now)
            if holder.new:
                holder.of(policy.unit).learn({policy.period: int(each["used"])}, now)
            limits.append((policy, holder))
        for _, holder in limits:
            holder.new = False
        return Meter(told, limits, shared=True)

    def learn_anonymous(self, told: Mapping[str, Any]) -> None:
        """What holds for each address from which no credential comes."""
        if told != self._anonymous:
            self._anonymous = told
            self._addresses.clear()

    def address(self, address: str) -> Meter:
        meter = self._addresses.get(address)
        if meter is None:
            holder = _holder(self._of_addresses, ("address", address), time.time())
            limits = [(_policy(each), holder) for each in self._anonymous.get("policies", ())]
            meter = self._addresses[address] = Meter(self._anonymous, limits, shared=False)
            if len(self._addresses) > _REMEMBERED:
                self._addresses.popitem(last=False)
        return meter

    def count(self, meter: Meter, service: str, collection: str | None, requests: int, size: int) -> None:
        """Add to the caller's windows and to the next batch."""
        meter.add(requests, size)
        self._enter(meter, service, collection, requests, size)

    def end(self, meter: Meter, service: str, collection: str | None) -> None:
        """Add to the next batch a request that `Meter.begin` let in."""
        meter.end()
        self._enter(meter, service, collection, 1, 0)

    def _enter(self, meter: Meter, service: str, collection: str | None, requests: int, size: int) -> None:
        line = (meter.organisation, meter.person, service, collection, meter.project)
        counted = self._lines.get(line)
        if counted is not None:
            counted[0] += requests
            counted[1] += size
        elif len(self._lines) < _REMEMBERED:
            self._lines[line] = [requests, size]
        if meter.shared:
            self._touched[meter.person] = meter  # the newest: its limits may have been set since the last request

    async def run(self) -> None:
        """Flush for ever, and once more at the end."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """One batch; when its answer is lost the same batch is sent again before any other."""
        now = time.time()
        if self._unanswered is None:
            if not self._lines:
                return
            self._unanswered = self._batch(now)
        try:
            used = await self._send(self._unanswered)
        except (Problem, aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as error:
            _log.warning("counts could not be handed over; they are kept", extra={"error": type(error).__name__})
            return
        self._unanswered = None
        told: dict[_Key, dict[str, dict[Period, int]]] = {}
        for row in used:
            units = told.setdefault((row["counted"], row["holder"]), {"requests": {}, "bytes": {}})
            for unit, periods in units.items():
                periods[row["period"]] = int(row[unit])
        for key, units in told.items():
            if (holder := self._holders.get(key)) is not None:
                holder.requests.confirm(units["requests"], now)
                holder.bytes.confirm(units["bytes"], now)

    def _batch(self, now: float) -> dict[str, Any]:
        names = ("organisation", "person", "service", "collection", "project")
        counts = [
            {**dict(zip(names, line, strict=True)), "requests": counted[0], "bytes": counted[1]}
            for line, counted in self._lines.items()
        ]
        warnings = [each for meter in self._touched.values() for each in meter.warnings(now)]
        self._lines, self._touched = {}, {}
        for holder in self._of_addresses.values():
            holder.requests.keep(now)
            holder.bytes.keep(now)
        for holder in self._holders.values():
            holder.requests.begin_flush()
            holder.bytes.begin_flush()
        return {"id": str(uuid.uuid4()), "counts": counts, "warnings": warnings[:_MOST_WARNINGS]}

    async def _send(self, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        async with asyncio.timeout(10):
            response = await self._rights.request(
                "POST", "/usage", [("content-type", "application/json")], json.dumps(batch).encode(), replayable=True
            )
            async with response:
                content = await response.read()
        if 400 <= response.status < 500:
            # Sent again it would be refused again, and nothing would be counted any more.
            _log.error("counts were refused and are lost", extra={"status": response.status})
            return []
        document = json.loads(content)
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        used: list[dict[str, Any]] = document["used"]
        return used


def _holder(holders: OrderedDict[_Key, Holder], key: _Key, now: float) -> Holder:
    holder = holders.get(key)
    if holder is None:
        holder = holders[key] = Holder(now)
        if len(holders) > _REMEMBERED:
            holders.popitem(last=False)
    else:
        holders.move_to_end(key)
    return holder


def _policy(told: Mapping[str, Any]) -> Policy:
    return Policy(told["name"], told["counted"], told["unit"], told["period"], int(told["amount"]))
