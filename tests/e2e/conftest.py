"""One platform for all end-to-end tests, with a home and a port of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bocage_deploy.home import Home
from bocage_deploy.platform import Platform
from platforms import Running, free_port


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    root = Path(tempfile.mkdtemp(prefix="bocage-e2e-", dir="/tmp"))
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("BOCAGE_") or k == "BOCAGE_ENGINES"},
        "BOCAGE_PORT": str(free_port()),
    }
    environment.pop("DATABASE_URL", None)
    platform = Platform(Home(root), environment, lambda text: None)
    platform.start(with_parent=True)
    try:
        yield Running(platform, platform.demonstration_accounts())
    finally:
        platform.stop()
        shutil.rmtree(root, ignore_errors=True)
