"""The texts of items packed, and where they lie as numbers in the indexes that are walked."""

from __future__ import annotations

from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from alembic import op
from bocage_catalogue import packing

revision = "c0012"
down_revision = "c0011"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parent.parent / "sql"
_BATCH = 1000


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    # What follows is committed before the vacuum, and noted as done only after it: who ended there comes here again.
    if connection.execute("select to_regclass('catalogue.waiting')").fetchone() == (None,):
        connection.execute((_SQL / "0012_dictionaries.sql").read_text())
        _pack(connection)
        # The table is written anew by this: what was packed leaves nothing behind.
        connection.execute((_SQL / "0012_packed.sql").read_text())
    # Then it is not known which of its pages all may see: indexes alone would answer nothing.
    with op.get_context().autocommit_block():
        op.execute("vacuum (analyze) catalogue.finished_item")


def _pack(connection: Any) -> None:
    """What is finished already, while others write; in the order of the table's pages."""
    with connection.cursor("finished") as rows, connection.cursor() as writer:
        rows.itersize = _BATCH
        rows.execute(
            "select collection, id, revision, body, hrefs from catalogue.finished_item where octet_length(body) <= %s"
            " order by collection, datetime desc, id desc",
            [packing.LONGEST],
        )
        for collection, items in groupby(rows, itemgetter(0)):
            packer = packing.Packer(collection, ())
            while some := list(islice(items, _BATCH)):
                made = []
                for _, name, seen, text, hrefs in some:
                    body = packer.packed(bytes(text), hrefs)
                    made.append((body, None if packing.is_packed(body) else hrefs, name, collection, seen))
                # What somebody wrote meanwhile has no text yet, or another one.
                writer.executemany(
                    "update catalogue.finished_item set body = %s, hrefs = %s"
                    " where id = %s and collection = %s and revision = %s and body is not null",
                    made,
                )
            writer.executemany(
                "insert into catalogue.dictionary (digest, collection, text) values (%s, %s, %s)",
                [(packing.digest(collection, text), collection, text) for text in packer.made],
            )
