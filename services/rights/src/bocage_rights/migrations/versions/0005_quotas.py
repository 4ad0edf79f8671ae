"""Quotas, plans, prices by category and collection, transfers and refunds."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    for name in ("ledger", "prices", "quotas", "exact", "usage"):
        connection.execute((Path(__file__).parent.parent / "sql" / f"0005_{name}.sql").read_text())
