"""The catalogue with a million items: `python -m bocage_deploy.bench_large [--items N] [--report FILE]`.

Steps that are done are kept in the folder: started again, it goes on where it was ended.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psycopg

from bocage_deploy import bench_items, bench_loading, bench_peer
from bocage_deploy.bench_items import WORLD
from bocage_deploy.bench_large_report import report
from bocage_deploy.bench_large_searches import Client, measured
from bocage_deploy.bench_processes import below
from bocage_deploy.cluster import Cluster, install_programs
from bocage_deploy.home import Home
from bocage_deploy.platform import Platform

ITEMS, PORT, SENDERS, LOADERS = 1_000_000, 8798, 4, 2
_COLLECTIONS = [name for name, _ in WORLD.collections]
_BY_LOADER, _BY_API, (_BY_KILLED_API, _KILLED, *_REST) = _COLLECTIONS[:5], _COLLECTIONS[5:10], _COLLECTIONS[10:]


def line(text: str = "") -> None:
    sys.stdout.write(f"[{time.strftime('%H:%M:%S')}] {text}\n")
    sys.stdout.flush()


def write_part(folder: Path, collection: str, count: int) -> None:
    """The items of one collection as a file."""
    made = folder / f"{collection}.part"
    with made.open("wb") as handle:
        for number in range(count):
            handle.write(orjson.dumps(bench_items.item(WORLD, collection, number)) + b"\n")
    made.rename(folder / f"{collection}.ndjson")


@dataclass
class Run:
    """A measurement in a folder of its own, step by step."""

    folder: Path
    items: int
    ends: float
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def each(self) -> int:
        return self.items // len(_COLLECTIONS)

    def file(self, collection: str) -> Path:
        return self.folder / f"{collection}.ndjson"

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        """The result of a step, which is done unless it was done before."""
        if name not in self.results:
            begun = time.monotonic()
            self.results[name] = work()
            self.keep()
            line(f"{name}: done in {time.monotonic() - begun:.0f} s")
        return self.results[name]

    def keep(self) -> None:
        """Write down what is done."""
        kept = self.folder / "done.part"
        kept.write_text(json.dumps(self.results, indent=1))
        kept.rename(self.folder / "done.json")


@contextmanager
def platform_in(folder: Path) -> Iterator[tuple[Platform, str]]:
    """A platform that runs, and the URL of its database's administrator."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOCAGE_")} | {"BOCAGE_PORT": str(PORT)}
    environment.pop("DATABASE_URL", None)
    platform = Platform(Home(folder / "ours"), environment, lambda text: None)
    platform.start(with_parent=True, with_engine=False)
    try:
        yield platform, Cluster(platform.home, install_programs()).url(platform.database_name)
    finally:
        platform.stop()


def made(run: Run) -> float:
    """Write every collection's items, on all processors."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        waiting = [
            pool.submit(write_part, run.folder, name, run.each) for name in _COLLECTIONS if not run.file(name).exists()
        ]
        for each in waiting:
            each.result()
    (run.folder / "collections.ndjson").write_bytes(
        b"".join(orjson.dumps(bench_items.collection(name)) + b"\n" for name in _COLLECTIONS)
    )
    return run.file(_COLLECTIONS[0]).stat().st_size / run.each


def loaded_bare(run: Run, collection: str) -> float:
    """One collection into a pgSTAC of its own, with nothing beside it but a platform that is at rest."""
    shutil.rmtree(run.folder / "bare", ignore_errors=True)
    try:
        with bench_peer.database(run.folder / "bare") as bare:
            bench_loading.pypgstac_load(bare.url, "collections", run.folder / "collections.ndjson", "upsert")
            return bench_loading.pypgstac_load(bare.url, "items", run.file(collection))
    finally:
        shutil.rmtree(run.folder / "bare", ignore_errors=True)


def loaded(run: Run, key: str, url: str) -> dict[str, float]:
    """Items a second: into a bare pgSTAC, by its loader into ours, and through our API; in turn, for a machine is not
    as fast at all times. Each begins with nothing beside it that another has left to do."""
    rates: dict[str, list[float]] = {"bare": [], "ours": [], "sent": []}
    for by_loader, by_api in zip(_BY_LOADER, _BY_API, strict=True):
        bench_loading.delete_items(url, by_loader)
        bench_loading.delete_items(url, by_api)
        waiting = list(bench_loading.bodies(run.file(by_api), run.each))
        seconds = {}
        bench_loading.wait_until_at_rest(url, line)
        seconds["bare"] = loaded_bare(run, by_loader)
        seconds["ours"] = bench_loading.pypgstac_load(url, "items", run.file(by_loader))
        bench_loading.wait_until_at_rest(url, line)
        seconds["sent"] = bench_loading.Sender(PORT, key, by_api).send_all(waiting, SENDERS)
        for name, taken in seconds.items():
            rates[name].append(run.each / taken)
        line(", ".join(f"{name} {found[-1]:.0f} items/s" for name, found in rates.items()))
    return {name: statistics.median(found) for name, found in rates.items()}


def killed_api(run: Run, key: str, url: str) -> dict[str, int]:
    """A collection through the API by several senders, while the process that takes it is killed."""
    bench_loading.delete_items(url, _BY_KILLED_API)
    supervisor = int((run.folder / "ours" / "supervisor.pid").read_text())

    def kill_in_the_middle() -> None:
        while bench_loading.held(url, _BY_KILLED_API) < run.each // 2:
            time.sleep(0.05)
        os.kill(below(supervisor, "-m bocage_catalogue"), signal.SIGKILL)

    sender = bench_loading.Sender(PORT, key, _BY_KILLED_API)
    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_in_the_middle)
        sender.send_all(list(bench_loading.bodies(run.file(_BY_KILLED_API), run.each)), SENDERS)
        killing.result(timeout=60)
    by_api = (*_BY_API, _BY_KILLED_API)
    return {
        "again": sender.sent_again,
        "missing": sum(bench_loading.missing(url, run.file(name), name) for name in by_api),
        "differ": sum(bench_loading.differences(url, name) for name in by_api),
    }


def killed(run: Run, url: str) -> dict[str, int]:
    """A load that is killed half-way, and started again."""
    bench_loading.delete_items(url, _KILLED)
    bench_loading.killed_load(url, run.file(_KILLED), lambda: bench_loading.held(url, _KILLED) >= run.each // 2)
    before = bench_loading.held(url, _KILLED)
    bench_loading.pypgstac_load(url, "items", run.file(_KILLED), "ignore")
    return {
        "before": before,
        "missing": bench_loading.missing(url, run.file(_KILLED), _KILLED),
        "differ": bench_loading.differences(url, _KILLED),
    }


def load_the_rest(run: Run, url: str) -> None:
    """The other collections, some at once, with the time that is left; ends early when the time is up."""
    waiting = [name for name in _REST if f"load {name}" not in run.results]
    begun, done, running = time.monotonic(), 0, dict[Future[float], str]()
    with ThreadPoolExecutor(LOADERS) as pool:
        while waiting or running:
            while waiting and len(running) < LOADERS and time.monotonic() < run.ends:
                name = waiting.pop(0)
                # One that was ended half-way has some of them already.
                method = "ignore" if bench_loading.held(url, name) else "insert"
                running[pool.submit(bench_loading.pypgstac_load, url, "items", run.file(name), method)] = name
            if not running:
                line(f"The time is up: {len(waiting)} collections are left out.")
                return
            for finished in wait(running, return_when=FIRST_COMPLETED).done:
                run.results[f"load {running.pop(finished)}"] = finished.result()
                run.keep()
                done += 1
                left = (time.monotonic() - begun) / done * (len(waiting) + len(running))
                line(f"  {done} collections of {run.each} items loaded; about {left / 60:.0f} min left")


def settled(url: str) -> dict[str, int]:
    """Wait for what is done after the writes; how many items there are, and how many are found otherwise."""
    bench_loading.wait_until_finished(url, line)
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("select count(*) from pgstac.items").fetchone()
    assert row is not None
    return {"items": int(row[0]), "differ": sum(bench_loading.differences(url, name) for name in _COLLECTIONS)}


def measure(run: Run) -> None:
    run.step("made", lambda: made(run))
    with platform_in(run.folder) as (platform, url):
        key = platform.demonstration_accounts().admin
        collections = run.folder / "collections.ndjson"
        run.step("collections", lambda: bench_loading.pypgstac_load(url, "collections", collections, "upsert"))
        run.step("loaded", lambda: loaded(run, key, url))
        run.step("killed API", lambda: killed_api(run, key, url))
        run.step("killed", lambda: killed(run, url))
        load_the_rest(run, url)
        run.step("settled", lambda: settled(url))
        run.step("searches", lambda: measured(Client(PORT, key), line))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bocage_deploy.bench_large", description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS, metavar="N")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where the report goes, as Markdown")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where data and databases lie (default: in /var/tmp)"
    )
    parser.add_argument("--minutes", type=float, default=60, metavar="N", help="load no more after so long")
    parser.add_argument("--keep", action="store_true", help="keep the folder after a complete run")
    asked = parser.parse_args(arguments)
    folder = (asked.folder or Path(f"/var/tmp/bocage-large-{asked.items}")).absolute()  # noqa: S108 - large, and kept
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)  # the database's own user walks through
    run = Run(folder, asked.items, time.monotonic() + asked.minutes * 60)
    if (folder / "done.json").exists():
        run.results = json.loads((folder / "done.json").read_text())
        line(f"Goes on in {folder}; done already: {', '.join(run.results)}")
    measure(run)
    text, well = report(run.results, run.each)
    sys.stdout.write(text)
    if asked.report:
        asked.report.write_text(text)
    if not asked.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
