"""The engine's runner, against a stand-in executable: real processes, real signals, no stereo."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from bocage_processes import guard
from bocage_processes.cars import Matching, prepare, pyramid, run_cars, settings
from bocage_processes.cars_log import LogReader, cause_of_failure
from bocage_processes.geoid import geoid_file, undulation
from bocage_processes.imagery import read_image
from bocage_processes.process import Cancelled, EngineFailed, InputRefused
from bocage_processes.scene import make_scene
from bocage_processes.stereo import StereoPlan, plan_stereo

LOG = """\
2026-01-01 00:00:00,000 :: INFO :: Check configuration...
2026-01-01 00:00:01,000 :: INFO :: Starting subsampling pipeline
2026-01-01 00:00:02,000 :: INFO :: Starting surface modeling pipeline for resolution 1/4
2026-01-01 00:00:03,000 :: INFO :: Started task tie_points in pipeline Tie Points, total: 4
2026-01-01 00:00:04,000 :: INFO :: Data list to process: 100% complete (4/4 tiles) [run 1/2]
2026-01-01 00:00:05,000 :: INFO :: Data list to process: 100% complete (4/4 tiles) [run 2/2]
2026-01-01 00:00:06,000 :: INFO :: Started task generate_disparity_grids in pipeline surface_modeling_res4, total: 2
2026-01-01 00:00:07,000 :: INFO :: Started task disparity_to_depth_maps in pipeline surface_modeling_res4, total: 1
2026-01-01 00:00:08,000 :: INFO :: Starting surface modeling pipeline for resolution 1/1
2026-01-01 00:00:09,000 :: INFO :: Started task tie_points in pipeline Tie Points, total: 5
2026-01-01 00:00:10,000 :: INFO :: Data list to process: 20% complete (1/5 tiles) [run 1/2]
2026-01-01 00:00:11,000 :: INFO :: Started task rasterize_point_cloud in pipeline surface_modeling_res1, total: 2
2026-01-01 00:00:12,000 :: INFO :: Data list to process: 50% complete (1/2 tiles) [run 1/2]
2026-01-01 00:00:13,000 :: INFO :: Started task Formatting in pipeline Formatting, total: 1
2026-01-01 00:00:14,000 :: INFO :: CARS has successfully completed the pipeline.
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> StereoPlan:
    scene = make_scene(tmp_path_factory.mktemp("scene"), size=200)
    return plan_stereo([read_image(scene.views[name], None, f"scenes/{name}") for name in ("nadir", "fwd")])


def stand_in(folder: Path, body: str) -> Path:
    """An executable in Python that is given what `cars` is given; `config` is its configuration."""
    path = folder / "cars"
    head = f"#!{sys.executable}\nimport sys, time, os, subprocess, pathlib\nconfig = pathlib.Path(sys.argv[-1])\n"
    path.write_text(head + textwrap.dedent(body))
    path.chmod(0o755)
    return path


def fails(folder: Path, plan: StereoPlan, last_line: str, code: int = 1) -> InputRefused | EngineFailed:
    executable = stand_in(folder, f"print({last_line!r}, flush=True); sys.exit({code})")
    with pytest.raises((InputRefused, EngineFailed)) as failure:
        run_cars(executable, plan, Matching(), folder / "work")
    assert not (folder / "work").exists()
    assert isinstance(failure.value, InputRefused | EngineFailed)
    return failure.value


def test_the_percentage_rises_to_the_end_and_never_falls() -> None:
    reader = LogReader((4, 1), 2)
    seen = [0.0]
    for line in LOG.splitlines():
        reader.feed(line)
        seen.append(reader.percent)
    assert seen == sorted(seen)
    assert len(set(seen)) >= 9
    assert seen[-1] > 95
    assert reader.failed_tiles == 0


def test_the_log_may_hold_anything() -> None:
    reader = LogReader((1,), 1)
    for line in (
        "",
        "\x00\x01",
        "Data list to process: 50% complete (1/2 tiles) [run 1/1]",
        "Started task x in pipeline",
    ):
        reader.feed(line)
    assert reader.percent == 0
    reader.feed("2026-01-01 00:00:00,000 :: ERROR :: Pipeline will pursue without failed tiles")
    assert reader.failed_tiles == 1


@pytest.mark.parametrize(
    ("line", "kind", "code"),
    [
        ("ValueError: can not read rpc file", InputRefused, "no-rpc"),
        ("RuntimeError: The two envelopes do not intersect one another", InputRefused, "no-overlap"),
        ("rasterio.errors.RasterioIOError: /x/a.tif: TIFFReadDirectory:Failed", InputRefused, "unreadable-image"),
        ("RuntimeError: The DSM generated at resolution 4 is empty", InputRefused, "no-matches"),
        ("MemoryError: Unable to allocate 3 GiB", EngineFailed, "out-of-memory"),
        ("OSError: [Errno 28] No space left on device", EngineFailed, "disk-full"),
        ("KeyError: 'something new'", EngineFailed, "engine-failed"),
    ],
)
def test_last_words_become_causes(
    tmp_path: Path, plan: StereoPlan, line: str, kind: type[Exception], code: str
) -> None:
    failure = fails(tmp_path, plan, line)
    assert type(failure) is kind
    assert failure.code == code
    assert failure.remedy
    assert "/" not in failure.detail


def test_success_without_a_result_is_a_failure(tmp_path: Path, plan: StereoPlan) -> None:
    assert fails(tmp_path, plan, LOG.splitlines()[-1], code=0).code == "engine-failed"


def test_killed_for_memory(tmp_path: Path, plan: StereoPlan) -> None:
    assert cause_of_failure([], 137).code == "out-of-memory"
    executable = stand_in(tmp_path, "os.kill(os.getpid(), 9)")
    with pytest.raises(EngineFailed) as failure:
        run_cars(executable, plan, Matching(), tmp_path / "work")
    assert failure.value.code == "out-of-memory"


def test_what_it_used_and_found_is_told(tmp_path: Path, plan: StereoPlan) -> None:
    executable = stand_in(
        tmp_path,
        f"""
        print({LOG!r}, flush=True)
        print("x :: ERROR :: Pipeline will pursue without failed tiles")
        out = config.parent / "out"
        (out / "dsm").mkdir(parents=True)
        (out / "dsm" / "dsm.tif").write_bytes(b"II")
        (out / "metadata.yaml").write_text("surface_modeling: {{'1': {{version: 9.9, applications: {{grid_generation: "
            "{{image1_image2: {{convergence_angle: 7.4}}}}, match_filtering: {{image1_image2: "
            "{{number_matches: 12}}}}}}}}}}")
        end = time.process_time() + 0.4
        while time.process_time() < end: pass
        """,
    )
    seen: list[float] = []
    result = run_cars(
        executable, plan, Matching(), tmp_path / "work", on_progress=lambda percent, message: seen.append(percent)
    )
    assert result.version == "9.9"
    assert result.failed_tiles == 1
    assert result.pairs[0]["matches"] == 12
    assert result.pairs[0]["convergence_deg"] == 7.4
    assert 0.3 < result.cpu_seconds < 5
    assert result.peak_bytes > 2**20
    assert seen == sorted(seen)
    assert seen[-1] > 95


def alive(marker: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if marker in (process.info["cmdline"] or []):
            found.append(process.info["pid"])
    return found


HANGS = """
marker = {marker!r}
for _ in range(2):
    code = "import signal, time; signal.signal(15, lambda *a: None); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code, marker])
(config.parent / "half.tif").write_bytes(b"0" * 1000)
time.sleep(600)
"""


def test_cancelling_kills_the_whole_group_within_two_seconds(tmp_path: Path, plan: StereoPlan) -> None:
    marker = f"child-of-{tmp_path.name}-{os.getpid()}"
    executable = stand_in(tmp_path, HANGS.format(marker=marker))
    asked: list[float] = []

    def should_stop() -> bool:
        if len(alive(marker)) == 2 and not asked:
            asked.append(time.monotonic())
        return bool(asked)

    with pytest.raises(Cancelled):
        run_cars(executable, plan, Matching(), tmp_path / "work", should_stop=should_stop)
    assert time.monotonic() - asked[0] < 2
    assert not alive(marker)
    assert not (tmp_path / "work").exists()


def test_what_progress_raises_stops_it_too(tmp_path: Path, plan: StereoPlan) -> None:
    def lost(percent: float, message: str) -> None:
        raise Cancelled("cancelled", "the lease is gone")

    with pytest.raises(Cancelled):
        run_cars(stand_in(tmp_path, "time.sleep(600)"), plan, Matching(), tmp_path / "work", on_progress=lost)
    assert not (tmp_path / "work").exists()


def test_it_does_not_wait_for_ever(tmp_path: Path, plan: StereoPlan) -> None:
    with pytest.raises(EngineFailed) as failure:
        run_cars(stand_in(tmp_path, "time.sleep(600)"), plan, Matching(), tmp_path / "work", timeout=0.6)
    assert failure.value.code == "engine-timeout"


def test_the_group_dies_with_a_runner_killed_without_warning(tmp_path: Path) -> None:
    marker = f"orphan-of-{tmp_path.name}-{os.getpid()}"
    (tmp_path / "cars.yaml").touch()
    executable = stand_in(tmp_path, HANGS.format(marker=marker))
    command = [sys.executable, "-I", guard.__file__, str(tmp_path / "usage.json")]
    code = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen(sys.argv[1:5] + [str(os.getpid())] + sys.argv[5:], start_new_session=True)\n"
        "time.sleep(600)\n"
    )
    runner = subprocess.Popen([sys.executable, "-c", code, *command, str(executable), str(tmp_path / "cars.yaml")])
    deadline = time.monotonic() + 20
    while len(alive(marker)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(alive(marker)) == 2
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    deadline = time.monotonic() + 2
    while alive(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(marker)


def test_no_secret_nor_path_of_ours_reaches_the_engine(
    tmp_path: Path, plan: StereoPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    seen: list[str] = []
    executable = stand_in(tmp_path, "print('ENV', sorted(os.environ), flush=True); sys.exit(1)")
    with pytest.raises(EngineFailed):
        run_cars(executable, plan, Matching(), tmp_path / "work", on_log=seen.append)
    assert any("OMP_NUM_THREADS" in line for line in seen)
    assert not any("DATABASE_URL" in line for line in seen)


def test_settings_follow_the_plan(tmp_path: Path, plan: StereoPlan) -> None:
    prepare(plan, Matching(), tmp_path, cores=2, resolutions=pyramid(plan))
    config = yaml.safe_load((tmp_path / "cars.yaml").read_text())
    assert config["input"]["pairing"] == [["image1", "image2"]]
    assert config["output"]["geoid"] is False
    assert config["subsampling"]["advanced"]["resolutions"] == [1]
    assert config["surface_modeling"]["applications"]["all"]["dense_matching"] == {}
    assert "roi" not in config["input"]


def test_the_engine_starts_at_the_ground_only_where_sea_level_will_not_do(tmp_path: Path, plan: StereoPlan) -> None:
    for altitude, given in ((1.0, False), (3000.0, True), (-400.0, True)):
        there = replace(plan, initial_altitude=altitude)
        folder = tmp_path / str(altitude)
        folder.mkdir()
        prepare(there, Matching(), folder, cores=2, resolutions=(1,))
        start = folder / "start" / "sitecustomize.py"
        assert start.exists() is given
        assert not given or f"{altitude!r}" in start.read_text()


def test_window_and_regularisation_set_the_matching(tmp_path: Path, plan: StereoPlan) -> None:
    def pipeline(matching: Matching) -> tuple[int, int, int]:
        config = settings(plan, matching, tmp_path, cores=1, resolutions=(1,))
        chosen = config["surface_modeling"]["applications"]["all"]["dense_matching"]["loader_conf"]["pipeline"]
        penalty = chosen["optimization"]["penalty"]
        return chosen["matching_cost"]["window_size"], penalty["P1"], penalty["P2"]

    assert pipeline(Matching(window=2)) == (5, 8, 32)
    assert pipeline(Matching(regularisation=0.1)) == (5, 40, 160)
    window, p1, p2 = pipeline(Matching(window=4, regularisation=0.02))
    assert window == 9
    assert 8 < p1 < p2


def test_the_geoid_is_read_where_it_is(tmp_path: Path) -> None:
    rows, cols = np.mgrid[0:721, 0:1441]
    grid = tmp_path / "egm96.grd"
    grid.write_bytes(b"\0" * 24 + (rows + cols / 10000).astype(">f4").tobytes())
    assert float(undulation(grid, 0.0, 90.0)) == 0
    assert float(undulation(grid, 359.75, -90.0)) == pytest.approx(720.1439, abs=1e-3)
    assert float(undulation(grid, -0.25, 89.875)) == pytest.approx(0.6439, abs=1e-3)
    assert undulation(grid, np.zeros((2, 3)), 45.0).shape == (2, 3)


@pytest.mark.engine
def test_the_geoid_that_comes_with_the_engine() -> None:
    executable = os.environ.get("BOCAGE_CARS")
    if not executable:
        pytest.skip("BOCAGE_CARS does not name the engine's executable")
    grid = geoid_file(Path(executable))
    assert grid is not None
    # published values of EGM96 at the poles, and south of India
    assert float(undulation(grid, 0, 90)) == pytest.approx(13.606, abs=0.01)
    assert float(undulation(grid, 0, -90)) == pytest.approx(-29.535, abs=0.01)
    assert -107 < float(undulation(grid, 78.75, 4.75)) < -104
