"""What is wrong with a request, and where in it."""

from __future__ import annotations

from bocage_kit.problems import Problem


def refused(at: str, why: str) -> Problem:
    """What makes no sense, by its place: a member, a parameter, or a path within a condition."""
    return Problem(400, "invalid-request", f"{at}: {why}.", at=at)
