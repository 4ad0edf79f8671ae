"""Which collections still change."""

from __future__ import annotations

import pytest
from bocage_kit import deposits
from bocage_kit.problems import Problem


@pytest.mark.parametrize("collection", [{}, {"id": "c"}, {deposits.FIELD: "draft"}, {deposits.FIELD: "returned"}])
def test_what_is_no_deposit_or_not_handed_over_changes(collection: dict[str, str]) -> None:
    assert not deposits.is_frozen(collection)
    deposits.check_open(collection)


@pytest.mark.parametrize("state", ["submitted", "accepted", "published", "withdrawn", "heard-of-by-nobody", None])
def test_all_else_stays(state: str | None) -> None:
    """Also a state that a later version knows: what is not understood is not changed."""
    with pytest.raises(Problem) as refused:
        deposits.check_open({"id": "c", deposits.FIELD: state})
    assert (refused.value.status, refused.value.code) == (409, "deposit-frozen")
