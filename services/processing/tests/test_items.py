"""References in inputs, and items: pure functions."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from bocage_processes.process import ItemReference
from bocage_processing.item import bbox_of, collection_of, item_of, spdx
from bocage_processing.jobs import Job
from bocage_processing.references import input_errors, item_references
from bocage_processing.work import ProcessDescription
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict


class Nested(BaseModel):
    reference: ItemReference


class Inputs(BaseModel):
    model_config = ConfigDict(extra="forbid")
    images: list[ItemReference]
    dem: ItemReference | None = None
    nested: Nested | None = None
    note: str = ""


def test_references_are_found_wherever_the_schema_says() -> None:
    schema = Inputs.model_json_schema()
    inputs = {"images": ["a/1", "a/2", "a/1"], "dem": "b/1", "nested": {"reference": "c/1"}, "note": "d/1"}
    assert item_references(inputs, schema) == ["a/1", "a/2", "b/1", "c/1"]
    assert input_errors(inputs, schema) == []


def test_errors_name_the_field() -> None:
    schema = Inputs.model_json_schema()
    places = {error["at"] for error in input_errors({"images": ["a/1", "x"], "nested": {}, "more": 1}, schema)}
    assert {"inputs.images.1", "inputs.more"} <= places
    assert [error["at"] for error in input_errors({}, schema)] == ["inputs.images"]
    bounded = {"properties": {"images": {"type": "array", "minItems": 2, "maxItems": 3}}}
    for given_, told in ((1, "at least 2 are needed, 1 given"), (4, "at most 3 are taken, 4 given")):
        [error] = input_errors({"images": ["a/1"] * given_}, bounded)
        assert error == {"at": "inputs.images", "reason": told}


@given(st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=3))
def test_bbox_holds_every_point(points: list[tuple[float, float]]) -> None:
    west, south, east, north = bbox_of({"type": "Polygon", "coordinates": [points]})
    assert all(west <= x <= east and south <= y <= north for x, y in points)


def job(**fields: Any) -> Job:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    known: dict[str, Any] = {
        "id": UUID(int=1), "owner": "p", "organisation": UUID(int=2), "category": None, "purpose": "research",
        "public_base": "http://x", "process": "dsm", "process_version": "1", "inputs": {}, "items": [], "outputs": None,
        "response": None, "audience": "owner", "request_hash": "", "idempotency_key": None, "state": "running",
        "phase": "publishing", "attempt": 1, "max_attempts": 3, "ended_attempt": 1, "runner": None, "lease_until": None,
        "cancel_requested": False, "progress": 99, "message": "", "cores": 1, "publishes": True, "quote": {},
        "budget": None, "reserved": Decimal(1), "price": Decimal(1), "usage": {}, "rights": {"licences": {}},
        "results": {}, "error": None, "created": now, "started": None, "finished": None, "updated": now,
    }  # fmt: skip
    return Job(**{**known, **fields})


def test_item_without_inputs_or_geometry() -> None:
    item = item_of(job())
    assert (item["geometry"], "bbox" in item) == (None, False)
    assert item["properties"]["datetime"] == "2024-01-01T00:00:00Z"
    assert [link["rel"] for link in item["links"]] == ["via"]


def test_item_says_what_it_inherits() -> None:
    rights = {
        "licences": {},
        "attribution": "A; B",
        "embargo_until": "2030-01-01T00:00:00+00:00",
        "notes": ["L, elevation: assumed"],
    }
    properties = item_of(job(rights=rights))["properties"]
    assert properties["attribution"] == "A; B"
    assert properties["bocage:embargo_until"] == "2030-01-01T00:00:00+00:00"
    assert properties["bocage:licence_notes"] == ["L, elevation: assumed"]
    assert {"bocage:embargo_until", "bocage:licence_notes"}.isdisjoint(item_of(job())["properties"])


def test_license_names_one_listed_licence_else_other() -> None:
    assert [spdx(x) for x in (["MIT"], [], ["LicenseRef-A"], ["MIT", "CC0-1.0"])] == ["MIT", "other", "other", "other"]


def test_collection_of_results_is_for_services_to_write() -> None:
    process = ProcessDescription(
        id="dsm", version="1", title="DSM", description="", inputs={}, outputs={}, modes=[], licence="CC-BY-NC-4.0",
        document={},
    )  # fmt: skip
    collection = collection_of(process)
    assert (collection["license"], collection["bocage:write_scope"]) == ("CC-BY-NC-4.0", "service")
    assert collection["description"]
