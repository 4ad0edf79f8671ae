"""Processes that run on items, and words of items in every language."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "c0011"
down_revision = "c0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute((Path(__file__).parent.parent / "sql" / "0011_directory.sql").read_text())
