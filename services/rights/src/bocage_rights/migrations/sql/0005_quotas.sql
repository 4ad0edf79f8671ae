-- Plans and quotas.

create table plan (
    name        text primary key check (name ~ '^[a-z][a-z0-9-]{0,40}$'),
    description text not null check (length(description) > 0)
);

-- Who is on another plan than `standard`. A person's counts before its organisation's.
create table plan_assignment (
    organisation uuid unique references organisation,
    person       uuid unique,  -- no reference: an erased person leaves all but its row
    plan         text not null references plan,
    reason       text not null check (length(reason) > 0),
    assigned_by  text not null,
    at           timestamptz not null default now(),
    check (num_nonnulls(organisation, person) = 1)
);

-- A null amount lifts the limit that a less specific quota sets. Exact units are kept in calendar periods only.
create table quota (
    id           bigint generated always as identity primary key,
    plan         text references plan,
    category     text check (category in ('public', 'research', 'private')),
    organisation uuid references organisation,
    person       uuid,
    holder       text not null generated always as (case
        when plan is not null then 'plan ' || plan when category is not null then 'category ' || category
        when organisation is not null then 'organisation ' || organisation::text
        else 'person ' || person::text end) stored,
    counted      text not null check (counted in ('person', 'organisation')),
    unit         text not null check (unit in ('credits', 'km2', 'bytes', 'requests')),
    period       text not null check (period in ('minute', 'day', 'month', 'quarter')),
    amount       numeric(18, 4) check (amount >= 0),
    valid_from   timestamptz not null default now(),
    valid_to     timestamptz check (valid_to > valid_from),
    reason       text not null check (length(reason) > 0),
    set_by       text not null,
    check (num_nonnulls(plan, category, organisation, person) = 1),
    check (period <> 'minute' or unit in ('bytes', 'requests')),
    check (counted = 'person' or person is null),
    exclude using gist (holder with =, counted with =, unit with =, period with =,
                        tstzrange(valid_from, valid_to) with &&)
);

create function keep_quota() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or old.valid_to is not null and old.valid_to <= now()
       or (new.plan, new.category, new.organisation, new.person, new.counted, new.unit, new.period, new.amount,
           new.valid_from, new.reason, new.set_by)
          is distinct from
          (old.plan, old.category, old.organisation, old.person, old.counted, old.unit, old.period, old.amount,
           old.valid_from, old.reason, old.set_by) then
        raise exception 'a quota is closed, not changed' using errcode = 'P0405';
    end if;
    return new;
end
$$;
create trigger keep before update or delete on quota for each row execute function keep_quota();

-- What the gateway holds of an account is asked for anew when its limits change.
create trigger announce after insert or update or delete on plan_assignment
    for each statement execute function on_general_change();
create trigger announce after insert or update on quota for each statement execute function on_general_change();

create function period_start(p_period text, p_at timestamptz) returns timestamptz language sql stable as $$
    select case when p_period = 'minute' then p_at - interval '1 minute'
                else date_trunc(p_period, p_at at time zone 'UTC') at time zone 'UTC' end
$$;

create function period_end(p_period text, p_at timestamptz) returns timestamptz language sql stable as $$
    select case p_period when 'minute' then p_at + interval '1 minute'
                else (date_trunc(p_period, p_at at time zone 'UTC')
                      + case p_period when 'day' then interval '1 day' when 'month' then interval '1 month'
                             else interval '3 months' end) at time zone 'UTC' end
$$;

-- The limits of an account, of anonymous callers when both are null: of each kind the most specific one in force.
create function policies(p_organisation uuid, p_person text)
returns table (name text, counted text, unit text, period text, amount numeric, holder text)
language sql stable security definer set search_path = rights, pg_temp as $$
    with account as (
        select (select a.plan from plan_assignment a where a.person::text = p_person) as of_person,
               (select a.plan from plan_assignment a where a.organisation = p_organisation) as of_organisation,
               case when p_organisation is null then 'anonymous' else 'standard' end as by_default,
               (select o.category from organisation o where o.id = p_organisation) as category
    ), ranked as (
        select q.*, case when q.person is not null then 1 when q.plan = a.of_person then 2
                         when q.organisation is not null then 3 when q.plan = a.of_organisation then 4
                         when q.category is not null then 5 else 6 end as rank
          from quota q cross join account a
         where q.valid_from <= now() and (q.valid_to is null or q.valid_to > now())
           and (q.person::text = p_person or q.organisation = p_organisation or q.category = a.category
                or q.plan in (a.of_person, a.of_organisation, a.by_default))
    ), chosen as (
        select distinct on (r.counted, r.unit, r.period) r.* from ranked r
         order by r.counted, r.unit, r.period, r.rank
    )
    select c.unit || '-' || c.period || case c.counted when 'organisation' then '-organisation' else '' end,
           c.counted, c.unit, c.period, c.amount, c.holder
      from chosen c where c.amount is not null
$$;

-- The quota that it follows is closed; it ends where a later one begins.
create function quota_set(
    plan text, category text, organisation uuid, person uuid, counted text, unit text, period text, amount numeric,
    valid_from timestamptz, valid_to timestamptz, reason text, set_by text
) returns bigint language plpgsql security definer set search_path = rights, pg_temp as $$
#variable_conflict use_column
declare
    starts timestamptz := coalesce($9, now());
    later  timestamptz;
    made   bigint;
begin
    if starts < now() then
        raise exception 'a quota cannot hold from the past' using errcode = 'P0422';
    end if;
    update quota q set valid_to = starts
     where (q.plan, q.category, q.organisation, q.person, q.counted, q.unit, q.period)
           is not distinct from ($1, $2, $3, $4, $5, $6, $7)
       and q.valid_from < starts and (q.valid_to is null or q.valid_to > starts);
    select min(q.valid_from) into later from quota q
     where (q.plan, q.category, q.organisation, q.person, q.counted, q.unit, q.period)
           is not distinct from ($1, $2, $3, $4, $5, $6, $7)
       and q.valid_from > starts;
    insert into quota (plan, category, organisation, person, counted, unit, period, amount, valid_from, valid_to,
                       reason, set_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8, starts, least($10, later), $11, $12) returning id into made;
    return made;
end
$$;

insert into plan (name, description) values
    ('standard', 'Every account that has no other plan.'),
    ('anonymous', 'Callers without a credential, each counted by its network address.'),
    ('trial', 'Tiny limits, for testing how a client behaves when it meets them.');

insert into quota (plan, counted, unit, period, amount, valid_from, reason, set_by) values
    ('standard', 'person', 'requests', 'minute', 120000, '2025-01-01', 'keeps one account from taking all', 'default'),
    ('standard', 'organisation', 'bytes', 'month', 20e12, '2025-01-01', 'twenty terabytes', 'default'),
    ('standard', 'organisation', 'km2', 'month', 100000, '2025-01-01', 'a sixth of France', 'default'),
    ('anonymous', 'person', 'requests', 'minute', 120000, '2025-01-01', 'keeps one address from taking all', 'default'),
    ('anonymous', 'person', 'bytes', 'month', 5e12, '2025-01-01', 'five terabytes', 'default'),
    ('trial', 'person', 'requests', 'minute', 10, '2025-01-01', 'soon met', 'default'),
    ('trial', 'person', 'bytes', 'day', 100e6, '2025-01-01', 'soon met', 'default'),
    ('trial', 'person', 'credits', 'day', 5, '2025-01-01', 'soon met', 'default'),
    ('trial', 'person', 'km2', 'day', 10, '2025-01-01', 'soon met', 'default');
