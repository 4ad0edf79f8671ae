"""Collections as they leave, with a revision each."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "c0003"
down_revision = "c0002"
branch_labels = None
depends_on = None

_BATCH = 1000


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute((Path(__file__).parent.parent / "sql" / "0003_collections.sql").read_text())
    with op.get_context().autocommit_block():
        while op.get_bind().execute(text("select catalogue.finish_more(:most)"), {"most": _BATCH}).scalar():
            pass
