"""Out of the catalogue and into it, by the command, through the gateway: whole, broken off, killed, gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from platforms import Running

COUNT = 3000


def collection(name: str) -> dict[str, Any]:
    return {
        "type": "Collection", "stac_version": "1.1.0", "id": name, "license": "CC-BY-4.0", "links": [],
        "description": "Loaded by a test.", "bocage:audience": "public", "bocage:licences": ["CC-BY-4.0"],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
    }  # fmt: skip


def item(number: int, holder: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"i{number:05}", "collection": holder,
        "geometry": {"type": "Point", "coordinates": [number % 180, number % 90]},
        "bbox": [number % 180, number % 90, number % 180, number % 90],
        "links": [{"rel": "self", "href": f"https://data.example.org/{number}.json"}],
        "assets": {"data": {"href": f"./{number}.tif", "type": "image/tiff"}},
        "properties": {"datetime": f"2024-01-{number % 28 + 1:02}T00:00:00Z", "number": number, **properties},
    }  # fmt: skip


def write_lines(path: Path, documents: list[Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in documents))
    return path


def command(running: Running, state: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(state), "BOCAGE_URL": running.url, "BOCAGE_STATE": str(state),
        "BOCAGE_API_KEY": running.accounts.researcher,
    }  # fmt: skip
    program = Path(sys.executable).parent / "bocage"
    return subprocess.Popen(
        [str(program), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background of a shell has made them deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def told(running: Running, state: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The one JSON document of a command."""
    process = command(running, state, *arguments, "--json")
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, out + err
    found: dict[str, Any] = json.loads(out)
    return found


def process_info(running: Running, name: str) -> dict[str, Any]:
    return dict(running.platform._supervisor_call("getProcessInfo", name))


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def held(client: httpx.Client, holder: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    url: str | None = f"/stac/collections/{holder}/items?limit=1000&sortby=id"
    while url is not None:
        page = client.get(url).json()
        found += page["features"]
        url = next((x["href"] for x in page["links"] if x["rel"] == "next"), None)
    return found


@pytest.fixture(scope="module")
def researcher(running: Running) -> Iterator[httpx.Client]:
    with running.researcher as client:
        for name in ("loaded", "copied", "small"):
            assert client.post("/stac/collections", json=collection(name)).status_code == 201
        yield client


@pytest.fixture(scope="module")
def loaded(running: Running, researcher: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many items, by a load that was killed in its middle and started again."""
    folder = tmp_path_factory.mktemp("load")
    path = write_lines(folder / "items.ndjson", [item(n, "loaded") for n in range(COUNT)])
    process = command(running, folder, "load", str(path), "--batch", "100")
    until(lambda: any(x.stat().st_size for x in folder.glob("loads/*.journal")), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    between = len(held(researcher, "loaded"))
    assert 0 < between < COUNT
    done = told(running, folder, "load", str(path), "--batch", "100")["items"]
    assert done["failed"] == 0 and done["before"] > 0
    assert done["new"] + done["unchanged"] + done["before"] == COUNT
    assert done["new"] <= COUNT - between, "what the killed run had sent is there already, or arrives meanwhile"
    assert not list(folder.glob("loads/*")), "a load that is done leaves no journal"
    return folder


def test_nothing_is_lost_and_nothing_twice(loaded: Path, researcher: httpx.Client) -> None:
    found = held(researcher, "loaded")
    assert [x["properties"]["number"] for x in found] == list(range(COUNT))
    asset = found[7]["assets"]["data"]
    assert (asset["href"], asset["bocage:external"]) == ("https://data.example.org/7.tif", True)


def test_again_changes_nothing_and_upsert_what_differs(running: Running, loaded: Path) -> None:
    again = told(running, loaded, "load", str(loaded / "items.ndjson"))
    assert again["items"] == {"new": 0, "updated": 0, "unchanged": COUNT, "before": 0, "failed": 0}
    more = {3: {"title": "changed"}}
    path = write_lines(loaded / "few.ndjson", [item(n, "loaded", **more.get(n, {})) for n in range(5)])
    refused = told(running, loaded, "load", str(path), code=1)
    assert refused["items"]["failed"] == 1
    (failure,) = refused["failures"]
    assert failure["id"] == "i00003" and failure["where"].endswith("few.ndjson:4") and "--upsert" in failure["detail"]
    done = told(running, loaded, "load", str(path), "--upsert")["items"]
    assert (done["updated"], done["unchanged"], done["failed"]) == (1, 4, 0)


@pytest.mark.parametrize("suffix", ["ndjson", "parquet"])
def test_what_is_exported_is_loaded_as_it_was(
    running: Running, loaded: Path, researcher: httpx.Client, suffix: str
) -> None:
    path = loaded / f"out.{suffix}"
    made = told(running, loaded, "export", "--collection", "loaded", "-o", str(path), "--filter", "number < 500")
    assert made["file"] == str(path) and made["bytes"] == path.stat().st_size
    done = told(running, loaded, "load", str(path), "--collection", "copied")["items"]
    assert done["new"] + done["unchanged"] == 500 and done["failed"] == 0
    for before, after in zip(held(researcher, "loaded")[:500], held(researcher, "copied"), strict=True):
        for member in ("id", "geometry", "bbox", "assets"):
            assert after[member] == before[member]
        assert after["properties"] == before["properties"]


def test_an_export_has_its_name_only_when_it_is_whole(running: Running, loaded: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.ndjson"
    for stop, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        process = command(running, tmp_path, "export", "--collection", "loaded", "-o", str(path))
        until(lambda: any(x.stat().st_size for x in tmp_path.glob(".all.ndjson-*.part")), process)
        process.send_signal(signal.SIGSTOP)  # before it can be done
        process.send_signal(stop)
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == code
        assert not path.exists()
        parts = list(tmp_path.glob(".all*"))
        assert len(parts) == (1 if stop == signal.SIGKILL else 0), "only who is killed leaves something behind"
        for part in parts:
            part.unlink()
    assert told(running, tmp_path, "export", "--collection", "loaded", "-o", str(path))["items"] == COUNT
    assert len(path.read_bytes().splitlines()) == COUNT


def test_a_service_that_dies_is_no_end_of_an_export(running: Running, loaded: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.ndjson"
    process = command(running, tmp_path, "export", "--collection", "loaded", "-o", str(path), "--json")
    until(lambda: any(x.stat().st_size for x in tmp_path.glob(".all.ndjson-*.part")), process)
    process.send_signal(signal.SIGSTOP)
    os.kill(process_info(running, "catalogue")["pid"], signal.SIGKILL)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["items"] == COUNT == len(path.read_bytes().splitlines())


def test_standard_output_and_refusals(running: Running, loaded: Path, tmp_path: Path) -> None:
    done = running.bocage("export", "--collection", "loaded", "--limit", "3", "--sortby", "-number")
    assert done.returncode == 0
    assert [json.loads(x)["properties"]["number"] for x in done.stdout.splitlines()] == [2999, 2998, 2997]
    for arguments, code in (
        (["--filter", "number <"], 1),
        (["--bbox", "1,2"], 2),
        (["-o", str(tmp_path / "x.csv")], 2),
        (["-o", str(tmp_path / "no" / "x.ndjson")], 2),
        (["--json"], 2),
    ):
        refused = running.bocage("export", *arguments)
        assert refused.returncode == code, refused.stderr
        assert not list(tmp_path.iterdir())


def test_bad_lines_are_named_and_the_others_loaded(running: Running, researcher: httpx.Client, tmp_path: Path) -> None:
    wrong = [item(1, "small", datetime="yesterday"), item(2, "small") | {"id": "not/an id"}, item(3, "small")]
    path = write_lines(tmp_path / "some.ndjson", [item(0, "small"), *wrong])
    with path.open("a") as file:
        file.write('{"type": "Feature"\n')
    failures = tmp_path / "failures.ndjson"
    process = command(running, tmp_path, "load", str(path))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "some.ndjson:" in err
    assert held(researcher, "small") == [], "all or nothing"
    done = told(running, tmp_path, "load", str(path), "--partial", "--failures", str(failures), code=1)
    assert (done["items"]["new"], done["items"]["failed"]) == (2, 3)
    named = [json.loads(line) for line in failures.read_text().splitlines()]
    assert sorted(x["where"].rpartition(":")[2] for x in named) == ["2", "3", "5"]
    assert all(x["detail"] for x in named)
    assert [x["id"] for x in held(researcher, "small")] == ["i00000", "i00003"]


def test_who_may_not_write_is_told_so(running: Running, researcher: httpx.Client, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "one.ndjson", [item(9, "small")])
    done = running.bocage("load", str(path), "--json", key=running.accounts.company)
    assert done.returncode == 3 and json.loads(done.stdout)["status"] == 403
    nowhere = running.bocage("load", str(path), "--collection", "no-such-collection", "--json")
    assert nowhere.returncode == 1 and json.loads(nowhere.stdout)["status"] == 404


def test_what_one_may_not_see_is_not_exported(running: Running, researcher: httpx.Client, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "own.ndjson", [item(50, "small", **{"bocage:audience": "owner"})])
    assert told(running, tmp_path, "load", str(path))["items"]["new"] == 1
    for key, count in ((running.accounts.researcher, 1), (running.accounts.company, 0)):
        done = running.bocage("export", "--collection", "small", "--ids", "i00050", key=key)
        assert done.returncode == 0 and len(done.stdout.splitlines()) == count
