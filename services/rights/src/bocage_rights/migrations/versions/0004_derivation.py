"""What results inherit: rules, lineage, recalls; attributions and embargoes of licences."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute((Path(__file__).parent.parent / "sql" / "0004_derivation.sql").read_text())
