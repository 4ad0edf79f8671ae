"""What must be true of a ledger at any moment, worked out anew from its entries."""

from __future__ import annotations

from typing import Any

import psycopg

_CHECKS = {
    "a balance is not the replay of its entries": """
        select a.organisation, a.available, a.reserved, a.settled from rights.credit_account a
          left join lateral (
            select coalesce(sum(case 'available' when e.credit then amount when e.debit then -amount end), 0) available,
                   coalesce(sum(case 'reserved' when e.credit then amount when e.debit then -amount end), 0) reserved,
                   coalesce(sum(case 'settled' when e.credit then amount when e.debit then -amount end), 0) settled
              from rights.ledger_entry e where e.organisation = a.organisation) r on true
         where (a.available, a.reserved, a.settled) is distinct from (r.available, r.reserved, r.settled)""",
    "reserved is not the sum of the open reservations": """
        select a.organisation, a.reserved from rights.credit_account a
         where a.reserved is distinct from coalesce((
            select sum(t.amount) from rights.ledger_transaction t
             where t.organisation = a.organisation and t.kind = 'reserve' and not exists (
                select from rights.ledger_transaction x
                 where x.job = t.job and x.kind in ('settle', 'release'))), 0)""",
    "a job has two endings": """
        select job from rights.ledger_transaction where kind in ('settle', 'release') group by job
        having count(*) > 1""",
    "what was transferred does not sum to zero": """
        select sum(case 'transferred' when credit then amount when debit then -amount else 0 end)
          from rights.ledger_entry
        having sum(case 'transferred' when credit then amount when debit then -amount else 0 end) <> 0""",
    "a transaction lacks entries": """
        select t.id from rights.ledger_transaction t
         where t.amount <> 0 and t.kind not in ('settle', 'release')
           and t.amount is distinct from (
               select sum(e.amount) * sign(t.amount) from rights.ledger_entry e where e.transaction = t.id)""",
}


def differences(connection: psycopg.Connection[tuple[Any, ...]]) -> list[str]:
    """Empty when all holds. Reads one snapshot, so that it may be called while others move credits."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        return [f"{name}: {row}" for name, query in _CHECKS.items() for row in connection.execute(query).fetchall()]
