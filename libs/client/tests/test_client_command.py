"""The command against a real HTTP server: documents, exit codes, patience."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Done, Stub

    Bocage = Callable[..., Done]

SUBMIT = ("submit", "dsm", "-i", "images=c/a,c/b", "--wait", "--json")


def command() -> str:
    return str(Path(sys.executable).parent / "bocage")


def one_document(done: Done) -> dict[str, Any]:
    return dict(json.loads(done.out))


def test_a_job_that_ends_well(stub: Stub, bocage: Bocage) -> None:
    done = bocage(*SUBMIT)
    assert done.code == 0, done.err
    assert one_document(done)["status"] == "successful"
    assert one_document(done)["jobID"] in stub.jobs
    assert "Matching." in done.err, "progress goes to stderr"


def test_inputs_follow_the_schema(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    area = {"type": "Polygon", "coordinates": []}
    (tmp_path / "aoi.json").write_text(json.dumps(area))
    (tmp_path / "all.json").write_text(json.dumps({"inputs": {"window": 5, "resolution": 9}}))
    more = ["-i", "resolution=0.5", "-i", "ortho=yes", "-i", "text=12", "-i", f"aoi=@{tmp_path}/aoi.json"]
    more += ["-i", "epsg=32631", "-i", "preset=urban", "--inputs", str(tmp_path / "all.json")]
    assert bocage("submit", "dsm", "-i", "images=c/a", *more, "--audience", "public", "--budget", "12.30").code == 0
    body = stub.bodies[-1]
    assert body["inputs"] == {
        "images": ["c/a"], "resolution": 0.5, "ortho": True, "text": "12", "aoi": area, "window": 5,
        "epsg": 32631, "preset": "urban",
    }  # fmt: skip
    assert (body["audience"], body["budget"]) == ("public", "12.30")


@pytest.mark.parametrize(
    ("ending", "results", "code"),
    [
        ({"status": "failed", "exception": {"fault": "input", "status": 500, "detail": "No overlap."}}, 200, 1),
        ({"status": "failed", "exception": {"status": 422, "detail": "No overlap."}}, 200, 1),
        ({"status": "failed", "exception": {"status": 500, "detail": "The engine broke."}}, 200, 5),
        ({"status": "failed", "message": "No overlap."}, 422, 1),
        ({"status": "failed", "message": "The engine broke."}, 500, 5),
        ({"status": "dismissed"}, 200, 7),
    ],
)
def test_a_job_that_does_not(stub: Stub, bocage: Bocage, ending: dict[str, Any], results: int, code: int) -> None:
    stub.ending, stub.results = ending, (results, {"status": results, "detail": ending.get("message", "")})
    done = bocage(*SUBMIT)
    assert done.code == code
    document = one_document(done)
    assert document["status"] == ending["status"]
    if document["status"] == "failed":
        assert document["exception"]["detail"] in done.err


@pytest.mark.parametrize(
    ("status", "code"), [(400, 1), (404, 1), (422, 1), (401, 3), (403, 3), (402, 4), (429, 4), (500, 5), (503, 5)]
)
def test_a_submission_that_is_refused(
    stub: Stub, bocage: Bocage, status: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOCAGE_RETRY_SECONDS", "0.1")
    stub.refusal = (
        status,
        {"code": "no", "detail": "It is so.", "required_terms": [{"licence": "L", "reason": "missing"}]},
    )
    done = bocage(*SUBMIT)
    assert done.code == code
    assert one_document(done)["status"] == status
    assert "It is so." in done.err
    assert "L : missing" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit"], ["submit", "dsm", "--nonsense"], ["nothing"], [], ["submit", "dsm", "-i", "images"],
        ["submit", "dsm", "--budget", "much"], ["submit", "dsm", "--inputs", "/nowhere.json"],
        ["ingest", "/nowhere.tif", "--collection", "c"], ["ingest", "/nowhere.tif", "--collection", "../c"],
        ["--url", "ftp://x", "whoami"], ["submit", "dsm", "-i", "text=a", "-i", "text=b"],
    ],
)  # fmt: skip
def test_usage_errors_are_json_too(stub: Stub, bocage: Bocage, arguments: list[str]) -> None:
    done = bocage(*arguments, "--json")
    assert done.code == 2
    assert one_document(done)["detail"]
    assert stub.bodies == []


def test_an_unknown_process_and_an_unknown_job(stub: Stub, bocage: Bocage) -> None:
    assert bocage("processes", "alchemy", "--json").code == 1
    assert one_document(bocage("watch", "no-job", "--json"))["status"] == 404


def test_nobody_at_the_address(bocage: Bocage, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("BOCAGE_RETRY_SECONDS", "0.3")
    done = bocage("--url", f"http://127.0.0.1:{port}", "whoami", "--json")
    assert done.code == 5
    assert one_document(done)["code"] == "unreachable"


def test_patience_with_a_busy_platform(stub: Stub, bocage: Bocage) -> None:
    stub.unavailable = 2
    assert bocage("whoami", "--json").code == 0
    assert stub.seen["GET /rights/me"] == 3


def test_a_platform_that_starts_late(stub: Stub, bocage: Bocage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are refused at first; the same command then succeeds."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    target = int(stub.url.rsplit(":", 1)[1])

    def serve() -> None:
        time.sleep(0.6)
        with socket.create_server(("127.0.0.1", port)) as listener:
            client, _ = listener.accept()
            with client, socket.create_connection(("127.0.0.1", target)) as server:
                server.sendall(client.recv(65536))
                server.settimeout(0.5)
                with contextlib.suppress(TimeoutError):
                    while data := server.recv(65536):
                        client.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    assert bocage("--url", f"http://127.0.0.1:{port}", "whoami", "--json").code == 0
    thread.join()


def test_a_lost_answer_is_one_job(stub: Stub, bocage: Bocage) -> None:
    stub.lose_answers = 1
    done = bocage(*SUBMIT)
    assert done.code == 0, done.err
    assert stub.seen["POST /processing/processes/dsm/execution"] == 2
    assert list(stub.jobs) == [one_document(done)["jobID"]]


def test_the_same_key_again_is_the_same_job(stub: Stub, bocage: Bocage) -> None:
    first, second = (bocage(*SUBMIT, "--idempotency-key", "k") for _ in range(2))
    assert one_document(first)["jobID"] == one_document(second)["jobID"]


def test_an_answer_that_stays_lost_names_the_key(stub: Stub, bocage: Bocage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOCAGE_RETRY_SECONDS", "0.5")
    stub.lose_answers = 100
    done = bocage(*SUBMIT)
    assert done.code == 5
    assert f"--idempotency-key {next(iter(stub.by_key))}" in done.err


def test_timeout_leaves_the_job_running(stub: Stub, bocage: Bocage) -> None:
    stub.polls_to_end = 10_000
    done = bocage(*SUBMIT, "--timeout", "0.6")
    assert done.code == 6
    assert one_document(done)["status"] == "running"
    assert "bocage watch" in done.err


def test_cancel_and_watch(stub: Stub, bocage: Bocage) -> None:
    stub.polls_to_end = 10_000
    job = one_document(bocage("submit", "dsm", "-i", "text=x", "--json"))["jobID"]
    assert one_document(bocage("cancel", job, "--json"))["status"] == "dismissed"
    assert bocage("watch", job).code == 7


def test_interrupt_says_that_the_job_goes_on(stub: Stub) -> None:
    stub.polls_to_end = 10_000
    # Whoever runs the tests in the background of a shell has made them deaf to Ctrl-C, and children inherit that.
    with subprocess.Popen(
        [command(), *SUBMIT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            deadline = time.monotonic() + 20
            while not any(job["polls"] for job in stub.jobs.values()):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    (job,) = stub.jobs
    assert process.returncode == 130
    assert json.loads(out)["jobID"] == job
    assert f"bocage watch {job}" in err
    assert f"bocage cancel {job}" in err
    assert stub.jobs[job]["status"] != "dismissed"


def test_login_stores_the_key_for_its_owner_alone(
    stub: Stub, bocage: Bocage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert bocage("login", stub.url, "--json").code == 0
    stored = tmp_path / "own" / "client.json"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    monkeypatch.delenv("BOCAGE_API_KEY")
    monkeypatch.delenv("BOCAGE_URL")
    assert one_document(bocage("whoami", "--json"))["subject"] == "ada"
    # another address never gets the stored key
    other = stub.url.replace("127.0.0.1", "localhost")
    assert one_document(bocage("--url", other, "whoami", "--json"))["subject"] == "anonymous"
    monkeypatch.setenv("BOCAGE_API_KEY", "bk_other.wrong")
    assert bocage("whoami", "--json").code == 3
    assert bocage("login", stub.url, "--json").code == 3
    assert "researcher" in stored.read_text(), "a key that does not work is not stored"


def test_a_minted_key_is_printed_once(stub: Stub, bocage: Bocage) -> None:
    done = bocage(
        "admin", "key", "create", "--person", "p", "--purpose", "research", "--scope", "jobs:submit", "--json"
    )
    assert one_document(done)["key"] == "bk_new.secret"
    assert (done.out + done.err).count("bk_new.secret") == 1


def test_results_are_listed_and_saved(stub: Stub, bocage: Bocage, tmp_path: Path) -> None:
    stub.objects["/assets/dsm/j/report"] = b'{"valid_fraction": 1}'
    stub.results = (
        200,
        {"text": "bonjour", "report": {"href": f"{stub.url}/assets/dsm/j/report", "type": "application/json"}},
    )
    job = one_document(bocage(*SUBMIT))["jobID"]
    assert set(one_document(bocage("results", job, "--json"))) == {"text", "report"}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json.part").write_bytes(b'{"valid')
    done = bocage("results", job, "--download", tmp_path / "out", "--json")
    assert json.loads(Path(one_document(done)["files"]["report"]).read_text()) == {"valid_fraction": 1}
    assert json.loads((tmp_path / "out" / "text.json").read_text()) == "bonjour"
    assert not (tmp_path / "out" / "report.json.part").exists()


def test_help_is_quick() -> None:
    probe = (
        "import sys, resource; from bocage_client.cli import run; run(['--help']);"
        "assert not {'httpx', 'numpy', 'tifffile'} & set(sys.modules), 'heavy imports';"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ingest" in done.stdout


@pytest.mark.slow
def test_the_wheel_installs_and_runs_alone(tmp_path: Path) -> None:
    package = Path(__file__).parent.parent
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}

    def uv(*arguments: str | Path) -> None:
        # `uv run` tells where it is itself: it need not be on the path.
        program = environment.get("UV", "uv")
        subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, env=environment)

    uv("build", "--wheel", package, "--out-dir", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    uv("venv", "--python", sys.executable, tmp_path / "alone")
    uv("pip", "install", "--python", tmp_path / "alone" / "bin" / "python", wheel)
    done = subprocess.run(
        [tmp_path / "alone" / "bin" / "bocage", "--help"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "ingest" in done.stdout
    probe = "import bocage_client.client, bocage_client.ingest, sys; assert 'rasterio' not in sys.modules"
    subprocess.run([tmp_path / "alone" / "bin" / "python", "-c", probe], check=True, cwd=tmp_path)
