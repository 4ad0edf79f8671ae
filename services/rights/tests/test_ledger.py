"""The ledger's functions against a real database: exact, idempotent, and the only way in."""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from conftest import TestDatabase

Connection = psycopg.Connection[tuple[Any, ...]]


def organisation(database: TestDatabase, credits: int | str = 0) -> str:
    name = f"org-{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database.url("rights"), autocommit=True) as connection:
        row = connection.execute(
            "insert into organisation (name, slug, category) values (%s, %s, 'research') returning id", [name, name]
        ).fetchone()
        assert row
        if Decimal(credits):
            connection.execute("select credit_grant(%s, %s, 'test', null)", [row[0], credits])
    return str(row[0])


def balance(connection: Connection, owner: str) -> tuple[Decimal, ...]:
    row = connection.execute("select * from rights.balance(%s)", [owner]).fetchone()
    assert row
    return row


def one(connection: Connection, query: str, *values: object) -> Any:
    """The single value of a query, or the SQLSTATE that it ended with."""
    try:
        row = connection.execute(query, values).fetchone()
    except psycopg.Error as error:
        return error.sqlstate
    assert row
    return row[0]


RESERVE = "select rights.credit_reserve(%s::uuid, %s::uuid, %s, 'somebody')"
SETTLE = "select rights.credit_settle(%s::uuid, %s)"
RELEASE = "select rights.credit_release(%s::uuid)"


def test_concurrent_reservations_never_oversell(module_database: TestDatabase) -> None:
    """150 jobs of 10 against 1000, each sent three times at once, then settled twice at 6."""
    owner = organisation(module_database, 1000)
    jobs = [str(uuid.uuid4()) for _ in range(150)]
    local = threading.local()
    opened: list[Connection] = []

    def run(query: str, *values: object) -> Any:
        if not hasattr(local, "connection"):
            local.connection = psycopg.connect(module_database.url("processing"), autocommit=True)
            opened.append(local.connection)
        return one(local.connection, query, *values)

    with ThreadPoolExecutor(8) as pool:
        tries = [job for job in jobs for _ in range(3)]
        answers = list(pool.map(lambda job: run(RESERVE, owner, job, 10), tries))
        outcome = Counter(answers)
        assert outcome == {"reserved": 100, "replay": 200, "P0402": 150}
        held = {job for job, answer in zip(tries, answers, strict=True) if answer == "reserved"}
        settled = Counter(pool.map(lambda job: run(SETTLE, job, 6), [job for job in held for _ in range(2)]))
        assert settled == {"settled": 100, "replay": 100}
    for connection in opened:
        connection.close()
    with psycopg.connect(module_database.url("processing")) as connection:
        assert balance(connection, owner) == (400, 0, 600)


def test_repetition_and_contradiction(module_database: TestDatabase) -> None:
    owner, job = organisation(module_database, 100), str(uuid.uuid4())
    with psycopg.connect(module_database.url("processing"), autocommit=True) as connection:
        assert one(connection, SETTLE, job, 1) == "P0404"
        assert one(connection, RELEASE, job) == "P0404"
        assert one(connection, RESERVE, owner, job, 40) == "reserved"
        assert one(connection, RESERVE, owner, job, 40) == "replay"
        assert one(connection, RESERVE, owner, job, 41) == "P0409"
        assert one(connection, RESERVE, organisation(module_database, 100), job, 40) == "P0409"
        assert one(connection, SETTLE, job, 50) == "settled", "more than reserved is capped"
        assert one(connection, SETTLE, job, 50) == "replay"
        assert one(connection, SETTLE, job, 39) == "P0409"
        assert one(connection, RELEASE, job) == "P0409"
        assert balance(connection, owner) == (60, 0, 40)
        for wrong in ("-1", "NaN", "1e13", "0.00001"):
            assert one(connection, RESERVE, owner, str(uuid.uuid4()), wrong) == "P0422"
        assert one(connection, RESERVE, str(uuid.uuid4()), str(uuid.uuid4()), 1) == "P0404"
        free = str(uuid.uuid4())
        assert one(connection, RESERVE, owner, free, 0) == "reserved"
        assert one(connection, RELEASE, free) == "released"
        assert one(connection, RELEASE, free) == "replay"


def test_a_refusal_leaves_no_trace(module_database: TestDatabase) -> None:
    owner = organisation(module_database, 1)
    with psycopg.connect(module_database.url("rights"), autocommit=True) as connection:
        before = one(connection, "select count(*) from ledger_transaction where organisation = %s", owner)
        assert one(connection, RESERVE, owner, str(uuid.uuid4()), 2) == "P0402"
        assert one(connection, "select count(*) from ledger_transaction where organisation = %s", owner) == before


def test_suspended_organisation_reserves_nothing_but_its_jobs_end(module_database: TestDatabase) -> None:
    owner, job = organisation(module_database, 10), str(uuid.uuid4())
    with psycopg.connect(module_database.url("rights"), autocommit=True) as connection:
        assert one(connection, RESERVE, owner, job, 5) == "reserved"
        connection.execute("update organisation set state = 'suspended' where id = %s", [owner])
        assert one(connection, RESERVE, owner, str(uuid.uuid4()), 1) == "P0404"
        assert one(connection, SETTLE, job, 5) == "settled"


def test_grants_and_adjustments(module_database: TestDatabase) -> None:
    owner = organisation(module_database)
    grant = "select credit_grant(%s::uuid, %s, 'first', %s)"
    adjust = "select credit_adjust(%s::uuid, %s, 'mistake', %s)"
    with psycopg.connect(module_database.url("rights"), autocommit=True) as connection:
        assert one(connection, grant, owner, 100, "a") == "granted"
        assert one(connection, grant, owner, 100, "a") == "replay"
        assert one(connection, grant, owner, 99, "a") == "P0409"
        assert one(connection, grant, owner, -5, "b") == "P0422"
        assert one(connection, adjust, owner, -30, "c") == "adjusted"
        assert one(connection, adjust, owner, -71, "d") == "P0402"
        assert balance(connection, owner) == (70, 0, 0)


@pytest.mark.parametrize(
    ("process", "usage", "price"),
    [
        ("dsm", '{"megapixels": 0}', "2.00"),
        ("dsm", '{"megapixels": 1.5, "other": 3}', "17.00"),
        ("dsm", '{"megapixels": 0.00001}', "2.01"),
        ("hillshade", '{"megapixels": 0.36}', "0.38"),
        ("hillshade", '{"megapixels": 0.361}', "0.39"),
        ("echo", "{}", "0.01"),
        ("dsm", "{}", "P0422"),
        ("dsm", '{"megapixels": -1}', "P0422"),
        ("nothing", "{}", "P0404"),
    ],
)
def test_price_rounds_up(module_database: TestDatabase, process: str, usage: str, price: str) -> None:
    with psycopg.connect(module_database.url("processing"), autocommit=True) as connection:
        assert str(one(connection, "select rights.price(%s, %s::jsonb)", process, usage)) == price


def test_processing_touches_nothing_but_the_functions(module_database: TestDatabase) -> None:
    owner = organisation(module_database, 1)
    with psycopg.connect(module_database.url("processing"), autocommit=True) as connection:
        for table in ("credit_account", "ledger_entry", "ledger_transaction", "api_key", "tariff", "acceptance"):
            assert one(connection, f"select count(*) from rights.{table}") == "42501"
        assert one(connection, "select rights.credit_grant(%s::uuid, 5, 'mine', null)", owner) == "42501"
        assert one(connection, "select rights.end_reservation(%s::uuid, 'settle', 5)", owner) == "42501"


def test_what_is_written_stays_written(module_database: TestDatabase) -> None:
    organisation(module_database, 1)
    with psycopg.connect(module_database.url("rights"), autocommit=True) as connection:
        for table in ("ledger_entry", "ledger_transaction"):
            assert one(connection, f"delete from {table} returning 1") == "P0405"
            assert one(connection, f"update {table} set amount = 1 returning 1") == "P0405"
            assert one(connection, f"truncate {table} cascade") == "P0405"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "release", "grant", "adjust"]),
        st.integers(0, 5),
        st.decimals(-20, 20, places=2),
    ),
    max_size=25,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_invariants_hold_whatever_happens(module_database: TestDatabase, steps: list[tuple[str, int, Decimal]]) -> None:
    """Against a model in memory: same balance, entries that add up, at most one ending a job."""
    owner = organisation(module_database)
    jobs = [str(uuid.uuid4()) for _ in range(6)]
    available = Decimal(0)
    held: dict[int, Decimal] = {}
    ended: dict[int, Decimal] = {}
    with psycopg.connect(module_database.url("rights"), autocommit=True) as connection:
        for kind, index, amount in steps:
            job = jobs[index]
            if kind == "reserve" and one(connection, RESERVE, owner, job, amount) == "reserved":
                assert index not in held
                assert 0 <= amount <= available
                held[index], available = amount, available - amount
            elif kind == "settle" and one(connection, SETTLE, job, amount) == "settled":
                assert index in held and index not in ended
                ended[index] = min(amount, held[index])
                available += held[index] - ended[index]
            elif kind == "release" and one(connection, RELEASE, job) == "released":
                assert index in held and index not in ended
                ended[index], available = Decimal(0), available + held[index]
            elif kind == "grant":
                if one(connection, "select credit_grant(%s::uuid, %s, 'x', null)", owner, amount) == "granted":
                    available += amount
            elif (
                kind == "adjust"
                and one(connection, "select credit_adjust(%s::uuid, %s, 'x', null)", owner, amount) == "adjusted"
            ):
                available += amount
        reserved = sum((held[x] for x in held if x not in ended), Decimal(0))
        assert balance(connection, owner) == (available, reserved, sum(ended.values(), Decimal(0)))
        _entries_add_up(connection, owner)


def _entries_add_up(connection: Connection, owner: str) -> None:
    row = connection.execute(
        """select sum(amount) filter (where credit = 'available') - sum(amount) filter (where debit = 'available')
             from (select credit, debit, amount from ledger_entry where organisation = %s
                   union all values ('available', 'x', 0), ('x', 'available', 0)) entries""",
        [owner],
    ).fetchone()
    assert row and row[0] == balance(connection, owner)[0]
    repeated = connection.execute(
        "select job from ledger_transaction where kind in ('settle', 'release') group by job having count(*) > 1"
    ).fetchall()
    assert repeated == []


def test_random_interleavings_of_many_clients(module_database: TestDatabase) -> None:
    """Six clients do what they like with the same jobs; afterwards the entries add up and nothing is lost."""
    owner = organisation(module_database, 200)
    jobs = [str(uuid.uuid4()) for _ in range(30)]

    def client(seed: int) -> Counter[str]:
        dice, seen = random.Random(seed), Counter[str]()
        with psycopg.connect(module_database.url("processing"), autocommit=True) as connection:
            for _ in range(80):
                job = dice.choice(jobs)
                match dice.randrange(3):
                    case 0:
                        answer = one(connection, RESERVE, owner, job, 10)
                    case 1:
                        answer = one(connection, SETTLE, job, dice.choice([3, 7]))
                    case _:
                        answer = one(connection, RELEASE, job)
                seen[answer] += 1
        return seen

    with ThreadPoolExecutor(6) as pool:
        seen: Counter[str] = sum(pool.map(client, range(6)), Counter())
    assert set(seen) <= {"reserved", "settled", "released", "replay", "P0402", "P0404", "P0409"}
    with psycopg.connect(module_database.url("rights"), autocommit=True) as connection:
        available, reserved, settled = balance(connection, owner)
        assert available + reserved + settled == 200
        assert reserved == 10 * (seen["reserved"] - seen["settled"] - seen["released"])
        _entries_add_up(connection, owner)
