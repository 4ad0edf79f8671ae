"""How many there are: exactly, or as an estimate that says so, and never of what the caller does not see."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest
from bocage_catalogue.counting import MOST
from catalogue_loading import collection, item
from psycopg.types.json import Jsonb

ITEMS = MOST + 2000
SEEN = ITEMS * 7 // 8
OWNED = {"bocage:audience": "owner", "bocage:owner": "researcher"}


@pytest.fixture(scope="module", autouse=True)
def loaded(module_database: Any, catalogue: Any) -> None:
    """So many items that counting them all is not worth it, an eighth of them hidden."""
    with psycopg.connect(module_database.admin_url, autocommit=True) as connection:
        connection.execute("set search_path to pgstac, public")
        connection.execute("select pgstac.create_collection(%s)", [Jsonb(collection("scenes"))])
        for start in range(0, ITEMS, 2000):
            made = [
                item(
                    f"i{n}",
                    f"2024-01-{1 + n % 28:02}T00:00:00Z",
                    properties={"n": n, "filler": "x" * 1500} | (OWNED if n % 8 == 0 else {}),
                )
                for n in range(start, start + 2000)
            ]
            connection.execute("select pgstac.create_items(%s)", [Jsonb(made)])
        connection.execute("analyze catalogue.finished_item")


def counted(client: httpx.Client, **body: Any) -> tuple[int, bool]:
    answer = client.post("/stac/search", json={"limit": 2, **body}).raise_for_status().json()
    return answer["numberMatched"], "bocage:numberMatched" not in answer


def below(number: int) -> dict[str, Any]:
    return {"op": "<", "args": [{"property": "n"}, number]}


def test_whole_collections_are_counted_exactly(catalogue: Any) -> None:
    assert counted(catalogue.anonymous) == (SEEN, True)
    assert counted(catalogue.researcher, collections=["scenes"]) == (ITEMS, True)


def test_few_are_counted_exactly(catalogue: Any) -> None:
    assert counted(catalogue.anonymous, filter=below(8000)) == (7000, True)
    assert counted(catalogue.researcher, filter=below(8000)) == (8000, True)
    assert counted(catalogue.anonymous, filter=below(0)) == (0, True)


def test_many_are_estimated_among_what_is_seen(catalogue: Any) -> None:
    for client, wanted in ((catalogue.anonymous, SEEN), (catalogue.researcher, ITEMS)):
        number, exact = counted(client, filter=below(10**9))
        assert not exact and number > MOST
        assert 0.8 * wanted < number < 1.2 * wanted


def test_the_number_goes_along_from_page_to_page(catalogue: Any) -> None:
    """But not to another search, nor to another caller."""
    body = {"limit": 2, "filter": below(4000)}
    first = catalogue.anonymous.post("/stac/search", json=body).json()
    following = next(link["body"] for link in first["links"] if link["rel"] == "next")
    assert counted(catalogue.anonymous, **following) == (3500, True)
    assert counted(catalogue.researcher, **following) == (4000, True)
    assert counted(catalogue.anonymous, **following | {"filter": below(400)}) == (350, True)
