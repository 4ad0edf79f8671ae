"""Fixtures that every package's tests share: a real PostgreSQL with pgSTAC and our schemas, made once a run."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from bocage_deploy.cluster import Cluster, install_programs
from bocage_deploy.database import SERVICES, Access, provision, role_of
from bocage_deploy.home import Home


def template_name() -> str:
    """One template per state of the migrations: a kept cluster never serves an older one."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("services/*/src/*/migrations/**/*")):
        if path.suffix in {".py", ".sql"}:
            digest.update(path.read_bytes())
    return f"template_{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class TestDatabase:
    """A fresh database of its own, with every role and schema."""

    __test__ = False
    name: str
    cluster: Cluster

    def url(self, service: str) -> str:
        return self.cluster.url(self.name, role_of(service))

    @property
    def admin_url(self) -> str:
        return self.cluster.url(self.name)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster; BOCAGE_TEST_HOME names one that is kept between runs."""
    kept = os.environ.get("BOCAGE_TEST_HOME")
    # Not pytest's own folder: the database's user could not walk through it.
    root = Path(kept) if kept else Path(tempfile.mkdtemp(prefix="bocage-", dir="/tmp"))
    home = Home(root)
    home.make()
    made = Cluster(home, install_programs())
    made.make()
    running = None
    try:
        psycopg.connect(made.url(), connect_timeout=2).close()
    except psycopg.OperationalError:
        running = made.start()
    passwords = {service: made.set_passfile(role_of(service)) for service in SERVICES}
    access = Access(made.url, lambda service, database: made.url(database, role_of(service)), passwords)
    with psycopg.connect(made.url(), autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtext('bocage template'))")
        provision(access, template_name())
    yield made
    if running is not None and not kept:
        made.stop(running)
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def database(cluster: Cluster) -> Iterator[TestDatabase]:
    """A database for one test."""
    yield from _database(cluster)


@pytest.fixture(scope="module")
def module_database(cluster: Cluster) -> Iterator[TestDatabase]:
    """A database for the tests of one module."""
    yield from _database(cluster)


def _database(cluster: Cluster) -> Iterator[TestDatabase]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtext('bocage template'))")
        connection.execute(f"create database {name} template {template_name()}")
        for service in SERVICES:
            path = f"{service}, pgstac, public" if service in ("catalogue", "tiles") else f"{service}, public"
            connection.execute(f"alter role {role_of(service)} in database {name} set search_path to {path}")
            connection.execute(f"grant connect, temporary on database {name} to {role_of(service)}")
    yield TestDatabase(name, cluster)
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real data, when they are at hand: BOCAGE_TEST_DATA, else `shared/data` beside the checkout."""
    configured = os.environ.get("BOCAGE_TEST_DATA")
    folder = Path(configured) if configured else Path(__file__).parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real test data here: set BOCAGE_TEST_DATA to their folder")
    return folder
