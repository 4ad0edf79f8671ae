"""A submission meets quotas; a job keeps the price list of the moment of its submission."""

from __future__ import annotations

from decimal import Decimal

import psycopg
from bocage_processing.rehearsal.platform import Platform, until

EXECUTE = "/processing/processes/make/execution"


def test_over_a_quota_nothing_is_reserved(served: Platform) -> None:
    with psycopg.connect(served.admin_url, autocommit=True) as connection:
        connection.execute(
            "insert into rights.quota (organisation, counted, unit, period, amount, reason, set_by)"
            " values (%s, 'organisation', 'km2', 'month', 10, 'test', 'test')",
            [served.organisation],
        )
    count = "select count(*) as n from rights.ledger_transaction"
    with served.client() as client:
        headers = {"Prefer": "respond-async"}
        first = client.post(EXECUTE, json={"inputs": {"megapixels": 7, "used": 4}}, headers=headers)
        assert first.status_code == 201, first.text
        before = served.row(count)
        refused = client.post(EXECUTE, json={"inputs": {"megapixels": 6.5}}, headers=headers)
        problem = refused.json()
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
        assert problem["violated-policies"] == ["km2-month-organisation"]
        assert 0 < int(refused.headers["retry-after"]) <= 31 * 86_400
        if served.job(first.json()["jobID"])["state"] == "accepted":
            assert served.row(count) == before
        until(lambda: served.job(first.json()["jobID"])["state"] == "successful", 30)
        # The first job used less than it had reserved: now there is room.
        again = client.post(EXECUTE, json={"inputs": {"megapixels": 6}}, headers=headers)
        assert again.status_code == 201, again.text
    warned = served.rows("select level from rights.quota_warning order by level")
    assert [row["level"] for row in warned] == [80, 100], "the refusal is on record, and that the last one filled it"


def test_a_job_keeps_its_price_list(platform: Platform) -> None:
    """Prices double while a job waits: it is settled by the old ones, and the next one is quoted by the new."""
    platform.start("service")
    platform.serving()
    job = platform.submit("make", {"megapixels": 5, "used": 4})
    assert platform.job(job)["reserved"] == Decimal(11)
    with psycopg.connect(platform.admin_url, autocommit=True) as connection:
        for unit, price in (("job", 2), ("megapixels", 4)):
            connection.execute("select rights.tariff_set('make', %s, null, null, %s::numeric)", [unit, price])
    platform.start("dispatcher")
    until(lambda: platform.job(job)["state"] == "successful", 30)
    assert platform.job(job)["price"] == Decimal(9)
    assert platform.job(platform.submit("make", {"megapixels": 5}))["reserved"] == Decimal(22)
