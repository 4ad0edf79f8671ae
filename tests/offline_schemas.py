"""STAC's published schemas from a folder of files, <host>/<path>: one that is missing is a fault, nothing is fetched.

The folder is BOCAGE_TEST_SCHEMAS, else `shared/schemas` beside the checkout.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest


def _folder() -> Path | None:
    configured = os.environ.get("BOCAGE_TEST_SCHEMAS")
    folder = Path(configured) if configured else Path(__file__).parents[2] / "shared" / "schemas"
    return folder if folder.is_dir() else None


SCHEMAS = _folder()


def schema_folder() -> Path:
    """The folder; skips the test when there is none."""
    if SCHEMAS is None:
        pytest.skip("no offline schemas here: set BOCAGE_TEST_SCHEMAS to their folder")
    return SCHEMAS


def faults(record: dict[str, Any]) -> Iterator[str]:
    """Those of an item, a collection or a catalog by the core's schema and that of each extension that it declares."""
    kind = {"Feature": "item", "Collection": "collection", "Catalog": "catalog"}[record["type"]]
    core = f"https://schemas.stacspec.org/v1.1.0/{kind}-spec/json-schema/{kind}.json"
    for address in (core, *record.get("stac_extensions", ())):
        if not _file(address).is_file():
            yield f"{record['id']}: no schema {address}"
            continue
        for error in _validator(address.rstrip("#")).iter_errors(record):
            yield f"{record['id']}: {address}: {list(error.instance_path)}: {error.message[:200]}"


def in_its_collection(item: dict[str, Any]) -> dict[str, Any]:
    """An item with the link to its collection, which the platform that serves it makes."""
    return {**item, "links": [*item["links"], {"rel": "collection", "href": "https://a.org/collection"}]}


def _file(address: str) -> Path:
    return schema_folder() / address.removeprefix("https://").removeprefix("http://").rstrip("#")


def _read(address: str) -> Any:
    return json.loads(_file(address).read_text())


@lru_cache
def _validator(address: str) -> Any:
    return jsonschema_rs.Draft7Validator({"$ref": address}, retriever=_read, validate_formats=True)
