"""A command that was told another address than its platform serves at says so at once, and changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from platforms import Running, free_port

PROGRAM = Path(sys.executable).parent / "bocage-platform"


@pytest.mark.parametrize("command", ["demo", "health"])
def test_a_platform_at_another_port(running: Running, command: str) -> None:
    home = running.platform.home.root
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOCAGE_") and k != "DATABASE_URL"}
    environment |= {"BOCAGE_HOME": str(home), "BOCAGE_PORT": str(free_port())}
    files, begun = (["--env-file", str(home / "other.env")] if command != "health" else []), time.monotonic()
    done = subprocess.run([str(PROGRAM), command, *files], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and time.monotonic() - begun < 20
    assert running.url in done.stderr and "BOCAGE_PORT" in done.stderr and "Traceback" not in done.stderr
    assert not (home / "other.env").exists()
