"""Instants, days and intervals of time, as RFC 3339 writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bocage_catalogue.refusals import refused

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,18}))?(Z|z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_OPEN = ("", "..")
# The database counts microseconds: a day ends one before the next begins.
_LAST = timedelta(days=1) - timedelta(microseconds=1)


@dataclass(frozen=True)
class Span:
    """From one instant to another, both included; None is open."""

    start: datetime | None
    end: datetime | None


def instant(text: str, at: str) -> datetime:
    """An instant with its offset. Raises Problem 400."""
    found = _INSTANT.fullmatch(text)
    if found:
        day, time, fraction, zone = found.groups()
        zone = "+00:00" if zone in "Zz" else zone
        try:
            return datetime.fromisoformat(f"{day}T{time}.{(fraction or '0')[:6]:0<6}{zone}").astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise refused(at, f"{text[:60]!r} is not an RFC 3339 instant such as 2024-05-01T10:30:00Z")


def day(text: str, at: str) -> Span:
    """A whole day, in UTC. Raises Problem 400."""
    if _DAY.fullmatch(text):
        try:
            start = datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            pass
        else:
            return Span(start, start + _LAST)
    raise refused(at, f"{text[:60]!r} is not a date such as 2024-05-01")


def instant_or_day(text: str, at: str) -> Span:
    """Either of the two. Raises Problem 400."""
    if _DAY.fullmatch(text):
        return day(text, at)
    found = instant(text, at)
    return Span(found, found)


def period(text: str) -> tuple[datetime | None, datetime | None]:
    """The parameter `datetime`: an instant or `start/end`, of which one may be open. Raises Problem 400."""
    parts = text.split("/")
    if len(parts) == 1:
        found = instant(text, "datetime")
        return found, found
    if len(parts) != 2 or (parts[0] in _OPEN and parts[1] in _OPEN):
        raise refused("datetime", "it must be an instant or start/end, with an instant at one end at least")
    start, end = (None if part in _OPEN else instant(part, "datetime") for part in parts)
    if start is not None and end is not None and start > end:
        raise refused("datetime", "it ends before it starts")
    return start, end
