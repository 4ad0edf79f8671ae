-- What a search that names nothing leaves out, deposits on their way to publication, and what is left of what was
-- withdrawn.

-- Of a collection, whether it is out of date, holds records, and ever held an item that is out of date.
alter table finished_collection
    add column deprecated boolean not null default false,
    add column records boolean not null default false,
    add column deprecated_items boolean not null default false;

create function set_apart() returns trigger
language plpgsql set search_path = catalogue, pgstac, public as $$
declare
    content constant jsonb := convert_from(new.body, 'UTF8')::jsonb;
begin
    new.deprecated := coalesce(content -> 'deprecated' = 'true', false);
    new.records := coalesce(content -> 'bocage:records' = 'true', false);
    new.deprecated_items := coalesce(new.deprecated_items, false);
    return new;
end
$$;

create trigger set_apart before insert or update of body on finished_collection
for each row execute function set_apart();

update finished_collection set body = body;


-- Items that are out of date are few: they are kept aside, so that a search reads no more of an item than before.
create table deprecated_item (
    collection text not null,
    id         text not null,
    primary key (collection, id)
);

create function is_deprecated(content jsonb) returns boolean
language sql immutable parallel safe
return coalesce(content #> '{properties,deprecated}' = 'true', false);

create function note_deprecated() returns trigger
language plpgsql security definer set search_path = catalogue, public as $$
begin
    if tg_op <> 'INSERT' then
        delete from deprecated_item d where d.collection = old.collection and d.id = old.id;
    end if;
    if tg_op <> 'DELETE' and is_deprecated(new.content) then
        insert into deprecated_item values (new.collection, new.id) on conflict do nothing;
        update finished_collection c set deprecated_items = true where c.id = new.collection and not c.deprecated_items;
    end if;
    return null;
end
$$;
revoke all on function note_deprecated from public;
grant execute on function note_deprecated to pgstac_admin;

create trigger note_deprecated after insert on finished_item
for each row when (is_deprecated(new.content)) execute function note_deprecated();
create trigger note_deprecated_now after update of content on finished_item
for each row when (is_deprecated(new.content) or is_deprecated(old.content)) execute function note_deprecated();
create trigger forget_deprecated after delete on finished_item
for each row when (is_deprecated(old.content)) execute function note_deprecated();

insert into deprecated_item select f.collection, f.id from finished_item f where is_deprecated(f.content);
update finished_collection c set deprecated_items = true
where exists (select from deprecated_item d where d.collection = c.id);


-- What is written once and stays.
create function stays() returns trigger
language plpgsql as $$
begin
    raise exception 'rows of % stay as they are', tg_table_name;
end
$$;


-- A deposit: a collection from its draft to its publication. What may follow what is decided here, whoever asks.
create table deposit (
    collection   text primary key check (length(collection) between 1 and 255),
    state        text not null default 'draft' check (state in
        ('draft', 'submitted', 'returned', 'accepted', 'published', 'withdrawn', 'discarded')),
    organisation text not null,
    producer     text not null,
    version      text not null check (length(version) between 1 and 40),
    -- The deposit of which this is the next version.
    supersedes   text references deposit (collection) check (supersedes <> collection),
    reviewer     text,
    -- The citable identifier: given with the acceptance, before anyone is asked to register it, and never changed.
    identifier   text unique,
    published    timestamptz,
    created      timestamptz not null default now(),
    -- Who moved it last, and with which words.
    actor        text not null,
    comment      text check (length(comment) <= 4000),
    changed      timestamptz not null default now(),
    constraint reviewed_by_another check (reviewer <> producer),
    constraint reviewed check (state not in ('returned', 'accepted', 'published', 'withdrawn') or reviewer is not null),
    constraint identified check ((state in ('accepted', 'published', 'withdrawn')) = (identifier is not null)),
    constraint dated check ((state in ('published', 'withdrawn')) = (published is not null))
);
-- One next version at a time.
create unique index deposit_successor on deposit (supersedes) where state <> 'discarded';
create index on deposit (organisation, created desc);
create index on deposit (state, created desc);

create table deposit_event (
    id         bigint generated always as identity primary key,
    collection text not null,
    at         timestamptz not null default clock_timestamp(),
    actor      text not null,
    was        text,
    became     text not null,
    comment    text
);
create index on deposit_event (collection, id);

create function move_deposit() returns trigger
language plpgsql security definer set search_path = catalogue, public as $$
begin
    if tg_op = 'INSERT' then
        if new.state <> 'draft' then
            raise exception 'a deposit begins as a draft';
        end if;
        return new;
    end if;
    if new.collection <> old.collection then
        raise exception 'a deposit keeps its collection';
    end if;
    if old.state <> 'discarded' and (new.producer, new.organisation, new.version) is distinct from
        (old.producer, old.organisation, old.version)
    then
        raise exception 'a deposit keeps its producer and its version';
    end if;
    if old.identifier is not null and new.identifier is distinct from old.identifier then
        raise exception 'an identifier is never changed';
    end if;
    if new.state <> old.state then
        if (old.state, new.state) not in (
            ('draft', 'submitted'), ('returned', 'submitted'),
            ('submitted', 'returned'), ('submitted', 'accepted'),
            ('accepted', 'published'), ('published', 'withdrawn'),
            ('draft', 'discarded'), ('returned', 'discarded'), ('discarded', 'draft')
        ) then
            raise exception 'a deposit that is % can''t become %', old.state, new.state;
        end if;
        new.changed := now();
    end if;
    return new;
end
$$;
revoke all on function move_deposit from public;

create function record_deposit() returns trigger
language plpgsql security definer set search_path = catalogue, public as $$
begin
    insert into deposit_event (collection, actor, was, became, comment)
    values (new.collection, new.actor, case when tg_op = 'UPDATE' then old.state end, new.state, new.comment);
    return null;
end
$$;
revoke all on function record_deposit from public;

create trigger move_deposit before insert or update on deposit for each row execute function move_deposit();
create trigger record_deposit after insert on deposit for each row execute function record_deposit();
create trigger record_move after update on deposit for each row when (old.state <> new.state)
execute function record_deposit();
create trigger deposits_stay before delete on deposit for each row execute function stays();
create trigger deposits_stay_all before truncate on deposit execute function stays();
create trigger events_stay before update or delete on deposit_event for each row execute function stays();
create trigger events_stay_all before truncate on deposit_event execute function stays();


-- A draft goes with its collection, whoever deletes that.
create function discard_deposit() returns trigger
language plpgsql security definer set search_path = catalogue, public as $$
begin
    update deposit d
    set state = 'discarded', comment = null, actor = coalesce(nullif(current_setting('bocage.actor', true), ''), 'operator')
    where d.collection = old.id and d.state in ('draft', 'returned');
    return null;
end
$$;
revoke all on function discard_deposit from public;

create trigger discard_deposit after delete on pgstac.collections
for each row execute function discard_deposit();


-- What is told of an item, or with an empty id of a collection, that was withdrawn: to those who could see it.
create table tombstone (
    collection   text not null,
    id           text not null,
    audience     text not null check (audience in ('public', 'organisation', 'owner')),
    owner        text,
    organisation text,
    shared       text[],
    reason       text not null check (length(reason) between 1 and 2000),
    successor    text,
    actor        text not null,
    at           timestamptz not null default now(),
    document     jsonb not null,
    primary key (collection, id)
);
create trigger tombstones_stay before update or delete on tombstone for each row execute function stays();
create trigger tombstones_stay_all before truncate on tombstone execute function stays();
