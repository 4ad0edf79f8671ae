-- Signed links. A link is a seal over what it says and is stored nowhere; what is stored is who asked for how many,
-- and the jobs for whose length links were given.

create table signed_grant (
    job        uuid primary key,
    api_key    text not null references api_key,
    made_at    timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at   timestamptz
);

create function keep_grant_ended() returns trigger language plpgsql as $$
begin
    if old.ended_at is not null and new.ended_at is distinct from old.ended_at then
        raise exception 'an ended grant stays ended' using errcode = 'P0405';
    end if;
    return new;
end
$$;
create trigger stays_ended before update on signed_grant for each row execute function keep_grant_ended();

-- The gateway holds identities by the key behind them: it must forget those that came from the job's links.
create function on_grant_end() returns trigger language plpgsql security definer set search_path = rights, pg_temp as $$
begin
    perform announce(jsonb_build_object('credential', new.api_key));
    return null;
end
$$;
create trigger announce after update of ended_at on signed_grant
    for each row when (new.ended_at is not null) execute function on_grant_end();

create function end_grant_of_job() returns trigger language plpgsql security definer
set search_path = rights, pg_temp as $$
begin
    update signed_grant set ended_at = now() where job = new.job and ended_at is null;
    return null;
end
$$;
create trigger end_grant after insert on ledger_transaction
    for each row when (new.kind in ('settle', 'release')) execute function end_grant_of_job();

-- One row a day, key and kind of request.
create table signing_count (
    day          date not null default current_date,
    api_key      text not null references api_key,
    kind         text not null check (kind in ('read', 'write', 'collection')),
    calls        bigint not null default 0 check (calls >= 0),
    links        bigint not null default 0 check (links >= 0),
    primary key (day, api_key, kind)
);
