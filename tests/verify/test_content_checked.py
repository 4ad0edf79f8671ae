"""Every collection and item of the content as it is served, through stac-check: no schema may be missing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from bocage_client import connect
from bocage_deploy import content
from environments import environment
from offline_programs import OFFLINE
from offline_schemas import schema_folder
from platforms import Running

pytestmark = pytest.mark.verify

STAC_CHECK = ("stac-check==1.14.0", "stac-validator==4.1.0")
PROGRAM = """
import json, sys
from stac_check.lint import Linter
wrong = []
for document in json.load(open(sys.argv[1])):
    told = Linter(document)
    if not told.valid_stac:
        wrong.append([document["id"], told.error_type, str(told.error_msg)[:500]])
print(json.dumps(wrong))
"""


def test_stac_check_finds_no_error(running: Running, tmp_path: Path) -> None:
    site = tmp_path / "offline"
    site.mkdir()
    (site / "sitecustomize.py").write_text(OFFLINE)
    folder, python = schema_folder(), environment("stac-check", *STAC_CHECK)
    with connect(running.url, running.accounts.admin) as client:
        content.load(client, tmp_path / "content", lambda text: None)
    named = [record["id"] for record in content.records()]
    with running.anonymous as reader:
        collections = reader.get("/stac/collections", params={"limit": "1000"}).json()["collections"]
        items = reader.post("/stac/search", json={"collections": named, "limit": 1000}).json()["features"]
    documents = [*(one for one in collections if one["id"] in named), *items]
    assert len(documents) > 230
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(documents))
    done = subprocess.run(
        [str(python), "-c", PROGRAM, str(file)],
        env={
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(site),
            "SCHEMAS": str(folder.resolve()),
        },
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []
