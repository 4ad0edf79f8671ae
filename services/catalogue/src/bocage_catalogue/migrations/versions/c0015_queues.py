"""What comes together stands in the queues together."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "c0015"
down_revision = "c0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute((Path(__file__).parent.parent / "sql" / "0015_queues.sql").read_text())
