"""What every service needs to know of a deposit: whether its collection still changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bocage_kit.problems import Problem

FIELD = "bocage:deposit"
"""The state of a deposit, on its collection: set by the catalogue, and by nobody else."""
DRAFT, SUBMITTED, RETURNED, ACCEPTED, PUBLISHED = "draft", "submitted", "returned", "accepted", "published"
_OPEN = frozenset((DRAFT, RETURNED))


def is_frozen(collection: Mapping[str, Any]) -> bool:
    """Whether the files, items and words of a collection stay as they are."""
    return FIELD in collection and collection[FIELD] not in _OPEN


def check_open(collection: Mapping[str, Any]) -> None:
    """Raises Problem 409 for the collection of a deposit that is under review or published."""
    if not is_frozen(collection):
        return
    name, state = collection.get("id"), collection[FIELD]
    remedy = (
        f"deposit a new version that supersedes it, or withdraw it (POST …/collections/{name}/withdrawal)"
        if state == PUBLISHED
        else "wait for the review: a deposit that is returned can be changed"
    )
    raise Problem(409, "deposit-frozen", f"The deposit {name} is {state}, and stays as it is: {remedy}.")
