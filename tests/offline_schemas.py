"""Validators of STAC's schemas from a folder of files: one that is missing is a failure, nothing is fetched."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

CORE = "https://schemas.stacspec.org/v1.1.0/{0}-spec/json-schema/{0}.json"


def validate(document: dict[str, Any], kind: str) -> None:
    """By core (`kind` is item or collection) and by every extension declared."""
    folder = schema_folder()
    for uri in (CORE.format(kind), *document["stac_extensions"]):
        _validator(folder, uri).validate(document)


def schema_folder() -> Path:
    configured = os.environ.get("BOCAGE_TEST_SCHEMAS")
    folder = Path(configured) if configured else Path(__file__).parents[2] / "shared" / "schemas"
    if not folder.is_dir():
        pytest.skip("no offline schemas here: set BOCAGE_TEST_SCHEMAS to their folder")
    return folder


@lru_cache
def _registry(folder: Path) -> Any:
    def retrieve(uri: str) -> Any:
        address = urlsplit(uri)
        path = folder / address.netloc / address.path.lstrip("/")
        return Resource.from_contents(json.loads(path.read_text()), default_specification=DRAFT7)

    return Registry(retrieve=retrieve)


@lru_cache
def _validator(folder: Path, uri: str) -> Any:
    schema = _registry(folder).get_or_retrieve(uri).value.contents
    return jsonschema.Draft7Validator(schema, registry=_registry(folder))
