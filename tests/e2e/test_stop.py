"""A stop by SIGTERM ends every process, and a second start is quick."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from bocage_deploy.home import Home
from bocage_deploy.platform import Platform
from platforms import free_port

pytestmark = pytest.mark.slow


def test_stop_leaves_nothing_and_the_second_start_takes_twenty_seconds_at_most() -> None:
    root = Path(tempfile.mkdtemp(prefix="bocage-stop-", dir="/tmp"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOCAGE_") and k != "DATABASE_URL"}
    platform = Platform(Home(root), environment | {"BOCAGE_PORT": str(free_port())}, lambda text: None)
    try:
        platform.start(with_engine=False)
        supervisor = psutil.Process(int((root / "supervisor.pid").read_text()))
        family = [supervisor, *supervisor.children(recursive=True)]
        assert len(family) >= 8
        assert platform.stop()
        psutil.wait_procs(family, timeout=5)
        assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
        begun = time.monotonic()
        platform.start(with_engine=False)
        assert time.monotonic() - begun <= 20
    finally:
        platform.stop()
        shutil.rmtree(root, ignore_errors=True)
