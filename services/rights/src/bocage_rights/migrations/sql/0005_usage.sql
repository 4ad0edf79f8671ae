-- Cheap units: requests and bytes, counted by gateways and added in batches.

create table usage_count (
    day          date not null,
    organisation uuid,
    person       text not null,
    service      text not null,
    collection   text,
    project      text,
    requests     bigint not null default 0,
    bytes        bigint not null default 0,
    unique nulls not distinct (day, organisation, person, service, collection, project)
);
create index on usage_count (organisation, day);

create table usage_total (
    counted  text not null,
    holder   text not null,
    period   text not null,
    starts   timestamptz not null,
    requests bigint not null,
    bytes    bigint not null,
    primary key (counted, holder, period, starts)
);

-- The rolling minute, in steps of a flush; a crash of the database may empty it.
create unlogged table usage_recent (
    counted  text not null,
    holder   text not null,
    at       timestamptz not null,
    requests bigint not null,
    bytes    bigint not null
);
create index on usage_recent (counted, holder, at);
create index on usage_recent (at);

create table usage_batch (
    id uuid primary key,
    at timestamptz not null default now()
);
create index on usage_batch (at);

create function batch_lines(p_counts jsonb)
returns table (organisation uuid, person text, service text, collection text, project text, requests bigint, bytes bigint)
language sql immutable set search_path = rights, pg_temp as $$
    select l.organisation, l.person, l.service, l.collection, l.project, sum(l.requests)::bigint, sum(l.bytes)::bigint
      from jsonb_to_recordset(p_counts) l (organisation uuid, person text, service text, collection text, project text,
                                           requests bigint, bytes bigint)
     group by 1, 2, 3, 4, 5
$$;

-- Who is counted in a batch: people and organisations. Anonymous callers are counted by the gateway alone.
create function batch_holders(p_counts jsonb) returns table (counted text, holder text, requests bigint, bytes bigint)
language sql immutable set search_path = rights, pg_temp as $$
    select 'person', l.person, sum(l.requests)::bigint, sum(l.bytes)::bigint
      from batch_lines(p_counts) l where l.person <> 'anonymous' group by l.person
    union all
    select 'organisation', l.organisation::text, sum(l.requests)::bigint, sum(l.bytes)::bigint
      from batch_lines(p_counts) l where l.organisation is not null group by l.organisation
$$;

-- Adds a batch, once, whatever happened to the answer; says what each of its holders has used by now.
create function count_usage(p_batch uuid, p_counts jsonb)
returns table (counted text, holder text, period text, requests bigint, bytes bigint)
language plpgsql security definer set search_path = rights, pg_temp as $$
#variable_conflict use_column
begin
    insert into usage_batch (id) values (p_batch) on conflict do nothing;
    if found then
        -- In one order, so that two gateways never wait for each other.
        insert into usage_count as u (day, organisation, person, service, collection, project, requests, bytes)
        select (now() at time zone 'UTC')::date, l.* from batch_lines(p_counts) l order by l::text
        on conflict (day, organisation, person, service, collection, project) do update
           set requests = u.requests + excluded.requests, bytes = u.bytes + excluded.bytes;
        insert into usage_total as t (counted, holder, period, starts, requests, bytes)
        select h.counted, h.holder, p.period, period_start(p.period, now()), h.requests, h.bytes
          from batch_holders(p_counts) h cross join (values ('day'), ('month'), ('quarter')) p (period)
         order by 1, 2, 3
        on conflict (counted, holder, period, starts) do update
           set requests = t.requests + excluded.requests, bytes = t.bytes + excluded.bytes;
        insert into usage_recent (counted, holder, at, requests, bytes)
        select h.counted, h.holder, clock_timestamp(), h.requests, h.bytes from batch_holders(p_counts) h;
        delete from usage_recent r where r.ctid = any (array(
            select o.ctid from usage_recent o where o.at < now() - interval '61 seconds'
             limit 5000 for update skip locked));
        delete from usage_batch b where b.id = any (array(
            select o.id from usage_batch o where o.at < now() - interval '1 day' limit 100 for update skip locked));
    end if;
    return query
        select h.counted, h.holder, t.period, t.requests, t.bytes
          from batch_holders(p_counts) h join usage_total t using (counted, holder)
         where t.starts = period_start(t.period, now())
        union all
        select h.counted, h.holder, 'minute', coalesce(sum(r.requests), 0)::bigint, coalesce(sum(r.bytes), 0)::bigint
          from batch_holders(p_counts) h
          left join usage_recent r on r.counted = h.counted and r.holder = h.holder and r.at > now() - interval '1 minute'
         group by 1, 2;
end
$$;

-- The limits of an account and what is used of them.
create function quota_state(p_organisation uuid, p_person text)
returns table (name text, counted text, unit text, period text, amount numeric, holder text, used numeric, ends timestamptz)
language sql stable security definer set search_path = rights, pg_temp as $$
    select p.name, p.counted, p.unit, p.period, p.amount, p.holder,
           case when p.unit in ('credits', 'km2') then exact_use(p.counted, p_organisation, p_person, p.unit, p.period)
                when p.period = 'minute' then coalesce((
                    select sum(case p.unit when 'bytes' then r.bytes else r.requests end) from usage_recent r
                     where r.counted = p.counted and r.at > now() - interval '1 minute'
                       and r.holder = case p.counted when 'person' then p_person else p_organisation::text end), 0)
                else coalesce((
                    select case p.unit when 'bytes' then t.bytes else t.requests end from usage_total t
                     where t.counted = p.counted and t.period = p.period and t.starts = period_start(p.period, now())
                       and t.holder = case p.counted when 'person' then p_person else p_organisation::text end), 0)
           end,
           period_end(p.period, now())
      from policies(p_organisation, p_person) p
$$;

-- Functions are executable by everybody unless that is taken back.
revoke execute on all functions in schema rights from public;
grant execute on function
    price(text, jsonb, text, text[], timestamptz),
    price_lines(text, jsonb, text, text[], timestamptz),
    job_reserve(uuid, uuid, text, numeric, numeric, text, text[], text),
    job_settle(uuid, numeric, numeric),
    quota_refused(uuid, text, text)
to bocage_processing;
