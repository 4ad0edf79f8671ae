"""The feed of changes: told in order, to those who may know, and complete however the writers end."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from itertools import count
from typing import Any

import httpx
import orjson
import psycopg
import pytest
from catalogue_following import Follower
from catalogue_loading import collection, item, put

OWNER, AUDIENCE, SHARED = "bocage:owner", "bocage:audience", "bocage:shared_with"


@pytest.fixture
def service(fresh_catalogue: Any) -> httpx.Client:
    client: httpx.Client = fresh_catalogue.service
    public = fresh_catalogue.collection("open", **{AUDIENCE: "public"})
    assert client.post("/stac/collections", json=public).status_code == 201
    return client


def test_what_is_told_of_an_item_by_its_audience(fresh_catalogue: Any, service: httpx.Client) -> None:
    people = ("anonymous", "researcher", "colleague", "stranger", "administrator")
    followers = {who: Follower(getattr(fresh_catalogue, who)) for who in people}
    for follower in followers.values():
        assert follower.all() == [("created", "open", None)]
    path = "/stac/collections/open/items"

    def after(answer: httpx.Response) -> dict[str, list[str]]:
        assert answer.status_code in (200, 201), answer.text
        found = {who: follower.all() for who, follower in followers.items()}
        assert all(entry[1:] == ("open", "one") for told in found.values() for entry in told)
        return {who: [entry[0] for entry in told] for who, told in found.items()}

    def write(**members: Any) -> dict[str, list[str]]:
        properties = {"datetime": "2024-05-01T10:30:00Z", OWNER: "researcher", **members}
        properties["bocage:organisation"] = fresh_catalogue.ours
        return after(service.put(f"{path}/one", json=fresh_catalogue.item("one") | {"properties": properties}))

    made = fresh_catalogue.item("one", **{OWNER: "researcher", AUDIENCE: "owner"})
    nobody: dict[str, list[str]] = {who: [] for who in people}
    owners = {"researcher": ["created"], "administrator": ["created"]}

    def all_told(kind: str, *some: str) -> dict[str, list[str]]:
        return {who: [kind] for who in some}

    assert after(service.post(path, json=made)) == nobody | owners
    assert write(**{AUDIENCE: "owner", "a": 1}) == nobody | all_told("updated", *owners)
    assert write(**{AUDIENCE: "organisation"}) == nobody | all_told("updated", *owners) | {"colleague": ["created"]}
    assert write(**{AUDIENCE: "public"}) == all_told("updated", *people) | {
        "anonymous": ["created"], "stranger": ["created"],
    }  # fmt: skip
    assert write(**{AUDIENCE: "owner", SHARED: ["person:stranger"]}) == {
        "anonymous": ["deleted"], "colleague": ["deleted"], "researcher": ["updated"], "stranger": ["updated"],
        "administrator": ["updated"],
    }  # fmt: skip
    assert after(service.delete(f"{path}/one")) == nobody | all_told(
        "deleted", "researcher", "stranger", "administrator"
    )
    # Told again to whoever reads from the beginning, with the same words.
    for who, follower in followers.items():
        assert follower.copy == {"open": {}}
        again = Follower(getattr(fresh_catalogue, who), limit=1000)
        again.all()
        assert again.entries == follower.entries


def test_what_is_told_of_a_collection(fresh_catalogue: Any, service: httpx.Client) -> None:
    """One that is hidden takes its items along, as one that is deleted does; one that appears brings them."""
    anonymous, researcher = Follower(fresh_catalogue.anonymous), Follower(fresh_catalogue.researcher)
    body = fresh_catalogue.collection("shy", **{AUDIENCE: "owner", OWNER: "researcher"})
    assert service.post("/stac/collections", json=body).status_code == 201
    items = "/stac/collections/shy/items"
    for name in "ab":
        assert service.post(items, json=fresh_catalogue.item(name, **{AUDIENCE: "public"})).status_code == 201
    assert anonymous.all() == [("created", "open", None)]
    made = [("created", "shy", None), ("created", "shy", "a"), ("created", "shy", "b")]
    assert researcher.all()[1:] == made

    def turn(audience: str) -> None:
        assert service.put("/stac/collections/shy", json=body | {AUDIENCE: audience}).status_code == 200

    turn("public")
    assert anonymous.all() == [("created", "shy", None)] and anonymous.copy["shy"].keys() == {"a", "b"}
    assert researcher.all() == [("updated", "shy", None)]
    turn("owner")
    assert anonymous.all() == [("deleted", "shy", None)] and anonymous.copy == {"open": {}}
    assert service.delete(items + "/a").status_code == 200
    assert anonymous.all() == []
    hidden = Follower(fresh_catalogue.anonymous, limit=1000)
    hidden.all()
    turn("public")
    assert anonymous.all() == [("created", "shy", None)] and anonymous.copy["shy"].keys() == {"b"}
    assert service.delete("/stac/collections/shy").status_code == 200
    assert anonymous.all() == [("deleted", "shy", None)] and anonymous.copy == {"open": {}}
    assert researcher.all()[-1] == ("deleted", "shy", None) and researcher.copy == {"open": {}}
    # Hiding and deleting read alike, but for their moments.
    shape = [(x["type"], x["collection"], x.get("id")) for x in hidden.entries]
    assert shape == [(x["type"], x["collection"], x.get("id")) for x in anonymous.entries[: len(shape)]]
    assert shape[-1] == ("deleted", "shy", None)


def test_one_transaction_is_told_by_its_effect(
    fresh_catalogue: Any, service: httpx.Client, admin: psycopg.Connection[Any]
) -> None:
    anonymous = Follower(fresh_catalogue.anonymous)
    anonymous.all()

    def load(name: str, how: str = "create", **properties: Any) -> None:
        made = orjson.dumps(item(name, holder="open", properties=properties)).decode()
        admin.execute(f"select pgstac.{how}_item(%s)", [made])

    with admin.transaction():
        load("kept")
        load("brief")
        load("withdrawn")
        load("withdrawn", "update", **{AUDIENCE: "owner"})
        admin.execute("select pgstac.delete_item('brief', 'open')")
        load("kept", "update", a=1)
    assert anonymous.all() == [("created", "open", "kept")]
    with admin.transaction():
        admin.execute("select pgstac.delete_item('kept', 'open')")
        load("kept", a=2)
        load("kept", "upsert", a=3)
    assert anonymous.all() == [("updated", "open", "kept")]
    with pytest.raises(psycopg.errors.DivisionByZero), admin.transaction():
        load("never")
        admin.execute("select 1 / 0")
    assert anonymous.all() == []


def test_an_older_transaction_that_writes_later_is_told_later(
    fresh_catalogue: Any, service: httpx.Client, admin: psycopg.Connection[Any], database: Any
) -> None:
    for name in ("one", "other"):
        assert service.post("/stac/collections/open/items", json=fresh_catalogue.item(name)).status_code == 201
    anonymous = Follower(fresh_catalogue.anonymous)
    anonymous.all()
    write = "update pgstac.items set content = content || '{}' where id = %s"
    with psycopg.connect(database.admin_url) as older:
        older.execute("select pg_current_xact_id()")
        admin.execute(write, ["one"])
        assert anonymous.all() == [("updated", "open", "one")]
        admin.execute(write, ["one"])
        older.execute("delete from pgstac.items where id = 'one'")
        older.execute(write, ["other"])
        older.commit()
    assert anonymous.all() == [("updated", "open", "one"), ("deleted", "open", "one"), ("updated", "open", "other")]
    assert anonymous.copy["open"].keys() == {"other"}


def test_items_that_came_together_are_told_one_by_one(
    fresh_catalogue: Any, service: httpx.Client, admin: psycopg.Connection[Any]
) -> None:
    """As many as are put by one statement, over several months, some of them hidden; then all of them replaced."""
    months = [f"2024-0{1 + n % 3}-01T00:00:00Z" for n in range(30)]
    made = [
        fresh_catalogue.item(f"i{n:02}", datetime=month, **{AUDIENCE: "owner" if n % 5 == 0 else "public", OWNER: "x"})
        for n, month in enumerate(months)
    ]
    followers = [Follower(fresh_catalogue.anonymous), Follower(fresh_catalogue.administrator)]
    for follower in followers:
        assert follower.all() == [("created", "open", None)]
    several = {"type": "FeatureCollection", "features": made}
    assert service.post("/stac/collections/open/items", json=several).status_code == 201
    public = {one["id"] for one in made if one["properties"][AUDIENCE] == "public"}
    everything = {one["id"] for one in made}
    revisions = "select id, revision from catalogue.finished_item"
    for kind in ("created", "updated"):
        state = {row["id"]: row["revision"] for row in admin.execute(revisions)}
        for follower, names in zip(followers, (public, everything), strict=True):
            told = follower.all()
            assert sorted(told) == [(kind, "open", name) for name in sorted(names)]
            assert follower.copy["open"] == {name: state[name] for name in names}
        assert admin.execute("select from catalogue.written").fetchall() == []
        for one in made:
            one["properties"]["title"] = "Another"
        replaced = service.post("/stac/collections/open/items", params={"method": "upsert"}, json=several)
        assert replaced.status_code == 200
    again = Follower(fresh_catalogue.administrator, limit=1000)
    again.all()
    assert len({(entry["id"], entry["revision"]) for entry in again.entries[1:]}) == 60


def test_what_was_put_and_changed_in_one_transaction_ends_as_it_is(
    fresh_catalogue: Any, service: httpx.Client, admin: psycopg.Connection[Any]
) -> None:
    """Beyond what the service does: nobody saw what was put, but it is told, and then that it is gone."""
    with admin.transaction():
        put(admin, "open", [item(f"i{n}") for n in range(3)])
        admin.execute("delete from pgstac.items where id = 'i0'")
        admin.execute("update pgstac.items set content = jsonb_set(content, '{properties,x}', '1') where id = 'i1'")
    follower = Follower(fresh_catalogue.anonymous)
    told = follower.all()
    assert told[-2:] == [("deleted", "open", "i0"), ("updated", "open", "i1")]
    state = {row["id"]: row["revision"] for row in admin.execute("select id, revision from catalogue.finished_item")}
    assert follower.copy["open"] == state and state.keys() == {"i1", "i2"}


def test_entries_with_items_and_as_lines(fresh_catalogue: Any, service: httpx.Client) -> None:
    anonymous = fresh_catalogue.anonymous
    for name, audience in (("one", "public"), ("two", "public"), ("three", "public")):
        made = fresh_catalogue.item(name, **{AUDIENCE: audience, OWNER: "researcher"})
        assert service.post("/stac/collections/open/items", json=made).status_code == 201
    assert service.delete("/stac/collections/open/items/one").status_code == 200
    hide = {"properties": {AUDIENCE: "owner"}}
    assert service.patch("/stac/collections/open/items/two", json=hide).status_code == 200
    answer = anonymous.get("/stac/changes", params={"include": "item"})
    entries = answer.json()["changes"]
    # As they are now: of what is gone since, or hidden, there is nothing more than what was told then.
    assert [(x["type"], x.get("id"), "item" in x) for x in entries] == [
        ("created", None, False), ("created", "one", False), ("created", "two", False), ("created", "three", True),
        ("deleted", "one", False), ("deleted", "two", False),
    ]  # fmt: skip
    href = entries[3]["links"][0]["href"].removeprefix(fresh_catalogue.base)
    assert entries[3]["item"] == anonymous.get(href).json()
    lines = anonymous.get("/stac/changes", params={"limit": 2}, headers={"accept": "application/x-ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    plain = anonymous.get("/stac/changes", params={"limit": 2}).json()
    assert [orjson.loads(line) for line in lines.text.splitlines()] == plain["changes"]
    assert lines.links["next"]["url"] == plain["links"][2]["href"]
    assert anonymous.get("/stac/changes", params={"collections": "open,other"}).json()["changes"] == plain[
        "changes"
    ] + [{k: v for k, v in x.items() if k != "item"} for x in entries[2:]]
    assert anonymous.get("/stac/changes", params={"collections": "other"}).json()["changes"] == []


@pytest.mark.parametrize(
    "asked",
    [
        {"cursor": "é"}, {"cursor": "nonsense"}, {"cursor": "AAAA"}, {"cursor": ""}, {"cursor": "x" * 101},
        {"limit": 0}, {"limit": 1001}, {"limit": "many"}, {"wait": 21}, {"wait": -1}, {"wait": "nan"},
        {"include": "all"}, {"collections": "a\0b"},
    ],
)  # fmt: skip
def test_bad_questions(fresh_catalogue: Any, asked: dict[str, Any]) -> None:
    answer = fresh_catalogue.anonymous.get("/stac/changes", params=asked)
    assert answer.status_code == 400 and answer.json()["detail"], answer.text


def test_what_was_pruned_is_gone(fresh_catalogue: Any, service: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    anonymous = fresh_catalogue.anonymous
    for name in "abc":
        assert service.post("/stac/collections/open/items", json=fresh_catalogue.item(name)).status_code == 201
    early, late = Follower(anonymous, limit=2), Follower(anonymous, limit=100)
    early.page()
    late.all()
    assert admin.execute("select catalogue.prune_changes(now()) as n").fetchone() == {"n": 3}
    for cursor in (early.cursor, None):
        answer = anonymous.get("/stac/changes", params={"cursor": cursor} if cursor else {})
        assert answer.status_code == 410 and "cursor=now" in answer.json()["detail"]
    assert late.all() == []
    # Items are still told by what their collection is.
    assert service.delete("/stac/collections/open/items/a").status_code == 200
    assert late.all() == [("deleted", "open", "a")]
    assert admin.execute("select catalogue.prune_changes(now() - interval '1 day') as n").fetchone() == {"n": 0}
    begun = Follower(anonymous)
    begun.cursor = "now"
    assert begun.all() == []
    # Those of another catalogue, or from before it was restored to an earlier state.
    admin.execute("update catalogue.change_log set name = 'aaaaaaaaaaaa'")
    assert anonymous.get("/stac/changes", params={"cursor": late.cursor}).status_code == 410


def test_waiting_for_a_change(fresh_catalogue: Any, service: httpx.Client) -> None:
    follower = Follower(fresh_catalogue.anonymous)
    follower.all()
    assert follower.page(wait=0.3) == []
    later = threading.Timer(
        0.5, lambda: service.post("/stac/collections/open/items", json=fresh_catalogue.item("late"))
    )
    later.start()
    assert [entry["id"] for entry in follower.page(wait=20)] == ["late"]
    later.join()


WRITER = """
import json, random, sys, time
import psycopg
plain = json.loads(sys.argv[3])
chance = random.Random(int(sys.argv[2]))
print("begun", flush=True)
while True:
    with psycopg.connect(sys.argv[1], application_name="writer") as connection:
        connection.execute("set lock_timeout = '2s'")
        try:
            for _ in range(chance.randint(1, 5)):
                name, holder = f"i{chance.randint(0, 9)}", chance.choice(["open", "shy"])
                plain |= {"id": name, "collection": holder}
                plain["properties"]["bocage:audience"] = chance.choice(["public", "owner"])
                if chance.random() < 0.3:
                    connection.execute("select pgstac.delete_item(%s, %s)", [name, holder])
                else:
                    connection.execute("select pgstac.upsert_item(%s)", [json.dumps(plain)])
                time.sleep(chance.random() / 50)
            if chance.random() < 0.2:
                connection.rollback()
            else:
                connection.commit()
        except psycopg.Error:
            connection.rollback()
"""


def test_a_follower_misses_nothing(
    fresh_catalogue: Any, service: httpx.Client, admin: psycopg.Connection[Any], database: Any, tmp_path: Any
) -> None:
    """Beside writers of the same items, some of whom roll back, one of whom holds a transaction open over all that
    the others do, and some of whom are killed; and beside a collection that is hidden and shown again."""
    for name in ("shy", "slow"):
        made = orjson.dumps(collection(name, **{AUDIENCE: "public"})).decode()
        admin.execute("select pgstac.create_collection(%s)", [made])
    for name in (
        "open",
        "shy",
        "slow",
    ):  # the first item of a collection makes its partition, and whoever makes it holds it
        first = orjson.dumps(item("first", holder=name)).decode()
        admin.execute("select pgstac.create_item(%s)", [first])
    script = tmp_path / "writer.py"
    script.write_text(textwrap.dedent(WRITER))

    def writer(seed: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(script), database.admin_url, str(seed), orjson.dumps(item("i")).decode()]
        started = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert started.stdout is not None and started.stdout.readline() == b"begun\n"
        return started

    chance = random.Random(5)
    with psycopg.connect(database.admin_url) as long:
        long.execute("set search_path to pgstac, public")
        long.execute("select pgstac.create_item(%s)", [orjson.dumps(item("long", holder="slow")).decode()])
        writers = [writer(n) for n in range(3)]
        followers = [Follower(fresh_catalogue.anonymous, 3), Follower(fresh_catalogue.administrator, 50)]
        try:
            deadline = time.monotonic() + 60
            for round_ in count():
                # Writers wait for each other, some for seconds: it goes on until there is something to miss.
                if round_ >= 24 and len(followers[1].entries) > 15:
                    break
                assert time.monotonic() < deadline, "the writers write next to nothing"
                for follower in followers:
                    follower.page()
                if round_ % 8 == 4:
                    audience = chance.choice(["owner", "public"])
                    changed = orjson.dumps(collection("shy", **{AUDIENCE: audience})).decode()
                    admin.execute("select pgstac.update_collection(%s)", [changed])
                if round_ % 8 == 7:
                    killed = writers.pop(0)
                    killed.send_signal(signal.SIGKILL)
                    killed.wait()
                    writers.append(writer(round_))
                time.sleep(0.05)
            # What others committed meanwhile is told although an older transaction still runs.
            assert any(entry.get("id", "").startswith("i") for entry in followers[1].entries)
            assert all(entry.get("id") != "long" for entry in followers[1].entries)
        finally:
            for one in writers:
                one.send_signal(signal.SIGKILL)
                one.wait()
        long.commit()
    deadline = time.monotonic() + 20  # the killed writers' transactions end when the server notices
    left = "select from pg_stat_activity where application_name = 'writer' and datname = current_database()"
    while admin.execute(left).fetchall():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for follower in followers:
        follower.all()
    assert len(followers[1].entries) > 15
    state = {
        (row["collection"], row["id"]): row["revision"]
        for row in admin.execute("select collection, id, revision from catalogue.finished_item")
    }
    assert ("slow", "long") in state
    for follower in followers:
        seen = {name: set(follower.listed(name)) for name in ("open", "shy", "slow")}
        assert {holder: set(names) for holder, names in follower.copy.items()} == {
            name: ids for name, ids in seen.items() if ids or name in follower.copy
        }
        told = {(holder, n): r for holder, names in follower.copy.items() for n, r in names.items() if r is not None}
        assert told == {key: state[key] for key in told}
        again = Follower(follower.client, limit=1000)
        again.all()
        assert again.entries == follower.entries, "the order never changes"
