"""A processing service and its dispatcher over a database of their own, with stand-ins of catalogue and rights."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bocage_processing.rehearsal.peers import StandIns
from bocage_processing.rehearsal.platform import Platform


def make_platform(database: Any) -> Iterator[Platform]:
    # Not pytest's own folder: the paths of sockets are short.
    home = Path(tempfile.mkdtemp(prefix="bp-", dir="/tmp"))
    made = Platform(home, database.url("processing"), database.admin_url, StandIns(home))
    made.prepare()
    made.peers.start("rights")
    made.peers.start("catalogue")
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def served(module_database: Any) -> Iterator[Platform]:
    """A running service and dispatcher, shared by the tests of a module."""
    for platform in make_platform(module_database):
        platform.start("service")
        platform.start("dispatcher")
        platform.serving()
        yield platform


@pytest.fixture
def platform(database: Any) -> Iterator[Platform]:
    """For tests that kill: nothing is started yet."""
    yield from make_platform(database)
