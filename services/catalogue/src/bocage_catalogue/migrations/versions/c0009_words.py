"""What collections are about, and the words they are found by."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "c0009"
down_revision = "c0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute((Path(__file__).parent.parent / "sql" / "0009_words.sql").read_text())
