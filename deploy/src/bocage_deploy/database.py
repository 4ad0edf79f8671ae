"""Roles, schemas and migrations of a Bocage database: idempotent, for the embedded cluster and for any other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import psycopg
from bocage_kit.database import migrate, with_options
from psycopg import sql

DATABASE = "bocage"
SERVICES = ("catalogue", "tiles", "processing", "rights")
EXTENSIONS = ("postgis", "btree_gist", "unaccent", "pgcrypto")


def role_of(service: str) -> str:
    return f"bocage_{service}"


@dataclass(frozen=True)
class Access:
    """How to reach the database as its administrator and as each service."""

    admin: Callable[[str], str]
    """URL of an administrator's connection to a database by name."""
    service: Callable[[str, str], str]
    """URL of a service's connection: (service, database)."""
    passwords: Mapping[str, str]
    """Password of each service's role, to be set."""


def provision(access: Access, database: str = DATABASE) -> None:
    """Create or bring up to date: database, extensions, roles, pgSTAC, and the schemas of our own."""
    with psycopg.connect(access.admin("postgres"), autocommit=True) as connection:
        for service in SERVICES:
            _role(connection, role_of(service), access.passwords[service])
        known = connection.execute("select 1 from pg_database where datname = %s", [database]).fetchone()
        if not known:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
    with psycopg.connect(access.admin(database), autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtext('bocage provision'))")
        for extension in EXTENSIONS:
            connection.execute(sql.SQL("create extension if not exists {}").format(sql.Identifier(extension)))
        migrate_pgstac(access.admin(database))
        for statement in _grants(database):
            connection.execute(statement)
        migrate(access.service("catalogue", database), "bocage_catalogue", "catalogue")
        migrate(access.service("rights", database), "bocage_rights", "rights")
        migrate(access.service("processing", database), "bocage_processing", "processing")


def _role(connection: psycopg.Connection[tuple[object, ...]], role: str, password: str) -> None:
    known = connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone()
    verb = sql.SQL("alter role {}") if known else sql.SQL("create role {}")
    connection.execute(
        sql.SQL("{} login nosuperuser nocreatedb nocreaterole password {}").format(
            verb.format(sql.Identifier(role)), sql.Literal(password)
        )
    )


def migrate_pgstac(url: str) -> None:
    """pgSTAC's own migration, in a process of its own: it reads its connection from the environment of libpq."""
    done = subprocess.run(
        [sys.executable, "-c", _PGSTAC_MIGRATION], input=url, capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        raise RuntimeError(f"pgSTAC could not be migrated: {done.stderr.strip()[-800:]}")


_PGSTAC_MIGRATION = """
import sys
from pypgstac.db import PgstacDB
from pypgstac.migrate import Migrate
with PgstacDB(dsn=sys.stdin.read()) as db:
    Migrate(db).run_migration()
"""


def _grants(database: str) -> list[sql.SQL | sql.Composed]:
    name = sql.Identifier(database)
    statements: list[sql.SQL | sql.Composed] = [
        sql.SQL("revoke all on database {} from public").format(name),
        sql.SQL("revoke create on schema public from public"),
        sql.SQL("grant pgstac_read to bocage_tiles, bocage_rights"),
        sql.SQL("grant pgstac_ingest, pgstac_read to bocage_catalogue"),
    ]
    for service in SERVICES:
        role, schema = sql.Identifier(role_of(service)), sql.Identifier(service)
        # SET ROLE is how an administrator without superuser rights may create a schema for another role.
        statements += [
            sql.SQL("grant connect, temporary on database {} to {}").format(name, role),
            sql.SQL("grant {} to current_user").format(role),
            sql.SQL("create schema if not exists {} authorization {}").format(schema, role),
        ]
        path = sql.SQL("pgstac, public") if service in ("catalogue", "tiles") else sql.SQL("public")
        statements.append(
            sql.SQL("alter role {} in database {} set search_path to {}, {}").format(role, name, schema, path)
        )
    return statements


def service_url(url: str, role: str, database: str, passfile: str) -> str:
    """`url` of an administrator, turned into that of a service's role."""
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1]
    return with_options(
        urlunsplit(parts._replace(netloc=f"{role}@{host}", path=f"/{database}")), {"passfile": passfile}
    )
