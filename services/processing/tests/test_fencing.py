"""The functions in the database, called by hand: who may end a job, and that the drills notice when anybody may."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from bocage_processing import jobs
from bocage_processing.jobs import NewJob
from bocage_processing.queue import Connection, make_pool
from bocage_processing.rehearsal.invariants import Facts, violations
from psycopg.rows import dict_row


@pytest.fixture
def organisation(database: Any) -> UUID:
    made = uuid4()
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(
            "insert into rights.organisation (id, name, slug, category) values (%s, 'A', 'a', 'public')", [made]
        )
        connection.execute("select rights.credit_grant(%s, 100, 'test', 'first')", [made])
    return made


@pytest.fixture
def admin(database: Any) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    path = "-c search_path=processing,public"
    with psycopg.connect(database.admin_url, autocommit=True, row_factory=dict_row, options=path) as connection:
        yield connection


def new_job(organisation: UUID, **fields: Any) -> NewJob:
    known: dict[str, Any] = {
        "id": uuid4(), "owner": "person", "organisation": organisation, "category": "research", "purpose": "research",
        "public_base": "http://localhost", "process": "echo", "process_version": "1", "inputs": {}, "items": [],
        "outputs": None, "response": None, "audience": "owner", "request_hash": "x", "idempotency_key": None,
        "cores": 1, "publishes": False, "max_attempts": 3, "quote": {}, "budget": None,
        "reserved": Decimal("0.01"), "rights": {},
    }  # fmt: skip
    return NewJob(**{**known, **fields})


async def submitted(connection: Connection, organisation: UUID, **fields: Any) -> UUID:
    job = new_job(organisation, **fields)
    assert await jobs.insert(connection, job)
    await jobs.reserve(connection, job)
    return job.id


def facts(admin: psycopg.Connection[dict[str, Any]], organisation: UUID) -> Facts:
    balance = admin.execute("select * from rights.balance(%s)", [organisation]).fetchone()
    assert balance is not None
    return Facts(
        jobs=admin.execute("select * from processing.job").fetchall(),
        ledger=admin.execute(
            "select job, kind, amount from rights.ledger_transaction where job is not null"
        ).fetchall(),
        balance=balance,
        living=(),
        attempts_in_store=(),
        attempts_published=(),
    )


async def a_zombie_ends_its_job(connection: Connection, organisation: UUID) -> tuple[jobs.End, jobs.End]:
    """Attempt 1 is lost, attempt 2 runs; then attempt 1 comes back and ends the job before attempt 2 does."""
    job = await submitted(connection, organisation)
    assert await jobs.claim(connection, job, "first", 30) == 1
    assert await jobs.requeue(connection, job, 1, "lost", "again", {}) == "requeued"
    assert await jobs.claim(connection, job, "second", 30) == 2
    zombie = await jobs.end(connection, job, 1, "successful", usage={}, results={"values": {"by": 1}})
    return zombie, await jobs.end(connection, job, 2, "successful", usage={}, results={"values": {"by": 2}})


async def test_only_the_current_attempt_beats_and_ends(
    database: Any, organisation: UUID, admin: psycopg.Connection[dict[str, Any]]
) -> None:
    async with make_pool(database.url("processing"), "test") as pool, pool.connection() as connection:
        await connection.set_autocommit(True)
        assert await a_zombie_ends_its_job(connection, organisation) == ("refused", "ended")
        job = await submitted(connection, organisation)
        assert await jobs.claim(connection, job, "first", 30) == 1
        assert await jobs.claim(connection, job, "first", 30) is None
        assert await jobs.beat(connection, job, 1, 30, "running", 40, "") == "go on"
        assert await jobs.beat(connection, job, 1, 30, "running", 20, "") == "go on"
        assert await jobs.requeue(connection, job, 1, "lost", "again", {}) == "requeued"
        assert await jobs.beat(connection, job, 1, 30, "running", 99, "") == "fenced"
        assert await jobs.requeue(connection, job, 1, "lost", "again", {}) == "refused"
        row = await jobs.get(connection, job)
        assert row is not None
        assert (row.state, row.progress) == ("accepted", 40)
        assert await jobs.dismiss(connection, job) == "dismissed"
        assert await jobs.dismiss(connection, job) == "ended"
        assert await jobs.claim(connection, job, "late", 30) is None
    assert violations(facts(admin, organisation)) == []


async def test_the_drills_notice_when_fencing_is_off(
    database: Any, organisation: UUID, admin: psycopg.Connection[dict[str, Any]]
) -> None:
    row = admin.execute(
        "select pg_get_functiondef('processing.job_end'::regproc) as source, 'j.attempt = p_attempt' as fence"
    ).fetchone()
    assert row is not None
    assert row["fence"] in row["source"]
    admin.execute(row["source"].replace(row["fence"], "true"))
    async with make_pool(database.url("processing"), "test") as pool, pool.connection() as connection:
        await connection.set_autocommit(True)
        assert (await a_zombie_ends_its_job(connection, organisation))[0] == "ended"
    (found,) = violations(facts(admin, organisation))
    assert "attempt 1 ended it, while 2 held it" in found


async def test_end_is_told_again_when_its_answer_got_lost(
    database: Any, organisation: UUID, admin: psycopg.Connection[dict[str, Any]]
) -> None:
    async with make_pool(database.url("processing"), "test") as pool, pool.connection() as connection:
        await connection.set_autocommit(True)
        for publishes in (False, True):
            job = await submitted(connection, organisation, publishes=publishes)
            attempt = await jobs.claim(connection, job, "one", 30)
            assert attempt == 1
            first = await jobs.end(connection, job, 1, "successful", usage={}, results={})
            assert first == ("publishing" if publishes else "ended")
            assert await jobs.end(connection, job, 1, "successful", usage={}, results={}) == "replay"
            assert await jobs.requeue(connection, job, 1, "lost", "again", {}) == "refused"
            if publishes:
                assert await jobs.dismiss(connection, job) == "publishing"
                assert await jobs.publish(connection, job, 1)
            assert not await jobs.publish(connection, job, 1)


async def test_cancel_and_success_race_has_one_winner(database: Any, organisation: UUID) -> None:
    async with make_pool(database.url("processing"), "test") as pool, pool.connection() as connection:
        await connection.set_autocommit(True)
        job = await submitted(connection, organisation)
        await jobs.claim(connection, job, "one", 30)
        assert await jobs.dismiss(connection, job) == "stopping"
        assert await jobs.end(connection, job, 1, "successful", usage={}, results={}) == "dismissed"
        row = await jobs.get(connection, job)
        assert row is not None
        assert (row.state, row.results) == ("dismissed", None)
        assert row.price == 0


async def test_what_has_ended_never_changes(database: Any, organisation: UUID) -> None:
    async with make_pool(database.url("processing"), "test") as pool, pool.connection() as connection:
        await connection.set_autocommit(True)
        job = await submitted(connection, organisation)
        await jobs.dismiss(connection, job)
        with pytest.raises(psycopg.DatabaseError, match="has ended"):
            await connection.execute("update job set message = 'other' where id = %s", [job])


async def test_too_many_losses_fail_the_job_free_of_charge(
    database: Any, organisation: UUID, admin: psycopg.Connection[dict[str, Any]]
) -> None:
    async with make_pool(database.url("processing"), "test") as pool, pool.connection() as connection:
        await connection.set_autocommit(True)
        job = await submitted(connection, organisation, max_attempts=2)
        answers = []
        while (attempt := await jobs.claim(connection, job, "one", 30)) is not None:
            answers.append(await jobs.requeue(connection, job, attempt, "lost", "again", {"code": "worker-lost"}))
        assert answers == ["requeued", "failed"]
    assert violations(facts(admin, organisation)) == []
    (row,) = facts(admin, organisation).jobs
    assert (row["state"], row["price"], row["error"]) == ("failed", 0, {"code": "worker-lost"})
