"""Limits and counts with the real rights service behind the gateway."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import http_sfv
import httpx
import psycopg
import pytest

Opened = tuple[httpx.Client, dict[str, str]]


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def structured(header: str) -> dict[str, dict[str, Any]]:
    """A header as RFC 9651 reads it: a list of strings with parameters."""
    found = http_sfv.List()
    found.parse(header.encode())
    assert all(isinstance(item.value, str) for item in found)
    return {item.value: dict(item.params) for item in found}


def left(answer: httpx.Response, name: str = "requests-minute") -> int:
    found = re.search(rf'"{name}";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert found, answer.headers["ratelimit"]
    assert int(found[2]) >= 1
    return int(found[1])


def on_trial(client: httpx.Client, keys: dict[str, str]) -> dict[str, str]:
    """The headers of the company's person, once it is on the plan with tiny limits."""
    company = {"X-API-Key": keys["company"]}
    person = client.get("/rights/me", headers=company).json()["subject"]
    answer = client.put(
        "/rights/admin/plans/trial/assignment", json={"person": person, "reason": "a client is tested"},
        headers={"X-API-Key": keys["admin"]},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    time.sleep(0.5)
    return company


def test_every_answer_tells_the_limits(opened: Opened) -> None:
    client, keys = opened
    researcher = {"X-API-Key": keys["researcher"]}
    answers = [
        client.get("/rights/me"), client.get("/rights/me", headers=researcher), client.get("/rights/nowhere"),
        client.get("/rights/me", headers={"X-API-Key": "nobody.nothing"}), client.get("/rights/keys"),
        client.post("/rights/keys", headers=researcher, json={"name": ""}), client.head("/rights/licences"),
        client.get("/stac", headers=researcher), client.get("/rights/me?api_key=x"),
    ]  # fmt: skip
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 404, 422, 503}
    for answer in answers:
        limits, policies = (structured(answer.headers[name]) for name in ("ratelimit", "ratelimit-policy"))
        assert limits.keys() == policies.keys() and "requests-minute" in limits
        for name, limit in limits.items():
            assert isinstance(limit["t"], int) and limit["t"] > 0
            assert 0 <= limit["r"] <= policies[name]["q"] and policies[name]["w"] >= 60
            assert policies[name]["qu"] in ("requests", "content-bytes")
        assert left(answer) > 100_000
    assert "ratelimit" not in client.options("/rights/me").headers
    assert "ratelimit" not in client.get("/healthz").headers


def test_tiny_limits_are_met_told_and_shared(opened: Opened) -> None:
    client, keys = opened
    company = on_trial(client, keys)
    answers = [client.get("/rights/licences", headers=company) for _ in range(14)]
    passed = [answer for answer in answers if answer.status_code == 200]
    assert 8 <= len(passed) <= 10
    assert [left(answer) for answer in passed] == list(range(len(passed) - 1, -1, -1))
    refused = answers[-1]
    problem = refused.json()
    assert refused.status_code == 429 and refused.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem["violated-policies"] == ["requests-minute"]
    told = re.search(r'"requests-minute";r=0;t=(\d+)', refused.headers["ratelimit"])
    assert told and int(refused.headers["retry-after"]) >= int(told[1])
    # Nobody else at this address is concerned: accounts are not limited by address, nor are they by each other.
    assert client.get("/rights/licences", headers={"X-API-Key": keys["researcher"]}).status_code == 200
    assert client.get("/rights/licences").status_code == 200


def test_two_gateways_share_a_limit(two_gateways: tuple[list[httpx.Client], dict[str, str]]) -> None:
    """Together they let pass the limit, and at most what the other one took within a flush."""
    (one, other), keys = two_gateways
    company = on_trial(one, keys)
    passed = 0
    for _ in range(6):
        passed += one.get("/rights/licences", headers=company).status_code == 200
    time.sleep(1.5)
    told = []
    for _ in range(10):
        # Slower than the flush, so that each gateway knows of the other.
        told.append(other.get("/rights/licences", headers=company).status_code)
        told.append(one.get("/rights/licences", headers=company).status_code)
        time.sleep(1.3)
    passed += told.count(200)
    assert told[-2:] == [429, 429], "both know"
    assert 8 <= passed <= 12


def test_counts_reach_the_statement(opened: Opened) -> None:
    client, keys = opened
    researcher = {"X-API-Key": keys["researcher"]}
    for _ in range(25):
        client.get("/assets/some-collection/item/asset", headers=researcher)

    def counted() -> bool:
        told = client.get("/rights/usage", params={"by": ["service", "collection"]}, headers=researcher).json()
        rows = [row for row in told["usage"] if row["service"] == "assets"]
        return bool(rows) and rows[0]["requests"] == 25 and rows[0]["bytes"] > 2500

    wait_until(counted, 5)
    sheet = client.get("/rights/usage?by=day&by=service", headers=researcher | {"Accept": "text/csv"})
    assert sheet.text.splitlines()[0] == "day,service,requests,bytes,jobs,credits,km2"
    owner = client.get("/rights/me", headers=researcher).json()["organisation"]["id"]
    company, admin = {"X-API-Key": keys["company"]}, {"X-API-Key": keys["admin"]}
    assert client.get(f"/rights/usage?organisation={owner}", headers=company).status_code == 404
    assert client.get(f"/rights/usage?organisation={owner}", headers=admin).json()["organisation"] == owner


def test_names_that_callers_make_up_are_kept_nowhere(opened: Opened, database: Any) -> None:
    """Else anybody could fill the database with collections that are none."""
    client, keys = opened
    researcher = {"X-API-Key": keys["researcher"]}
    made = {f"made-up-{uuid.uuid4().hex}" for _ in range(40)}
    for name in made:
        assert client.get(f"/assets/{name}/i/a").status_code == 404
        assert client.get(f"/assets/{name}/i/a", headers=researcher).status_code == 404
    time.sleep(2.2)
    with psycopg.connect(database.url("rights")) as connection:
        rows = connection.execute(
            "select collection, sum(requests)::int from rights.usage_count where service = 'assets' group by 1"
        ).fetchall()
    assert [name for name, _ in rows] == [None] and rows[0][1] >= 80


def test_wrong_credentials_are_counted_by_their_address(opened: Opened) -> None:
    client, _ = opened
    before = left(client.get("/rights/licences"))
    for number in range(5):
        answer = client.get("/rights/me", headers={"X-API-Key": f"nobody{number}.nothing"})
        assert answer.status_code == 401
        assert left(answer) <= before - number - 1
    assert left(client.get("/rights/licences")) <= before - 6


def test_warnings_are_recorded_once(opened: Opened) -> None:
    client, keys = opened
    admin, company = {"X-API-Key": keys["admin"]}, {"X-API-Key": keys["company"]}
    person = client.get("/rights/me", headers=company).json()["subject"]
    answer = client.post(
        "/rights/admin/quotas", headers=admin,
        json={"person": person, "unit": "requests", "window": "day", "amount": 40, "reason": "test"},
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    wait_until(
        lambda: "requests-day" in client.get("/rights/licences", headers=company).headers["RateLimit-Policy"], 20
    )

    def levels() -> list[int]:
        rows = client.get("/rights/admin/quota_warnings", headers=admin).json()["quota_warnings"]
        return sorted(row["level"] for row in rows if row["holder"] == person)

    def left() -> int:
        told = client.get("/rights/licences", headers=company).headers["RateLimit"]
        return int(told.partition('"requests-day";r=')[2].partition(";")[0])

    while left() > 5:
        pass
    wait_until(lambda: levels() == [80], 20)
    limits = {row["name"]: row for row in client.get("/rights/quotas", headers=company).json()["quotas"]}
    assert limits["requests-day"]["state"] == "warning"
    while client.get("/rights/licences", headers=company).status_code == 200:
        pass
    wait_until(lambda: levels() == [80, 100], 20)


@pytest.mark.parametrize("repeated", [False, True])
def test_a_batch_counts_once(database: Any, repeated: bool) -> None:
    person, batch = str(uuid.uuid4()), str(uuid.uuid4())
    line = f'[{{"person": "{person}", "service": "tiles", "requests": 3, "bytes": 5}}]'
    with psycopg.connect(database.url("rights"), autocommit=True) as connection:
        for _ in range(2):
            used = connection.execute("select * from count_usage(%s, %s)", [batch, line]).fetchall()
            batch = batch if repeated else str(uuid.uuid4())
        assert {(row[2], row[3], row[4]) for row in used} == {
            (period, *((3, 5) if repeated else (6, 10))) for period in ("minute", "day", "month", "quarter")
        }
