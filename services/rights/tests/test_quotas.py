"""Prices, plans and exact quotas: in the database, and through the administrators' routes."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from conftest import Rights, TestDatabase

Connection = psycopg.Connection[tuple[Any, ...]]
RESERVE = "select rights.job_reserve(%s::uuid, %s::uuid, %s, %s, %s::numeric, 'dsm', array['c'], null)"
SETTLE = "select rights.job_settle(%s::uuid, %s, %s::numeric)"
PRICE = "select rights.price('dsm', '{\"megapixels\": 10}', %s, %s::text[], now())"


def organisation(connection: Connection, category: str = "research") -> str:
    name = f"org-{uuid.uuid4().hex[:12]}"
    row = connection.execute(
        "insert into organisation (name, slug, category) values (%s, %s, %s) returning id::text",
        [name, name, category],
    ).fetchone()
    assert row
    connection.execute("select credit_grant(%s::uuid, 1000, 'test', null)", [row[0]])
    return str(row[0])


def quota(connection: Connection, owner: str, unit: str, amount: float | None, counted: str = "organisation") -> None:
    connection.execute(
        "select quota_set(null, null, %s::uuid, null, %s, %s, 'month', %s, null, null, 'test', 'test')",
        [owner, counted, unit, amount],
    )


def call(connection: Connection, query: str, *values: object) -> Any:
    try:
        row = connection.execute(query, values).fetchone()
    except psycopg.Error as error:
        return error.sqlstate, json.loads(error.diag.message_detail or "null")
    assert row
    return row[0]


@pytest.fixture
def connection(module_database: TestDatabase) -> Any:
    with psycopg.connect(module_database.url("rights"), autocommit=True) as made:
        yield made


def used(connection: Connection, owner: str, name: str) -> float:
    row = connection.execute("select used from quota_state(%s::uuid, 'p') where name = %s", [owner, name]).fetchone()
    assert row
    return float(row[0])


def test_area_is_reserved_corrected_and_given_back(connection: Connection) -> None:
    owner = organisation(connection)
    quota(connection, owner, "km2", 10)
    one, two, three = (str(uuid.uuid4()) for _ in range(3))
    assert call(connection, RESERVE, owner, one, "p", 1, 6) == "reserved"
    assert call(connection, RESERVE, owner, one, "p", 1, 6) == "replay"
    code, told = call(connection, RESERVE, owner, two, "p", 1, 5)
    assert code == "P0429"
    assert told["name"] == "km2-month-organisation" and told["used"] == 6 and 0 < told["seconds"] <= 31 * 86400
    balance = connection.execute("select available, reserved from balance(%s::uuid)", [owner]).fetchone()
    assert balance == (999, 1), "nothing was reserved for the refused one"
    assert call(connection, SETTLE, one, 1, 4.5) == "settled"
    assert used(connection, owner, "km2-month-organisation") == 4.5
    assert call(connection, RESERVE, owner, two, "p", 1, 5) == "reserved"
    assert call(connection, "select rights.credit_release(%s::uuid)", two) == "released"
    assert used(connection, owner, "km2-month-organisation") == 4.5
    assert call(connection, RESERVE, owner, three, "p", 1, 5.5) == "reserved", "up to the limit, not below it"
    warned = connection.execute("select level from quota_warning where holder = %s order by 1", [owner]).fetchall()
    assert warned == [(80,), (100,)]


def test_racing_submissions_never_pass_a_quota(module_database: TestDatabase, connection: Connection) -> None:
    owner = organisation(connection)
    quota(connection, owner, "credits", 30, counted="person")

    def some(number: int) -> list[Any]:
        with psycopg.connect(module_database.url("processing"), autocommit=True) as own:
            answers = [call(own, RESERVE, owner, str(uuid.uuid4()), f"p{number % 2}", 1, 0) for _ in range(10)]
        return [answer if isinstance(answer, str) else answer[0] for answer in answers]

    with ThreadPoolExecutor(10) as pool:
        seen = Counter(answer for answers in pool.map(some, range(10)) for answer in answers)
    assert seen == {"reserved": 60, "P0429": 40}, "thirty for each of two people"


def test_the_most_specific_limit_holds(connection: Connection) -> None:
    owner = organisation(connection)
    name = "requests-minute"
    query = "select amount, holder from policies(%s::uuid, %s) where name = %s"
    person = connection.execute(
        "insert into person (organisation, name) values (%s, 'Somebody') returning id", [owner]
    ).fetchone()
    assert person

    def holds() -> tuple[Any, ...] | None:
        return connection.execute(query, [owner, str(person[0]), name]).fetchone()

    def put(column: str, value: object, amount: int | None) -> None:
        columns = ("plan", "category", "organisation", "person")
        values = [value if x == column else None for x in columns]
        connection.execute(
            "select quota_set(%s, %s, %s::uuid, %s::uuid, 'person', 'requests', 'minute', %s, null, null, 'test', 't')",
            [*values, amount],
        )

    assert holds() == (120000, "plan standard")
    connection.execute("update organisation set category = 'private' where id = %s", [owner])
    put("category", "private", 1000)
    assert holds() == (1000, "category private")
    connection.execute(
        "insert into plan_assignment (organisation, plan, reason, assigned_by) values (%s, 'trial', 'test', 't')",
        [owner],
    )
    assert holds() == (10, "plan trial")
    put("organisation", owner, 2000)
    assert holds() == (2000, f"organisation {owner}")
    connection.execute(
        "insert into plan_assignment (person, plan, reason, assigned_by) values (%s, 'trial', 'test', 't')", [person[0]]
    )
    assert holds() == (10, "plan trial")
    put("person", person[0], None)
    assert holds() is None, "lifted for this person"
    anonymous = connection.execute("select amount from policies(null, null) where name = %s", [name]).fetchone()
    assert anonymous == (120000,)
    for statement in ("update quota set amount = 1 where person = %s", "delete from quota where person = %s"):
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(statement, [person[0]])
        assert refused.value.sqlstate == "P0405"


def test_the_dearest_collection_and_the_most_specific_price(connection: Connection) -> None:
    def put(category: str | None, collection: str | None, price: float) -> None:
        connection.execute(
            "select tariff_set('dsm', 'megapixels', %s, %s, %s::numeric, null)", [category, collection, price]
        )

    assert call(connection, PRICE, None, []) == 102
    put("research", None, 5)
    put(None, "dear", 20)
    put("research", "dear", 15)
    assert call(connection, PRICE, "research", []) == 52
    assert call(connection, PRICE, "public", ["other"]) == 102
    assert call(connection, PRICE, "public", ["dear", "other"]) == 202
    assert call(connection, PRICE, "research", ["other", "dear"]) == 152
    before = connection.execute("select clock_timestamp()").fetchone()
    assert before
    put("research", None, 6)
    assert call(connection, PRICE, "research", []) == 62
    old = PRICE.replace("now()", "%s")
    assert call(connection, old, "research", [], before[0]) == 52, "who submitted before keeps the list of then"
    for statement in ("update tariff set price = 1", "delete from tariff"):
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(statement)
        assert refused.value.sqlstate == "P0405"


def test_administrators_move_credits(rights: Rights) -> None:
    names = [x["slug"] for x in rights.call("admin", "GET", "/rights/admin/organisations").json()["organisations"]]
    source, target = (next(x for x in names if part in x) for part in ("institute", "company"))
    body = {"source": source, "target": target, "amount": "7.5", "reason": "joint work", "idempotency_key": "k"}
    for outcome in ("transferred", "replay"):
        answer = rights.call("admin", "POST", "/rights/admin/credits/transfers", json=body)
        assert answer.status_code == 201 and answer.json()["outcome"] == outcome, answer.text
    other = body | {"amount": "8"}
    assert rights.call("admin", "POST", "/rights/admin/credits/transfers", json=other).status_code == 409
    much = body | {"amount": "99999", "idempotency_key": "l"}
    assert rights.call("admin", "POST", "/rights/admin/credits/transfers", json=much).status_code == 402
    assert rights.call("researcher", "POST", "/rights/admin/credits/transfers", json=body).status_code == 403
    kinds = [x["kind"] for x in rights.call("company", "GET", "/rights/ledger").json()["entries"]]
    assert kinds[0] == "transfer_in"
    refund = {"job": str(uuid.uuid4()), "amount": "1", "reason": "fault"}
    assert rights.call("admin", "POST", "/rights/admin/credits/refunds", json=refund).status_code == 404


def test_administrators_set_prices_and_limits(rights: Rights) -> None:
    price = {"process": "hillshade", "unit": "megapixels", "category": "private", "price": "0.75"}
    assert rights.call("admin", "POST", "/rights/admin/tariffs", json=price).status_code == 201
    listed = rights.call(None, "GET", "/rights/tariffs").json()["tariffs"]
    assert any(x["category"] == "private" and x["price"] == 0.75 for x in listed)
    past = price | {"valid_from": "2020-01-01T00:00:00Z"}
    assert rights.call("admin", "POST", "/rights/admin/tariffs", json=past).status_code == 422
    limit = {"category": "private", "unit": "km2", "window": "month", "amount": "500", "reason": "test"}
    made = rights.call("admin", "POST", "/rights/admin/quotas", json=limit)
    assert made.status_code == 201, made.text
    found = {x["name"]: x for x in rights.call("company", "GET", "/rights/quotas").json()["quotas"]}
    assert found["km2-month"]["limit"] == 500 and found["km2-month"]["state"] == "ok"
    made = rights.call("admin", "POST", "/rights/admin/quotas", json=limit | {"amount": "400"})
    assert made.status_code == 201, "it follows the former one"
    assert rights.call("admin", "DELETE", f"/rights/admin/quotas/{made.json()['id']}").status_code == 204
    assert rights.call("admin", "DELETE", f"/rights/admin/quotas/{made.json()['id']}").status_code == 404
    planned = rights.call("admin", "POST", "/rights/admin/quotas", json=limit | {"valid_from": "2099-01-01T00:00:00Z"})
    path = f"/rights/admin/quotas/{planned.json()['id']}"
    assert rights.call("admin", "DELETE", path).status_code == 204, "what is still to come is taken back"
    found = {x["name"] for x in rights.call("company", "GET", "/rights/quotas").json()["quotas"]}
    assert "km2-month" not in found
    for wrong in ({"window": "minute"}, {"amount": "-1"}, {"plan": "trial"}, {"category": None}, {"unit": "tea"}):
        assert rights.call("admin", "POST", "/rights/admin/quotas", json=limit | wrong).status_code == 422, wrong
    assert rights.call("researcher", "POST", "/rights/admin/quotas", json=limit).status_code == 403
    nowhere = {"person": str(uuid.uuid4()), "reason": "test"}
    assert rights.call("admin", "PUT", "/rights/admin/plans/trial/assignment", json=nowhere).status_code == 404
    assert rights.call("admin", "PUT", "/rights/admin/plans/nosuch/assignment", json=nowhere).status_code == 404
    plan = {"name": "gold", "description": "for those who pay"}
    assert rights.call("admin", "POST", "/rights/admin/plans", json=plan).status_code == 201
    assert rights.call("admin", "POST", "/rights/admin/plans", json=plan).status_code == 200
    assert rights.call("company", "GET", "/rights/usage", params={"by": "nonsense"}).status_code == 422
