"""The embedded cluster as a newcomer gets it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from bocage_deploy.cluster import memory, of_memory

if TYPE_CHECKING:
    from conftest import TestDatabase


def owner_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


@pytest.mark.parametrize(
    ("size", "buffers", "work", "maintenance"),
    [(2**29, "128MB", "8MB", "64MB"), (2**34, "2048MB", "32MB", "512MB"), (2**40, "8192MB", "64MB", "1024MB")],
)
def test_memory_is_shared_within_bounds(size: int, buffers: str, work: str, maintenance: str) -> None:
    shares = of_memory(size)
    assert (shares["shared_buffers"], shares["work_mem"], shares["maintenance_work_mem"]) == (
        buffers,
        work,
        maintenance,
    )


def test_server_runs_with_its_share_of_this_machine(database: TestDatabase) -> None:
    wanted = of_memory(memory())
    with psycopg.connect(database.admin_url) as connection:
        for name in ("shared_buffers", "work_mem", "maintenance_work_mem"):
            row = connection.execute(
                "select setting::bigint * case unit when '8kB' then 8 else 1 end from pg_settings where name = %s",
                [name],
            ).fetchone()
            assert row == (int(wanted[name].removesuffix("MB")) * 1024,)


def test_server_is_private(database: TestDatabase) -> None:
    with psycopg.connect(database.admin_url) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
        row = connection.execute("select pg_postmaster_start_time() is not null, inet_server_port()").fetchone()
        assert row == (True, None)
    pid = int((database.cluster.data / "postmaster.pid").read_text().splitlines()[0]) if os.geteuid() == 0 else None
    assert pid is None or owner_of(pid) != 0


def test_texts_are_ordered_by_bytes_and_have_letters_of_every_language(database: TestDatabase) -> None:
    with psycopg.connect(database.admin_url) as connection:
        assert connection.execute("show lc_collate").fetchone() == ("C",)
        row = connection.execute("select lower('ÉŒΩ'), 'ÉTÉ' ilike 'été', 'Zone' < 'a', 'z' < 'é'").fetchone()
        assert row == ("éœω", True, True, True)


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
