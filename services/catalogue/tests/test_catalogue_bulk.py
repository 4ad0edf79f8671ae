"""Many items at once: what is told of each, and that several senders neither wait for ever nor lose an item."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from pypgstac.load import Loader, Methods

ALL, NONE = slice(None), slice(0)


def together(*items: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(items)}


@pytest.fixture
def items(catalogue: Any, request: pytest.FixtureRequest) -> str:
    """The path of a new, empty collection's items."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:60]
    made = catalogue.collection(name, item_assets={"image": {"type": "image/tiff", "roles": ["data"]}})
    answer = catalogue.researcher.post("/stac/collections", json=made)
    assert answer.status_code == 201, answer.text
    return f"/stac/collections/{name}/items"


def ids(client: httpx.Client, items: str) -> set[str]:
    found, url = set[str](), f"{items}?limit=500"
    while url:
        page = client.get(url).raise_for_status().json()
        found |= {item["id"] for item in page["features"]}
        url = next((link["href"].partition("127.0.0.1:8000")[2] for link in page["links"] if link["rel"] == "next"), "")
    return found


def test_what_became_of_each(catalogue: Any, items: str) -> None:
    client = catalogue.researcher
    assert client.post(items, json=catalogue.item("there", v=1)).status_code == 201
    cloudy = catalogue.item("cloudy", **{"eo:cloud_cover": 120, "eo:mist": 1})
    cloudy["stac_extensions"] = ["https://stac-extensions.github.io/eo/v1.1.0/schema.json"]
    sent = together(
        catalogue.item("new"), catalogue.item("there", v=2), cloudy, 5, catalogue.item("new"),
        catalogue.item("nul", text="a\0b"), {**catalogue.item("x"), "collection": "other"},
        {**catalogue.item("open"), "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}},
        catalogue.item("back", start_datetime="2024-02-01T00:00:00Z", end_datetime="2024-01-01T00:00:00Z"),
        catalogue.item("linked", {"a": {"href": "file:///etc/passwd"}}),
    )  # fmt: skip
    refused = client.post(items, json=sent)
    assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json")
    results = refused.json()["results"]
    assert [r["status"] for r in results] == [424, 409, 400, 400, 400, 400, 400, 400, 400, 400]
    assert [r["id"] for r in results][:5] == ["new", "there", "cloudy", None, "new"]
    assert {"field": "properties.eo:cloud_cover", "reason": "must be at most 100"} in results[2]["errors"]
    assert {e["field"] for e in results[2]["errors"]} == {"properties.eo:cloud_cover", "properties.eo:mist"}
    assert results[9]["asset"] == "a"
    assert (refused.json()["created"], refused.json()["refused"]) == (0, 10)
    assert ids(client, items) == {"there"}
    partial = client.post(f"{items}?mode=partial", json=sent)
    assert partial.status_code == 207
    assert [r["status"] for r in partial.json()["results"]] == [201, *(r["status"] for r in results[1:])]
    assert ids(client, items) == {"there", "new"}
    assert client.get(f"{items}/there").json()["properties"]["v"] == 1


def test_texts_that_are_no_json_are_told_of_where_they_are(catalogue: Any, items: str) -> None:
    client, sent = catalogue.researcher, {"headers": {"content-type": "application/json"}}
    good = json.dumps(catalogue.item("good"))
    for body in (
        f'{{"type": "FeatureCollection", "features": [{good}', "[" * 100_000, '{"a":' * 100_000, "", "nul",
        f'{{"type": "FeatureCollection", "features": [{good}, "\\ud800"]}}',
    ):  # fmt: skip
        answer = client.post(items, content=body, **sent)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid-object"), answer.text
        assert "not JSON" in answer.json()["detail"]
    for raw in (b'{"type": "\xff"}', b'{"type": "FeatureCollection", "features": [%s], "x": "\xff"}' % good.encode()):
        for method in ("insert", "upsert"):
            answer = client.post(f"{items}?mode=partial&method={method}", content=raw, **sent)
            assert answer.status_code == 400 and "not JSON" in answer.json()["detail"], answer.text
    deep = json.dumps(catalogue.item("deep", x=1)).replace('"x": 1', f'"x": {"[" * 80 + "]" * 80}')
    answer = client.post(items, content=f'{{"type": "FeatureCollection", "features": [{good}, {deep}]}}', **sent)
    assert answer.status_code == 400 and "64 levels" in answer.json()["detail"]
    odd = json.dumps(catalogue.item("odd", x=1)).replace('"x": 1', '"x": 1e999')  # which no decoder knows
    partial = client.post(
        f"{items}?mode=partial", content=f'{{"features": [{good}, {odd}], "type": "FeatureCollection"}}', **sent
    )
    assert [r["status"] for r in partial.json()["results"]] == [201, 400], partial.text
    assert "item is not JSON" in partial.json()["results"][1]["detail"]
    nul = json.dumps(together(catalogue.item("good", x=2), catalogue.item("\0")))
    upsert = client.post(f"{items}?mode=partial&method=upsert", content=nul, **sent)
    assert [r["status"] for r in upsert.json()["results"]] == [200, 400], upsert.text
    assert ids(client, items) == {"good"}


def test_what_is_refused_is_not_taken_away(fresh_catalogue: Any, admin: psycopg.Connection[Any]) -> None:
    """An id that was withdrawn, and is there all the same: somebody has loaded it past the API."""
    client, items = fresh_catalogue.service, "/stac/collections/scenes/items"
    assert client.post("/stac/collections", json=fresh_catalogue.collection("scenes")).status_code == 201
    assert client.post(items, json=together(*(fresh_catalogue.item(name, v=1) for name in "abc"))).status_code == 201
    admin.execute(
        "insert into catalogue.tombstone (collection, id, audience, reason, actor, document)"
        " select 'scenes', n.id, 'public', 'none', 'ann', '{}' from (values ('a'), ('c')) n (id)"
    )
    sent = together(fresh_catalogue.item("a", v=2), fresh_catalogue.item("b", v=2), fresh_catalogue.item("c", v=1))
    answer = client.post(f"{items}?mode=partial&method=upsert", json=sent)
    assert [r["status"] for r in answer.json()["results"]] == [409, 200, 409], answer.text
    assert ids(client, items) == {"a", "b", "c"}


def test_conflicts_alone_are_a_conflict_and_all_are_named(catalogue: Any, items: str) -> None:
    client = catalogue.researcher
    assert client.post(items, json=together(*(catalogue.item(f"a{n}") for n in range(3)))).status_code == 201
    refused = client.post(items, json=together(*(catalogue.item(f"a{n}") for n in range(5))))
    assert refused.status_code == 409
    assert [r["status"] for r in refused.json()["results"]] == [409, 409, 409, 424, 424]
    assert ids(client, items) == {"a0", "a1", "a2"}


def test_upserts(catalogue: Any, items: str) -> None:
    client = catalogue.researcher
    first = together(catalogue.item("a", v=1), catalogue.item("b", v=1))
    assert client.post(f"{items}?method=upsert", json=first).status_code == 201
    tags = {name: client.get(f"{items}/{name}").headers["etag"] for name in "ab"}
    sent = together(catalogue.item("b", v=2), catalogue.item("a", v=1), catalogue.item("c"))
    answer = catalogue.colleague.post(f"{items}?method=upsert", json=sent)
    assert answer.status_code == 201
    assert answer.json()["results"] == [
        {"index": 0, "id": "b", "status": 200},
        {"index": 1, "id": "a", "status": 200, "unchanged": True},
        {"index": 2, "id": "c", "status": 201},
    ]
    assert [answer.json()[n] for n in ("created", "updated", "unchanged", "refused")] == [1, 1, 1, 0]
    assert client.get(f"{items}/a").headers["etag"] == tags["a"]
    assert client.get(f"{items}/b").json()["properties"]["v"] == 2
    assert client.get(f"{items}/b").json()["properties"]["bocage:owner"] == "researcher"
    assert client.get(f"{items}/c").json()["properties"]["bocage:owner"] == "colleague"
    again = client.post(f"{items}?method=upsert", json=together(catalogue.item("c")))
    assert (again.status_code, again.json()["unchanged"]) == (200, 1)
    # Another's own item is neither shown nor replaced.
    hidden = catalogue.item("mine", **{"bocage:audience": "owner"})
    assert client.post(items, json=hidden).status_code == 201
    theft = catalogue.colleague.post(f"{items}?method=upsert&mode=partial", json=together(hidden))
    assert [r["status"] for r in theft.json()["results"]] == [409]


def test_refusals_of_the_whole(catalogue: Any, items: str) -> None:
    client = catalogue.researcher
    assert client.post(items, json=together()).status_code == 400
    assert client.post(items, json={"type": "FeatureCollection"}).status_code == 400
    many = client.post(items, json=together(*([{}] * 1001)))
    assert (many.status_code, many.json()["limit"]) == (413, 1000)
    large = client.post(items, content=b" " * (16 * 1024 * 1024 + 1), headers={"content-type": "application/json"})
    assert (large.status_code, large.json()["limit"]) == (413, 16 * 1024 * 1024)
    for question in ("mode=some", "method=merge"):
        assert client.post(f"{items}?{question}", json=together(catalogue.item("a"))).status_code == 400
    assert catalogue.stranger.post(f"{items}?mode=partial", json=together(catalogue.item("a"))).status_code == 404
    assert ids(client, items) == set()


@pytest.mark.parametrize("partition", [None, "month", "year"])
@pytest.mark.parametrize("method", ["insert", "upsert"])
def test_many_senders_of_the_same_items(
    fresh_catalogue: Any, admin: psycopg.Connection[Any], partition: str | None, method: str
) -> None:
    """Overlapping ids in other orders, in partitions that nobody has made yet, at other times of year each."""
    service = fresh_catalogue.service
    assert service.post("/stac/collections", json=fresh_catalogue.collection("crowd")).status_code == 201
    admin.execute("update pgstac.collections set partition_trunc = %s", [partition])

    def send(sender: int) -> list[tuple[str, int]]:
        names = [f"i{(n * 7 + sender * 13) % 60}" for n in range(40)]
        moments = [f"20{20 + int(name[1:]) % 4}-{sender % 3 + 1:02}-01T00:00:00Z" for name in names]
        made = [fresh_catalogue.item(n, sender=sender, datetime=m) for n, m in zip(names, moments, strict=True)]
        answer = service.post(f"/stac/collections/crowd/items?mode=partial&method={method}", json=together(*made))
        assert answer.status_code == 207, answer.text
        return [(r["id"], r["status"]) for r in answer.json()["results"]]

    with ThreadPoolExecutor(8) as pool:
        told = [result for results in pool.map(send, range(16)) for result in results]
    created = [name for name, status in told if status == 201]
    expected = {name for name, _ in told}
    assert sorted(created) == sorted(expected)  # each was made once, by one of them
    assert {status for _, status in told} <= ({201, 409} if method == "insert" else {201, 200})
    held = admin.execute("select id, count(*) as n from pgstac.items group by id").fetchall()
    assert {row["id"] for row in held} == expected and {row["n"] for row in held} == {1}
    finished = admin.execute(
        "select i.id from pgstac.items i join catalogue.finished_item f on f.id = i.id and f.datetime = i.datetime"
        " where f.content -> 'properties' = i.content -> 'properties'"
    ).fetchall()
    assert len(finished) == len(expected)


def test_beside_the_loader_and_killed_halfway(
    fresh_catalogue: Any, admin: psycopg.Connection[Any], loader: Loader
) -> None:
    """`pypgstac load` and our senders at once, while their connections are cut: what was told to be there is there."""
    service = fresh_catalogue.service
    assert service.post("/stac/collections", json=fresh_catalogue.collection("both")).status_code == 201
    stop = threading.Event()

    def cut() -> None:
        with psycopg.connect(admin.info.dsn, autocommit=True) as killer:
            while not stop.wait(0.15):
                killer.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'bocage_catalogue' and state <> 'idle' and query like '%catalogue.put%'"
                    " limit 1"
                )

    def send(sender: int) -> list[str]:
        done = []
        for batch in range(6):
            names = [f"s{sender}-{batch}-{n}" for n in range(50)]
            made = together(*(fresh_catalogue.item(name) for name in names))
            for _ in range(20):
                answer = service.post("/stac/collections/both/items?method=upsert", json=made)
                assert answer.status_code in (200, 201, 503), answer.text
                if answer.status_code != 503:
                    done += names
                    break
        return done

    killer = threading.Thread(target=cut)
    killer.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            sent = [pool.submit(send, n) for n in range(3)]
            loaded = [{**fresh_catalogue.item(f"p{n}"), "collection": "both"} for n in range(300)]
            loader.load_items(iter(loaded), Methods.upsert)
            told = {name for future in sent for name in future.result()}
    finally:
        stop.set()
        killer.join()
    held = {row["id"] for row in admin.execute("select id from pgstac.items")}
    assert held == told | {f"p{n}" for n in range(300)}
    assert held == {row["id"] for row in admin.execute("select id from catalogue.finished_item")}
