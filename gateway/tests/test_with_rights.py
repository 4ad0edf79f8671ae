"""The gateway with the real rights service behind it: keys, anonymous callers, revocation."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_from_key_to_revocation(opened: tuple[httpx.Client, dict[str, str]]) -> None:
    client, keys = opened
    assert client.get("/rights/licences").status_code == 200
    assert client.get("/rights/me", headers={"X-API-Key": "nobody.nothing"}).status_code == 401
    researcher = {"X-API-Key": keys["researcher"]}
    assert client.get("/rights/me", headers=researcher).status_code == 200

    made = client.post("/rights/keys", headers=researcher, json={"name": "to be revoked"})
    assert made.status_code == 201, made.text
    key = {"X-API-Key": made.json()["key"]}
    assert client.get("/rights/me", headers=key).status_code == 200
    assert client.delete(f"/rights/keys/{made.json()['id']}", headers=researcher).status_code in (200, 204)
    wait_until(lambda: client.get("/rights/me", headers=key).status_code == 401, 1)
    assert client.get("/rights/me", headers=researcher).status_code == 200


def test_every_key_that_is_no_good_gets_the_same_bytes(opened: tuple[httpx.Client, dict[str, str]]) -> None:
    client, keys = opened
    researcher = {"X-API-Key": keys["researcher"]}
    made = client.post("/rights/keys", headers=researcher, json={"name": "revoked"}).json()
    client.delete(f"/rights/keys/{made['id']}", headers=researcher)
    wrong = [
        made["key"], keys["researcher"] + "x", "bk0123456789abcdef.secret", "nodot", "a b.c", ".", "é.x",
        "x." + "y" * 400, "x." + "y" * 600, "x." + "y" * 20_000,
    ]  # fmt: skip
    shown = [{"X-API-Key": key.encode()} for key in wrong]
    shown += [{"Access-Key": b"a", "Secret-Key": b"b"}, {"Access-Key": b"a"}, {"Secret-Key": b"b"}]
    once = {"X-Request-Id": b"one-and-the-same"}
    answers = []
    for _ in range(2):  # the second time out of the gateway's memory
        answers += [client.get("/rights/me", headers=key | once) for key in shown]
    answers.append(client.get("/tiles/x?token=bt0123456789abcdef.secret", headers=once))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    headers = [tuple((k, v) for k, v in answer.headers.items() if k != "date") for answer in answers]
    assert len(set(headers)) == 1


def test_the_halves_of_a_key_are_one_credential(opened: tuple[httpx.Client, dict[str, str]]) -> None:
    client, keys = opened
    access, _, secret = keys["researcher"].partition(".")
    halves = {"access-key": access, "secret-key": secret}
    assert client.get("/rights/me", headers=halves).json()["credential"] == access
    both = client.get("/rights/me", headers=halves | {"X-API-Key": keys["researcher"]})
    assert (both.status_code, both.json()["code"]) == (400, "two-credentials")
    twice = [("access-key", access), ("access-key", access), ("secret-key", secret)]
    assert client.get("/rights/me", headers=twice).status_code == 400
    assert client.get(f"/rights/me?secret-key={secret}").json()["code"] == "key-in-address"


def test_an_erased_person_is_gone_within_a_second(opened: tuple[httpx.Client, dict[str, str]]) -> None:
    client, keys = opened
    manager = {"X-API-Key": keys["researcher"]}
    person = client.post("/rights/admin/people", headers=manager, json={"name": "Leaves"}).json()["id"]
    made = client.post("/rights/admin/keys", headers=manager, json={"person": person, "name": "k"}).json()
    key = {"X-API-Key": made["key"]}
    assert client.get("/rights/me", headers=key).json()["subject"] == person
    assert client.delete(f"/rights/admin/people/{person}", headers=manager).status_code == 204
    wait_until(lambda: client.get("/rights/me", headers=key).status_code == 401, 1)
    assert client.get("/rights/me", headers=manager).status_code == 200


def test_a_key_ends_when_it_says(opened: tuple[httpx.Client, dict[str, str]]) -> None:
    """Nobody announces it: what is held of a key is held no longer than the key lives."""
    client, keys = opened
    end = datetime.now(UTC) + timedelta(seconds=2)
    wanted = {"name": "short", "expires": end.isoformat()}
    made = client.post("/rights/keys", headers={"X-API-Key": keys["researcher"]}, json=wanted).json()
    key = {"X-API-Key": made["key"]}
    assert client.get("/rights/me", headers=key).status_code == 200
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 1.1)
    assert client.get("/rights/me", headers=key).status_code == 401
