"""Limits on requests and bytes: what is used, what is left, and how the standard says it. No input, no output.

The rolling minute is kept in steps of a second and one step more than a minute, so that no 60 seconds ever hold more
than the limit. Calendar periods are UTC's. Counts of the last flush come from `rights` and hold for all gateways.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Unit = Literal["requests", "bytes"]
Period = Literal["minute", "day", "month", "quarter"]
CALENDAR: tuple[Period, ...] = ("day", "month", "quarter")
_STEPS = 61
_NAMES_OF_UNITS = {"requests": "requests", "bytes": "content-bytes"}


@dataclass(frozen=True)
class Policy:
    """One limit of an account."""

    name: str
    counted: str
    unit: Unit
    period: Period
    amount: int


def bounds(period: Period, now: float) -> tuple[float, float]:
    """Begin and end of the calendar period of a moment, in epoch seconds."""
    moment = time.gmtime(now)
    year, month = moment.tm_year, moment.tm_mon
    if period == "day":
        begin = calendar.timegm((year, month, moment.tm_mday, 0, 0, 0))
        return begin, begin + 86_400
    length = 1 if period == "month" else 3
    first = month - (month - 1) % length
    months = year * 12 + first - 1 + length
    return (
        calendar.timegm((year, first, 1, 0, 0, 0)),
        calendar.timegm((months // 12, months % 12 + 1, 1, 0, 0, 0)),
    )


class Window:
    """What one holder uses of one unit: in the last minute, and in each calendar period."""

    __slots__ = (
        "_begun", "_bounds", "_confirmed", "_oldest", "_others", "_others_end", "_steps", "_unconfirmed",
        "minute", "open", "second", "total", "version",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self._steps = [0] * _STEPS
        self.second = self._oldest = int(now)
        """The newest that is known of."""
        self.minute = 0
        self.total = self.version = 0
        """All that was ever added; and how often anything else changed: between two changes `total` tells the rest."""
        self._others = self._others_end = 0
        self._bounds: dict[Period, tuple[float, float]] = {}
        self._confirmed: dict[Period, int] = {}
        self._unconfirmed = 0
        self._begun = 0
        self.open = 0
        """What is counted here and in no batch yet."""

    def advance(self, now: float) -> None:
        """Let go of what is older than a minute."""
        second = int(now)
        if second <= self.second:
            return
        self.version += 1
        for step in range(self.second + 1, min(second, self.second + _STEPS) + 1):
            place = step % _STEPS
            self.minute -= self._steps[place]
            self._steps[place] = 0
        if second >= self._others_end:  # who is refused is not counted, and so hears no more of the others
            self._others = 0
        self.second = second
        self._oldest = max(self._oldest, second - _STEPS + 1)

    def add(self, amount: int) -> None:
        self._steps[self.second % _STEPS] += amount
        self.minute += amount
        self._unconfirmed += amount
        self.total += amount

    def take_back(self, amount: int) -> None:
        """What was added this second is not used after all."""
        self.add(-amount)
        self.version += 1  # what was said to come back may come later now

    def used(self, period: Period, now: float) -> int:
        if period == "minute":
            return self.minute + self._others
        begin, end = self._bounds.get(period) or self._renewed(period, now)
        if not begin <= now < end:
            self._renewed(period, now)
        return self._confirmed.get(period, 0) + self._unconfirmed

    def ends(self, period: Period, now: float) -> int:
        """Whole seconds until some of the limit is given back; never too early."""
        if period == "minute":
            while self._oldest < self.second and not self._steps[self._oldest % _STEPS]:
                self._oldest += 1
            return max(self._oldest + _STEPS, self._others_end if self._others else 0) - int(now)
        end = (self._bounds.get(period) or self._renewed(period, now))[1]
        return max(1, int(end - now) + 1)

    def begin_flush(self) -> None:
        self._begun = self._unconfirmed - self.open

    def confirm(self, used: dict[Period, int], now: float) -> None:
        """`used`: by all gateways, what `begin_flush` saw included."""
        self.version += 1
        self._unconfirmed -= self._begun
        self._begun = 0
        own = self.minute - self._unconfirmed
        self._others = max(0, used.get("minute", 0) - max(0, own))
        self._others_end = int(now) + _STEPS
        self.learn(used, now)

    def keep(self, now: float) -> None:
        """Confirm what is counted here alone, so that it ends with its period."""
        self.version += 1
        for period in self._bounds:
            self.used(period, now)
            self._confirmed[period] += self._unconfirmed
        self._unconfirmed = self._begun = 0

    def learn(self, used: dict[Period, int], now: float) -> None:
        """What the database says of calendar periods."""
        self.version += 1
        for period in CALENDAR:
            if period in used:
                self._renewed(period, now)
                self._confirmed[period] = used[period]

    def _renewed(self, period: Period, now: float) -> tuple[float, float]:
        """A new period begins with nothing used but what is still to be flushed."""
        self._bounds[period] = found = bounds(period, now)
        self._confirmed[period] = 0
        return found


class Check:
    """One policy of one meter. What is left is worked out when something has changed, else from what was added."""

    __slots__ = ("_left", "_prefix", "_tail", "_total", "_version", "policy", "window")

    def __init__(self, policy: Policy, window: Window) -> None:
        self.policy, self.window = policy, window
        self._prefix = f'"{policy.name}";r='.encode()
        self._tail = b""
        self._version, self._left, self._total = -1, 0, 0

    def left(self, now: float) -> int:
        """Less than one when the limit is used up."""
        window = self.window
        if window.second < int(now):
            window.advance(now)
        if self._version != window.version:
            self._left = self.policy.amount - window.used(self.policy.period, now)
            self._tail = b";t=%d" % window.ends(self.policy.period, now)
            self._version, self._total = window.version, window.total
        return self._left - window.total + self._total

    def told(self, now: float) -> bytes:
        """As a member of the header RateLimit."""
        return b"%b%d%b" % (self._prefix, max(0, self.left(now)), self._tail)


class Holder:
    """A person, an organisation or an address."""

    __slots__ = ("bytes", "new", "requests")

    def __init__(self, now: float) -> None:
        self.requests, self.bytes = Window(now), Window(now)
        self.new = True

    def of(self, unit: Unit) -> Window:
        return self.requests if unit == "requests" else self.bytes


def policy_header(policies: Sequence[Policy]) -> bytes:
    """RateLimit-Policy: a structured field list. A calendar period's window is its longest length."""
    seconds = {"minute": 60, "day": 86_400, "month": 31 * 86_400, "quarter": 92 * 86_400}
    return ", ".join(
        f'"{p.name}";q={p.amount};w={seconds[p.period]};qu="{_NAMES_OF_UNITS[p.unit]}"' for p in policies
    ).encode("ascii")
