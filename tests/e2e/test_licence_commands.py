"""An administrator's commands for licences, rules and recalls, through the gateway."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

from platforms import Running


def test_from_a_new_licence_to_its_withdrawal(running: Running, tmp_path: Path) -> None:
    admin, researcher = running.accounts.admin, running.accounts.researcher

    def call(*arguments: str, key: str = admin, code: int = 0) -> Any:
        done = running.bocage(*arguments, "--json", key=key)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    name = f"LicenseRef-{uuid.uuid4().hex[:8]}"
    for language, words in (("en", "Be kind."), ("fr", "Soyez aimable.")):
        (tmp_path / language).write_text(words)
    titles = ("--title-en", "Kindness", "--title-fr", "Amabilité", "--kind", "restricted")
    assert call("admin", "licence", "create", name, *titles)["id"] == name
    texts = ("--text-en", str(tmp_path / "en"), "--text-fr", str(tmp_path / "fr"))
    terms = ("--purpose", "research", "--needs-acceptance", "user")
    assert call("admin", "licence", "version", name, "1", *texts, *terms)["version"] == "1"
    assert name in {row["id"] for row in call("admin", "licence", "list")["licences"]}
    call("admin", "licence", "create", "No such licence", *titles, code=1)
    call("admin", "licence", "create", name, *titles, key=researcher, code=3)

    def level() -> str:
        with running.researcher as client:
            return str(client.get(f"/rights/licences/{name}").json()["yours"]["level"])

    assert level() == "metadata"
    assert call("accept", name, "--yes", key=researcher)["action"] == "accept"
    assert level() == "job"
    started = time.monotonic()
    assert call("withdraw", name, key=researcher) == {"withdrawn": name, "on_behalf": "user"}
    assert level() == "metadata"
    assert time.monotonic() - started < 5
    call("withdraw", name, "--organisation", key=researcher, code=1)


def test_rules_and_recalls(running: Running) -> None:
    admin = running.accounts.admin
    name = f"LicenseRef-{uuid.uuid4().hex[:8]}"
    rule = ("admin", "rule", "create", name, "elevation", "release", "--status", "confirmed")
    made = running.bocage(*rule, "--source", "A letter of the owner", "--date", "2026-11-03", "--json", key=admin)
    assert json.loads(made.stdout)["acts_as"] == "release", made.stderr
    again = running.bocage(*rule, "--source", "A letter of the owner", "--date", "2026-11-04", "--json", key=admin)
    assert (again.returncode, json.loads(again.stdout)["code"]) == (1, "unfounded-rule")
    listed = running.bocage("admin", "rule", "list", "--json", key=admin)
    assert name in {one["licence"] for one in json.loads(listed.stdout)["rules"]}
    absent = running.bocage("admin", "recall", "create", "none/such", "--reason", "Faulty", "--json", key=admin)
    assert (absent.returncode, json.loads(absent.stdout)["status"]) == (1, 404)
    recalls = running.bocage("admin", "recall", "list", "--json", key=admin)
    assert isinstance(json.loads(recalls.stdout)["recalls"], list)
