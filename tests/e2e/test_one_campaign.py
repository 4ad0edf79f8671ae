"""One campaign through all parts of the rights: project, licence, job, hold, recall, money, audit, erasure.

Each test goes on where the one before ended, as a campaign does.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from canary import Target, collection, item
from platforms import Running

from tests.e2e.test_canary import account, raster

pytestmark = pytest.mark.slow
PROJECT = "ALPES-2026"
TEXT = "You may use it for the glaciers."


@dataclass(frozen=True)
class Campaign:
    running: Running
    licence: str
    owner: dict[str, Any]
    person: dict[str, Any]
    key: dict[str, Any]
    target: Target

    @property
    def client(self) -> httpx.Client:
        return self.running.client(self.key["key"])

    def admin(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        done = self.running.bocage("admin", *arguments, "--json", key=self.running.accounts.admin)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return dict(json.loads(done.stdout))

    def register(self) -> list[dict[str, Any]]:
        with self.running.admin as admin:
            answer = admin.get(
                "/rights/admin/registers", params={"licence": self.licence}, headers={"Accept": "application/json"}
            )
        assert answer.status_code == 200, answer.text
        return list(answer.json()["register"])


def until(seconds: float, found: Callable[[], Any]) -> Any:
    """What `found` says once that is true."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)
    return value


@pytest.fixture(scope="module")
def campaign(running: Running) -> Iterator[Campaign]:
    """An organisation whose person works with a key of a project, on an image under a licence of its own."""
    mark = uuid.uuid4().hex[:10]
    owner, person, (first,) = account(running, f"Campaign {mark}", ["catalogue:write", "jobs:submit", "rights:manage"])
    licence = f"LicenseRef-{mark}"
    target = Target("", f"glaciers{mark}", "one", "", "", "", person["id"], owner["id"], running.url)
    with running.admin as admin, running.client(first["key"]) as client:
        title = {"en": "Glaciers", "fr": "Glaciers"}
        made = admin.post("/rights/admin/licences", json={"id": licence, "title": title, "kind": "restricted"})
        assert made.status_code == 201, made.text
        version = {
            "version": "1", "text": {"en": TEXT, "fr": TEXT}, "needs_acceptance": "user", "purposes": ["research"]
        }  # fmt: skip
        made = admin.post(f"/rights/admin/licences/{licence}/versions", json=version)
        assert made.status_code == 201, made.text
        made = client.post("/rights/keys", json={"name": "alps", "project": PROJECT})
        assert made.status_code == 201, made.text
        key = made.json()
        made = client.post("/stac/collections", json=collection(target, **{"bocage:licences": [licence]}))
        assert made.status_code == 201, made.text
        assert client.put(f"/assets/{target.reference}/image", content=raster()).status_code == 201
        made = client.post(f"/stac/collections/{target.collection}/items", json=item(target))
        assert made.status_code == 201, made.text
    yield Campaign(running, licence, owner, person, key, target)


def accept(campaign: Campaign) -> dict[str, Any]:
    with campaign.client as client:
        answer = client.post(
            f"/rights/licences/{campaign.licence}/acceptance",
            json={"version": "1", "text_sha256": hashlib.sha256(TEXT.encode()).hexdigest()},
        )
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())


def submitted(campaign: Campaign, client: httpx.Client) -> str:
    answer = client.post(
        "/processing/processes/hillshade/execution",
        json={"inputs": {"item": campaign.target.reference}},
        headers={"Prefer": "respond-async"},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["jobID"])


def ended(client: httpx.Client, job: str) -> bool:
    return bool(client.get(f"/processing/jobs/{job}").json()["status"] == "successful")


def test_the_project_of_a_key_is_everywhere(campaign: Campaign) -> None:
    assert accept(campaign)["project"] == PROJECT
    with campaign.client as client:
        assert client.get("/rights/me").json()["project"] == PROJECT
        assert client.get(f"/assets/{campaign.target.reference}/image").content == raster()
        job = submitted(campaign, client)
        until(60, lambda: ended(client, job))
        used = until(
            5,
            lambda: [
                row
                for row in client.get("/rights/usage", params={"by": "project"}).json()["usage"]
                if row["project"] == PROJECT and row["jobs"] == 1
            ],
        )
        assert len(used) == 1
        assert used[0]["credits"] > 0 and used[0]["km2"] > 0 and used[0]["bytes"] >= len(raster())
        both = {"by": ["project", "collection"]}
        collections = {row["collection"] for row in client.get("/rights/usage", params=both).json()["usage"]}
        assert campaign.target.collection in collections
    taken = until(5, lambda: {row["kind"]: row for row in campaign.register()} if len(campaign.register()) > 1 else {})
    assert taken.keys() == {"download", "job"}
    for row in taken.values():
        assert (row["project"], row["purpose"]) == (PROJECT, "research")
        assert (row["person"], row["organisation"]) == (campaign.person["id"], campaign.owner["id"])
        assert row["text_sha256"] == hashlib.sha256(TEXT.encode()).hexdigest() and row["accepted"]
        assert row["km2"] > 10 and row["category"] == "research"
    assert taken["download"]["bytes"] == len(raster())


def test_a_withdrawal_holds_what_runs_and_a_recall_follows_the_lineage(campaign: Campaign) -> None:
    with campaign.client as client:
        job = submitted(campaign, client)
        assert client.delete(f"/rights/licences/{campaign.licence}/acceptance").is_success

        def held() -> dict[str, Any] | None:
            status = client.get(f"/processing/jobs/{job}").json()
            assert status["status"] in ("accepted", "running"), status
            return dict(status) if campaign.licence in status.get("message", "") else None

        assert "accept" in until(60, held)["message"]
        place = f"/stac/collections/hillshade/items/{job}"
        assert client.get(place).status_code == 404
        again = accept(campaign)
        assert again["action"] == "accept"
        until(20, lambda: ended(client, job))
        assert client.get(place).status_code == 200
        rows = [
            x
            for x in campaign.admin("audit", "list", "--kind", "job", "--limit", "1000")["audit"]
            if job in x["target"]
        ]
        assert [(x["action"], x["actor"]) for x in rows] == [
            ("job.held", "service:processing"),
            ("lineage.created", "service:processing"),
        ]
        assert campaign.licence in rows[0]["detail"]["because"][0]
        result = f"/assets/hillshade/{job}/hillshade"
        assert client.get(result).status_code == 200
        signed = client.get("/rights/sign", params={"url": f"{campaign.running.url}{result}"})
        assert signed.status_code == 200, signed.text

        campaign.admin("recall", "create", campaign.target.reference, "--reason", "Wrong geometry")
        (recall,) = [
            x for x in campaign.admin("recall", "list")["recalls"] if x["item"] == campaign.target.reference
        ]  # fmt: skip
        assert f"hillshade/{job}" in recall["descendants"]
        refused = until(1, lambda: (a := client.get(result)).status_code == 403 and a)
        assert refused.json()["code"] == "recalled" and "Wrong geometry" in refused.text
        with httpx.Client() as anybody:
            assert anybody.get(signed.json()["href"]).status_code == 403
        campaign.admin("recall", "revoke", str(recall["id"]))
        until(1, lambda: client.get(result).status_code == 200)


def test_a_warning_comes_once_at_each_step(campaign: Campaign) -> None:
    slug = campaign.owner["slug"]
    limit = ("--unit", "credits", "--window", "quarter", "--counted", "organisation", "--org", slug)
    with campaign.client as client:

        def price() -> float:
            body = {"inputs": {"item": campaign.target.reference}}
            return float(client.post("/processing/processes/hillshade/quote", json=body).json()["credits"])

        (state,) = campaign.admin("credits", "list", "--org", slug)["credits"]
        spent = float(state["settled"])
        campaign.admin("quota", "set", f"{spent + 1.2 * price():.2f}", *limit, "--reason", "campaign")
        job = submitted(campaign, client)
        refused = client.post(
            "/processing/processes/hillshade/execution", json={"inputs": {"item": campaign.target.reference}}
        )
        assert refused.status_code == 429, refused.text
        assert refused.json()["violated-policies"] == ["credits-quarter-organisation"]
        assert int(refused.headers["retry-after"]) > 0
        until(60, lambda: ended(client, job))
        warned = [
            x for x in campaign.admin("quota", "warnings")["quota_warnings"] if x["holder"] == campaign.owner["id"]
        ]
        assert sorted(x["level"] for x in warned) == [80, 100]
        for language, word in (("en", "limit"), ("fr", "limite")):
            told = client.get("/rights/me", headers={"Accept-Language": language}).json()["missing"]
            (quota,) = [x for x in told if x["what"] == "credits-quarter-organisation"]
            assert word in quota["why"] and client.get(quota["link"]).status_code == 200


def test_the_chain_names_who_changed_what(campaign: Campaign) -> None:
    slug = campaign.owner["slug"]
    campaign.admin("plan", "assign", "trial", "--org", slug, "--reason", "chained")
    campaign.admin("plan", "assign", "standard", "--org", slug, "--reason", "chained")
    campaign.admin("org", "refuse", slug, "--reason", "chained")
    campaign.admin("org", "verify", slug, "--reason", "chained")
    mine = campaign.target.collection
    campaign.admin("tariff", "create", "0.1", "--process", "hillshade", "--unit", "job", "--collection", mine)
    with campaign.client as client:
        body = {"inputs": {"item": campaign.target.reference}}
        quote = client.post("/processing/processes/hillshade/quote", json=body).json()
    assert {line["collection"] for line in quote["prices"] if line["unit"] == "job"} == {mine}
    assert 0 <= quote["credits"] - sum(line["quantity"] * line["price"] for line in quote["prices"]) < 0.01
    source = ("--status", "confirmed", "--source", f"Letter {campaign.licence}")
    date = ("--date", datetime.now(UTC).date().isoformat())
    campaign.admin("rule", "create", campaign.licence, "elevation", "release", *source, *date)
    with campaign.running.admin as admin:
        me = admin.get("/rights/me").json()["subject"]
    listed: list[dict[str, Any]] = []
    after = 0
    while page := campaign.admin("audit", "list", "--limit", "1000", "--after", str(after))["audit"]:
        listed += page
        after = page[-1]["id"]
    by_me = {x["action"] for x in listed if x["actor"] == me}
    assert by_me >= {
        "recall.created", "recall.changed", "quota.created", "plan_assignment.created", "plan_assignment.deleted",
        "organisation.changed", "tariff.created", "derivation_rule.created", "licence.created",
    }  # fmt: skip
    accepted = [x for x in listed if x["kind"] == "acceptance" and campaign.licence in x["target"]]
    assert [x["action"] for x in accepted] == ["acceptance.accept", "acceptance.withdraw", "acceptance.accept"]
    assert {x["actor"] for x in accepted} == {campaign.person["id"]}
    assert {x["actor"] for x in listed if campaign.owner["id"] in x["target"]} == {me}
    until(10, lambda: campaign.admin("audit", "verify")["pending"] == 0)
    assert campaign.admin("audit", "verify")["intact"]


def test_an_erased_person_leaves_all_but_the_name(campaign: Campaign) -> None:
    running, person = campaign.running, campaign.person["id"]
    with running.admin as admin, running.client(campaign.key["key"]) as client:
        campaign.admin(
            "quota", "set", "1000", "--unit", "requests", "--window", "day", "--person", person, "--reason", "x"
        )
        campaign.admin("plan", "assign", "trial", "--person", person, "--reason", "erased later")
        campaign.admin("plan", "assign", "standard", "--person", person, "--reason", "erased later")
        share = {"collection": campaign.target.collection, "item": campaign.target.item, "people": [person]}
        assert client.post("/rights/shares", json=share).status_code in (200, 201)
        asset = f"{running.url}/assets/{campaign.target.reference}/image"
        assert client.get("/rights/sign", params={"url": asset}).status_code == 200

        def kept() -> dict[str, Any]:
            ledger = admin.get("/rights/ledger", params={"organisation": campaign.owner["id"], "limit": 100}).json()
            plans = admin.get("/rights/admin/plans").json()["assignments"]
            return {
                "acceptances": admin.get(
                    "/rights/admin/acceptances", params={"organisation": campaign.owner["id"]}
                ).json(),
                "balance": ledger["balance"],
                "entries": ledger["entries"],
                "quotas": [x for x in admin.get("/rights/admin/quotas").json()["quotas"] if person in x["holder"]],
                "plans": [x for x in plans if x["person"] == person],
                "item": admin.get(
                    f"/stac/collections/{campaign.target.collection}/items/{campaign.target.item}"
                ).json(),
            }

        time.sleep(1.5)  # what is counted each second has been written
        before, taken = kept(), campaign.register()
        assert all(before.values()) and any(row["person_name"] for row in taken)
        campaign.admin("person", "erase", person)
        until(1, lambda: client.get("/rights/me").status_code == 401)
        assert kept() == before
        assert campaign.register() == [row | {"person_name": None} for row in taken]
        assert person not in json.dumps(campaign.admin("person", "list"))
        assert campaign.admin("audit", "verify")["intact"]
