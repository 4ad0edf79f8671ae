"""Runs CNES CARS, the stereo engine, as a subprocess: settings, progress, cancelling, and what it found.

CARS has no setting for an initial altitude: without an elevation model it starts from a constant of 0 m and refuses
mountain pairs whose footprints at 0 m do not meet. Where they slide apart, that constant is set to the plan's altitude
in every interpreter of the engine, through a `sitecustomize` module of ours on its path. (A flat elevation model would
do as well in theory; with CARS 1.3 it left a sixth of the matching points and cut the top off the pyramid of Gizeh.)
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bocage_processes import guard
from bocage_processes.cars_log import LogReader, cause_of_failure
from bocage_processes.crops import window_for, write_crop
from bocage_processes.geomodels import geom_text
from bocage_processes.process import Cancelled, EngineFailed, InputRefused
from bocage_processes.stereo import StereoPlan

ENGINE = "cars"
DEFAULT_MATCHING_WINDOW = 2
DEFAULT_REGULARISATION = 0.02
LAYERS = ("performance_map", "ambiguity", "filling", "contributing_pair")
_POLL_SECONDS = 0.25
_MIN_PYRAMID_PX = 160
"""A coarse level smaller than this has too few matching points: 125 px gave 18, where 90 are wanted."""
_START_FOLDER = "start"
_START_CODE = """\
try:
    import cars.pipelines.parameters.sensor_inputs_constants as constants
    constants.CARS_DEFAULT_ALT = {altitude!r}
except ImportError:
    pass
"""
_HARMLESS_SLIDE = 0.1
"""Part of the image by which the footprints may be apart at the engine's own 0 m."""
_P1, _P2 = 8.0, 32.0
"""CARS' own penalties, taken as DSM-OPT's default regularisation of 0.02."""


@dataclass(frozen=True)
class Matching:
    """How to match; None = the engine chooses from its land-cover map."""

    window: int | None = None
    """Half-size of the matching window: 2 is 5 × 5 pixels."""
    regularisation: float | None = None
    """0.01 (rough) to 0.2 (smooth)."""


@dataclass(frozen=True)
class EngineResult:
    """Where the engine's layers are, and what it says of itself."""

    folder: Path
    layers: Mapping[str, Path]
    """`dsm`, and those of `LAYERS` that were made."""
    version: str
    resolutions: tuple[int, ...]
    pairs: tuple[dict[str, Any], ...]
    """Convergence, matches and epipolar error by pair."""
    failed_tiles: int
    cpu_seconds: float
    peak_bytes: int
    seconds: float
    warnings: tuple[str, ...] = field(default_factory=tuple)


def pyramid(plan: StereoPlan) -> tuple[int, ...]:
    """Subsamplings to work at, coarse to fine."""
    windows = [window_for(image, plan) for image in plan.images]
    smallest = min(min(window.width, window.height) for window in windows)
    return (*(step for step in (16, 4) if smallest / step >= _MIN_PYRAMID_PX), 1)


def settings(
    plan: StereoPlan, matching: Matching, folder: Path, *, cores: int, resolutions: tuple[int, ...]
) -> dict[str, Any]:
    """CARS' configuration; the files that it names are written by `prepare`."""
    names = [f"image{index + 1}" for index in range(len(plan.images))]
    dense: dict[str, Any] = {}
    if matching.window is not None or matching.regularisation is not None:
        dense |= {"method": "pandora_custom", "loader_conf": _matching_pipeline(matching)}
    config: dict[str, Any] = {
        "input": {
            "sensors": {
                name: {
                    "image": {"path": str(_image_file(plan, index, folder)), "no_data": _nodata(image.nodata)},
                    "geomodel": str(folder / f"{name}.geom"),
                }
                for index, (name, image) in enumerate(zip(names, plan.images, strict=True))
            },
            "pairing": [[names[pair.left], names[pair.right]] for pair in plan.pairs],
        },
        "output": {
            "directory": str(folder / "out"),
            "resolution": plan.resolution,
            "epsg": plan.epsg,
            "geoid": False,
            "auxiliary": dict.fromkeys(LAYERS, True),
        },
        "orchestrator": {"mode": "sequential"},
        "subsampling": {"advanced": {"resolutions": list(resolutions)}},
        "surface_modeling": {
            "applications": {"all": {"dense_matching": dense}},
        },
    }
    if cores > 1 and sensor_megapixels(plan) > 4:
        # below this the workers' own start costs more than they save
        config["orchestrator"] = {"mode": "multiprocessing", "nb_workers": cores, "max_ram_per_worker": 2000}
    return config


def run_cars(
    executable: Path,
    plan: StereoPlan,
    matching: Matching,
    folder: Path,
    *,
    cores: int = 2,
    timeout: float | None = None,
    on_progress: Callable[[float, str], None] = lambda percent, message: None,
    on_log: Callable[[str], None] = lambda line: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> EngineResult:
    """Compute the elevation of a plan in `folder`, which is deleted when this fails or is stopped.

    Whatever `on_progress` raises stops the engine as well; it is called at least each half second.
    Raises `Cancelled`, `InputRefused`, `EngineFailed`.
    """
    begin = time.monotonic()
    attempts = [pyramid(plan)]
    if len(attempts[0]) > 1:
        attempts.append((1,))
    spent = 0.0
    warnings: list[str] = []
    floor = 0.0
    for number, resolutions in enumerate(attempts):
        reader = LogReader(resolutions, len(plan.pairs), percent=floor)
        done = False
        try:
            folder.mkdir(parents=True)
            prepare(plan, matching, folder, cores=cores, resolutions=resolutions)
            code, used = _supervise(executable, folder, reader, cores, timeout, on_progress, on_log, should_stop)
            spent += float(used["cpu_seconds"])
            if code != 0 or not (folder / "out" / "dsm" / "dsm.tif").is_file():
                raise cause_of_failure(reader.tail, code)
            result = _collect(folder, reader, plan, resolutions, spent, int(used["peak_bytes"]), begin, warnings)
            done = True
            return result
        except InputRefused as refusal:
            if refusal.code != "no-matches" or number == len(attempts) - 1:
                raise
            warnings.append("Too few matching points at reduced size: computed at full size alone.")
            floor = reader.percent
        finally:
            if not done:
                shutil.rmtree(folder, ignore_errors=True)
    raise AssertionError("unreachable")


def start_altitude(plan: StereoPlan) -> float | None:
    """The altitude to start from, metres; None where the engine's own 0 m does, and its result is then its own."""
    across = min(min(image.width, image.height) * image.gsd_m for image in plan.images)
    slide = abs(plan.initial_altitude) * max(pair.base_to_height for pair in plan.pairs)
    return plan.initial_altitude if slide > _HARMLESS_SLIDE * across else None


def prepare(plan: StereoPlan, matching: Matching, folder: Path, *, cores: int, resolutions: tuple[int, ...]) -> None:
    """Write the configuration, the cameras and the initial altitude."""
    for index, image in enumerate(plan.images):
        # one format for the engine, whatever the image came with; it applies the crop of the TIFF itself
        (folder / f"image{index + 1}.geom").write_text(geom_text(image.model), "utf-8")
        path = _image_file(plan, index, folder)
        if path != image.path:
            write_crop(image, window_for(image, plan), path)
    start = folder / _START_FOLDER
    start.mkdir()
    if (altitude := start_altitude(plan)) is not None:
        (start / "sitecustomize.py").write_text(_START_CODE.format(altitude=altitude), "utf-8")
    config = settings(plan, matching, folder, cores=cores, resolutions=resolutions)
    (folder / "cars.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")


def _supervise(
    executable: Path,
    folder: Path,
    reader: LogReader,
    cores: int,
    timeout: float | None,
    on_progress: Callable[[float, str], None],
    on_log: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> tuple[int, dict[str, float]]:
    usage_file = folder / "usage.json"
    command = [
        sys.executable, "-I", str(Path(guard.__file__)), str(usage_file), str(os.getpid()),
        str(executable), "--logtype", "plain", "--loglevel", "INFO", str(folder / "cars.yaml"),
    ]  # fmt: skip
    deadline = time.monotonic() + timeout if timeout else math.inf
    peak = 0
    with subprocess.Popen(
        command, cwd=folder, env=_environment(folder, cores), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True, text=True, encoding="utf-8", errors="replace",
    ) as process:  # fmt: skip
        lines: list[str] = []
        listener = threading.Thread(target=_listen, args=(process, lines), daemon=True)
        listener.start()
        try:
            read = rounds = 0
            while process.poll() is None:
                if should_stop():
                    raise Cancelled("cancelled", "The run was asked to stop.")
                if time.monotonic() > deadline:
                    raise EngineFailed(
                        "engine-timeout", "The engine took far longer than foreseen.", "Ask for a smaller area."
                    )
                read = _feed(lines, read, reader, on_log)
                on_progress(reader.percent, reader.message)
                if rounds % 4 == 0:
                    peak = max(peak, _group_bytes(process.pid))
                rounds += 1
                time.sleep(_POLL_SECONDS)
        finally:
            _kill_group(process.pid)
        listener.join(timeout=5)
        _feed(lines, read, reader, on_log)
        on_progress(reader.percent, reader.message)
    try:
        used = json.loads(usage_file.read_text("utf-8"))
    except (OSError, ValueError):
        used = {"cpu_seconds": 0.0, "peak_bytes": 0}
    used["peak_bytes"] = max(used["peak_bytes"], peak)
    return process.returncode, used


def _listen(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)


def _feed(lines: list[str], read: int, reader: LogReader, on_log: Callable[[str], None]) -> int:
    for line in lines[read : (stop := len(lines))]:
        reader.feed(line)
        on_log(line.rstrip())
    return stop


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _group_bytes(group: int) -> int:
    """Memory of a process group, pages shared between processes counted once."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if int((entry / "stat").read_text("ascii", "replace").rpartition(")")[2].split()[2]) != group:
                continue
            found = re.search(r"^Pss:\s+(\d+) kB", (entry / "smaps_rollup").read_text("ascii"), re.MULTILINE)
        except (OSError, ValueError, IndexError):
            continue
        total += int(found[1]) * 1024 if found else 0
    return total


def _environment(folder: Path, cores: int) -> dict[str, str]:
    threads = {
        name: str(cores) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    }
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "MPLCONFIGDIR": str(folder),
        "LANG": "C.UTF-8",
        "PROJ_NETWORK": "OFF",
        "PYTHONNOUSERSITE": "1",
        "PYTHONPATH": str(folder / _START_FOLDER),
        "PYTHONUNBUFFERED": "1",
        **threads,
    }


def _matching_pipeline(matching: Matching) -> dict[str, Any]:
    window = 2 * (matching.window or DEFAULT_MATCHING_WINDOW) + 1
    # the penalties weigh against census costs, which grow with the number of pixels compared
    smoothness = (matching.regularisation or DEFAULT_REGULARISATION) / DEFAULT_REGULARISATION * (window**2 - 1) / 24
    return {
        "input": {},
        "pipeline": {
            "matching_cost": {"matching_cost_method": "census", "window_size": window, "subpix": 1},
            "optimization": {
                "optimization_method": "sgm",
                "overcounting": False,
                "penalty": {
                    "P1": max(1, round(_P1 * smoothness)),
                    "P2": max(4, round(_P2 * smoothness)),
                    "p2_method": "constant",
                    "penalty_method": "sgm_penalty",
                },
            },
            "disparity": {"disparity_method": "wta", "invalid_disparity": "NaN"},
            "refinement": {"refinement_method": "vfit"},
            "filter": {"filter_method": "median", "filter_size": 3},
        },
    }


def _image_file(plan: StereoPlan, index: int, folder: Path) -> Path:
    """The image itself, or where its part is laid that the area of interest needs."""
    image = plan.images[index]
    window = window_for(image, plan)
    whole = (window.width, window.height) == (image.width, image.height)
    return image.path if whole else folder / f"image{index + 1}.tif"


def _nodata(value: float | None) -> int:
    return int(value) if value is not None and math.isfinite(value) and float(value).is_integer() else 0


def sensor_megapixels(plan: StereoPlan) -> float:
    """Million pixels of the largest image that the engine is given."""
    windows = [window_for(image, plan) for image in plan.images]
    return max(float(window.width * window.height) for window in windows) / 1e6


def _collect(
    folder: Path,
    reader: LogReader,
    plan: StereoPlan,
    resolutions: tuple[int, ...],
    cpu_seconds: float,
    peak: int,
    begin: float,
    warnings: list[str],
) -> EngineResult:
    out = folder / "out"
    layers = {name: out / "dsm" / f"{name}.tif" for name in ("dsm", *LAYERS)}
    facts = _facts(out / "metadata.yaml")
    pairs = []
    for pair in plan.pairs:
        key = f"image{pair.left + 1}_image{pair.right + 1}"
        grid = facts.get("grid_generation", {}).get(key, {})
        found = facts.get("match_filtering", {}).get(key, {})
        pairs.append(
            {
                "items": [plan.images[pair.left].reference, plan.images[pair.right].reference],
                "convergence_deg": grid.get("convergence_angle"),
                "metres_per_pixel_of_parallax": grid.get("disp_to_alt_ratio"),
                "matches": found.get("number_matches"),
                "epipolar_error_px": {
                    name: found.get(f"before_correction_epi_error_{name}") for name in ("mean", "std", "max")
                },
            }
        )
    return EngineResult(
        folder=folder,
        layers={name: path for name, path in layers.items() if path.is_file()},
        version=str(facts.get("version", "unknown")),
        resolutions=resolutions,
        pairs=tuple(pairs),
        failed_tiles=reader.failed_tiles,
        cpu_seconds=cpu_seconds,
        peak_bytes=peak,
        seconds=time.monotonic() - begin,
        warnings=tuple(warnings),
    )


def _facts(path: Path) -> dict[str, Any]:
    """What the finest resolution says of itself, or nothing: the result does not depend on it."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
        finest = content["surface_modeling"]["1"]
        return {**finest.get("applications", {}), "version": finest.get("version", "unknown")}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return {}
