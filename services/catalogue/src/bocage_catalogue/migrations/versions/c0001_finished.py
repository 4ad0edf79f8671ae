"""Finished items, the triggers that keep them, and the search among them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "c0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    for name in ("0001_finished.sql", "0001_page.sql"):
        connection.execute((Path(__file__).parent.parent / "sql" / name).read_text())
