"""Conditions in CQL2 select what an evaluator of its own selects; of what is wrong, it is told where."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from catalogue_loading import collection, load
from cql2_evaluator import selects
from cql2_generator import Generator, items
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

ITEMS = items(160)
EXPRESSIONS = int(os.environ.get("BOCAGE_CQL2_EXPRESSIONS", "10000"))


@pytest.fixture(scope="module", autouse=True)
def loaded(module_database: Any) -> None:
    with PgstacDB(dsn=module_database.admin_url) as db:
        loader = Loader(db)
        loader.load_collections(iter([collection("scenes"), collection("others")]), Methods.insert)
        load(loader, ITEMS, Methods.insert)


def found(response: Any) -> set[tuple[str, str]]:
    return {(item["collection"], item["id"]) for item in response.json()["features"]}


def walk(catalogue: Any, count: int, seed: int) -> None:
    dice, wrong = random.Random(seed), 0
    for number in range(count):
        if number % 200 == 0:
            client = catalogue.anonymous  # its token does not last for ever
        generator = Generator(seed * 1_000_000 + number)
        valid = dice.random() < 0.8
        expression = generator.valid() if valid else generator.invalid()
        body = {"filter": expression, "filter-lang": "cql2-json", "limit": 1000}
        response = client.post("/stac/search", content=json.dumps(body), headers={"content-type": "application/json"})
        told = f"{number}: {json.dumps(expression)}\n{response.text[:300]}"
        if valid:
            assert response.status_code == 200, told
            wanted = {(item["collection"], item["id"]) for item in ITEMS if selects(expression, item)}
            assert found(response) == wanted, (told, found(response) ^ wanted)
            assert response.json()["numberMatched"] == len(wanted)
        else:
            wrong += 1
            problem = response.json()
            assert response.status_code == 400, told
            assert problem["at"].startswith("filter") and problem["at"] in problem["detail"], told
    assert wrong <= 0.3 * count


def test_random_conditions(catalogue: Any) -> None:
    walk(catalogue, 250, seed=1)


@pytest.mark.verify
def test_ten_thousand_random_conditions(catalogue: Any) -> None:
    walk(catalogue, EXPRESSIONS, seed=2)
