"""The job rows: how they are written, read and moved from state to state. All moves are functions in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from bocage_processing.queue import Connection

State = Literal["accepted", "running", "successful", "failed", "dismissed"]
TERMINAL: frozenset[State] = frozenset({"successful", "failed", "dismissed"})


@dataclass(frozen=True)
class Job:
    """A row of `job`."""

    id: UUID
    owner: str
    organisation: UUID
    category: str | None
    purpose: str
    public_base: str
    process: str
    process_version: str
    inputs: dict[str, Any]
    items: list[dict[str, Any]]
    outputs: dict[str, Any] | None
    response: Literal["raw", "document"] | None
    audience: str
    request_hash: str
    idempotency_key: str | None
    state: State
    phase: str
    attempt: int
    max_attempts: int
    ended_attempt: int | None
    runner: str | None
    lease_until: datetime | None
    cancel_requested: bool
    progress: int
    message: str
    cores: int
    publishes: bool
    quote: dict[str, Any]
    budget: Decimal | None
    reserved: Decimal
    price: Decimal | None
    usage: dict[str, Any] | None
    rights: dict[str, Any]
    results: dict[str, Any] | None
    error: dict[str, Any] | None
    created: datetime
    started: datetime | None
    finished: datetime | None
    updated: datetime

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def status(self) -> State:
        """What the caller is told: dismissed from the moment it is asked for."""
        return "dismissed" if self.cancel_requested else self.state


@dataclass(frozen=True)
class NewJob:
    """What a submission writes."""

    id: UUID
    owner: str
    organisation: UUID
    category: str | None
    purpose: str
    public_base: str
    process: str
    process_version: str
    inputs: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]
    outputs: Mapping[str, Any] | None
    response: str | None
    audience: str
    request_hash: str
    idempotency_key: str | None
    cores: int
    publishes: bool
    max_attempts: int
    quote: Mapping[str, Any]
    budget: Decimal | None
    reserved: Decimal
    rights: Mapping[str, Any]


async def insert(connection: Connection, job: NewJob) -> bool:
    """False when the owner's idempotency key is taken. Waits for another submission with the same key to end."""
    values = {k: Jsonb(v) if isinstance(v, (dict, list)) else v for k, v in vars(job).items()}
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    query = f"insert into job ({names}) values ({places}) on conflict (owner, idempotency_key) do nothing"  # noqa: S608 - names of our own
    return (await connection.execute(query.encode(), values)).rowcount == 1


async def reserve(connection: Connection, job: NewJob, project: str | None = None) -> None:
    """Raises psycopg errors of SQLSTATE P0402 (credits), P0404 (organisation), P0429 (quota, told in the detail)."""
    usage = job.quote.get("usage") or {}
    await connection.execute(
        "select rights.job_reserve(%s::uuid, %s::uuid, %s::text, %s::numeric, round(%s::numeric, 4), %s::text,"
        " %s::text[], %s::text)",
        [
            job.organisation, job.id, job.owner, job.reserved, usage.get("area_km2", 0), job.process,
            collections_of(job.items), project,
        ],
    )  # fmt: skip


async def take(connection: Connection, job: NewJob, project: str | None = None) -> None:
    """Enter into the register what the job takes of its inputs, under each of their licences."""
    entries = [
        {
            "kind": "job",
            "person": job.owner,
            "organisation": str(job.organisation),
            "category": job.category,
            "project": project,
            "purpose": job.purpose,
            "collection": item["collection"],
            "item": item["item"],
            "licence": licence,
        }
        for item in job.items
        for licence in item["licences"]
    ]
    if entries:
        await connection.execute("select rights.take(%s::jsonb)", [Jsonb(entries)])


async def quota_refused(connection: Connection, organisation: UUID, owner: str, name: str) -> None:
    """Note that a limit was met; the refused transaction itself leaves nothing."""
    await connection.execute("select rights.quota_refused(%s::uuid, %s::text, %s::text)", [organisation, owner, name])


def collections_of(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the price list may tell apart of a job's inputs."""
    return sorted({str(item["collection"]) for item in items if "collection" in item})


async def price(
    connection: Connection,
    process: str,
    usage: Mapping[str, Any],
    category: str | None = None,
    collections: Sequence[str] = (),
) -> Decimal:
    """By the price list in force now."""
    row = await _one(
        connection,
        "select rights.price(%s::text, %s::jsonb, %s::text, %s::text[], now())::numeric(18,4) as price",
        process,
        Jsonb(dict(usage)),
        category,
        list(collections),
    )
    return Decimal(row["price"])


async def price_lines(
    connection: Connection, process: str, usage: Mapping[str, Any], category: str | None, collections: Sequence[str]
) -> list[dict[str, Any]]:
    """What the price is made of: for each unit the entry of the price list that counts, null being any."""
    query = "select * from rights.price_lines(%s::text, %s::jsonb, %s::text, %s::text[], now())"
    rows = await connection.execute(query, [process, Jsonb(dict(usage)), category, list(collections)])
    return [
        {
            "unit": row["unit"],
            "quantity": float(row["quantity"]),
            "price": float(row["price"]),
            "process": row["for_process"],
            "collection": row["for_collection"],
            "category": row["for_category"],
        }
        for row in await rows.fetchall()
    ]


async def get(connection: Connection, job: UUID) -> Job | None:
    row = await (await connection.execute("select * from job where id = %s", [job])).fetchone()
    return Job(**row) if row else None


async def by_key(connection: Connection, owner: str, key: str) -> Job | None:
    query = "select * from job where owner = %s and idempotency_key = %s"
    row = await (await connection.execute(query, [owner, key])).fetchone()
    return Job(**row) if row else None


@dataclass(frozen=True)
class Wanted:
    """Filters of a job list; `owner` None means everybody's."""

    owner: str | None
    processes: Sequence[str] = ()
    statuses: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None


async def listed(connection: Connection, wanted: Wanted, limit: int, offset: int) -> list[Job]:
    """Newest first."""
    rows = await connection.execute(
        """
        select * from job
         where (%(owner)s::text is null or owner = %(owner)s)
           and (%(processes)s::text[] = '{}' or process = any (%(processes)s))
           and (%(statuses)s::text[] = '{}'
                or case when cancel_requested then 'dismissed' else state::text end = any (%(statuses)s))
           and (%(since)s::timestamptz is null or created >= %(since)s)
           and (%(until)s::timestamptz is null or created <= %(until)s)
           and (%(min)s::float8 is null or extract(epoch from coalesce(finished, now()) - started) >= %(min)s)
           and (%(max)s::float8 is null or extract(epoch from coalesce(finished, now()) - started) <= %(max)s)
         order by created desc, id limit %(limit)s offset %(offset)s
        """,
        {
            "owner": wanted.owner, "processes": list(wanted.processes), "statuses": list(wanted.statuses),
            "since": wanted.since, "until": wanted.until, "min": wanted.min_seconds, "max": wanted.max_seconds,
            "limit": limit, "offset": offset,
        },
    )  # fmt: skip
    return [Job(**row) for row in await rows.fetchall()]


async def claim(connection: Connection, job: UUID, runner: str, lease_seconds: float) -> int | None:
    row = await _one(
        connection,
        "select job_claim(%s::uuid, %s::text, make_interval(secs => %s)) as attempt",
        job,
        runner,
        lease_seconds,
    )
    return None if row["attempt"] is None else int(row["attempt"])


async def wait(connection: Connection, job: UUID, reason: str) -> None:
    await connection.execute("select job_wait(%s::uuid, %s::text)", [job, reason])


Beat = Literal["go on", "stop", "fenced"]


async def beat(
    connection: Connection, job: UUID, attempt: int, lease_seconds: float, phase: str, percent: int, message: str
) -> Beat:
    query = "select job_beat(%s::uuid, %s::int, make_interval(secs => %s), %s::text, %s::int, %s::text) as stop"
    row = await _one(connection, query, job, attempt, lease_seconds, phase, percent, message)
    return "fenced" if row["stop"] is None else "stop" if row["stop"] else "go on"


End = Literal["ended", "publishing", "dismissed", "replay", "refused"]


async def end(
    connection: Connection,
    job: UUID,
    attempt: int,
    state: State,
    *,
    usage: Mapping[str, Any] | None = None,
    results: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    message: str = "Done.",
) -> End:
    query = "select job_end(%s::uuid, %s::int, %s::job_state, %s::jsonb, %s::jsonb, %s::jsonb, %s::text) as answer"
    documents = [None if value is None else Jsonb(dict(value)) for value in (usage, results, error)]
    answer: End = (await _one(connection, query, job, attempt, state, *documents, message))["answer"]
    return answer


Requeue = Literal["requeued", "failed", "dismissed", "refused"]


async def requeue(
    connection: Connection, job: UUID, attempt: int, outcome: str, message: str, error: Mapping[str, Any]
) -> Requeue:
    query = "select job_requeue(%s::uuid, %s::int, %s::text, %s::text, %s::jsonb) as answer"
    answer: Requeue = (await _one(connection, query, job, attempt, outcome, message, Jsonb(dict(error))))["answer"]
    return answer


Dismissal = Literal["dismissed", "stopping", "publishing", "ended", "unknown"]


async def dismiss(connection: Connection, job: UUID) -> Dismissal:
    answer: Dismissal = (await _one(connection, "select job_dismiss(%s::uuid) as answer", job))["answer"]
    return answer


async def publish(connection: Connection, job: UUID, attempt: int) -> bool:
    return bool((await _one(connection, "select job_publish(%s::uuid, %s::int) as done", job, attempt))["done"])


async def hold(connection: Connection, job: UUID, reason: str) -> None:
    """Tell why the results of a job are not published yet."""
    await connection.execute(
        "update job set message = %s where id = %s and phase = 'publishing' and message <> %s", [reason, job, reason]
    )


async def add_logs(connection: Connection, job: UUID, attempt: int, lines: Sequence[tuple[str, str]]) -> None:
    """`lines`: (level, message)."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "insert into job_log (job, attempt, level, message) values (%s, %s, %s, %s)",
            [(job, attempt, level, message) for level, message in lines],
        )


async def logs(connection: Connection, job: UUID, after: int, limit: int) -> list[dict[str, Any]]:
    query = "select id, attempt, at, level, message from job_log where job = %s and id > %s order by id limit %s"
    return await (await connection.execute(query, [job, after, limit])).fetchall()


async def _one(connection: Connection, query: str, *values: object) -> dict[str, Any]:
    row = await (await connection.execute(query.encode(), values)).fetchone()
    assert row is not None
    return row
