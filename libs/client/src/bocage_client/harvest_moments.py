"""Moments as sources write them."""

from __future__ import annotations

from datetime import UTC, datetime


def parsed(text: object) -> datetime | None:
    """In UTC; one without a zone is taken for UTC. None for what is no moment."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        return None


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
