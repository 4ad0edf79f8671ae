"""A canary that only its owner may see walks through every read path, and is never found by others."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import psycopg
import pytest
from bocage_kit.identity import Identity, TileScope
from psycopg.types.json import Json

CANARY = "canary-7f3a"
WORD = "tweet-7f3a"


@pytest.fixture(scope="module", autouse=True)
def content(catalogue: Any) -> None:
    """A public collection with the canary between two public items, a private one, and one of the organisation."""
    service, researcher = catalogue.service, catalogue.researcher
    public = catalogue.collection("results", **{"bocage:audience": "public", "bocage:organisation": catalogue.ours})
    assert service.post("/stac/collections", json=public).status_code == 201
    for name, owner, audience in [
        ("a-public", "researcher", "public"),
        (CANARY, "researcher", "owner"),
        ("team", "researcher", "organisation"),
        ("z-public", "stranger", "public"),
    ]:
        rights = {"bocage:owner": owner, "bocage:audience": audience, "bocage:organisation": catalogue.ours}
        item = catalogue.item(name, **rights, secret=WORD if name == CANARY else "none", rank=len(name))
        assert service.post("/stac/collections/results/items", json=item).status_code == 201
    for name, audience in (("private", "owner"), ("ours", "organisation")):
        made = catalogue.collection(
            name, keywords=[WORD if name == "private" else "none"], **{"bocage:audience": audience}
        )
        assert researcher.post("/stac/collections", json=made).status_code == 201
        # Says public of itself, but lies in a collection that is not seen.
        inside = catalogue.item(f"in-{name}", **{"bocage:audience": "public"})
        assert researcher.post(f"/stac/collections/{name}/items", json=inside).status_code == 201


def pages(client: httpx.Client, base: str, path: str, **parameters: Any) -> Iterator[httpx.Response]:
    answer = client.get(path, params=parameters)
    while True:
        yield answer
        links = answer.json().get("links", []) if answer.status_code == 200 else []
        following = [link["href"] for link in links if link["rel"] == "next"]
        if not following:
            return
        answer = client.get(following[0].removeprefix(base))


def every_read(client: httpx.Client, base: str) -> Iterator[tuple[str, httpx.Response]]:
    """Each way by which the canary might be found."""
    loosened = [
        f"id = '{CANARY}'",
        f"id = '{CANARY}' OR id = '{CANARY}'",
        f"NOT (id <> '{CANARY}')",
        f"secret = '{WORD}'",
        f"secret LIKE '{WORD[:4]}%'",
        "\"bocage:audience\" = 'owner'",
        "\"bocage:owner\" = 'researcher'",
        "t_intersects(datetime, TIMESTAMP('2024-05-01T10:30:00Z')) OR TRUE",
        "s_intersects(geometry, BBOX(-180,-90,180,90)) OR 1=1",
    ]
    gets: list[dict[str, Any]] = [
        {},
        {"ids": CANARY},
        {"ids": CANARY, "collections": "results"},
        {"collections": "results", "limit": 1},
        {"fields": "-properties.bocage:audience,-properties.bocage:owner"},
        {"fields": "-properties"},
        {"fields": "id"},
        {"sortby": "-rank"},
        {"sortby": "+properties.bocage:audience", "limit": 1},
        {"bbox": "-180,-90,180,90"},
        {"datetime": "2024-05-01T10:30:00Z"},
        {"query": f'{{"secret": {{"eq": "{WORD}"}}}}'},
        {"query": f'{{"id": {{"in": ["{CANARY}"]}}}}'},
        *({"filter": text, "filter-lang": "cql2-text"} for text in loosened),
    ]
    for parameters in gets:
        for path in ("/stac/search", "/stac/collections/results/items"):
            for answer in pages(client, base, path, **parameters):
                yield f"{path} {parameters}", answer
    for body in (
        {"ids": [CANARY]},
        {"filter": {"op": "=", "args": [{"property": "id"}, CANARY]}},
        {
            "filter": {
                "op": "or",
                "args": [{"op": "=", "args": [{"property": "secret"}, WORD]}, {"op": "=", "args": [1, 1]}],
            }
        },
        {"filter": {"op": "=", "args": [{"property": "id"}, CANARY]}, "fields": {"exclude": ["properties"]}},
        {"query": {"secret": {"eq": WORD}}, "fields": {"include": ["id"]}},
        {"query": {"secret": {"eq": WORD}}, "conf": {"nohydrate": False, "context": "off"}},
        {
            "limit": 1,
            "token": f"next:{b'results'.hex()}:{b'a-public'.hex()}",
            "sortby": [{"field": "id", "direction": "asc"}],
        },
    ):
        yield f"POST {body}", client.post("/stac/search", json=body)
    for path in (
        f"/stac/collections/results/items/{CANARY}",
        "/stac/collections",
        f"/stac/collections?q={WORD}",
        "/stac/collections?filter=id='private'",
        "/stac/collections?fields=-bocage:audience",
        '/stac/collections?query={"id":{"eq":"private"}}',
        "/stac/collections/private",
        "/stac/collections/private/items",
        "/stac/collections/private/items/in-private",
        "/stac/collections/private/queryables",
        "/stac/search?collections=private",
        "/stac/search?ids=in-private",
        "/stac/queryables",
        "/stac",
    ):
        yield path, client.get(path)


@pytest.mark.parametrize("who", ["anonymous", "stranger", "colleague"])
def test_others_never_find_the_canary(catalogue: Any, who: str) -> None:
    reads = 0
    for what, answer in every_read(getattr(catalogue, who), catalogue.base):
        assert answer.status_code in (200, 400, 404), what
        if answer.status_code == 200:
            document = answer.json()
            assert not any("/collections/private" in link["href"] for link in document.get("links", ())), what
            # Links repeat what was asked; what was found must not hold it.
            found = json.dumps({name: value for name, value in document.items() if name != "links"})
            for secret in (CANARY, WORD, "in-private", "collection private"):
                assert secret not in found, what
        reads += 1
    assert reads > 60


def test_the_owner_finds_it(catalogue: Any) -> None:
    found = [
        answer
        for _, answer in every_read(catalogue.researcher, catalogue.base)
        if answer.status_code == 200 and CANARY in answer.text
    ]
    assert len(found) > 20
    for path in (f"results/items/{CANARY}", "private", "private/items/in-private"):
        assert catalogue.researcher.get(f"/stac/collections/{path}").status_code == 200


def test_counts_hold_only_what_is_seen(catalogue: Any) -> None:
    expected = {"anonymous": 2, "stranger": 2, "colleague": 3, "researcher": 4, "service": 4, "administrator": 4}
    for who, number in expected.items():
        client = getattr(catalogue, who)
        for answer in (
            client.get("/stac/search", params={"collections": "results", "limit": 1}),
            client.get("/stac/collections/results/items", params={"limit": 1}),
            client.post("/stac/search", json={"collections": ["results"], "limit": 1}),
        ):
            assert answer.json()["numberMatched"] == number, who
        none = client.get("/stac/search", params={"ids": CANARY}).json()
        assert none["numberMatched"] == (1 if number == 4 else 0), who
    counts = {who: getattr(catalogue, who).get("/stac/collections").json()["numberMatched"] for who in expected}
    assert counts == {"anonymous": 1, "stranger": 1, "colleague": 2, "researcher": 3, "service": 3, "administrator": 3}


def test_items_of_an_unseen_collection_are_not_found_by_search(catalogue: Any) -> None:
    for who, number in (("anonymous", 0), ("stranger", 0), ("colleague", 1), ("researcher", 2)):
        found = getattr(catalogue, who).get("/stac/search", params={"ids": "in-private,in-ours"}).json()
        assert found["numberMatched"] == number, who


def test_a_paging_token_is_no_oracle(catalogue: Any) -> None:
    """It holds values, and no item: one that names a hidden item answers as one that names none."""
    client = catalogue.anonymous
    first = client.get("/stac/search", params={"sortby": "id", "limit": 1}).json()
    href = next(link["href"] for link in first["links"] if link["rel"] == "next")
    direction, _, coded = httpx.URL(href).params["token"].partition(":")
    order, values, asked, matched = orjson.loads(urlsafe_b64decode(coded + "=" * (-len(coded) % 4)))

    def ask(item: str) -> httpx.Response:
        forged = [order, [item, "results"], asked, matched]
        token = f"{direction}:{urlsafe_b64encode(orjson.dumps(forged)).decode()}"
        answer: httpx.Response = client.get("/stac/search", params={"token": token, "sortby": "id"})
        return answer

    hidden, absent = ask(CANARY), ask(CANARY + "-")
    assert values[0] == first["features"][0]["id"]
    assert hidden.status_code == absent.status_code == 200
    assert hidden.json()["features"] == absent.json()["features"]
    assert CANARY not in hidden.text.replace(coded, "").replace(httpx.URL(str(hidden.url)).params["token"], "")


def test_a_hidden_collection_is_seen_by_those_to_whom_it_was_granted(catalogue: Any) -> None:
    granted = catalogue.as_(Identity(subject="guest", organisation=catalogue.theirs, hidden=frozenset({"ours"})))
    assert granted.get("/stac/collections/ours").status_code == 200
    assert granted.get("/stac/collections").json()["numberMatched"] == 2
    assert granted.get("/stac/collections/private").status_code == 404
    assert [i["id"] for i in granted.get("/stac/collections/ours/items").json()["features"]] == ["in-ours"]


def test_writing_to_what_is_not_seen_is_404(catalogue: Any) -> None:
    stranger, colleague = catalogue.stranger, catalogue.colleague
    item, private = catalogue.item("x"), catalogue.collection("private")
    assert stranger.post("/stac/collections/private/items", json=item).status_code == 404
    assert stranger.put("/stac/collections/private", json=private).status_code == 404
    assert stranger.delete("/stac/collections/private").status_code == 404
    path = f"/stac/collections/results/items/{CANARY}"
    assert colleague.delete(path).status_code == 404
    assert colleague.put(path, json=catalogue.item(CANARY)).status_code == 404
    assert colleague.patch(path, json={"properties": {"a": 1}}).status_code == 404
    assert catalogue.researcher.get(path).status_code == 200


def test_items_loaded_past_the_api_are_filtered_too(catalogue: Any, module_database: Any) -> None:
    """The operator's bulk load: no owner fields at all is public, an audience counts."""
    with psycopg.connect(module_database.admin_url) as connection:
        for name, properties in (("bulk-open", {}), ("bulk-shut", {"bocage:audience": "owner", "bocage:owner": "x"})):
            item = catalogue.item(name, **properties) | {"collection": "results"}
            connection.execute("set search_path to pgstac, public")
            connection.execute("select pgstac.create_item(%s::jsonb)", [Json(item)])
    found = catalogue.anonymous.get("/stac/search", params={"ids": "bulk-open,bulk-shut"}).json()
    assert [item["id"] for item in found["features"]] == ["bulk-open"]


def test_a_tile_token_reads_no_metadata(catalogue: Any) -> None:
    token = Identity(
        subject="researcher", organisation=catalogue.ours, tiles=TileScope(collections=frozenset({"results"}))
    )
    assert catalogue.as_(token).get("/stac/search").status_code == 403
