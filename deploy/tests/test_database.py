"""The embedded cluster as a newcomer gets it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from conftest import TestDatabase


def owner_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def test_server_is_private(database: TestDatabase) -> None:
    with psycopg.connect(database.admin_url) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
        row = connection.execute("select pg_postmaster_start_time() is not null, inet_server_port()").fetchone()
        assert row == (True, None)
    pid = int((database.cluster.data / "postmaster.pid").read_text().splitlines()[0]) if os.geteuid() == 0 else None
    assert pid is None or owner_of(pid) != 0


@pytest.mark.parametrize("service", ["catalogue", "tiles", "processing", "rights"])
def test_a_role_needs_its_password(database: TestDatabase, service: str) -> None:
    with psycopg.connect(database.url(service)) as connection:
        assert connection.execute("select current_user").fetchone() == (f"bocage_{service}",)
    wrong = re.sub(r"&passfile=[^&]*", "&password=wrong", database.url(service))
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(wrong)


def test_pgstac_is_there_and_read_only_for_tiles(database: TestDatabase) -> None:
    with psycopg.connect(database.url("tiles")) as connection:
        assert connection.execute("select count(*) from pgstac.items").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from pgstac.items")


def test_no_service_reads_another_ones_schema(database: TestDatabase) -> None:
    with psycopg.connect(database.url("catalogue")) as connection:
        for schema in ("rights", "processing"):
            row = connection.execute("select has_schema_privilege(%s, 'create')", [schema]).fetchone()
            assert row == (False,)
