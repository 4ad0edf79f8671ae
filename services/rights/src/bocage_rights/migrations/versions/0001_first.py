"""Accounts, licences, credits and announcements."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTS = ("accounts", "ledger", "announcements", "grants")


def upgrade() -> None:
    # The driver's own connection: several statements at once, and no parameters to be looked for in them.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    for part in PARTS:
        connection.execute((Path(__file__).parent.parent / "sql" / f"0001_{part}.sql").read_text())
