"""Whatever dies comes back, health tells the truth meanwhile, and a stop leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from platforms import Running

CHILDREN = ("postgres", "rights", "catalogue", "processing", "tiles", "dispatcher", "gateway")


def process_info(running: Running, name: str) -> dict[str, Any]:
    return dict(running.platform._supervisor_call("getProcessInfo", name))


@pytest.mark.parametrize("name", CHILDREN)
def test_a_killed_process_is_back_within_ten_seconds(running: Running, name: str) -> None:
    running.platform.wait_until_healthy(30)
    before = process_info(running, name)["pid"]
    os.kill(before, signal.SIGKILL)
    killed = time.monotonic()
    failing_seen = False
    while time.monotonic() - killed < 10:
        well, state = running.platform.health()
        if not well:
            failing_seen = True
        elif process_info(running, name)["pid"] not in (0, before) and (failing_seen or time.monotonic() - killed > 2):
            break
        time.sleep(0.02)
    else:
        pytest.fail(f"{name} did not come back within 10 s: {json.dumps(state)}")
    assert failing_seen, f"health said that all was well while {name} was dead"


def test_no_process_of_the_database_runs_as_root_and_no_port_is_open(running: Running) -> None:
    pid = process_info(running, "postgres")["pid"]
    server = psutil.Process(pid)
    assert server.uids().real != 0 or os.geteuid() != 0
    assert [c for c in server.net_connections(kind="inet") if c.status == psutil.CONN_LISTEN] == []


def test_no_secret_in_arguments_or_environments(running: Running) -> None:
    home = running.platform.home
    values = {
        path.read_text().strip()
        for path in home.secrets.iterdir()
        if path.is_file() and not path.name.endswith(".pgpass")
    }
    values = {v for v in values if len(v) >= 16}
    assert values
    supervisor = psutil.Process(int((home.root / "supervisor.pid").read_text()))
    for process in [supervisor, *supervisor.children(recursive=True)]:
        shown = " ".join(process.cmdline()) + " ".join(process.environ().values())
        assert not [v for v in values if v in shown], process.cmdline()


def test_logs_hold_no_key(running: Running) -> None:
    running.researcher.get("/rights/me").raise_for_status()
    keys = (running.accounts.researcher, running.accounts.company, running.accounts.admin)
    secrets = [key.split(".", 1)[1] for key in keys]
    for log in running.platform.home.logs.iterdir():
        text = log.read_text(errors="replace")
        assert not [s for s in secrets if s in text], log.name


def test_two_platforms_do_not_share_a_home(running: Running) -> None:
    home = running.platform.home.root
    second = subprocess.run(
        ["python3", "-m", "bocage_deploy.supervise", str(home)], capture_output=True, text=True, timeout=30,
        env={**os.environ, "PATH": str(Path(os.sys.executable).parent) + ":" + os.environ["PATH"]},
    )  # fmt: skip
    assert second.returncode != 0
    assert "Another Bocage is using" in second.stderr
