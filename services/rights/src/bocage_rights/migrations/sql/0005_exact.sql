-- Exact units: what each job counts, at most what it reserved. The organisation's account row is the lock.

create table counted_job (
    job          uuid primary key,
    organisation uuid not null references organisation,
    person       text not null,
    process      text,
    collections  text[] not null default '{}',
    project      text,
    credits      numeric(18, 4) not null check (credits >= 0),
    km2          numeric(18, 4) not null check (km2 >= 0),
    state        text not null default 'open' check (state in ('open', 'settled', 'released')),
    at           timestamptz not null default now()
);
create index on counted_job (organisation, at) include (credits, km2);
create index on counted_job (person, at) include (credits, km2);

create function follow_ending() returns trigger language plpgsql security definer set search_path = rights, pg_temp as $$
begin
    update counted_job
       set credits = case new.kind when 'settle' then new.amount when 'release' then 0 else credits - new.amount end,
           km2     = case new.kind when 'release' then 0 else km2 end,
           state   = case new.kind when 'settle' then 'settled' when 'release' then 'released' else state end
     where job = new.job;
    return null;
end
$$;
create trigger counted after insert on ledger_transaction for each row
    when (new.kind in ('settle', 'release', 'refund')) execute function follow_ending();

create table quota_warning (
    counted text not null,
    holder  text not null,
    unit    text not null,
    period  text not null,
    starts  timestamptz not null,
    level   smallint not null check (level in (80, 100)),
    amount  numeric not null,
    used    numeric not null,
    at      timestamptz not null default now(),
    primary key (counted, holder, unit, period, starts, level)
);
create index on quota_warning (at);

create function warn(p_counted text, p_holder text, p_unit text, p_period text, p_amount numeric, p_used numeric)
returns boolean language sql volatile set search_path = rights, pg_temp as $$
    with made as (
        insert into quota_warning (counted, holder, unit, period, starts, level, amount, used)
        select p_counted, p_holder, p_unit, p_period, period_start(p_period, now()), l.level, p_amount, p_used
          from (values (80), (100)) l (level) where p_used * 100 >= p_amount * l.level
        on conflict do nothing returning 1
    ) select exists (select from made)
$$;

create function exact_use(p_counted text, p_organisation uuid, p_person text, p_unit text, p_period text)
returns numeric language plpgsql stable set search_path = rights, pg_temp as $$
declare
    used numeric;
begin
    if p_counted = 'person' then
        select sum(case p_unit when 'credits' then j.credits else j.km2 end) into used from counted_job j
         where j.person = p_person and j.organisation = p_organisation and j.at >= period_start(p_period, now());
    else
        select sum(case p_unit when 'credits' then j.credits else j.km2 end) into used from counted_job j
         where j.organisation = p_organisation and j.at >= period_start(p_period, now());
    end if;
    return coalesce(used, 0);
end
$$;

-- Reserves credits and counts credits and km² against the quotas in force, or does nothing at all:
-- P0402 for credits, P0429 for a quota, whose name, limit and end are in the error's detail, as JSON.
create function job_reserve(
    organisation uuid, job uuid, person text, amount numeric, km2 numeric, process text, collections text[],
    project text default null
) returns text language plpgsql security definer set search_path = rights, pg_temp as $$
#variable_conflict use_column
declare
    policy record;
    used   numeric;
begin
    perform check_amount($5);
    if credit_reserve($1, $2, $4, $3) = 'replay' then
        return 'replay';
    end if;
    -- A reservation of nothing has moved nothing, and so has not taken the lock.
    perform from credit_account a where a.organisation = $1 for no key update;
    insert into counted_job (job, organisation, person, process, collections, project, credits, km2, at)
    values ($2, $1, $3, $6, coalesce($7, '{}'), $8, $4, $5, now());
    for policy in select * from policies($1, $3) p where p.unit in ('credits', 'km2') order by p.name
    loop
        continue when policy.unit = 'credits' and $4 = 0 or policy.unit = 'km2' and $5 = 0;
        used := exact_use(policy.counted, $1, $3, policy.unit, policy.period);
        if used > policy.amount then
            raise exception 'quota exceeded' using errcode = 'P0429', detail = jsonb_build_object(
                'name', policy.name, 'unit', policy.unit, 'period', policy.period, 'counted', policy.counted,
                'amount', policy.amount,
                'used', used - case policy.unit when 'credits' then $4 else $5 end,
                'seconds', ceil(extract(epoch from period_end(policy.period, now()) - now())));
        end if;
        perform warn(policy.counted, case policy.counted when 'person' then $3 else $1::text end,
                     policy.unit, policy.period, policy.amount, used);
    end loop;
    return 'reserved';
end
$$;

create function job_settle(job uuid, amount numeric, km2 numeric default null) returns text
language plpgsql security definer set search_path = rights, pg_temp as $$
#variable_conflict use_column
declare
    answer text := credit_settle($1, $2);
begin
    if answer = 'settled' and $3 is not null then
        update counted_job j set km2 = least(j.km2, round(greatest($3, 0), 4)) where j.job = $1;
    end if;
    return answer;
end
$$;

-- A refusal leaves nothing behind but this, in a transaction of its own.
create function quota_refused(organisation uuid, person text, name text) returns void
language sql security definer set search_path = rights, pg_temp as $$
    select warn(p.counted, case p.counted when 'person' then $2 else $1::text end, p.unit, p.period, p.amount, p.amount)
      from policies($1, $2) p where p.name = $3
$$;

-- What was reserved before there were quotas counts too.
insert into counted_job (job, organisation, person, credits, km2, state, at)
select r.job, r.organisation, coalesce(r.person, 'unknown'), coalesce(e.amount, r.amount), 0,
       case e.kind when 'settle' then 'settled' when 'release' then 'released' else 'open' end, r.at
  from ledger_transaction r
  left join ledger_transaction e on e.job = r.job and e.kind in ('settle', 'release')
 where r.kind = 'reserve';
