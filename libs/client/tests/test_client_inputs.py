"""Inputs as text, by the schema of the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bocage_client.configuration import Configuration
from bocage_client.errors import UsageError
from bocage_client.http import Transport
from bocage_client.inputs import parse_inputs, schemas_of
from bocage_client.results import Results

DESCRIPTION: dict[str, Any] = {
    "inputs": {
        "images": {
            "schema": {
                "$ref": "#/$defs/Images",
                "$defs": {"Images": {"type": "array", "items": {"$ref": "#/$defs/Item"}}, "Item": {"type": "string"}},
            }
        },
        "sizes": {"schema": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]}},
        "repeated": {"schema": {"type": "string"}, "maxOccurs": "unbounded"},
        "name": {"schema": {"type": ["string", "null"]}},
        "factor": {"schema": {"type": "number"}},
        "flag": {"schema": {"type": "boolean"}},
        "area": {"schema": {"type": "object"}},
    }
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("images=c/1,c/2", ["c/1", "c/2"]),
        ("images=c/1", ["c/1"]),
        ("images=", []),
        ('images=["c/1"]', ["c/1"]),
        ("sizes=1, 2", [1, 2]),
        ("sizes=null", None),
        ("repeated=1,2", ["1", "2"]),
        ("name=12", "12"),
        ("name=true", "true"),
        ('name="quoted"', "quoted"),
        ("name=a=b", "a=b"),
        ("factor=2", 2),
        ("factor=1e-3", 0.001),
        ("factor=NaN", "NaN"),
        ("factor=fine", "fine"),
        ("flag=on", True),
        ("flag=false", False),
        ('area={"type": "Point"}', {"type": "Point"}),
        ("unknown=3", 3),
        ("unknown=text", "text"),
    ],
)
def test_values_follow_their_schema(text: str, expected: object) -> None:
    assert parse_inputs([text], schemas_of(DESCRIPTION)) == {text.partition("=")[0]: expected}


def test_a_list_given_piece_by_piece() -> None:
    schemas = schemas_of(DESCRIPTION)
    assert parse_inputs(["images=c/1", "images=c/2,c/3"], schemas) == {"images": ["c/1", "c/2", "c/3"]}
    with pytest.raises(UsageError, match="2 times"):
        parse_inputs(["factor=1", "factor=2"], schemas)


def test_assignments_win_over_the_document() -> None:
    assert parse_inputs(["factor=1"], schemas_of(DESCRIPTION), {"factor": 9, "name": "x"}) == {"factor": 1, "name": "x"}


def test_values_are_saved_as_what_they_are(tmp_path: Path) -> None:
    transport = Transport(Configuration("http://127.0.0.1:9", None))
    found = Results(
        transport,
        {
            "measure": {"value": {"uom": "m"}},
            "picture": {"value": "iVBORw==", "encoding": "base64", "mediaType": "image/png"},
            "note": {"value": "<a/>", "mediaType": "application/xml"},
            "box": {"bbox": [1, 2, 3, 4]},
        },
    )
    saved = {name: result.download(tmp_path) for name, result in found.items()}
    assert {path.name for path in saved.values()} == {"measure.json", "picture.png", "note.xml", "box.json"}
    assert saved["picture"].read_bytes() == b"\x89PNG"
    assert saved["note"].read_text() == "<a/>"
    assert found["measure"].value == {"uom": "m"}
    assert found["box"].value == {"bbox": [1, 2, 3, 4]}
    transport.close()


def test_the_key_stays_at_home() -> None:
    transport = Transport(Configuration("http://127.0.0.1:8000", "id.secret"))
    assert transport.headers("http://127.0.0.1:8000/assets/a/b/c") == {"X-API-Key": "id.secret"}
    for elsewhere in ("http://127.0.0.1:8001/x", "https://127.0.0.1:8000/x", "http://127.0.0.1.example.org:8000/x"):
        assert transport.headers(elsewhere) == {}
    assert "secret" not in repr(Configuration("http://127.0.0.1:8000", "id.secret"))
    transport.close()
