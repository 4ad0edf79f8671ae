"""What databases lack that were made while revisions 0003 to 0007 were empty places; the register's areas; lineage."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parent.parent / "sql"
# A table that the part makes, and its files in order.
_PARTS = (
    ("email_domain", ("0003_people",)),
    ("lineage", ("0004_derivation",)),
    ("counted_job", ("0005_ledger", "0005_prices", "0005_quotas", "0005_exact", "0005_usage")),
    ("signed_grant", ("0006_signing",)),
    ("audit", ("0007_audit",)),
)


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    for table, files in _PARTS:
        if connection.execute("select to_regclass(%s)", (f"rights.{table}",)).fetchone() == (None,):
            for name in files:
                connection.execute((_SQL / f"{name}.sql").read_text())
    for name in ("0008_keys", "0008_taken"):
        connection.execute((_SQL / f"{name}.sql").read_text())
