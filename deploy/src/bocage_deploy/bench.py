"""Benchmarks beside their floors, as ratios measured in one run: `python -m bocage_deploy.bench [NAME …]`."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from bocage_processes import cars, dsm
from bocage_processes.imagery import open_image
from bocage_processes.process import LocalContext, StagedAsset, StagedItem
from bocage_processes.scene import make_scene
from bocage_processes.stereo import plan_stereo
from bocage_processes.surface import make_ortho, read_surface

from bocage_deploy import bench_catalogue as bench_catalogue_
from bocage_deploy import bench_rights as bench_rights_
from bocage_deploy.engine import ensure_cars
from bocage_deploy.home import Home
from bocage_deploy.platform import Platform


def line(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of_self() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def bench_dsm(_asked: argparse.Namespace) -> bool:
    """CPU of the process `dsm` beside that of the bare engine with the same settings."""
    executable = ensure_cars()
    with tempfile.TemporaryDirectory(prefix="bocage-bench-") as temporary:
        folder = Path(temporary)
        make_scene(folder)
        items = {
            f"scene/{view}": StagedItem(
                reference=f"scene/{view}",
                assets={"image": StagedAsset(path=folder / f"{view}.tif", media_type="image/tiff", roles=("data",))},
            )
            for view in ("nadir", "fwd", "bwd")
        }
        plan = plan_stereo([open_image(item) for item in items.values()])

        bare = folder / "bare"
        bare.mkdir()
        cars.prepare(plan, cars.Matching(), bare, cores=2, resolutions=cars.pyramid(plan))
        before = cpu_of_children()
        begun = time.monotonic()
        subprocess.run(
            [str(executable), "--logtype", "plain", str(bare / "cars.yaml")], check=True, cwd=bare, capture_output=True,
            env={**os.environ, "PYTHONPATH": str(bare / "start")},
        )  # fmt: skip
        bare_cpu, bare_wall = cpu_of_children() - before, time.monotonic() - begun

        work = folder / "work"
        work.mkdir()
        before, own = cpu_of_children(), cpu_of_self()
        begun = time.monotonic()
        inputs = dsm.DsmInputs(images=list(items))
        dsm.run(inputs, LocalContext(folder=work, items=items, engines={"cars": executable}))
        ours_cpu, ours_wall = cpu_of_children() - before + cpu_of_self() - own, time.monotonic() - begun

        shutil.rmtree(work)
        result = cars.run_cars(executable, plan, cars.Matching(), folder / "again", cores=2)
        surface = read_surface(result, plan)
        own = cpu_of_self()
        make_ortho(surface, plan)
        ortho_cpu = cpu_of_self() - own
    line("dsm, demonstration scene (three images, 700 × 700 px)")
    line(f"  bare engine, same settings   {bare_cpu:7.1f} CPU s   {bare_wall:6.1f} s")
    line(f"  true ortho alone             {ortho_cpu:7.1f} CPU s")
    line(f"  process dsm                  {ours_cpu:7.1f} CPU s   {ours_wall:6.1f} s")
    line(f"  (dsm − ortho) / bare         {(ours_cpu - ortho_cpu) / bare_cpu:7.2f}         at most 1.25")
    return True


def bench_gateway(_asked: argparse.Namespace) -> bool:
    """Latency through the gateway with a key beside the same request at the service's own socket."""
    home = Path(tempfile.mkdtemp(prefix="bocage-bench-", dir="/tmp"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOCAGE_")} | {"BOCAGE_PORT": "8793"}
    platform = Platform(Home(home), environment, lambda text: None)
    try:
        platform.start(with_parent=True, with_engine=False)
        accounts = platform.demonstration_accounts()
        transport = httpx.HTTPTransport(uds=str(home / "run" / "rights.sock"))
        with (
            httpx.Client(base_url=platform.url, headers={"X-API-Key": accounts.researcher}) as public,
            httpx.Client(transport=transport, base_url="http://rights") as direct,
        ):
            token = direct.post("/identity", json={"api_key": accounts.researcher}).json()["token"]

            def through() -> None:
                public.get("/rights/licences").raise_for_status()

            def beside() -> None:
                direct.get("/rights/licences", headers={"Bocage-Identity": token}).raise_for_status()

            ours, floor = interleaved(through, beside, rounds=300)
        line("gateway, GET /rights/licences with an API key, one client")
        line(f"  at the service's socket      {floor * 1000:7.2f} ms p50")
        line(f"  through the gateway          {ours * 1000:7.2f} ms p50   ratio {ours / floor:.2f}")
    finally:
        platform.stop()
        shutil.rmtree(home, ignore_errors=True)
    return True


def interleaved(first: Callable[[], None], second: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Medians of two calls made in turn, so that both meet the same machine."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 20):
        for call, kept in zip((first, second), times, strict=True):
            begun = time.perf_counter()
            call()
            if number >= 20:
                kept.append(time.perf_counter() - begun)
    return statistics.median(times[0]), statistics.median(times[1])


def bench_rights(_asked: argparse.Namespace) -> bool:
    """CPU of identity, licence, limits and counting in the gateway, and of verification in services."""
    bench_rights_.measure(line)
    return True


def bench_catalogue(asked: argparse.Namespace) -> bool:
    """Searches and items through the gateway, beside the software that the catalogue is built on."""
    return bench_catalogue_.measure(line, asked.items or bench_catalogue_.ITEMS, asked.rounds)


BENCHMARKS = {"rights": bench_rights, "catalogue": bench_catalogue, "gateway": bench_gateway, "dsm": bench_dsm}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bocage_deploy.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--items", type=int, metavar="N", help="how many items, for a quick look at the catalogue")
    parser.add_argument("--rounds", type=int, default=bench_catalogue_.ROUNDS, metavar="N", help="requests of a kind")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}")
    # All are run, so that one whose bound fails hides no other's figures.
    held = [BENCHMARKS[name](asked) for name in asked.names or BENCHMARKS]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
