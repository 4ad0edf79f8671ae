-- Ledger: two more moves. `transferred` is the other side of a transfer: over all organisations it sums to zero.

alter table ledger_transaction
    drop constraint ledger_transaction_kind_check,
    drop constraint ledger_transaction_check,
    drop constraint ledger_transaction_check1,
    drop constraint ledger_transaction_check2,
    add column counterpart bigint unique references ledger_transaction;
alter table ledger_transaction
    add constraint known_kind check (kind in
        ('grant', 'adjust', 'reserve', 'settle', 'release', 'refund', 'transfer_out', 'transfer_in')),
    add constraint negative_is_adjusted check (amount >= 0 or kind = 'adjust'),
    add constraint of_a_job check ((job is not null) = (kind in ('reserve', 'settle', 'release', 'refund'))),
    add constraint has_a_reason check (kind in ('reserve', 'settle', 'release') or length(reason) > 0),
    add constraint two_sides check ((counterpart is not null) = (kind = 'transfer_in'));
create index on ledger_transaction (job);

alter table ledger_entry
    drop constraint ledger_entry_debit_check,
    drop constraint ledger_entry_credit_check,
    add constraint known_debit check (debit in ('issued', 'available', 'reserved', 'settled', 'transferred')),
    add constraint known_credit check (credit in ('issued', 'available', 'reserved', 'settled', 'transferred'));

-- Locks are taken in one order everywhere (transaction rows, then accounts by id), so that no two moves wait for
-- each other.
create function credit_transfer(
    source uuid, target uuid, amount numeric, reason text, idempotency_key text, person text default null
) returns text language plpgsql security definer set search_path = rights, pg_temp as $$
#variable_conflict use_column
declare
    known ledger_transaction;
    given bigint;
    taken bigint;
begin
    perform check_amount($3);
    if $3 <= 0 or $1 = $2 then
        raise exception 'a transfer is more than zero, between two organisations' using errcode = 'P0422';
    end if;
    insert into ledger_transaction (organisation, kind, amount, reason, idempotency_key, person)
    select o.id, 'transfer_out', $3, $4, $5, $6 from organisation o where o.id = $1
    on conflict (organisation, idempotency_key) where idempotency_key is not null do nothing
    returning id into given;
    if given is null then
        select * into known from ledger_transaction t where t.organisation = $1 and t.idempotency_key = $5;
        if not found then
            raise exception 'no organisation of this id' using errcode = 'P0404';
        elsif known.kind <> 'transfer_out' or known.amount <> $3 or not exists (
            select from ledger_transaction t where t.counterpart = known.id and t.organisation = $2
        ) then
            raise exception 'the idempotency key was used for another move' using errcode = 'P0409';
        end if;
        return 'replay';
    end if;
    insert into ledger_transaction (organisation, kind, amount, reason, person, counterpart)
    select o.id, 'transfer_in', $3, $4, $6, given from organisation o where o.id = $2
    returning id into taken;
    if taken is null then
        raise exception 'no organisation of this id' using errcode = 'P0404';
    end if;
    perform from credit_account a where a.organisation in ($1, $2) order by a.organisation for no key update;
    perform move_credits(given, $1, 'available', 'transferred', $3);
    perform move_credits(taken, $2, 'transferred', 'available', $3);
    return 'transferred';
end
$$;

-- Several refunds of one job are possible; together they are at most what was settled.
create function credit_refund(
    job uuid, amount numeric, reason text, idempotency_key text, person text default null
) returns text language plpgsql security definer set search_path = rights, pg_temp as $$
#variable_conflict use_column
declare
    held  ledger_transaction;
    known ledger_transaction;
    made  bigint;
begin
    perform check_amount($2);
    if $2 <= 0 then
        raise exception 'a refund is more than zero' using errcode = 'P0422';
    end if;
    select * into held from ledger_transaction t where t.job = $1 and t.kind = 'settle';
    if not found then
        raise exception 'the job was not settled' using errcode = 'P0404';
    end if;
    insert into ledger_transaction (organisation, kind, job, amount, reason, idempotency_key, person)
    values (held.organisation, 'refund', $1, $2, $3, $4, $5)
    on conflict (organisation, idempotency_key) where idempotency_key is not null do nothing
    returning id into made;
    if made is null then
        select * into known from ledger_transaction t
         where t.organisation = held.organisation and t.idempotency_key = $4;
        if known.kind <> 'refund' or known.amount <> $2 or known.job <> $1 then
            raise exception 'the idempotency key was used for another move' using errcode = 'P0409';
        end if;
        return 'replay';
    end if;
    perform from credit_account a where a.organisation = held.organisation for no key update;
    if (select sum(t.amount) from ledger_transaction t where t.job = $1 and t.kind = 'refund') > held.amount then
        raise exception 'more than was settled' using errcode = 'P0422';
    end if;
    perform move_credits(made, held.organisation, 'settled', 'available', $2);
    return 'refunded';
end
$$;
