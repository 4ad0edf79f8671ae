-- Credits in double entry. Each entry moves an amount from one account of an organisation to another, so the sum over
-- all accounts is zero by construction. `issued` is the platform's side: it alone may be negative.
-- The balances are kept by the trigger on the entries and by nothing else.

create table credit_account (
    organisation uuid primary key references organisation,
    available    numeric(18, 4) not null default 0 check (available >= 0),
    reserved     numeric(18, 4) not null default 0 check (reserved >= 0),
    settled      numeric(18, 4) not null default 0 check (settled >= 0)
) with (fillfactor = 50);

create function open_credit_account() returns trigger language plpgsql security definer
set search_path = rights, pg_temp as $$
begin
    insert into credit_account (organisation) values (new.id);
    return new;
end
$$;
create trigger credit_account after insert on organisation for each row execute function open_credit_account();

create table ledger_transaction (
    id              bigint generated always as identity primary key,
    organisation    uuid not null references organisation,
    kind            text not null check (kind in ('grant', 'adjust', 'reserve', 'settle', 'release')),
    job             uuid,
    amount          numeric(18, 4) not null,
    reason          text,
    person          text,
    idempotency_key text,
    at              timestamptz not null default clock_timestamp(),
    check (amount >= 0 or kind = 'adjust'),
    check ((job is not null) = (kind in ('reserve', 'settle', 'release'))),
    check (kind not in ('grant', 'adjust') or length(reason) > 0)
);
create unique index one_reservation on ledger_transaction (job) where kind = 'reserve';
create unique index one_ending on ledger_transaction (job) where kind in ('settle', 'release');
create unique index one_per_key on ledger_transaction (organisation, idempotency_key)
    where idempotency_key is not null;
create index on ledger_transaction (organisation, id);

create table ledger_entry (
    id           bigint generated always as identity primary key,
    transaction  bigint not null references ledger_transaction,
    organisation uuid not null references credit_account,
    debit        text not null check (debit in ('issued', 'available', 'reserved', 'settled')),
    credit       text not null check (credit in ('issued', 'available', 'reserved', 'settled')),
    amount       numeric(18, 4) not null check (amount > 0),
    check (debit <> credit)
);
create index on ledger_entry (transaction);

create trigger append_only before update or delete on ledger_transaction
    for each row execute function refuse_change();
create trigger append_only before update or delete on ledger_entry for each row execute function refuse_change();
create trigger append_only_whole before truncate on ledger_transaction execute function refuse_change();
create trigger append_only_whole before truncate on ledger_entry execute function refuse_change();

create function apply_entry() returns trigger language plpgsql security definer
set search_path = rights, pg_temp as $$
begin
    update credit_account
       set available = available + case 'available' when new.credit then new.amount when new.debit then -new.amount else 0 end,
           reserved  = reserved  + case 'reserved'  when new.credit then new.amount when new.debit then -new.amount else 0 end,
           settled   = settled   + case 'settled'   when new.credit then new.amount when new.debit then -new.amount else 0 end
     where organisation = new.organisation
       and (new.debit <> 'available' or available >= new.amount);
    if not found then
        raise exception 'insufficient credits' using errcode = 'P0402';
    end if;
    return null;
end
$$;
create trigger balance after insert on ledger_entry for each row execute function apply_entry();

create function move_credits(p_transaction bigint, p_organisation uuid, p_debit text, p_credit text, p_amount numeric)
returns void language sql set search_path = rights, pg_temp as $$
    insert into ledger_entry (transaction, organisation, debit, credit, amount)
    select p_transaction, p_organisation, p_debit, p_credit, p_amount where p_amount > 0
$$;

create function check_amount(p_amount numeric) returns void language plpgsql immutable as $$
begin
    if p_amount is null or p_amount < 0 or p_amount = 'NaN' or p_amount >= 1e12 or p_amount <> round(p_amount, 4) then
        raise exception 'not an amount of credits' using errcode = 'P0422';
    end if;
end
$$;

create function credit_reserve(organisation uuid, job uuid, amount numeric, person text) returns text
language plpgsql security definer set search_path = rights, pg_temp as $$
#variable_conflict use_column
declare
    known ledger_transaction;
    made  bigint;
begin
    perform check_amount($3);
    insert into ledger_transaction (organisation, kind, job, amount, person)
    select o.id, 'reserve', $2, $3, $4 from organisation o where o.id = $1 and o.state = 'active'
    on conflict (job) where kind = 'reserve' do nothing
    returning id into made;
    if made is null then
        select * into known from ledger_transaction t where t.job = $2 and t.kind = 'reserve';
        if not found then
            raise exception 'no active organisation of this id' using errcode = 'P0404';
        elsif known.organisation <> $1 or known.amount <> $3 then
            raise exception 'the job has another reservation already' using errcode = 'P0409';
        end if;
        return 'replay';
    end if;
    perform move_credits(made, $1, 'available', 'reserved', $3);
    return 'reserved';
end
$$;

-- Settle and release share this: the first ending of a job counts, its repetition is a replay, another one is refused.
create function end_reservation(p_job uuid, p_kind text, p_amount numeric) returns boolean
language plpgsql set search_path = rights, pg_temp as $$
declare
    held  ledger_transaction;
    known ledger_transaction;
    cost  numeric;
    made  bigint;
begin
    perform check_amount(p_amount);
    select * into held from ledger_transaction where job = p_job and kind = 'reserve';
    if not found then
        raise exception 'the job has no reservation' using errcode = 'P0404';
    end if;
    cost := least(p_amount, held.amount);
    insert into ledger_transaction (organisation, kind, job, amount)
    values (held.organisation, p_kind, p_job, cost)
    on conflict (job) where kind in ('settle', 'release') do nothing
    returning id into made;
    if made is null then
        select * into known from ledger_transaction where job = p_job and kind in ('settle', 'release');
        if known.kind <> p_kind or known.amount <> cost then
            raise exception 'the job has another ending already' using errcode = 'P0409';
        end if;
        return false;
    end if;
    perform move_credits(made, held.organisation, 'reserved', 'settled', cost);
    perform move_credits(made, held.organisation, 'reserved', 'available', held.amount - cost);
    return true;
end
$$;

create function credit_settle(job uuid, amount numeric) returns text
language sql security definer set search_path = rights, pg_temp as $$
    select case when end_reservation($1, 'settle', $2) then 'settled' else 'replay' end
$$;

create function credit_release(job uuid) returns text
language sql security definer set search_path = rights, pg_temp as $$
    select case when end_reservation($1, 'release', 0) then 'released' else 'replay' end
$$;

create function balance(organisation uuid) returns table (available numeric, reserved numeric, settled numeric)
language sql stable security definer set search_path = rights, pg_temp as $$
    select a.available, a.reserved, a.settled from credit_account a where a.organisation = $1
$$;

-- Positive: credits issued to the organisation; negative: taken back, as far as they are available.
create function issue_credits(p_organisation uuid, p_kind text, p_amount numeric, p_reason text, p_key text, p_person text)
returns text language plpgsql set search_path = rights, pg_temp as $$
declare
    known ledger_transaction;
    made  bigint;
begin
    perform check_amount(abs(p_amount));
    insert into ledger_transaction (organisation, kind, amount, reason, idempotency_key, person)
    select id, p_kind, p_amount, p_reason, p_key, p_person from organisation where id = p_organisation
    on conflict (organisation, idempotency_key) where idempotency_key is not null do nothing
    returning id into made;
    if made is null then
        select * into known from ledger_transaction where organisation = p_organisation and idempotency_key = p_key;
        if not found then
            raise exception 'no organisation of this id' using errcode = 'P0404';
        elsif known.kind <> p_kind or known.amount <> p_amount then
            raise exception 'the idempotency key was used for another amount' using errcode = 'P0409';
        end if;
        return 'replay';
    end if;
    if p_amount > 0 then
        perform move_credits(made, p_organisation, 'issued', 'available', p_amount);
    else
        perform move_credits(made, p_organisation, 'available', 'issued', -p_amount);
    end if;
    return 'done';
end
$$;

create function credit_grant(organisation uuid, amount numeric, reason text, idempotency_key text, person text default null)
returns text language plpgsql security definer set search_path = rights, pg_temp as $$
begin
    if amount is null or amount <= 0 then
        raise exception 'a grant is more than zero' using errcode = 'P0422';
    end if;
    return case issue_credits($1, 'grant', $2, $3, $4, $5) when 'done' then 'granted' else 'replay' end;
end
$$;

create function credit_adjust(organisation uuid, amount numeric, reason text, idempotency_key text, person text default null)
returns text language sql security definer set search_path = rights, pg_temp as $$
    select case issue_credits($1, 'adjust', $2, $3, $4, $5) when 'done' then 'adjusted' else 'replay' end
$$;

create table tariff (
    id         bigint generated always as identity primary key,
    process    text not null,
    unit       text not null check (unit ~ '^[a-z_]+$'),
    price      numeric(18, 4) not null check (price >= 0),
    valid_from timestamptz not null default now(),
    valid_to   timestamptz,
    check (valid_to > valid_from),
    exclude using gist (process with =, unit with =, tstzrange(valid_from, valid_to) with &&)
);

-- The unit `job` is the fixed part: one a job, whatever the usage says.
create function price(process text, usage jsonb) returns numeric
language plpgsql stable security definer set search_path = rights, pg_temp as $$
#variable_conflict use_column
declare
    line     record;
    quantity numeric;
    total    numeric := 0;
    known    boolean := false;
begin
    for line in
        select t.unit, t.price from tariff t
         where t.process = $1 and now() >= t.valid_from and (t.valid_to is null or now() < t.valid_to)
    loop
        known := true;
        quantity := case line.unit when 'job' then 1 else ($2 ->> line.unit)::numeric end;
        if quantity is null or quantity < 0 or quantity = 'NaN' or quantity = 'Infinity' then
            raise exception 'the usage lacks %', line.unit using errcode = 'P0422';
        end if;
        total := total + quantity * line.price;
    end loop;
    if not known then
        raise exception 'no price for the process %', $1 using errcode = 'P0404';
    end if;
    return round(ceil(total * 100) / 100, 2);
end
$$;

insert into tariff (process, unit, price, valid_from) values
    ('dsm', 'job', 2, '2025-01-01'),
    ('dsm', 'megapixels', 10, '2025-01-01'),
    ('hillshade', 'job', 0.2, '2025-01-01'),
    ('hillshade', 'megapixels', 0.5, '2025-01-01'),
    ('echo', 'job', 0.01, '2025-01-01');
