-- The audit chain, counted denials, and the register of what was taken.

-- Rows are written by triggers on the tables concerned, sealed by `seal_audit` afterwards, and never changed again.
-- Persons appear by their ids alone: a person's row can be erased and the chain still holds.
create table audit (
    id        bigint generated always as identity primary key,
    at        timestamptz not null,
    xid       xid8 not null,
    actor     text not null check (length(actor) between 1 and 200),
    kind      text not null check (kind in ('job', 'money', 'administration', 'acceptance')),
    action    text not null,
    target    text not null,
    detail    jsonb not null default '{}',
    seq       bigint unique,
    sealed_at timestamptz,
    hash      bytea check (length(hash) = 32),
    check (num_nulls(seq, sealed_at, hash) in (0, 3))
);
create index audit_unsealed on audit (xid, id) where seq is null;
create index on audit (at);
create index on audit (actor, id);
create index on audit (target, id) where kind = 'job';

-- The time and the transaction are the database's own word. One change is allowed: the seal, once.
create function guard_audit() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        new.at := clock_timestamp();
        new.xid := pg_current_xact_id();
        new.seq := null;
        new.sealed_at := null;
        new.hash := null;
        return new;
    elsif tg_op = 'UPDATE' and old.seq is null and new.seq is not null
        and to_jsonb(new) - '{seq,sealed_at,hash}'::text[] = to_jsonb(old) - '{seq,sealed_at,hash}'::text[] then
        return new;
    end if;
    raise exception 'audit is append-only' using errcode = 'P0405';
end
$$;
create trigger guard before insert or update or delete on audit for each row execute function guard_audit();
create trigger append_only_whole before truncate on audit execute function refuse_change();

-- Who acts: what the service set for this transaction, else the database's role.
create function acting(p_fallback text default null) returns text language sql stable as $$
    select coalesce(nullif(current_setting('bocage.actor', true), ''), nullif(p_fallback, ''), 'role:' || session_user)
$$;

create function audit_note(p_kind text, p_action text, p_target text, p_detail jsonb, p_actor text default null)
returns void language sql set search_path = rights, pg_temp as $$
    insert into audit (at, xid, actor, kind, action, target, detail)
    values (clock_timestamp(), pg_current_xact_id(), acting(p_actor), p_kind, p_action, p_target, p_detail)
$$;

-- For any table. Its argument is a JSON object:
--   kind    of the audit's row
--   key     columns that name the row
--   verb    column whose value names the action; absent: created, changed, deleted
--   actor   column that names who acted, where the session does not say so
--   omit    columns left out: long texts, and names of persons
-- Columns that look like secrets or like a person's address are left out of every table.
create function audit_change() returns trigger language plpgsql security definer set search_path = rights, pg_temp as $$
declare
    options jsonb := tg_argv[0]::jsonb;
    omitted text[] := array(select jsonb_array_elements_text(coalesce(options -> 'omit', '[]')));
    was     jsonb := '{}';
    is_now  jsonb := '{}';
    told    jsonb;
    row_    jsonb;
begin
    if tg_op <> 'INSERT' then was := to_jsonb(old); end if;
    if tg_op <> 'DELETE' then is_now := to_jsonb(new); end if;
    row_ := case tg_op when 'DELETE' then was else is_now end;
    select jsonb_object_agg(key, case tg_op when 'UPDATE' then jsonb_build_array(was -> key, is_now -> key)
                                            else row_ -> key end)
      into told
      from jsonb_object_keys(row_) as key
     where not (key = any (omitted)) and key !~ '(hmac|secret|password|pepper|email|phone|representative|evidence)'
       and case tg_op when 'UPDATE' then was -> key is distinct from is_now -> key else row_ -> key <> 'null' end;
    if told is null then  -- nothing that is told has changed
        return null;
    end if;
    perform audit_note(
        options ->> 'kind',
        tg_table_name || '.' || coalesce(row_ ->> (options ->> 'verb'),
            case tg_op when 'INSERT' then 'created' when 'UPDATE' then 'changed' else 'deleted' end),
        tg_table_name || ':' || (select string_agg(row_ ->> key, '/' order by n)
                                   from jsonb_array_elements_text(options -> 'key') with ordinality as k (key, n)),
        told,
        row_ ->> (options ->> 'actor')
    );
    return null;
end
$$;

create function attach_audit(p_table regclass, p_options jsonb) returns void language plpgsql as $$
begin
    execute format('create trigger audit after insert or update or delete on %s for each row execute function '
                   'rights.audit_change(%L)', p_table, p_options);
end
$$;

select attach_audit('ledger_transaction', '{"kind": "money", "key": ["id"], "verb": "kind", "actor": "person"}');
select attach_audit('tariff', '{"kind": "money", "key": ["id"]}');
select attach_audit('organisation', '{"kind": "administration", "key": ["id"]}');
select attach_audit('person', '{"kind": "administration", "key": ["id"], "omit": ["name"]}');
select attach_audit('service_account', '{"kind": "administration", "key": ["name"]}');
select attach_audit('api_key', '{"kind": "administration", "key": ["id"], "omit": ["name", "last_used_at"]}');
select attach_audit('licence', '{"kind": "administration", "key": ["id"]}');
select attach_audit('licence_version',
    '{"kind": "administration", "key": ["licence", "version"], "omit": ["text_en", "text_fr"]}');
select attach_audit('acceptance',
    '{"kind": "acceptance", "key": ["licence", "id"], "verb": "action", "actor": "recorded_by"}');
select attach_audit('email_domain', '{"kind": "administration", "key": ["domain"]}');
select attach_audit('person_login',
    '{"kind": "administration", "key": ["issuer", "person"], "omit": ["subject", "last_used_at"]}');
select attach_audit('derivation_rule',
    '{"kind": "administration", "key": ["licence", "effect", "version"], "actor": "recorded_by"}');
select attach_audit('recall', '{"kind": "administration", "key": ["collection", "item"], "actor": "recalled_by"}');
select attach_audit('plan', '{"kind": "money", "key": ["name"]}');
select attach_audit('plan_assignment', '{"kind": "money", "key": ["plan"], "actor": "assigned_by"}');
select attach_audit('quota', '{"kind": "money", "key": ["id"], "actor": "set_by"}');
select attach_audit('lineage', '{"kind": "job", "key": ["job", "input_collection", "input_item"]}');
select attach_audit('signed_grant', '{"kind": "job", "key": ["job"]}');

create function audit_time(p_at timestamptz) returns text language sql stable as $$
    select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- What is hashed of a row. The text of jsonb is canonical: its keys are sorted, its spaces fixed.
create function audit_text(a audit) returns bytea language sql stable set search_path = rights, pg_temp as $$
    select convert_to(jsonb_build_array(a.seq, audit_time(a.sealed_at), a.id, audit_time(a.at), a.actor, a.kind,
                                        a.action, a.target, a.detail)::text, 'UTF8')
$$;

-- Seals, in order, what no open transaction can come before any more; returns how many rows. Rows are ordered by
-- transaction, then id. A transaction number that this cluster has not given out yet comes from a restored one.
create function seal_audit(p_limit integer default 10000) returns bigint language plpgsql security definer
set search_path = rights, pg_temp as $$
declare
    one    audit;
    last   bytea;
    place  bigint;
    done   bigint := 0;
    moment timestamptz := clock_timestamp();
begin
    if not pg_try_advisory_xact_lock(hashtextextended('rights.audit', 0)) then
        return 0;  -- another sealer is at it
    end if;
    select seq, hash into place, last from audit where seq is not null order by seq desc limit 1;
    place := coalesce(place, 0);
    last := coalesce(last, sha256(''));
    for one in
        select a.* from audit a, pg_current_snapshot() as s
         where a.seq is null and (a.xid < pg_snapshot_xmin(s) or a.xid >= pg_snapshot_xmax(s))
         order by a.xid, a.id limit p_limit
    loop
        place := place + 1;
        one.seq := place;
        one.sealed_at := moment;
        last := sha256(last || audit_text(one));
        update audit set seq = place, sealed_at = moment, hash = last where id = one.id;
        done := done + 1;
    end loop;
    return done;
end
$$;

-- The first row that does not fit, if any. A row that claims to be an hour older than the sealing before its own was
-- put there afterwards.
create function verify_audit(out sealed bigint, out pending bigint, out head_seq bigint, out head_hash text,
                             out broken_seq bigint, out broken_id bigint, out reason text)
language sql stable security definer set search_path = rights, pg_temp as $$
    with chain as (
        select a, a.id, a.seq, a.at, a.hash,
               lag(a.seq, 1, 0::bigint) over (order by a.seq) as seq_before,
               lag(a.hash, 1, sha256('')) over (order by a.seq) as hash_before,
               max(a.sealed_at) over (order by a.sealed_at groups between 1 preceding and 1 preceding) as batch_before
          from audit a where a.seq is not null
    ), judged as (
        select seq, id, case
                   when seq <> seq_before + 1 then 'rows before it were deleted'
                   when hash is distinct from sha256(hash_before || audit_text(a)) then 'it was changed'
                   when at < batch_before - interval '1 hour' then 'it was inserted afterwards'
               end as reason
          from chain
        union all
        select null, id, 'it was inserted afterwards' from audit
         where seq is null and at < (select max(sealed_at) from audit) - interval '1 hour'
    ), broken as (
        select * from judged where reason is not null order by seq nulls last, id limit 1
    )
    select (select count(*) from audit where seq is not null), (select count(*) from audit where seq is null),
           h.seq, encode(h.hash, 'hex'), b.seq, b.id, b.reason
      from (select 1) as one
      left join (select seq, hash from audit where seq is not null order by seq desc limit 1) as h on true
      left join broken b on true
$$;

-- Refusals below jobs: counted by minute, with one example.
create table denial (
    minute       timestamptz not null check (minute = date_trunc('minute', minute)),
    level        text not null,
    licence      text not null,
    reason       text not null,
    organisation text not null,
    category     text not null,
    count        bigint not null check (count > 0),
    sample       jsonb not null,
    primary key (minute, level, licence, reason, organisation, category)
);

-- What was taken, by day. `km2` is the area of the item, whatever the number of requests.
create table taking (
    key          bytea primary key check (length(key) = 32),
    day          date not null,
    licence      text not null,
    version      text,
    text_sha256  text,
    accepted     boolean not null,
    person       text not null,
    organisation text,
    category     text,
    country      text,
    project      text,
    purpose      text not null,
    kind         text not null check (kind in ('download', 'sign', 'job')),
    product      text not null check (product in ('image', 'derived')),
    collection   text not null,
    item         text not null,
    asset        text not null,
    count        bigint not null check (count > 0),
    bytes        numeric not null check (bytes >= 0),
    km2          numeric,
    first_at     timestamptz not null,
    last_at      timestamptz not null
);
create index on taking (licence, day);

-- The sphere knows no area of some outlines that items have, the whole world's among them: an edge of 180 degrees is
-- no one line. Such an item must not keep the rest of a batch out of the register, nor a job from being submitted.
create function km2_of(p_outline public.geometry) returns numeric language plpgsql immutable
set search_path = public, pg_temp as $$
begin
    return round((st_area(p_outline::geography) / 1e6)::numeric, 4);
exception when internal_error or data_exception then
    return null;
end
$$;

-- Enters what was taken: a JSON list of {kind, person, organisation, category, project, purpose, collection, item,
-- asset, licence, count, bytes, at}. The text is the one accepted; where none had to be, the one in force.
create function take(p_entries jsonb) returns void language sql security definer
set search_path = rights, public, pg_temp as $$
    with given as (
        select kind, person, organisation, category, project, purpose, collection, item, coalesce(asset, '') as asset,
               licence, (coalesce(at, clock_timestamp()) at time zone 'UTC')::date as day,
               sum(coalesce(count, 1)) as count, sum(coalesce(bytes, 0)) as bytes,
               min(coalesce(at, clock_timestamp())) as first_at, max(coalesce(at, clock_timestamp())) as last_at
          from jsonb_to_recordset(p_entries) as e (kind text, person text, organisation text, category text,
               project text, purpose text, collection text, item text, asset text, licence text, count bigint,
               bytes numeric, at timestamptz)
         group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    ), told as (
        select g.*, coalesce(accepted.version, in_force.version) as version,
               coalesce(accepted.text_sha256, in_force.sha256_fr) as text_sha256,
               accepted.version is not null as accepted, o.country,
               case when c.content ->> 'bocage:write_scope' = 'service' then 'derived' else 'image' end as product,
               km2_of(i.geometry) as km2
          from given g
          left join organisation o on o.id::text = g.organisation
          left join pgstac.collections c on c.id = g.collection
          left join pgstac.items i on i.collection = g.collection and i.id = g.item
          left join lateral (
              select a.version, a.text_sha256 from acceptance a
               where a.licence = g.licence and a.organisation = o.id and a.action = 'accept'
                 and (a.on_behalf = 'organisation' or a.person::text = g.person)
               order by a.id desc limit 1
          ) as accepted on true
          left join lateral (
              select v.version, v.sha256_fr from licence_version v
               where v.licence = g.licence and v.valid_from <= now() order by v.valid_from desc, v.version desc limit 1
          ) as in_force on true
    )
    insert into taking (key, day, licence, version, text_sha256, accepted, person, organisation, category, country,
                        project, purpose, kind, product, collection, item, asset, count, bytes, km2, first_at, last_at)
    select sha256(convert_to(jsonb_build_array(day, licence, version, text_sha256, accepted, person, organisation,
                  category, country, project, purpose, kind, product, collection, item, asset)::text, 'UTF8')),
           day, licence, version, text_sha256, accepted, person, organisation, category, country,
           project, purpose, kind, product, collection, item, asset, count, bytes, km2, first_at, last_at
      from told order by 1  -- one order for all writers: no deadlock
    on conflict (key) do update
       set count = taking.count + excluded.count, bytes = taking.bytes + excluded.bytes,
           km2 = coalesce(excluded.km2, taking.km2), last_at = greatest(taking.last_at, excluded.last_at)
$$;

revoke execute on all functions in schema rights from public;
grant execute on function take(jsonb) to bocage_processing;
