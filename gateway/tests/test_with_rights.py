"""The gateway with the real rights service behind it: keys, anonymous callers, revocation."""

from __future__ import annotations

import time
from collections.abc import Callable

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
