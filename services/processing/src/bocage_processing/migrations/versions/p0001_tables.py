"""Jobs, their attempts, logs, the outbox, the dispatchers' heartbeats, and the queue's own tables.

The row in `job` is the truth. The queue carries job ids only; its own status means nothing.
"""

from __future__ import annotations

from alembic import op
from procrastinate.schema import SchemaManager

revision = "p0001"
down_revision = None

_TABLES = """
create type job_state as enum ('accepted', 'running', 'successful', 'failed', 'dismissed');

create table job (
    id               uuid primary key,
    owner            text not null,
    organisation     uuid not null,
    category         text,
    purpose          text not null,
    public_base      text not null,
    process          text not null,
    process_version  text not null,
    inputs           jsonb not null,
    items            jsonb not null default '[]',
    outputs          jsonb,
    response         text check (response in ('raw', 'document')),
    audience         text not null check (audience in ('public', 'organisation', 'owner')),
    request_hash     text not null,
    idempotency_key  text,

    state            job_state not null default 'accepted',
    phase            text not null default 'queued'
        check (phase in ('queued', 'waiting', 'staging', 'running', 'stopping', 'publishing', 'ended')),
    attempt          integer not null default 0,
    max_attempts     integer not null default 3,
    ended_attempt    integer,
    runner           text,
    lease_until      timestamptz,
    cancel_requested boolean not null default false,
    progress         smallint not null default 0 check (progress between 0 and 100),
    message          text not null default '',

    cores            integer not null default 1,
    publishes        boolean not null,
    quote            jsonb not null,
    budget           numeric(18,4),
    reserved         numeric(18,4) not null check (reserved >= 0),
    price            numeric(18,4),
    usage            jsonb,
    rights           jsonb not null default '{}',
    results          jsonb,
    error            jsonb,

    created          timestamptz not null default now(),
    started          timestamptz,
    finished         timestamptz,
    updated          timestamptz not null default now(),

    unique (owner, idempotency_key),
    check ((state in ('successful', 'failed', 'dismissed')) = (phase = 'ended')),
    check ((state in ('successful', 'failed', 'dismissed')) = (finished is not null)),
    check (state <> 'accepted' or phase in ('queued', 'waiting')),
    check (price is null or price <= reserved)
);
create index job_by_owner on job (owner, created desc, id);
create index job_by_creation on job (created desc, id);
create index job_open on job (state) where state in ('accepted', 'running');

create function job_guard() returns trigger language plpgsql as $$
begin
    if old.state in ('successful', 'failed', 'dismissed') then
        raise exception 'job % has ended: nothing about it changes', old.id using errcode = 'P0409';
    end if;
    new.progress := greatest(old.progress, new.progress);
    new.updated := now();
    return new;
end
$$;
create trigger job_guard before update on job for each row execute function job_guard();

create table job_attempt (
    job      uuid not null references job on delete cascade,
    attempt  integer not null,
    runner   text not null,
    started  timestamptz not null default now(),
    ended    timestamptz,
    outcome  text,
    cleaned  boolean not null default false,
    primary key (job, attempt)
);
create index job_attempt_to_clean on job_attempt (ended) where not cleaned;

create table job_log (
    id       bigint generated always as identity primary key,
    job      uuid not null references job on delete cascade,
    attempt  integer not null,
    at       timestamptz not null default now(),
    level    text not null check (level in ('info', 'warning', 'error')),
    message  text not null
);
create index job_log_by_job on job_log (job, id);

create table outbox (
    job        uuid primary key references job on delete cascade,
    attempt    integer not null,
    tries      integer not null default 0,
    next_try   timestamptz not null default now(),
    last_error text,
    done       timestamptz
);
create index outbox_open on outbox (next_try) where done is null;

create table dispatcher (
    instance text primary key,
    started  timestamptz not null default now(),
    beat     timestamptz not null default now()
);
"""


def upgrade() -> None:
    # One simple query without parameters: several statements at once, and no sign in them is a placeholder.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute("set local search_path to processing, public")
    connection.execute(SchemaManager.get_schema())
    connection.execute(_TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
