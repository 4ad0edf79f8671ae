"""Submission: what is refused before anything is written, and what is written at once or not at all."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bocage_processing.rehearsal.platform import Platform

EXECUTE = "/processing/processes/{}/execution"


def frozen(platform: Platform) -> tuple[Any, ...]:
    """All rows that a refused submission must leave as they are."""
    return (
        platform.rows("select id, state from processing.job order by id"),
        platform.rows("select * from rights.ledger_transaction order by id"),
        platform.rows("select * from rights.credit_account"),
    )


def add_item(platform: Platform, name: str, *, href: str | None = None, **properties: Any) -> str:
    """An item of the collection `scenes` with one file in the store."""
    licence = ["LicenseRef-Demo"]
    collection = {"id": "scenes", "license": "other", "bocage:licences": licence, "bocage:audience": "public",
                  "providers": [{"name": "Images Inc.", "roles": ["licensor"]}]}  # fmt: skip
    platform.peers.documents["collections/scenes"] = collection
    path = platform.home / "store" / "collections" / "scenes" / name / "image"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"pixels of " + name.encode())
    platform.peers.documents[f"collections/scenes/items/{name}"] = {
        "id": name, "type": "Item", "collection": "scenes",
        "properties": {"datetime": "2024-05-01T10:00:00Z", "bocage:audience": "public", **properties},
        "assets": {
            "image": {
                "href": href or f"store:collections/scenes/{name}/image",
                "type": "image/tiff; application=geotiff",
            },
            "elsewhere": {"href": "https://example.org/x.tif", "bocage:external": True},
        },
    }  # fmt: skip
    return f"scenes/{name}"


LICENSED = {"licences": {"LicenseRef-Demo": 4}}


@pytest.mark.parametrize(
    ("process", "body", "status", "code", "names"),
    [
        ("echo", {"inputs": {"number": "many"}}, 400, "invalid-inputs", "inputs.number"),
        ("echo", {"inputs": {"number": -1}}, 400, "invalid-inputs", "inputs.number"),
        ("echo", {"inputs": {"unknown": 1}}, 400, "invalid-inputs", "unknown"),
        ("echo", {"inputs": []}, 400, "invalid-request", "inputs"),
        ("echo", {"inputs": {}, "budget": -1}, 400, "invalid-request", "budget"),
        ("echo", {"inputs": {}, "audience": "all"}, 400, "invalid-request", "audience"),
        ("echo", {"inputs": {}, "outputs": {"nothing": {}}}, 400, "no-such-output", "nothing"),
        ("echo", {"outputs": {"text": {"transmissionMode": "reference"}}}, 400, "transmission-mode", "value"),
        ("echo", {"inputs": {}, "subscriber": {"successUri": "http://127.0.0.1/"}}, 400, "no-callbacks", "status"),
        ("make", {"inputs": {"misbehave": "refuse"}}, 422, "no-overlap", "one place"),
        ("make", {"inputs": {"images": ["scenes/absent"]}}, 400, "no-such-item", "scenes/absent"),
        ("make", {"inputs": {"images": ["file:///etc/passwd"]}}, 400, "invalid-inputs", "inputs.images.0"),
        ("make", {"inputs": {"images": ["a/../../rights"]}}, 400, "invalid-inputs", "inputs.images.0"),
        ("make", {"inputs": {"images": ["scenes/.."]}}, 400, "no-such-item", "scenes/.."),
        ("make", {"inputs": {"megapixels": 5}, "budget": 10.99}, 402, "budget-exceeded", "11"),
        ("make", {"inputs": {"megapixels": 100_000}}, 402, "insufficient-credits", "credits"),
    ],
)  # fmt: skip
def test_refusals_write_nothing(
    served: Platform, process: str, body: dict[str, Any], status: int, code: str, names: str
) -> None:
    before = frozen(served)
    with served.client(**LICENSED) as client:
        answer = client.post(EXECUTE.format(process), json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert names in problem["detail"]
    assert frozen(served) == before


def test_quote_reserves_nothing(served: Platform) -> None:
    item = add_item(served, "quoted")
    before = frozen(served)
    with served.client(**LICENSED) as client:
        quote = client.post("/processing/processes/make/quote", json={"inputs": {"images": [item]}}).json()
    assert (quote["credits"], quote["findings"]) == (3.0, {"images": 1})
    assert quote["licences"] == {"data": ["CC-BY-NC-4.0", "LicenseRef-Demo"], "report": ["CC-BY-NC-4.0"]}
    assert frozen(served) == before


def test_budget_equal_to_the_quote_is_enough(served: Platform) -> None:
    job = served.submit("make", {"megapixels": 5}, budget=11)
    assert served.ended(job)["state"] == "successful"


def test_licence_terms_stand_in_the_way(served: Platform) -> None:
    item = add_item(served, "restricted")
    before = frozen(served)
    with served.client() as client:
        answer = client.post(EXECUTE.format("make"), json={"inputs": {"images": [item]}})
    assert (answer.status_code, answer.json()["code"]) == (403, "licence-required")
    assert answer.json()["required_terms"][0]["licence"] == "LicenseRef-Demo"
    assert frozen(served) == before


def test_hidden_items_look_absent(served: Platform) -> None:
    item = add_item(served, "private", **{"bocage:audience": "owner", "bocage:owner": "somebody"})
    with served.client(**LICENSED) as client:
        hidden = client.post(EXECUTE.format("make"), json={"inputs": {"images": [item]}}).json()
        absent = client.post(EXECUTE.format("make"), json={"inputs": {"images": ["scenes/never"]}}).json()
    assert hidden["code"] == absent["code"] == "no-such-item"
    assert hidden["detail"].replace("private", "") == absent["detail"].replace("never", "")


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "https://169.254.169.254/latest",
        "store:collections/others/x/image",
        "store:collections/scenes/../../secrets/key",
        "store:secrets/processing.key",
        "s3:frozen:collections/scenes/x/image",
    ],
)
def test_files_outside_the_collection_are_refused(served: Platform, href: str) -> None:
    item = add_item(served, "crooked", href=href)
    with served.client(**LICENSED) as client:
        answer = client.post(EXECUTE.format("make"), json={"inputs": {"images": [item]}})
    assert (answer.status_code, answer.json()["code"]) == (400, "asset-not-usable")
    assert href not in answer.text


def test_missing_file_is_named(served: Platform) -> None:
    item = add_item(served, "lost", href="store:collections/scenes/lost/never")
    with served.client(**LICENSED) as client:
        answer = client.post(EXECUTE.format("make"), json={"inputs": {"images": [item]}})
    assert (answer.status_code, answer.json()["code"]) == (400, "asset-missing")


def test_large_bodies_are_refused(served: Platform) -> None:
    with served.client() as client:
        answer = client.post(EXECUTE.format("echo"), json={"inputs": {"text": "x" * 1_100_000}})
    assert answer.status_code == 413


def test_idempotency_key(served: Platform) -> None:
    headers = {"Idempotency-Key": "one", "Prefer": "respond-async"}
    before = served.row("select reserved + settled as held from rights.credit_account")["held"]
    with served.client() as client:
        first = client.post(EXECUTE.format("make"), json={"inputs": {}}, headers=headers)
        again = client.post(EXECUTE.format("make"), json={"inputs": {}}, headers=headers)
        other = client.post(EXECUTE.format("make"), json={"inputs": {"pause": 1}}, headers=headers)
        process = client.post(EXECUTE.format("echo"), json={"inputs": {}}, headers=headers)
        bad = client.post(EXECUTE.format("echo"), json={"inputs": {}}, headers={"Idempotency-Key": "a b"})
    assert first.status_code == again.status_code == 201
    assert first.headers["location"] == again.headers["location"]
    assert (other.status_code, process.status_code, bad.status_code) == (422, 422, 400)
    with served.client(subject="somebody") as client:
        assert (
            client.post(EXECUTE.format("make"), json={"inputs": {}}, headers=headers).json()["id"] != first.json()["id"]
        )
    assert served.row("select reserved + settled as held from rights.credit_account")["held"] - before == 6


def test_ten_at_once_with_one_key_make_one_job(served: Platform) -> None:
    headers = {"Idempotency-Key": "race", "Prefer": "respond-async"}

    def post(_number: int) -> str:
        with served.client(subject="racer") as client:
            answer = client.post(EXECUTE.format("make"), json={"inputs": {"pause": 1}}, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["jobID"])

    with ThreadPoolExecutor(10) as pool:
        jobs = set(pool.map(post, range(10)))
    assert len(jobs) == 1
    (job,) = served.rows("select id from processing.job where owner = 'racer'")
    assert (
        len(served.rows("select 1 from rights.ledger_transaction where job = %s and kind = 'reserve'", job["id"])) == 1
    )
    assert served.ended(str(job["id"]))["attempt"] == 1


def test_item_of_a_result_with_inputs(served: Platform) -> None:
    items = [add_item(served, "left"), add_item(served, "right", datetime="2024-05-01T10:00:30Z")]
    with served.client(**LICENSED) as client:
        job = client.post(
            EXECUTE.format("make"), json={"inputs": {"images": items}, "audience": "organisation"}
        ).json()["id"]  # fmt: skip
    row = served.ended(job)
    assert row["state"] == "successful", row
    item = served.peers.documents[f"collections/make/items/{job}"]
    properties = item["properties"]
    assert (properties["bocage:audience"], properties["bocage:owner"]) == ("organisation", "person-1")
    assert properties["bocage:organisation"] == str(served.organisation)
    assert (properties["start_datetime"], properties["end_datetime"]) == (
        "2024-05-01T10:00:00Z",
        "2024-05-01T10:00:30Z",
    )
    assert properties["license"] == "other"
    assert item["bbox"] == [2.0, 48.0, 2.1, 48.1]
    assert item["assets"]["data"]["bocage:licences"] == ["CC-BY-NC-4.0", "LicenseRef-Demo"]
    assert item["assets"]["report"]["bocage:licences"] == ["CC-BY-NC-4.0"]
    derived = [link["href"] for link in item["links"] if link["rel"] == "derived_from"]
    assert derived[0] == "/stac/collections/scenes/items/left"
    stored = served.home / "store" / item["assets"]["data"]["href"].removeprefix("store:")
    assert item["assets"]["data"]["file:checksum"] == "1220" + hashlib.sha256(stored.read_bytes()).hexdigest()
    told = json.loads(stored.read_text())
    assert told["seen"] == {"scenes/left/image": 14, "scenes/right/image": 15}
    assert told["provenance"]["licences"]["data"] == "CC-BY-NC-4.0 AND LicenseRef-Demo"
    assert told["provenance"]["attribution"] == "Images Inc."
    folder = served.home / "jobs" / job / "1"
    assert not (folder / "inputs").exists()
    assert (folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777) == (0o700, 0o700)


def test_values_are_not_given_out_while_they_are_held(served: Platform) -> None:
    item = add_item(served, "counted")
    with served.client(**LICENSED) as client:
        body = {"inputs": {"images": [item]}, "response": "document"}
        done = client.post(EXECUTE.format("tally"), json=body)
        assert (done.status_code, done.json()) == (200, {"count": 1})
        job = client.get("/processing/jobs").json()["jobs"][0]["jobID"]
        paths = [f"/processing/jobs/{job}/results", f"/processing/jobs/{job}/results/count"]
        served.peers.held = "The results are held: accept it."
        try:
            for answer in (*map(client.get, paths), client.post(EXECUTE.format("tally"), json=body)):
                assert (answer.status_code, answer.json()["code"]) == (409, "held")
                assert "accept it" in answer.json()["detail"]
        finally:
            served.peers.held = ""
        assert [client.get(path).status_code for path in paths] == [200, 200]


def test_without_rights_nothing_is_quoted_and_nothing_reserved(served: Platform) -> None:
    item = add_item(served, "unanswered")
    before = frozen(served)
    served.peers.stop("rights")
    try:
        with served.client(**LICENSED) as client:
            answer = client.post(EXECUTE.format("make"), json={"inputs": {"images": [item]}})
    finally:
        served.peers.start("rights")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert frozen(served) == before
