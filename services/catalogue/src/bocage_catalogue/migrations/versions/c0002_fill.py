"""Enters the items that were loaded before there were triggers, in batches that each commit: it may be broken off."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "c0002"
down_revision = "c0001"
branch_labels = None
depends_on = None

_BATCH = 1000


def upgrade() -> None:
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        for step in ("enter_more", "finish_more"):
            while connection.execute(text(f"select catalogue.{step}(:most)"), {"most": _BATCH}).scalar():
                pass
        connection.execute(text("analyze catalogue.finished_item"))
