"""What /rights/me says of credits and limits that run out, in both languages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from bocage_kit.identity import Identity
from bocage_rights import standing
from hypothesis import given
from hypothesis import strategies as st

from services.rights.tests.test_people import house

if TYPE_CHECKING:
    from services.rights.tests.conftest import Rights

ENDS = datetime(2026, 12, 1, tzinfo=UTC)


def told(rights: Rights, who: str, language: str) -> dict[str, dict[str, Any]]:
    answer = rights.call(who, "GET", "/rights/me", headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    return {entry["what"]: entry for entry in answer.json()["missing"]}


@pytest.mark.parametrize(("language", "words"), [("en", "no credits left"), ("fr", "plus de crédits")])
def test_no_credits_left(rights: Rights, language: str, words: str) -> None:
    who, made = house(rights, ["jobs:submit"])
    entry = told(rights, who, language)["credits"]
    assert words in entry["why"]
    assert rights.call(who, "GET", entry["link"].removeprefix("http://bocage.test")).status_code == 200
    given_ = {"organisation": made["organisation"]["id"], "amount": "5", "reason": "test"}
    assert rights.call("admin", "POST", "/rights/admin/credits", json=given_).status_code == 201
    assert "credits" not in told(rights, who, language)


def test_who_may_submit_nothing_is_not_told_of_credits(rights: Rights) -> None:
    who, _ = house(rights, ["catalogue:write"])
    assert "credits" not in told(rights, who, "en")


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("80 %", "40 of 50 requests by day, counted for you")),
        ("fr", ("80 %", "40 sur 50 requêtes par jour, comptés pour vous")),
    ],
)
def test_a_limit_at_80_percent(rights: Rights, language: str, words: tuple[str, ...]) -> None:
    who, made = house(rights, [])
    limit = {"person": made["person"], "unit": "requests", "window": "day", "amount": 50, "reason": "test"}
    assert rights.call("admin", "POST", "/rights/admin/quotas", json=limit).status_code == 201

    def use(requests: int) -> None:
        line = {"organisation": made["organisation"]["id"], "person": made["person"], "service": "stac"}
        with psycopg.connect(rights.database.url("rights"), autocommit=True) as connection:
            connection.execute(
                "select count_usage(gen_random_uuid(), %s)",
                [psycopg.types.json.Jsonb([line | {"requests": requests, "bytes": 0}])],
            )

    use(39)
    assert "requests-day" not in told(rights, who, language)
    use(1)
    entry = told(rights, who, language)["requests-day"]
    assert all(word in entry["why"] for word in words), entry
    assert rights.call(who, "GET", entry["link"].removeprefix("http://bocage.test")).status_code == 200


@dataclass(frozen=True)
class Row:
    used: Decimal
    amount: Decimal
    name: str = "km2-month"
    counted: str = "organisation"
    unit: str = "km2"
    period: str = "month"
    ends: datetime = ENDS


numbers = st.decimals(0, 10**14, places=4)


@given(used=numbers, amount=numbers)
def test_limits_are_told_from_80_percent_on_and_in_digits(used: Decimal, amount: Decimal) -> None:
    caller = Identity(subject="anybody", public_base="http://bocage.test")
    for language in ("en", "fr"):
        found = standing.running_out(caller, Decimal(1), [Row(used, amount)], language)  # type: ignore[list-item, arg-type]
        assert bool(found) is (used * 5 >= amount * 4)
        for entry in found:
            percent = int(entry["why"].split(" %")[0])
            assert 80 <= percent <= 100 and "E" not in entry["why"][3:20] and "{" not in entry["why"]
