"""A revoked key and a withdrawn acceptance: every service refuses in less than a second."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from canary import Target, collection, item
from platforms import LICENCE, Running

from tests.e2e.test_canary import account, raster

pytestmark = pytest.mark.slow
Ask = Callable[[], httpx.Response]


@pytest.fixture(scope="module")
def held(running: Running) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], Target]]:
    """A hidden restricted item of an organisation with three keys."""
    mark = uuid.uuid4().hex[:10]
    scopes = ["catalogue:write", "jobs:submit", "rights:manage"]
    owner, person, keys = account(running, f"Revoked {mark}", scopes, scopes, scopes)
    target = Target("", f"revoked{mark}", "one", "", "", "", person["id"], owner["id"], running.url)
    with running.client(keys[0]["key"]) as client:
        for path, body in (
            ("/stac/collections", collection(target, **{"bocage:audience": "organisation"})),
            (f"/stac/collections/{target.collection}/items", item(target, **{"bocage:audience": "organisation"})),
        ):
            if path.endswith("items"):
                assert client.put(f"/assets/{target.reference}/image", content=raster()).status_code == 201
            answer = client.post(path, json=body)
            assert answer.status_code == 201, answer.text
    yield owner, keys, target


def uses(client: httpx.Client, target: Target, token: str) -> dict[str, Ask]:
    """One use of each service."""
    tile = f"/tiles/collections/{target.collection}/items/{target.item}"
    return {
        "rights": lambda: client.get("/rights/me"),
        "catalogue": lambda: client.get(f"/stac/collections/{target.collection}/items/{target.item}"),
        "assets": lambda: client.get(f"/assets/{target.reference}/image"),
        "tiles": lambda: client.get(f"{tile}/statistics", params={"assets": "image"}),
        "tiles by token": lambda: httpx.get(
            f"{target.url}{tile}/statistics", params={"assets": "image", "token": token}, timeout=30
        ),
        "processing": lambda: client.post(
            "/processing/processes/hillshade/quote", json={"inputs": {"item": target.reference}}
        ),
    }


def test_a_revoked_key_is_refused_everywhere(running: Running, held: Any) -> None:
    _, keys, target = held
    with running.client(keys[1]["key"]) as client, running.client(keys[0]["key"]) as other:
        token = client.post("/rights/tile_tokens", json={"items": [target.reference], "ttl": 600}).json()["token"]
        asked = uses(client, target, token)
        for name, ask in asked.items():
            assert ask().status_code == 200, (name, ask().text)
        assert other.delete(f"/rights/keys/{keys[1]['id']}").status_code == 204
        ended = time.monotonic()
        refused: dict[str, float] = {}
        while len(refused) < len(asked) and time.monotonic() - ended < 5:
            for name, ask in asked.items():
                if name not in refused and ask().status_code == 401:
                    refused[name] = time.monotonic() - ended
        assert refused.keys() == asked.keys()
        assert max(refused.values()) < 1, refused
        assert {ask().status_code for ask in asked.values()} == {401}


def test_a_withdrawn_acceptance_is_missed_everywhere(running: Running, held: Any) -> None:
    owner, keys, target = held
    restricted = replace(target, item="two")
    with running.client(keys[2]["key"]) as client:
        assert client.put(f"/assets/{restricted.reference}/image", content=raster()).status_code == 201
        document = item(restricted, **{"bocage:audience": "organisation"})
        assert client.post(f"/stac/collections/{target.collection}/items", json=document).status_code == 201
        token = client.post("/rights/tile_tokens", json={"items": [restricted.reference], "ttl": 600}).json()["token"]
        asked = uses(client, restricted, token)
        for name in ("rights", "catalogue", "assets"):  # metadata stay, and who uploaded bytes may have them back
            asked.pop(name)
        for name, ask in asked.items():
            assert ask().status_code == 200, (name, ask().text)
        gone = client.delete(f"/rights/admin/acceptances/{owner['id']}/{LICENCE}")
        assert gone.status_code == 204, gone.text
        withdrawn = time.monotonic()
        refused: dict[str, float] = {}
        while len(refused) < len(asked) and time.monotonic() - withdrawn < 5:
            for name, ask in asked.items():
                if name not in refused and (answer := ask()).status_code == 403:
                    assert answer.json()["required_terms"][0]["licence"] == LICENCE
                    refused[name] = time.monotonic() - withdrawn
        assert refused.keys() == asked.keys()
        assert max(refused.values()) < 1, refused
