"""The audit chain in a real database: who wrote what, sealed in order, and every later hand on it found."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from bocage_kit.identity import HEADER

if TYPE_CHECKING:
    from conftest import TestDatabase
    from services.rights.tests.conftest import Rights

Connection = psycopg.Connection[tuple[Any, ...]]
DEMONSTRATION = "LicenseRef-Bocage-Demonstration"


def eventually(true: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def audit(rights: Rights, **params: Any) -> list[dict[str, Any]]:
    answer = rights.call("admin", "GET", "/rights/admin/audit", params={"limit": 1000, **params})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["audit"])


def subject(rights: Rights, account: str) -> str:
    return str(rights.exchange(api_key=rights.keys[account]).json()["subject"])


# -- What is written ---------------------------------------------------------------------------------------------------


def test_the_callers_of_changes_are_named_by_their_ids(rights: Rights) -> None:
    admin = subject(rights, "admin")
    before = audit(rights)[-1]["id"]
    made = rights.call("admin", "POST", "/rights/admin/organisations", json={"name": "Audited", "category": "research"})
    person = rights.call(
        "admin",
        "POST",
        "/rights/admin/people",
        json={"name": "Éloïse Secrète", "organisation": "audited", "email": "eloise@example.org"},
    ).json()
    key = rights.call(
        "admin", "POST", "/rights/admin/keys", json={"person": person["id"], "name": "Éloïse's laptop", "scopes": []}
    ).json()
    rights.call("admin", "PATCH", f"/rights/admin/people/{person['id']}", json={"state": "suspended"})
    rights.call("admin", "DELETE", f"/rights/admin/keys/{key['id']}")
    rights.call(
        "admin", "POST", "/rights/admin/credits", json={"organisation": "audited", "amount": "3", "reason": "a start"}
    )
    rows = audit(rights, after=before)
    assert [(x["actor"], x["kind"], x["action"]) for x in rows] == [
        (admin, "administration", "organisation.created"),
        (admin, "administration", "person.created"),
        (admin, "administration", "api_key.created"),
        (admin, "administration", "person.changed"),
        (admin, "administration", "api_key.changed"),
        (admin, "money", "ledger_transaction.grant"),
    ]
    assert rows[0]["target"] == f"organisation:{made.json()['id']}"
    assert rows[3]["detail"] == {"state": ["active", "suspended"]}
    assert set(rows[4]["detail"]) == {"revoked_at"}
    assert rows[5]["detail"]["amount"] == 3
    with psycopg.connect(rights.database.admin_url) as connection:
        (whole,) = connection.execute("select string_agg(a::text, ' ') from rights.audit a").fetchone()  # type: ignore[misc]
        (digests,) = connection.execute("select array_agg(encode(hmac, 'hex')) from rights.api_key").fetchone()  # type: ignore[misc]
    assert "Éloïse" not in whole
    assert "example.org" not in whole
    assert "hmac" not in whole
    assert not [x for x in digests if x in whole]
    assert key["key"].split(".")[1] not in whole


def test_reading_and_being_used_leave_no_row(rights: Rights) -> None:
    rights.call("researcher", "GET", "/rights/me")
    before = audit(rights)[-1]["id"]
    with psycopg.connect(rights.database.url("rights"), autocommit=True) as connection:
        connection.execute("update api_key set last_used_at = null")  # so that the next use is written
    rights.call("researcher", "GET", "/rights/me")
    rights.call("researcher", "GET", "/rights/licences")
    assert audit(rights, after=before) == []


def test_acceptance_and_withdrawal_are_chained(rights: Rights) -> None:
    before = audit(rights)[-1]["id"]
    me = rights.call("researcher", "GET", "/rights/me").json()
    organisation = me["organisation"]["id"]
    gone = rights.call("researcher", "DELETE", f"/rights/admin/acceptances/{organisation}/{DEMONSTRATION}")
    assert gone.status_code == 204, gone.text
    sha = rights.call("researcher", "GET", f"/rights/licences/{DEMONSTRATION}").json()["text_sha256"]["fr"]
    again = rights.call(
        "researcher",
        "POST",
        f"/rights/licences/{DEMONSTRATION}/acceptance",
        json={"text_sha256": sha, "on_behalf": "organisation"},
    )
    assert again.status_code == 201, again.text
    rows = audit(rights, after=before, kind="acceptance")
    assert [x["action"] for x in rows] == ["acceptance.withdraw", "acceptance.accept"]
    assert {x["actor"] for x in rows} == {subject(rights, "researcher")}
    assert rows[1]["detail"]["text_sha256"] == sha
    assert "evidence" not in rows[1]["detail"]


def test_jobs_money_is_chained_with_the_person_and_the_service(database: TestDatabase) -> None:
    job = uuid.uuid4()
    with psycopg.connect(database.url("rights"), autocommit=True) as connection:
        owner = connection.execute(
            "insert into organisation (name, slug, category) values ('x', 'x', 'research') returning id"
        ).fetchone()[0]  # type: ignore[index]
        connection.execute("select credit_grant(%s, 10, 'test', null)", [owner])
    with psycopg.connect(database.url("processing"), autocommit=True) as connection:
        connection.execute("select rights.credit_reserve(%s, %s, 5, 'person-1')", [owner, job])
        connection.execute("select rights.credit_reserve(%s, %s, 5, 'person-1')", [owner, job])
        connection.execute("select rights.credit_settle(%s, 2)", [job])
        with pytest.raises(psycopg.Error):
            connection.execute("select rights.credit_reserve(%s, gen_random_uuid(), 5000, 'person-1')", [owner])
        for table in ("audit", "denial", "taking"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from rights.{table}")
    with psycopg.connect(database.url("rights"), autocommit=True) as connection:
        rows = connection.execute(
            "select actor, action, detail ->> 'amount' from audit where detail ->> 'job' = %s order by id", [str(job)]
        ).fetchall()
    assert rows == [
        ("person-1", "ledger_transaction.reserve", "5.0000"),
        ("role:bocage_processing", "ledger_transaction.settle", "2.0000"),
    ]


def test_refused_jobs_are_chained_other_refusals_are_counted(rights: Rights) -> None:
    before = audit(rights)[-1]["id"]
    headers = rights.headers("company")
    for level, times in (("job", 2), ("tile", 3), ("preview", 1)):
        for _ in range(times):
            answer = rights.http.get(
                "/refusals", params={"licence": DEMONSTRATION, "level": level, "target": "hillshade"}, headers=headers
            )
            assert answer.status_code == 200, answer.text
            assert answer.json()["required_terms"][0]["licence"] == DEMONSTRATION
    # A question is no refusal.
    rights.call("company", "GET", "/rights/required_terms", params={"licence": DEMONSTRATION, "level": "job"})
    rows = audit(rights, after=before, kind="job")
    assert [(x["actor"], x["action"], x["target"]) for x in rows] == [
        (subject(rights, "company"), "job.refused", "job:hillshade")
    ] * 2
    assert rows[0]["detail"]["missing"][0]["licence"] == DEMONSTRATION

    def counted() -> dict[str, int]:
        found = rights.call("admin", "GET", "/rights/admin/denials", params={"licence": DEMONSTRATION}).json()
        totals: dict[str, int] = {}
        for row in found["denials"]:
            assert row["category"] == "private"
            assert row["sample"]["subject"] == subject(rights, "company")
            totals[row["level"]] = totals.get(row["level"], 0) + row["count"]
        return totals

    eventually(lambda: counted() == {"tile": 3, "preview": 1})


def test_only_administrators_read_it(rights: Rights) -> None:
    for path in ("audit", "audit/verification", "denials"):
        for who, status in ((None, 401), ("company", 403), ("researcher", 403)):
            assert rights.call(who, "GET", f"/rights/admin/{path}").status_code == status
    for params in ({"head": "1:zz"}, {"head": "x"}):
        answer = rights.call("admin", "GET", "/rights/admin/audit/verification", params=params)
        assert answer.status_code == 422
    assert rights.call("admin", "GET", "/rights/admin/audit", params={"kind": "gossip"}).status_code == 422


def test_pages_follow_each_other(rights: Rights) -> None:
    everything = [x["id"] for x in audit(rights)]
    paged: list[int] = []
    url: str | None = "/rights/admin/audit?limit=5"
    while url:
        page = rights.call("admin", "GET", url).json()
        paged += [x["id"] for x in page["audit"]]
        url = next((x["href"].removeprefix("http://bocage.test") for x in page["links"]), None)
    assert paged == everything


# -- The chain ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def chain(database: TestDatabase) -> Iterator[tuple[Connection, TestDatabase]]:
    """As rights' own role; twenty rows, sealed."""
    with psycopg.connect(database.url("rights"), autocommit=True) as connection:
        for number in range(20):
            connection.execute(
                "select audit_note('money', 'test', %s, '{\"b\": 1, \"a\": [1.50, \"é\"]}', 'me')", [str(number)]
            )
        seal_all(connection)
        yield connection, database


def seal(connection: Connection) -> int:
    row = connection.execute("select seal_audit()").fetchone()
    assert row
    return int(row[0])


def seal_all(connection: Connection) -> int:
    """Transactions in the cluster's other databases hold the sealer up too, as long as they are open."""
    count = 0

    def nothing_left() -> bool:
        nonlocal count
        count += seal(connection)
        return bool(verdict(connection)["pending"] == 0)

    eventually(nothing_left)
    return count


def verdict(connection: Connection) -> dict[str, Any]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute("select * from verify_audit()").fetchone()
    assert row
    return row


def tamper(database: TestDatabase, *statements: str) -> None:
    """As a superuser who switches triggers off."""
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute("set search_path to rights, public")
        connection.execute("set session_replication_role = replica")
        for statement in statements:
            assert connection.execute(statement).rowcount == 1


def test_what_is_untouched_verifies(chain: tuple[Connection, TestDatabase]) -> None:
    connection, _ = chain
    found = verdict(connection)
    assert found["reason"] is None
    assert found["sealed"] == 20
    assert found["pending"] == 0
    assert found["head_seq"] == found["sealed"]


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'another'",
        "detail = detail || '{\"a\": 2}'",
        "at = at + interval '1 microsecond'",
        "action = 'another'",
        "target = 'another'",
        "kind = 'job'",
        "sealed_at = sealed_at + interval '1 microsecond'",
        "hash = sha256('x')",
    ],
)
def test_a_changed_row_is_found(chain: tuple[Connection, TestDatabase], change: str) -> None:
    connection, database = chain
    seq = verdict(connection)["sealed"] - 10
    tamper(database, f"update audit set {change} where seq = {seq}")
    found = verdict(connection)
    assert (found["broken_seq"], found["reason"]) == (seq, "it was changed")


def test_a_deleted_row_is_found(chain: tuple[Connection, TestDatabase]) -> None:
    connection, database = chain
    seq = verdict(connection)["sealed"] - 10
    tamper(database, f"delete from audit where seq = {seq}")
    found = verdict(connection)
    assert (found["broken_seq"], found["reason"]) == (seq + 1, "rows before it were deleted")
    # Closing the gap does not help.
    with psycopg.connect(database.admin_url, autocommit=True) as superuser:
        superuser.execute("set search_path to rights, public")
        superuser.execute("set session_replication_role = replica")
        for later in range(seq + 1, seq + 11):
            superuser.execute("update audit set seq = %s where seq = %s", [later - 1, later])
    assert verdict(connection)["reason"] == "it was changed"


def test_an_inserted_row_is_found(chain: tuple[Connection, TestDatabase]) -> None:
    connection, database = chain
    values = "clock_timestamp() - interval '2 hours', '3', 'me', 'money', 'forged', 'x', '{}'"
    tamper(database, f"insert into audit (at, xid, actor, kind, action, target, detail) values ({values})")
    assert verdict(connection)["reason"] == "it was inserted afterwards"
    assert seal_all(connection) == 1  # the sealer is no judge: it chains what is there, where it is there
    found = verdict(connection)
    assert found["reason"] == "it was inserted afterwards"
    assert found["broken_seq"] == found["sealed"]


def test_a_row_put_between_two_is_found(chain: tuple[Connection, TestDatabase]) -> None:
    connection, database = chain
    seq = verdict(connection)["sealed"] - 1
    with psycopg.connect(database.admin_url, autocommit=True) as superuser:
        superuser.execute("set search_path to rights, public")
        superuser.execute("set session_replication_role = replica")
        superuser.execute("update audit set seq = seq + 1 where seq = %s", [seq + 1])
        superuser.execute("update audit set seq = seq + 1 where seq = %s", [seq])
        superuser.execute(
            """insert into audit (at, xid, actor, kind, action, target, detail, seq, sealed_at, hash)
               select at, xid, actor, kind, 'forged', target, detail, seq - 1, sealed_at, sha256('x') from audit
                where seq = %s""",
            [seq + 1],
        )
    assert verdict(connection)["broken_seq"] == seq


def test_a_shortened_chain_is_found_by_a_head_noted_before(rights: Rights) -> None:
    with psycopg.connect(rights.database.url("rights"), autocommit=True) as connection:
        connection.execute("select audit_note('money', 'test', 'last', '{}', 'me')")

    def verification(**params: str) -> dict[str, Any]:
        answer = rights.call("admin", "GET", "/rights/admin/audit/verification", params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    eventually(lambda: verification()["pending"] == 0)
    head = verification()["head"]
    assert verification(head=head)["intact"]
    seq = head.split(":")[0]
    tamper(rights.database, f"delete from audit where seq = {seq}")
    assert verification()["intact"], "the chain itself cannot tell"
    assert verification(head=head)["broken"]["seq"] == int(seq)


def test_the_services_own_role_cannot_touch_it(chain: tuple[Connection, TestDatabase]) -> None:
    connection, _ = chain
    for statement in (
        "update audit set actor = 'another'",
        "update audit set seq = 5, hash = sha256('x'), sealed_at = now() where seq = 5",
        "delete from audit",
        "truncate audit",
    ):
        with pytest.raises(psycopg.Error) as raised:
            connection.execute(statement)
        assert raised.value.sqlstate == "P0405"
    # Neither time nor seal nor transaction is taken from who writes.
    connection.execute(
        """insert into audit (at, xid, actor, kind, action, target, seq, sealed_at, hash)
           values ('2001-01-01', '3', 'me', 'money', 'x', 'y', 1, now(), sha256('x'))"""
    )
    row = connection.execute(
        "select at > now() - interval '1 minute', seq from audit order by id desc limit 1"
    ).fetchone()
    assert row == (True, None)


def test_rows_of_open_transactions_are_never_overtaken(chain: tuple[Connection, TestDatabase]) -> None:
    connection, database = chain
    note = "select audit_note('money', 'test', %s, '{}', 'me')"
    with psycopg.connect(database.url("rights")) as open_:
        open_.execute(note, ["first"])
        connection.execute(note, ["second"])
        assert seal(connection) == 0, "what came after waits for what may still come before"
        assert verdict(connection)["pending"] == 1
        open_.commit()
    assert seal_all(connection) == 2
    rows = connection.execute("select target from audit order by seq desc limit 2").fetchall()
    assert rows == [("second",), ("first",)]
    assert verdict(connection)["reason"] is None


def test_rows_of_a_restored_database_are_sealed(chain: tuple[Connection, TestDatabase]) -> None:
    """Their transaction numbers may be higher than any that this cluster has given out."""
    connection, database = chain
    connection.execute("select audit_note('money', 'test', 'restored', '{}', 'me')")
    tamper(database, "update audit set xid = '999999999999' where target = 'restored'")
    assert seal_all(connection) == 1


def test_sealers_and_writers_at_once(database: TestDatabase) -> None:
    done = threading.Event()
    failures: list[str] = []

    def sealing() -> None:
        try:
            with psycopg.connect(database.url("rights"), autocommit=True) as connection:
                while not done.is_set():
                    seal(connection)
        except psycopg.Error as error:
            failures.append(str(error))

    def writing(name: str) -> None:
        try:
            with psycopg.connect(database.url("rights")) as connection:
                for number in range(60):
                    connection.execute("select audit_note('money', 'test', %s, '{}', 'me')", [f"{name}-{number}"])
                    if number % 7 == 3:
                        connection.rollback()
                    elif number % 3:
                        connection.commit()
                connection.commit()
        except psycopg.Error as error:
            failures.append(str(error))

    sealers = [threading.Thread(target=sealing) for _ in range(2)]
    writers = [threading.Thread(target=writing, args=(f"w{n}",)) for n in range(4)]
    for thread in (*sealers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in sealers:
        thread.join()
    assert failures == []
    with psycopg.connect(database.url("rights"), autocommit=True) as connection:
        seal_all(connection)
        found = verdict(connection)
        assert (found["reason"], found["pending"]) == (None, 0)
        for name in ("w0", "w3"):  # each writer's rows stand in its own order
            rows = connection.execute("select target from audit where target like %s order by seq", [f"{name}-%"])
            numbers = [int(target.split("-")[1]) for (target,) in rows.fetchall()]
            assert numbers == sorted(numbers)
            assert len(numbers) > 20


def test_killed_while_it_seals(rights: Rights) -> None:
    headers = {HEADER: rights.exchange(api_key=rights.keys["admin"]).json()["token"]}
    for round_ in range(3):
        with psycopg.connect(rights.database.url("rights"), autocommit=True) as connection:
            connection.execute(
                "select audit_note('money', 'storm', n::text, '{}', 'me') from generate_series(1, 4000) as n"
            )
        time.sleep(0.3 * round_)
        assert rights.process
        os.kill(rights.process.pid, signal.SIGKILL)
        rights.process.wait()
        rights.start()
    eventually(lambda: rights.http.get("/rights/admin/audit/verification", headers=headers).json()["pending"] == 0, 20)
    found = rights.http.get("/rights/admin/audit/verification", headers=headers).json()
    # An earlier test cut the chain's end on purpose; what matters is that no seal is double or half.
    assert found["sealed"] >= 12_000
    assert found["broken"] is None, json.dumps(found)
