"""The text of an item beside its columns."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "c0008"
down_revision = "c0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute((Path(__file__).parent.parent / "sql" / "0008_inline.sql").read_text())
    # Of a table that was written anew it is not known which pages all may see: indexes alone would answer nothing.
    with op.get_context().autocommit_block():
        op.execute("vacuum (analyze) catalogue.finished_item")
