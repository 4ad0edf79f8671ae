"""What happened to items, in one order, and how many there are of what."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "c0004"
down_revision = "c0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute((Path(__file__).parent.parent / "sql" / "0004_changes.sql").read_text())
