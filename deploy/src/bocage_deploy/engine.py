"""The stereo engine's own environment: made once per lock file, shared by every platform of the user."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2] / "cars"


class EngineMissing(Exception):
    """The stereo engine could not be installed."""


def cars_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the environment lies: `$BOCAGE_ENGINES`, else the user's cache; one folder per lock file."""
    cache = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(environment.get("BOCAGE_ENGINES") or Path(cache) / "bocage")
    locked = hashlib.sha256((_PROJECT / "uv.lock").read_bytes()).hexdigest()[:12]
    return root / f"cars-{locked}"


def ensure_cars(environment: Mapping[str, str] = os.environ) -> Path:
    """The `cars` executable, installed from its lock file when it is not there yet. Raises EngineMissing."""
    folder = cars_folder(environment)
    complete = folder / "bocage-complete"
    executable = folder / "bin" / "cars"
    if complete.exists():
        return executable
    uv = environment.get("UV") or shutil.which("uv")
    if uv is None:
        raise EngineMissing("The stereo engine needs uv to install: python3 -m pip install uv")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete.exists():
            return executable
        # The variables of a surrounding `uv run` would make it install into this environment instead.
        clean = {k: v for k, v in environment.items() if k != "VIRTUAL_ENV" and not k.startswith("UV_PROJECT")}
        done = subprocess.run(
            [uv, "sync", "--frozen", "--project", str(_PROJECT)],
            env=clean | {"UV_PROJECT_ENVIRONMENT": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode or not executable.exists():
            raise EngineMissing(f"The stereo engine could not be installed: {done.stderr.strip()[-600:]}")
        complete.touch()
    return executable
