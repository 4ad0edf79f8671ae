"""What the benchmarks rest on: the same items everywhere, processor time told apart, verdicts that can fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bocage_deploy.bench_catalogue import verdict
from bocage_deploy.bench_items import FRANCE, WORLD, Made, item, items
from bocage_deploy.bench_large_report import report
from bocage_deploy.bench_loading import bodies
from bocage_deploy.bench_processes import Meter, below
from bocage_deploy.bench_requests import Bound

BURN = "import time\nwhile time.process_time() < 0.4: pass\nprint(flush=True)\ninput()"


@pytest.mark.parametrize("made", [FRANCE, WORLD])
def test_items_are_the_same_each_time_and_as_many_as_asked_for(made: Made) -> None:
    first = list(items(made, 1237))
    assert first == list(items(made, 1237)) and len({(x["collection"], x["id"]) for x in first}) == 1237
    assert sum(made.counts(1237).values()) == 1237
    holder, _ = made.collections[0]
    assert item(made, holder, 7) in first
    assert len({x["properties"]["eo:cloud_cover"] for x in first if x["properties"]["eo:cloud_cover"] < 100}) > 1000


def test_a_meter_counts_descendants_and_nobody_else() -> None:
    nested = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"
    with (
        subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as busy,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as idle,
    ):
        assert busy.stdin and busy.stdout and idle.stdin
        busy.stdout.readline()
        assert below(os.getpid(), "process_time() < 0.4") in {busy.pid} | {below(busy.pid, "process_time")}
        meter = Meter({"busy": busy.pid, "idle": idle.pid})
        meter.begin()
        assert meter.end()["busy"] < 0.3, "what was used before is not counted"
        meter._before = dict.fromkeys(meter._before, 0.0)
        told = meter.end()
        assert told["busy"] >= 0.4 and told["idle"] < told["busy"]
        with pytest.raises(LookupError):
            below(idle.pid, "no such words")
        for process in (busy, idle):
            assert process.stdin
            process.stdin.write(b"\n")
            process.stdin.flush()


def test_the_stricter_bound_decides() -> None:
    assert verdict(Bound(12, 4), 8.0, 120.0, 40.0) == (10.0, True)
    assert verdict(Bound(12, 4), 11.0, 240.0, 40.0) == (10.0, False)
    assert verdict(Bound(6), 3.0, 18.0, 1.0) == (3.0, True)
    assert verdict(Bound(6), 3.1, 18.0, 1.0)[1] is False


def test_bodies_hold_every_item_once(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"".join(b"%d\n" % number for number in range(1003)))
    found = [json.loads(body)["features"] for body in bodies(file, 1003)]
    assert [item for batch in found for item in batch] == list(range(1003))
    assert len(found) >= 19


def results() -> dict[str, object]:
    fine = {"n": 30, "p50": 5.0, "p95": 8.0, "p99": 9.0, "max": 10.0}
    searches = dict.fromkeys(("first", "last"), fine) | {"search": fine | {"hits": 4.0}}
    for name in ("by month", "by collection"):
        searches |= {name: fine, f"{name}, filtered": fine}
    return {
        "made": 2200, "searches": searches, "loaded": {"bare": 5000.0, "ours": 3333.0, "sent": 6000.0},
        "killed API": {"again": 3, "missing": 0, "differ": 0},
        "killed": {"before": 20_000, "missing": 0, "differ": 0}, "settled": {"items": 1_000_000, "differ": 0},
    }  # fmt: skip


def test_a_report_says_what_fails() -> None:
    text, well = report(results(), 50_000)
    assert well and "fails" not in text and "1.50 × as long" in text
    for step, member, value in (
        ("killed API", "missing", 1), ("loaded", "sent", 4999.0), ("loaded", "ours", 2499.0), ("killed", "differ", 2),
        ("settled", "differ", 1),
    ):  # fmt: skip
        changed = results()
        changed[step] = {**changed[step], member: value}  # type: ignore[dict-item]
        text, well = report(changed, 50_000)
        assert not well and text.count("**fails**") == 1
    refused = results()
    refused["searches"] = {**refused["searches"], "by month": {"refused": "404 Not Found"}}  # type: ignore[dict-item]
    assert not report(refused, 50_000)[1]
