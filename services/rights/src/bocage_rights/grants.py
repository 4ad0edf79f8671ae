"""Links for the length of a job: good until told otherwise, or until the job's reservation has its ending."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def open_grant(connection: AsyncConnection, job: str, credential: str, seconds: int) -> bool:
    """Whether links may be signed for this job: not when it has ended."""
    made = await connection.execute(
        text("""insert into signed_grant (job, api_key, expires_at)
                select cast(:job as uuid), :credential, now() + make_interval(secs => :seconds)
                 where not exists (select 1 from ledger_transaction
                                    where job = cast(:job as uuid) and kind in ('settle', 'release'))
                on conflict (job) do update
                   set expires_at = greatest(signed_grant.expires_at, excluded.expires_at), api_key = excluded.api_key
                 where signed_grant.ended_at is null"""),
        {"job": job, "credential": credential, "seconds": seconds},
    )
    return made.rowcount == 1


async def end_grant(connection: AsyncConnection, job: str) -> bool:
    """Whether there was one. What was signed for the job ends."""
    done = await connection.execute(
        text("update signed_grant set ended_at = coalesce(ended_at, now()) where job = cast(:job as uuid)"),
        {"job": job},
    )
    return done.rowcount == 1


async def alive(connection: AsyncConnection, job: str) -> bool:
    found = await connection.execute(
        text("""select 1 from signed_grant
                 where job = cast(:job as uuid) and ended_at is null and expires_at > now()"""),
        {"job": job},
    )
    return found.first() is not None
