"""Alembic calls this module."""

from bocage_kit.database import run_migrations

run_migrations()
