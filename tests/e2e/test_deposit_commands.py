"""From files on a disk to a citable record, and from a bit that flips to exit code 1: through the gateway."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
from platforms import Running

ITEM: dict[str, Any] = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "stac_extensions": [],
    "id": "plot",
    "geometry": {"type": "Point", "coordinates": [5.2, 44.1]},
    "bbox": [5.2, 44.1, 5.2, 44.1],
    "properties": {"datetime": "2024-02-01T10:30:00Z"},
    "links": [{"rel": "collection", "href": "./collection.json"}],
    "assets": {"heights": {"href": "./files/heights.csv", "type": "text/csv", "roles": ["data"]}},
}


def write(folder: Path, name: str, heights: str) -> tuple[Path, Path]:
    collection = {
        "type": "Collection", "stac_version": "1.1.0", "id": name, "title": "Snow heights", "license": "etalab-2.0",
        "description": "Heights of snow on one plot, made for a test.", "links": [], "keywords": ["snow"],
        "bocage:licences": ["etalab-2.0"],
        "extent": {
            "spatial": {"bbox": [[5, 44, 6, 45]]}, "temporal": {"interval": [["2024-02-01T00:00:00Z", None]]},
        },
    }  # fmt: skip
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / "heights.csv").write_text(heights)
    (folder / "collection.json").write_text(json.dumps(collection))
    (folder / "item.json").write_text(json.dumps(ITEM))
    return folder / "collection.json", folder / "item.json"


def test_a_deposit_is_made_reviewed_cited_superseded_and_kept(running: Running, tmp_path: Path) -> None:
    admin = running.accounts.admin

    def call(*arguments: str, key: str | None = None, code: int = 0) -> Any:
        done = running.bocage(*arguments, "--json", key=key)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    name = f"snow-{uuid.uuid4().hex[:6]}"
    collection, item = write(tmp_path, name, "1.2\n1.4\n")
    contact = ("--contact", "Jane Doe", "--email", "jane@example.org", "--author")
    assert call("deposit", "create", str(collection), *contact)["state"] == "draft"
    assert call("deposit", "validate", name, code=1)["errors"][0]["at"] == "items"
    assert call("deposit", "submit", name, code=1)["code"] == "deposit-invalid"
    assert call("deposit", "add", name, str(item)) == {"items": [f"{name}/plot"]}
    assert call("deposit", "add", name, str(item)) == {"items": [f"{name}/plot"]}, "again changes nothing"
    assert call("deposit", "validate", name)["valid"]
    assert call("deposit", "submit", name)["state"] == "submitted"
    assert name in {
        one["id"] for one in call("admin", "deposits", "list", "--state", "submitted", key=admin)["deposits"]
    }
    call("admin", "deposits", "review", name, "--accept", code=3)
    told = call("admin", "deposits", "review", name, "--accept", "--comment", "Good.", key=admin)
    assert told["state"] == "published" and told["identifier"] in told["citation"]

    with running.anonymous as anyone:
        page = anyone.get(f"/stac/deposits/{name}/landing", headers={"Accept": "text/html", "Accept-Language": "fr"})
        assert page.status_code == 200 and told["identifier"] in page.text and "Citer ainsi" in page.text
        media = {"Accept": "application/vnd.datacite.datacite+json"}
        assert anyone.get(f"/stac/deposits/{name}/landing", headers=media).json()["doi"] == told["identifier"]
        published = anyone.get(f"/stac/collections/{name}/items/plot").json()["assets"]["heights"]
        assert published["file:size"] == 8 and anyone.get(published["href"]).text == "1.2\n1.4\n"
    # What is published stays: neither an item nor a file of it is written any more.
    (tmp_path / "files" / "heights.csv").write_text("9.9\n")
    assert call("deposit", "add", name, str(item), code=1)["code"] == "deposit-frozen"

    second = f"{name}-2"
    call("deposit", "create", str(collection), *contact, "--id", second, "--supersedes", name)
    call("deposit", "add", second, str(item))
    call("deposit", "submit", second)
    newer = call("admin", "deposits", "review", second, "--accept", key=admin)
    assert newer["version"] == "2" and newer["identifier"] != told["identifier"]
    with running.anonymous as anyone:
        found = anyone.post("/stac/search", json={"bbox": [5.1, 44, 5.3, 44.2]}).json()["features"]
        assert {one["collection"] for one in found} & {name, second} == {second}

    stored = running.platform.home.root / "store" / "collections" / name / "plot" / "heights"
    assert call("admin", "fixity", "--collection", name, key=admin)["wrong"] == 0
    before = stored.stat()
    stored.write_bytes(b"1.2\n1.5\n")
    os.utime(stored, (before.st_atime, before.st_mtime))
    report = call("admin", "fixity", "--collection", name, "--rate", "1000", key=admin, code=1)
    assert [(one["outcome"], one["key"]) for one in report["findings"]] == [
        ("changed", f"collections/{name}/plot/heights")
    ]
    call("admin", "fixity", code=3)

    call("deposit", "withdraw", name, "--reason", "Damaged in the store.", "--successor", second)
    with running.anonymous as anyone:
        for path in (f"/stac/collections/{name}", f"/stac/deposits/{name}/landing"):
            gone = anyone.get(path, headers={"Accept": "text/html"})
            assert gone.status_code == 410 and "Damaged in the store." in gone.text
        deadline = time.monotonic() + 10
        while (answer := anyone.get(f"/assets/{name}/plot/heights")).status_code != 404:
            assert time.monotonic() < deadline, answer.status_code
    assert call("deposit", "show", name)["state"] == "withdrawn"
    assert not stored.exists()


def test_usage(running: Running, tmp_path: Path) -> None:
    for line, code in (
        (("deposit", "create", str(tmp_path / "none.json")), 2),
        (("deposit", "create", __file__), 1),
        (("deposit", "show", "none"), 1),
        (("admin", "deposits", "review", "none", "--accept", "--return"), 2),
        (("admin", "fixity", "--rate", "0"), 2),
    ):
        done = running.bocage(*line, "--json")
        assert done.returncode == code, (line, done.stdout, done.stderr)
        assert json.loads(done.stdout)["detail"]


def test_nobody_is_shown_a_draft_by_the_gateway(running: Running, tmp_path: Path) -> None:
    name = f"draft-{uuid.uuid4().hex[:6]}"
    collection, item = write(tmp_path, name, "1\n")
    assert running.bocage("deposit", "create", str(collection)).returncode == 0
    assert running.bocage("deposit", "add", name, str(item)).returncode == 0
    paths = [f"/stac/collections/{name}", f"/stac/collections/{name}/items/plot", f"/assets/{name}/plot/heights"]
    paths += [f"/stac/deposits/{name}{x}" for x in ("", "/landing", "/datacite", "/validation")]

    def statuses(client: httpx.Client) -> set[int]:
        with client:
            return {client.get(path).status_code for path in paths}

    assert statuses(running.anonymous) == {404}
    assert statuses(running.company) == {404}
