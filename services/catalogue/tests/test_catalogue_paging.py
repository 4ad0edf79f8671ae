"""Pages, one after the other, while others write: nothing is missed, nothing comes twice."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import httpx
import orjson
import psycopg
import pytest
from catalogue_loading import collection, item, load
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

VALUES: dict[str, list[Any]] = {
    "rank": [1, 2, 2.5, 1e15, -3], "word": ["a", "B", "é", "", "b" * 300, "b" * 299 + "c"], "flag": [True, False],
    "created": ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000001Z", "2023-01-01T00:00:00+05:00"],
    "several": [1, "one", True, [1], 3],
}  # fmt: skip
SORTABLE = ["id", "collection", "datetime", *VALUES]
UNTOUCHED, TOUCHED = 36, 12


def made(dice: random.Random, name: str, holder: str, turn: int) -> dict[str, Any]:
    properties = {key: dice.choice(values) for key, values in VALUES.items() if dice.random() < 0.7}
    moment = f"2024-0{dice.randint(1, 3)}-01T00:00:00Z"
    return item(name, moment, holder, properties={**properties, "turn": turn})


@pytest.fixture(scope="module")
def client(catalogue: Any, module_database: Any) -> httpx.Client:
    dice = random.Random(3)
    with PgstacDB(dsn=module_database.admin_url) as db:
        loader = Loader(db)
        loader.load_collections(iter([collection("scenes"), collection("others")]), Methods.insert)
        names = [f"k{n}" for n in range(UNTOUCHED // 2)] + [f"w{n}" for n in range(TOUCHED // 2)]
        load(loader, [made(dice, name, h, 0) for name in names for h in ("scenes", "others")], Methods.insert)
    with psycopg.connect(module_database.admin_url, autocommit=True) as connection:
        while connection.execute("select catalogue.finish_more(100)").fetchone() != (0,):
            pass
    found: httpx.Client = catalogue.anonymous
    return found


def token_of(answer: dict[str, Any], rel: str) -> str | None:
    found = [link for link in answer["links"] if link["rel"] == rel]
    return None if not found else str(found[0]["body"]["token"])


Seen = tuple[str, str, int]


def seen_in(answer: dict[str, Any]) -> list[Seen]:
    return [(x["collection"], x["id"], x["properties"]["turn"]) for x in answer["features"]]


@pytest.mark.parametrize("seed", range(24))
def test_each_item_once_whatever_is_written_meanwhile(client: httpx.Client, module_database: Any, seed: int) -> None:
    dice = random.Random(seed)
    keys = dice.sample(SORTABLE, dice.randint(0, 3))
    order = [{"field": key, "direction": dice.choice(["asc", "desc"])} for key in keys]
    seen: list[Seen] = []
    with psycopg.connect(module_database.admin_url, autocommit=True) as connection:

        def disturb() -> None:
            """Move, remove or bring back some of those that are written meanwhile."""
            for _ in range(2):
                name, holder = f"w{dice.randrange(TOUCHED // 2)}", dice.choice(["scenes", "others"])
                if dice.random() < 0.3:
                    connection.execute("delete from pgstac.items where id = %s and collection = %s", [name, holder])
                else:
                    disturb.turn += 1  # type: ignore[attr-defined]
                    turn: int = seed * 1000 + disturb.turn  # type: ignore[attr-defined]
                    written = orjson.dumps(made(dice, name, holder, turn)).decode()
                    connection.execute("select pgstac.upsert_item(%s)", [written])

        disturb.turn = 1  # type: ignore[attr-defined]
        token = None
        while True:
            body = {"sortby": order, "limit": dice.randint(1, 9)} | ({"token": token} if token else {})
            answer = client.post("/stac/search", json=body).raise_for_status().json()
            seen += seen_in(answer)
            token = token_of(answer, "next")
            if token is None:
                break
            disturb()
            back = token_of(answer, "previous")
            if back is not None and dice.random() < 0.2:
                # The page before, as it is now: its last items come before the first of this page.
                before = client.post("/stac/search", json={**body, "token": back}).raise_for_status().json()
                here = set(seen_in(answer))
                assert not here & {x for x in seen_in(before) if x[1].startswith("k")}
    counts = Counter(seen)
    assert max(counts.values()) == 1, (order, counts.most_common(3))
    assert len([x for x in seen if x[1].startswith("k")]) == UNTOUCHED, order


@pytest.mark.parametrize("key", SORTABLE)
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_the_way_back_is_the_way_there(client: httpx.Client, key: str, direction: str) -> None:
    """With nothing written meanwhile; items without the value come last both ways."""
    body = {"sortby": [{"field": key, "direction": direction}], "limit": 7}
    pages, token = [], None
    while True:
        answer = client.post("/stac/search", json=body | ({"token": token} if token else {})).raise_for_status().json()
        pages.append(seen_in(answer))
        previous, token = token_of(answer, "previous"), token_of(answer, "next")
        assert (previous is None) == (len(pages) == 1)
        if token is None:
            break
    whole = client.post("/stac/search", json={**body, "limit": 1000}).raise_for_status().json()
    assert [x for page in pages for x in page] == seen_in(whole)
    if key in VALUES and key != "several":
        absent = [x["properties"].get(key) is None for x in whole["features"]]
        assert absent == sorted(absent)
        values = [x["properties"][key] for x in whole["features"] if x["properties"].get(key) is not None]
        if key in ("rank", "flag"):
            assert values == sorted(values, reverse=direction == "desc")
    back = []
    while previous is not None:
        answer = client.post("/stac/search", json={**body, "token": previous}).raise_for_status().json()
        back.append(seen_in(answer))
        previous = token_of(answer, "previous")
    assert [x for page in reversed(back) for x in page] == [x for page in pages[:-1] for x in page]
