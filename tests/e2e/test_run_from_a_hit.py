"""From one hit of a search one POST runs: the link's address and body are sent as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from platforms import COLLECTION, Running

pytestmark = pytest.mark.slow

Document = dict[str, Any]


def ways_to_run(item: Document) -> list[Document]:
    return [link for link in item["links"] if link["rel"] == "process" and link.get("method") == "POST"]


def test_a_hit_and_its_partners_become_a_job(running: Running, ingested: tuple[Any, Path, list[str]]) -> None:
    items = ingested[2]
    with running.researcher as researcher, running.anonymous as anonymous:
        asked = {"collections": COLLECTION, "ids": items[0].partition("/")[2]}
        [hit] = researcher.get("/stac/search", params=asked).json()["features"]
        [link] = ways_to_run(hit)
        assert link["body"] == {"inputs": {"images": items}}, "in the order in which they were ingested"
        [described] = [one for one in hit["links"] if one["rel"] == "process" and "method" not in one]
        assert researcher.get(described["href"]).json()["id"] == "dsm"
        assert anonymous.post(link["href"], json=link["body"]).status_code == 401
        started = researcher.post(link["href"], json=link["body"])
        assert started.status_code == 201, started.text
        assert started.json()["processID"] == "dsm"
        assert researcher.delete(started.headers["Location"]).status_code in (200, 202)


def test_an_image_alone_is_told_what_is_missing(running: Running, ingested: tuple[Any, Path, list[str]]) -> None:
    image = ingested[1] / "nadir.tif"
    done = running.bocage("ingest", str(image), "--collection", "solitary-scenes", "--json")
    assert done.returncode == 0, done.stderr
    [name] = json.loads(done.stdout)["items"]
    with running.researcher as researcher:
        [hit] = researcher.get("/stac/search", params={"collections": "solitary-scenes"}).json()["features"]
        [link] = ways_to_run(hit)
        assert link["body"] == {"inputs": {"images": [name]}}
        refused = researcher.post(link["href"], json=link["body"])
        assert refused.status_code == 400 and "at least 2 are needed, 1 given" in refused.json()["detail"], refused.text
