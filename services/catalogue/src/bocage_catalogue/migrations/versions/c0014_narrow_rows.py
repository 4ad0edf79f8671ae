"""Rows hold of an item what is searched and sorted by, and no more."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "c0014"
down_revision = "c0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute((Path(__file__).parent.parent / "sql" / "0014_narrow_rows.sql").read_text())
