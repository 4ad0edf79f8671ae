"""OGC API - Processes by requirement, over real HTTP."""

from __future__ import annotations

from bocage_processing.rehearsal.platform import Platform

PREFIX = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf"


def test_landing_page_and_conformance(served: Platform) -> None:
    with served.client() as client:
        landing = client.get("/processing").json()
        links = {link["rel"]: link["href"] for link in landing["links"]}
        assert links["http://www.opengis.net/def/rel/ogc/1.0/processes"] == (
            "http://bocage.example:8000/processing/processes"
        )
        assert {"service-desc", "service-doc", "conformance", "self"} <= links.keys()
        conforms = client.get("/processing/conformance").json()["conformsTo"]
        assert {f"{PREFIX}/{name}" for name in ("core", "job-list", "dismiss", "json")} <= set(conforms)


def test_process_list_and_description(served: Platform) -> None:
    with served.client() as client:
        page = client.get("/processing/processes", params={"limit": 1}).json()
        assert [p["id"] for p in page["processes"]] == ["echo"]
        assert "next" in {link["rel"] for link in page["links"]}
        echo = client.get("/processing/processes/echo").json()
        assert echo["jobControlOptions"] == ["async-execute", "sync-execute", "dismiss"]
        assert echo["inputs"]["number"]["schema"]["maximum"] == 1e6
        assert echo["outputs"]["text"]["schema"] == {}
        make = client.get("/processing/processes/make").json()
        assert make["jobControlOptions"] == ["async-execute", "dismiss"]
        assert make["limits"]["max_megapixels"] == 16


def test_unknown_process_and_job_have_ogc_types(served: Platform) -> None:
    with served.client() as client:
        process = client.get("/processing/processes/nothing")
        assert process.status_code == 404
        assert process.json()["type"].endswith("/1.0/no-such-process")
        for name in ("nothing", "00000000-0000-0000-0000-000000000000"):
            job = client.get(f"/processing/jobs/{name}")
            assert job.status_code == 404
            assert job.json()["type"].endswith("/1.0/no-such-job")


def test_sync_execution_answers_raw_or_document_with_a_monitor(served: Platform) -> None:
    with served.client() as client:
        raw = client.post(
            "/processing/processes/echo/execution",
            json={"inputs": {"text": "abc"}, "outputs": {"text": {}}, "response": "raw"},
        )
        assert (raw.status_code, raw.text) == (200, "abc")
        assert 'rel="monitor"' in raw.headers["link"]
        document = client.post(
            "/processing/processes/echo/execution",
            json={"inputs": {"number": {"value": 4}, "box": {"a": 1}}, "response": "document"},
        )
        assert document.json() == {"text": "hello", "number": 4.0, "box": {"value": {"a": 1}}}
        many = client.post("/processing/processes/echo/execution", json={"inputs": {}, "response": "raw"})
        assert many.headers["content-type"].startswith("multipart/related")
        assert many.text.count("Content-ID:") == 3


def test_async_execution_follows_the_preference(served: Platform) -> None:
    with served.client() as client:
        answer = client.post(
            "/processing/processes/echo/execution", json={"inputs": {}}, headers={"Prefer": "respond-async"}
        )
        assert answer.status_code == 201
        assert answer.headers["preference-applied"] == "respond-async"
        status = answer.json()
        assert answer.headers["location"] == f"http://bocage.example:8000/processing/jobs/{status['jobID']}"
        assert status["id"] == status["jobID"]
        assert status["type"] == "process"
        served.ended(status["jobID"])
        done = client.get(f"/processing/jobs/{status['jobID']}").json()
        assert (done["status"], done["progress"]) == ("successful", 100)
        assert done["credits"]["charged"] == 0.01
        assert client.get(f"/processing/jobs/{status['jobID']}/results").json()["text"] == "hello"
        assert client.get(f"/processing/jobs/{status['jobID']}/results/text").text == "hello"
        assert client.get(f"/processing/jobs/{status['jobID']}/results/none").status_code == 404
        logs = client.get(f"/processing/jobs/{status['jobID']}/logs").json()["logs"]
        assert [line["message"] for line in logs] == ["echo starts"]


def test_async_only_process_is_accepted_without_preference_and_published(served: Platform) -> None:
    with served.client() as client:
        answer = client.post("/processing/processes/make/execution", json={"inputs": {"used": 0.5}})
        assert answer.status_code == 201
        assert "preference-applied" not in answer.headers
        job = answer.json()["jobID"]
        assert served.ended(job)["state"] == "successful"
        results = client.get(f"/processing/jobs/{job}/results").json()
        assert results["data"]["href"] == f"http://bocage.example:8000/assets/make/{job}/data"
        redirected = client.get(f"/processing/jobs/{job}/results/data")
        assert redirected.headers["location"] == results["data"]["href"]
        status = client.get(f"/processing/jobs/{job}").json()
        assert (status["credits"]["quoted"], status["credits"]["charged"]) == (3.0, 2.0)
    item = served.peers.documents[f"collections/make/items/{job}"]
    assert item["assets"]["data"]["href"] == f"store:results/make/{job}/1/data.json"
    assert served.peers.documents["collections/make"]["bocage:write_scope"] == "service"


def test_raw_references_are_links_without_content(served: Platform) -> None:
    with served.client() as client:
        job = client.post("/processing/processes/make/execution", json={"inputs": {}, "response": "raw"}).json()["id"]
        served.ended(job)
        answer = client.get(f"/processing/jobs/{job}/results")
        assert answer.status_code == 204
        assert f'/assets/make/{job}/report>; rel="report"' in answer.headers["link"]


def test_results_not_ready_and_dismissed_before_end(served: Platform) -> None:
    with served.client() as client:
        job = served.submit("make", {"pause": 60})
        answer = client.get(f"/processing/jobs/{job}/results")
        assert answer.status_code == 404
        assert answer.json()["type"].endswith("/result-not-ready")
        dismissed = client.delete(f"/processing/jobs/{job}").json()
        assert dismissed["status"] == "dismissed"
        assert client.delete(f"/processing/jobs/{job}").status_code == 200
        assert served.job(job)["state"] == "dismissed"
        assert served.job(job)["price"] == 0


def test_ended_job_cannot_be_dismissed(served: Platform) -> None:
    job = served.submit("echo", {})
    served.ended(job)
    with served.client() as client:
        answer = client.delete(f"/processing/jobs/{job}")
    assert (answer.status_code, answer.json()["code"]) == (409, "job-ended")
    assert served.job(job)["state"] == "successful"


def test_job_list_filters_and_pages(served: Platform) -> None:
    identity = {"subject": "lister"}
    with served.client(**identity) as client:
        ids = []
        for text in ("a", "b", "c"):
            answer = client.post(
                "/processing/processes/echo/execution", json={"inputs": {"text": text}},
                headers={"Prefer": "respond-async"},
            )  # fmt: skip
            ids.append(answer.json()["jobID"])
        for job in ids:
            served.ended(job)

        def listed(**query: object) -> list[str]:
            answer = client.get("/processing/jobs", params=query)  # type: ignore[arg-type]
            assert answer.status_code == 200, answer.text
            return [job["jobID"] for job in answer.json()["jobs"]]

        assert listed() == ids[::-1]
        assert listed(processID="make") == []
        assert listed(processID="make,echo", status="successful") == ids[::-1]
        assert listed(status="failed") == []
        assert listed(type="openeo") == []
        assert listed(datetime="../2020-01-01T00:00:00Z") == []
        assert len(listed(datetime="2020-01-01T00:00:00Z/..")) == 3
        assert listed(minDuration=1000) == []
        assert len(listed(maxDuration=1000)) == 3
        page = client.get("/processing/jobs", params={"limit": 2, "processID": "echo"}).json()
        following = {link["rel"]: link["href"] for link in page["links"]}["next"]
        rest = client.get(following.removeprefix("http://bocage.example:8000")).json()
        assert [job["jobID"] for job in rest["jobs"]] == ids[:1]
        assert client.get("/processing/jobs", params={"datetime": "yesterday"}).status_code == 400
        assert client.get("/processing/jobs", params={"limit": 0}).status_code == 400
        assert client.get("/processing/jobs", params={"status": "odd"}).status_code == 400
    with served.client(subject="other") as other:
        assert other.get("/processing/jobs").json()["jobs"] == []
        for path in (ids[0], f"{ids[0]}/results", f"{ids[0]}/logs", f"{ids[0]}/results/text"):
            assert other.get(f"/processing/jobs/{path}").status_code == 404
        assert other.delete(f"/processing/jobs/{ids[0]}").status_code == 404
    with served.client(subject="operator", scopes=frozenset({"admin"})) as admin:
        assert ids[0] in [job["jobID"] for job in admin.get("/processing/jobs?limit=1000").json()["jobs"]]


def test_who_may_submit(served: Platform) -> None:
    body: dict[str, object] = {"inputs": {}}
    with served.client(subject="anonymous", organisation=None, scopes=frozenset()) as client:
        assert client.post("/processing/processes/echo/execution", json=body).status_code == 401
        assert client.get("/processing/jobs").status_code == 401
        assert client.get("/processing/processes").status_code == 200
    with served.client(scopes=frozenset()) as client:
        answer = client.post("/processing/processes/echo/execution", json=body)
        assert (answer.status_code, answer.json()["required_scope"]) == (403, "jobs:submit")
    with served.client(organisation=None) as client:
        answer = client.post("/processing/processes/echo/execution", json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "organisation-required")


def test_health_tells_of_the_dispatcher(served: Platform) -> None:
    with served.client() as client:
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["dispatcher"]) == (200, "ok")
