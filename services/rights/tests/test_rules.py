"""The packaged rules: each with source and date, and none changes without them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import bocage_rights
import pytest

PACKAGE = Path(bocage_rights.__file__).parent
DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A package of rules to change, and the pages made of it."""
    shutil.copytree(PACKAGE, tmp_path / "bocage_rights", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    for page in DOCS.glob("reference/licence-decisions*"):
        shutil.copy(page, tmp_path / "docs" / "reference")
    return tmp_path


def call(copy: Path, what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bocage_rights.rules", what, "--docs", str(copy / "docs")],
        env={"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin"}, cwd=copy, capture_output=True, text=True, check=False,
    )  # fmt: skip


def change(copy: Path, **fields: Any) -> None:
    """Of the assumed rule for elevation under the demonstration licence."""
    path = copy / "bocage_rights" / "rules.json"
    document = json.loads(path.read_text())
    (entry,) = [
        x for x in document["rules"] if x["licence"].endswith("-Demonstration") and x["effects"] == ["elevation"]
    ]
    entry |= fields
    path.write_text(json.dumps({"rules": [{k: v for k, v in x.items() if v is not None} for x in document["rules"]]}))


def test_what_is_committed_is_checked(copy: Path) -> None:
    assert call(copy, "--check").returncode == 0


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"status": "confirmed"}, "needs a source of its own"),
        ({"status": "confirmed", "date": "2026-12-01"}, "needs a source of its own"),
        ({"outcome": "forbid", "source": "another letter"}, "a later date"),
        ({"status": "confirmed", "source": "another letter", "date": "2025-01-01"}, "a later date"),
        ({"source": None}, "source"),
        ({"date": None}, "date"),
        ({"effects": ["index"]}, "there are two"),
        ({"effects": ["none"]}, "no such rule"),
        ({"licence": "LicenseRef-Renamed"}, "the rule is gone"),
    ],
)
def test_an_unfounded_change_fails_and_can_not_be_written(copy: Path, fields: dict[str, Any], says: str) -> None:
    change(copy, **fields)
    lock = (copy / "bocage_rights" / "rules.lock.json").read_text()
    for what in ("--check", "--write"):
        answer = call(copy, what)
        assert answer.returncode == 1
        assert says in answer.stderr
    assert (copy / "bocage_rights" / "rules.lock.json").read_text() == lock


def test_a_founded_change_is_stale_until_it_is_written(copy: Path) -> None:
    change(copy, status="confirmed", source="Letter of the owner, 1 December", date="2026-12-01")
    stale = call(copy, "--check")
    assert stale.returncode == 1
    assert "licence-decisions.md is stale" in stale.stderr and "rules.lock.json is stale" in stale.stderr
    assert call(copy, "--write").returncode == 0
    assert call(copy, "--check").returncode == 0
    assert "Letter of the owner" in (copy / "docs" / "reference" / "licence-decisions.fr.md").read_text()


def test_a_page_changed_by_hand_fails(copy: Path) -> None:
    page = copy / "docs" / "reference" / "licence-decisions.md"
    page.write_text(page.read_text().replace("| no |", "| yes |", 1))
    assert "stale" in call(copy, "--check").stderr
