"""What is searched and sorted by: properties that occur, and their indexes."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "c0005"
down_revision = "c0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute((Path(__file__).parent.parent / "sql" / "0005_search.sql").read_text())
