"""Files that become a deposit, and a reading of the store that is followed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bocage_client.depositing import new_deposit, read_items
from bocage_client.errors import BocageError, InputError, UsageError
from bocage_client.fixity import _broken_off, follow
from bocage_client.ingest import Silent

ITEM: dict[str, Any] = {"type": "Feature", "id": "a", "assets": {}}


def written(folder: Path, document: Any, name: str = "item.json") -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_files_beside_an_item_are_uploaded_and_what_is_on_the_web_is_not(tmp_path: Path) -> None:
    (tmp_path / "sub folder").mkdir()
    (tmp_path / "sub folder" / "a.tif").write_bytes(b"x")
    assets = {
        "near": {"href": "./sub%20folder/a.tif", "title": "Near"},
        "far": {"href": "https://example.org/a.tif"},
        "there": {"href": "/assets/c/a/there"},
    }
    (one,) = read_items([written(tmp_path, ITEM | {"assets": assets})])
    assert [(upload.asset, upload.media_type, upload.size) for upload in one.uploads] == [("near", "image/tiff", 1)]


def test_a_collection_of_features_is_several_items(tmp_path: Path) -> None:
    several = {"type": "FeatureCollection", "features": [ITEM, ITEM | {"id": "b"}]}
    assert [one.document["id"] for one in read_items([written(tmp_path, several)])] == ["a", "b"]


@pytest.mark.parametrize(
    "document",
    [
        "{", "[]", {"type": "Collection"}, ITEM | {"id": ""}, ITEM | {"assets": []}, ITEM | {"assets": {"x": {}}},
        ITEM | {"assets": {"x": {"href": "none.tif"}}}, ITEM | {"assets": {"x": {"href": "s3://bucket/none.tif"}}},
        {"type": "FeatureCollection", "features": [ITEM, ITEM]}, {"type": "FeatureCollection", "features": ["a"]},
    ],
)  # fmt: skip
def test_nothing_is_sent_of_what_is_at_fault(tmp_path: Path, document: Any) -> None:
    with pytest.raises(InputError):
        read_items([written(tmp_path, document)])


def test_a_draft_is_made_of_a_file(tmp_path: Path) -> None:
    links = [
        {"rel": "item", "href": "./item.json"},
        {"rel": "via", "href": "https://example.org"},
        {"rel": "via", "href": "./notes.txt"},
        {"rel": "self", "href": "https://example.org/c.json"},
    ]
    path = written(tmp_path, {"type": "Collection", "id": "c", "links": links}, "collection.json")
    body = new_deposit(path, {"name": "Jane"}, "older", "newer")
    assert body["collection"]["id"] == "newer" and body["collection"]["links"] == links[1:2]
    assert (body["contact"], body["supersedes"]) == ({"name": "Jane"}, "older")
    with pytest.raises(InputError):
        new_deposit(written(tmp_path, ITEM), None, None, None)
    with pytest.raises(UsageError):
        new_deposit(tmp_path / "none", None, None, None)


def test_a_reading_that_breaks_off_says_where_to_go_on() -> None:
    told: dict[str, Any] = {"findings": []}
    lines = [
        '{"event": "started", "started": "2026-01-31T00:00:00+00:00"}',
        "",
        '{"event": "finding", "outcome": "changed", "key": "k", "reason": "r"}',
        '{"event": "progress", "items": 3}',
    ]
    follow(lines, told, Silent())
    assert told["findings"] == [{"outcome": "changed", "key": "k", "reason": "r"}] and told["event"] == "progress"
    error = _broken_off(told, None, "The line fell silent.")
    assert isinstance(error, BocageError) and error.exit_code == 5
    assert "--since 2026-01-31T00:00:00+00:00" in error.detail
    assert "--since 2025" in _broken_off(told, "2025", "").detail, "what was passed over stays passed over"
