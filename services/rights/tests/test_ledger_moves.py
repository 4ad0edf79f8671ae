"""Transfers, refunds, and every function of the ledger driven against a model by a state machine."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
from bocage_rights.replay import differences
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

if TYPE_CHECKING:
    from conftest import TestDatabase

Connection = psycopg.Connection[tuple[Any, ...]]
GRANT = "select rights.credit_grant(%s::uuid, %s, 'test', %s)"
RESERVE = "select rights.credit_reserve(%s::uuid, %s::uuid, %s, 'somebody')"
SETTLE = "select rights.credit_settle(%s::uuid, %s)"
RELEASE = "select rights.credit_release(%s::uuid)"
TRANSFER = "select rights.credit_transfer(%s::uuid, %s::uuid, %s, 'test', %s)"
REFUND = "select rights.credit_refund(%s::uuid, %s, 'platform fault', %s)"
ADJUST = "select rights.credit_adjust(%s::uuid, %s, 'test', %s)"


@contextmanager
def owner_of(database: TestDatabase) -> Iterator[Connection]:
    with psycopg.connect(database.url("rights"), autocommit=True) as connection:
        yield connection


def organisation(connection: Connection, credits: int = 0) -> str:
    name = f"org-{uuid.uuid4().hex[:12]}"
    row = connection.execute(
        "insert into organisation (name, slug, category) values (%s, %s, 'research') returning id::text", [name, name]
    ).fetchone()
    assert row
    if credits:
        connection.execute(GRANT, [row[0], credits, None])
    return str(row[0])


def balance(connection: Connection, owner: str) -> tuple[Decimal, ...]:
    row = connection.execute("select * from rights.balance(%s)", [owner]).fetchone()
    assert row
    return row


def call(connection: Connection, query: str, *values: object) -> Any:
    """What a function answers, or the SQLSTATE that it ended with."""
    try:
        row = connection.execute(query, values).fetchone()
    except psycopg.Error as error:
        return error.sqlstate
    assert row
    return row[0]


def race(database: TestDatabase, query: str, values: list[tuple[object, ...]], clients: int = 10) -> Counter[str]:
    """Answers to calls that many clients make at once."""

    def some(part: list[tuple[object, ...]]) -> list[str]:
        with owner_of(database) as connection:
            return [call(connection, query, *one) for one in part]

    with ThreadPoolExecutor(clients) as pool:
        parts = [values[n::clients] for n in range(clients)]
        return Counter(answer for answers in pool.map(some, parts) for answer in answers)


def test_two_hundred_reservations_against_credit_for_one_hundred(module_database: TestDatabase) -> None:
    with owner_of(module_database) as connection:
        owner = organisation(connection, 100)
        jobs = [(owner, str(uuid.uuid4()), 1) for _ in range(200)]
        assert race(module_database, RESERVE, jobs, 20) == {"reserved": 100, "P0402": 100}
        assert balance(connection, owner) == (0, 100, 0)
        assert differences(connection) == []


def test_twenty_racing_retries_of_one_key_are_one_entry(module_database: TestDatabase) -> None:
    with owner_of(module_database) as connection:
        giver, taker, job = organisation(connection, 100), organisation(connection), str(uuid.uuid4())
        call(connection, RESERVE, giver, job, 10)
        call(connection, SETTLE, job, 10)
        before = connection.execute("select count(*) from ledger_entry").fetchone()
        tries: list[tuple[str, tuple[object, ...], str]] = [
            (GRANT, (giver, 5, "one"), "granted"),
            (TRANSFER, (giver, taker, 7, "two"), "transferred"),
            (REFUND, (job, 4, "three"), "refunded"),
            (ADJUST, (giver, -1, "four"), "adjusted"),
        ]
        for query, values, answer in tries:
            assert race(module_database, query, [values] * 20, 20) == {answer: 1, "replay": 19}
        after = connection.execute("select count(*) from ledger_entry").fetchone()
        assert before and after and after[0] - before[0] == 5  # a transfer has two sides
        assert balance(connection, giver) == (90 + 5 - 7 + 4 - 1, 0, 6)
        assert balance(connection, taker) == (7, 0, 0)
        assert differences(connection) == []


def test_transfers_in_both_directions_at_once(module_database: TestDatabase) -> None:
    """No deadlock, nothing lost, nothing below zero."""
    with owner_of(module_database) as connection:
        one, two = organisation(connection, 20), organisation(connection, 20)
        moves: list[tuple[object, ...]] = [
            (*pair, 1, None) for _ in range(60) for pair in ((one, two), (two, one), (one, two))
        ]
        seen = race(module_database, TRANSFER, moves, 12)
        assert set(seen) <= {"transferred", "P0402"}
        assert balance(connection, one)[0] + balance(connection, two)[0] == 40
        assert differences(connection) == []


def test_refunds_racing_for_one_job_never_exceed_it(module_database: TestDatabase) -> None:
    with owner_of(module_database) as connection:
        owner, job = organisation(connection, 100), str(uuid.uuid4())
        call(connection, RESERVE, owner, job, 50)
        call(connection, SETTLE, job, 30)
        assert race(module_database, REFUND, [(job, 4, f"r{n}") for n in range(20)]) == {"refunded": 7, "P0422": 13}
        assert balance(connection, owner) == (98, 0, 2)


def test_what_is_refused(module_database: TestDatabase) -> None:
    with owner_of(module_database) as connection:
        one, two, job, other = (
            organisation(connection, 10),
            organisation(connection),
            *(str(uuid.uuid4()) for _ in "ab"),
        )
        for amount in ("0", "-1", "NaN", "0.00001"):
            assert call(connection, TRANSFER, one, two, amount, None) == "P0422"
            assert call(connection, REFUND, job, amount, None) == "P0422"
        assert call(connection, TRANSFER, one, one, 1, None) == "P0422"
        assert call(connection, TRANSFER, one, str(uuid.uuid4()), 1, None) == "P0404"
        assert call(connection, TRANSFER, str(uuid.uuid4()), one, 1, None) == "P0404"
        assert call(connection, TRANSFER, one, two, 11, None) == "P0402"
        assert call(connection, TRANSFER, one, two, 2, "k") == "transferred"
        for values in ((one, two, 3, "k"), (one, organisation(connection), 2, "k")):
            assert call(connection, TRANSFER, *values) == "P0409"
        assert call(connection, GRANT, one, 2, "k") == "P0409"
        call(connection, RESERVE, one, job, 5)
        assert call(connection, REFUND, job, 1, None) == "P0404", "not settled yet"
        call(connection, RELEASE, job)
        assert call(connection, REFUND, job, 1, None) == "P0404", "released"
        call(connection, RESERVE, one, other, 5)
        call(connection, SETTLE, other, 5)
        assert call(connection, REFUND, other, 5, "r") == "refunded"
        assert call(connection, REFUND, other, 4, "r") == "P0409"
        assert balance(connection, one) == (8, 0, 0)
    with psycopg.connect(module_database.url("processing"), autocommit=True) as connection:
        assert call(connection, TRANSFER, one, two, 1, None) == "42501"
        assert call(connection, REFUND, other, 1, None) == "42501"
        assert call(connection, "select rights.warn('person', 'x', 'km2', 'day', 1, 1)") == "42501"


@dataclass
class Account:
    available: Decimal = Decimal(0)
    settled: Decimal = Decimal(0)


@dataclass
class Held:
    owner: int
    amount: Decimal
    settled: Decimal | None = None
    released: bool = False
    refunded: Decimal = Decimal(0)


@dataclass
class Model:
    accounts: list[Account] = field(default_factory=lambda: [Account() for _ in range(3)])
    jobs: dict[int, Held] = field(default_factory=dict)
    keys: dict[tuple[int, str], tuple[Any, ...]] = field(default_factory=dict)

    def reserved(self, owner: int) -> Decimal:
        open_jobs = (x for x in self.jobs.values() if x.owner == owner and x.settled is None and not x.released)
        return sum((x.amount for x in open_jobs), Decimal(0))


OWNERS, JOBS = st.integers(0, 2), st.integers(0, 5)
KEYS = st.sampled_from([None, "a", "b", "c"])
AMOUNTS = st.decimals(-5, 40, places=2)


def machine(database: TestDatabase) -> type[RuleBasedStateMachine]:
    """The functions themselves on one side, a few lines of arithmetic on the other."""

    class Ledger(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.connection = psycopg.connect(database.url("rights"), autocommit=True)
            self.model = Model()
            self.owners = [organisation(self.connection) for _ in range(3)]
            self.names = [str(uuid.uuid4()) for _ in range(6)]

        def teardown(self) -> None:
            if hasattr(self, "connection"):
                assert differences(self.connection) == []
                self.connection.close()

        def keyed(self, owner: int, key: str | None, move: tuple[Any, ...]) -> str | None:
            """What a key that was used before makes of a move."""
            if key is None or (owner, key) not in self.model.keys:
                return None
            return "replay" if self.model.keys[owner, key] == move else "P0409"

        def remember(self, owner: int, key: str | None, move: tuple[Any, ...]) -> None:
            if key is not None:
                self.model.keys[owner, key] = move

        @rule(owner=OWNERS, amount=AMOUNTS, key=KEYS)
        def grant(self, owner: int, amount: Decimal, key: str | None) -> None:
            move = ("grant", amount)
            expected = "P0422" if amount <= 0 else self.keyed(owner, key, move) or "granted"
            assert call(self.connection, GRANT, self.owners[owner], amount, key) == expected
            if expected == "granted":
                self.model.accounts[owner].available += amount
                self.remember(owner, key, move)

        @rule(owner=OWNERS, amount=AMOUNTS, key=KEYS)
        def adjust(self, owner: int, amount: Decimal, key: str | None) -> None:
            move, account = ("adjust", amount), self.model.accounts[owner]
            expected = self.keyed(owner, key, move) or ("P0402" if account.available + amount < 0 else "adjusted")
            assert call(self.connection, ADJUST, self.owners[owner], amount, key) == expected
            if expected == "adjusted":
                account.available += amount
                self.remember(owner, key, move)

        @rule(source=OWNERS, taker=OWNERS, amount=AMOUNTS, key=KEYS)
        def transfer(self, source: int, taker: int, amount: Decimal, key: str | None) -> None:
            move, account = ("transfer", taker, amount), self.model.accounts[source]
            expected = "P0422" if amount <= 0 or source == taker else self.keyed(source, key, move)
            expected = expected or ("P0402" if account.available < amount else "transferred")
            assert call(self.connection, TRANSFER, self.owners[source], self.owners[taker], amount, key) == expected
            if expected == "transferred":
                account.available -= amount
                self.model.accounts[taker].available += amount
                self.remember(source, key, move)

        @rule(owner=OWNERS, job=JOBS, amount=AMOUNTS)
        def reserve(self, owner: int, job: int, amount: Decimal) -> None:
            held, account = self.model.jobs.get(job), self.model.accounts[owner]
            if amount < 0:
                expected = "P0422"
            elif held is not None:
                expected = "replay" if (held.owner, held.amount) == (owner, amount) else "P0409"
            else:
                expected = "P0402" if account.available < amount else "reserved"
            assert call(self.connection, RESERVE, self.owners[owner], self.names[job], amount) == expected
            if expected == "reserved":
                account.available -= amount
                self.model.jobs[job] = Held(owner, amount)

        @rule(job=JOBS, amount=AMOUNTS)
        def settle(self, job: int, amount: Decimal) -> None:
            held = self.model.jobs.get(job)
            if amount < 0:
                expected = "P0422"
            elif held is None:
                expected = "P0404"
            elif held.released or held.settled is not None:
                expected = "replay" if held.settled == min(amount, held.amount) else "P0409"
            else:
                expected = "settled"
            assert call(self.connection, SETTLE, self.names[job], amount) == expected
            if expected == "settled" and held is not None:
                held.settled = min(amount, held.amount)
                self.model.accounts[held.owner].settled += held.settled
                self.model.accounts[held.owner].available += held.amount - held.settled

        @rule(job=JOBS)
        def release(self, job: int) -> None:
            held = self.model.jobs.get(job)
            if held is None:
                expected = "P0404"
            elif held.settled is not None:
                expected = "P0409"
            else:
                expected = "replay" if held.released else "released"
            assert call(self.connection, RELEASE, self.names[job]) == expected
            if expected == "released" and held is not None:
                held.released = True
                self.model.accounts[held.owner].available += held.amount

        @rule(job=JOBS, amount=AMOUNTS, key=KEYS)
        def refund(self, job: int, amount: Decimal, key: str | None) -> None:
            held, move = self.model.jobs.get(job), ("refund", job, amount)
            if amount <= 0:
                expected = "P0422"
            elif held is None or held.settled is None:
                expected = "P0404"
            elif known := self.keyed(held.owner, key, move):
                expected = known
            else:
                expected = "P0422" if held.refunded + amount > held.settled else "refunded"
            assert call(self.connection, REFUND, self.names[job], amount, key) == expected
            if expected == "refunded" and held is not None:
                held.refunded += amount
                self.model.accounts[held.owner].settled -= amount
                self.model.accounts[held.owner].available += amount
                self.remember(held.owner, key, move)

        @invariant()
        def same_balances(self) -> None:
            if not hasattr(self, "model"):
                return
            for number, owner in enumerate(self.owners):
                account = self.model.accounts[number]
                expected = (account.available, self.model.reserved(number), account.settled)
                assert balance(self.connection, owner) == expected

    return Ledger


def test_the_functions_do_what_a_model_does(module_database: TestDatabase) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine(module_database),
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
