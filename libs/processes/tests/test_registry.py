import json
from typing import Any

import pytest
from bocage_processes.process import Limits
from bocage_processes.registry import describe, processes
from bocage_processes.report import report_schema
from jsonschema import Draft202012Validator


def described(name: str, limits: Limits | None = None) -> dict[str, Any]:
    return describe(processes()[name], limits or Limits())


def test_the_processes_that_the_contract_names() -> None:
    assert set(processes()) == {"echo", "hillshade", "dsm"}


@pytest.mark.parametrize("name", ["echo", "hillshade", "dsm"])
def test_descriptions_stand_alone(name: str) -> None:
    description = described(name)
    text = json.dumps(description, allow_nan=False)
    assert "$ref" not in text
    assert "$defs" not in text
    assert '"null"' not in text
    for side in ("inputs", "outputs"):
        for entry in description[side].values():
            assert entry["title"]
            Draft202012Validator.check_schema(entry["schema"])
    assert description["version"].count(".") == 2


def test_input_schemas_accept_what_the_model_accepts() -> None:
    images = described("dsm")["inputs"]["images"]
    validator = Draft202012Validator(images["schema"])
    assert validator.is_valid(["a/b", "a/c"])
    assert not validator.is_valid(["a/b"])
    assert not validator.is_valid(["a/b", "a/b"])
    assert not validator.is_valid(["a/b", "file:///etc/passwd"])
    assert images["minOccurs"] == 1
    assert described("dsm")["inputs"]["resolution"]["minOccurs"] == 0


def test_the_area_limit_shows() -> None:
    description = described("dsm", Limits(max_megapixels=7.5))
    assert "7.5 million" in description["description"]
    assert {"name": "max_megapixels", "value": [7.5]} in description["additionalParameters"]["parameters"]
    assert "CC-BY-NC-4.0" in json.dumps(description["metadata"])


def test_describing_twice_gives_the_same() -> None:
    assert described("echo") == described("echo")


def test_echo_runs_both_ways_and_dsm_only_later() -> None:
    assert set(described("echo")["jobControlOptions"]) == {"sync-execute", "async-execute", "dismiss"}
    assert set(described("dsm")["jobControlOptions"]) == {"async-execute", "dismiss"}


def test_the_report_has_a_schema_that_is_one() -> None:
    schema = report_schema()
    Draft202012Validator.check_schema(schema)
    assert {
        "valid_fraction", "filled_fraction", "convergence_deg", "base_to_height", "expected_precision_m",
        "failed_tiles", "engine", "cpu_seconds", "peak_bytes",
    } <= set(schema["required"])  # fmt: skip
