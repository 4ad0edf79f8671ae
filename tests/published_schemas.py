"""Whether records are valid by the published schemas, copies of which BOCAGE_TEST_SCHEMAS names as <host>/<path>."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs

SCHEMAS = os.environ.get("BOCAGE_TEST_SCHEMAS", "")


def published(address: str) -> Any:
    """A schema by its address; what is not there raises."""
    return json.loads((Path(SCHEMAS) / address.removeprefix("https://").rstrip("#")).read_text())


@lru_cache
def validator(address: str) -> Any:
    return jsonschema_rs.Draft7Validator({"$ref": address}, retriever=published, validate_formats=True)


def faults(record: dict[str, Any]) -> Iterator[str]:
    """By the core's schema and that of each extension; one that is missing is a fault.

    The link to its collection, which an item needs, is made by the platform that serves it.
    """
    kind = "item" if record["type"] == "Feature" else "collection"
    if kind == "item" and not any(x.get("rel") == "collection" for x in record["links"]):
        record = {**record, "links": [*record["links"], {"rel": "collection", "href": "https://a.org/collection"}]}
    core = f"https://schemas.stacspec.org/v1.1.0/{kind}-spec/json-schema/{kind}.json"
    for address in (core, *record.get("stac_extensions", ())):
        if not (Path(SCHEMAS) / address.removeprefix("https://").rstrip("#")).is_file():
            yield f"{record['id']}: no schema {address}"
            continue
        for error in validator(address.rstrip("#")).iter_errors(record):
            yield f"{record['id']}: {address}: {list(error.instance_path)}: {error.message[:200]}"
