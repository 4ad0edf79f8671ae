-- What happened to items and collections, in one order that never changes, and how many items there are of what.
--
-- Writers append to `written`, a queue, within their own transactions. What is committed is moved from there into
-- `change`, by one at a time, and gets its position then: so positions become visible in their order, nothing comes to
-- lie before what was read, no long transaction holds others up, and an item's changes stand in the order in which they
-- were made. The same step folds them into `tally`: what is not moved yet is added to it by whoever counts.

create type whose as (month date, audience text, owner text, organisation text, shared text[]);

create sequence change_serial;
create sequence change_position;

create table written (
    serial     bigint primary key default nextval('change_serial'),
    xid        xid8 not null default pg_current_xact_id(),
    moment     timestamptz not null default transaction_timestamp(),
    collection text not null,
    id         text,  -- null where the collection itself changed
    revision   bigint,
    was        whose,
    became     whose,
    -- Gone with its collection, whose own deletion tells of it.
    swept      boolean not null default false
);
create index on written (collection, id);
-- It fills and empties: what is dead must not pile up before what is alive.
alter table written set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

create table change (
    position   bigint primary key,
    moment     timestamptz not null,
    collection text not null,
    id         text,
    revision   bigint,
    was        whose,
    became     whose,
    swept      boolean not null
);
create index on change (collection, position) where id is null;

-- Its name is part of every cursor: those of another catalogue, or of a former life of this one, are told apart.
create table change_log (
    name   text not null default substr(md5(gen_random_uuid()::text), 1, 12),
    pruned bigint not null default 0,
    single boolean primary key default true check (single)
);
insert into change_log default values;

create table tally (
    collection   text not null,
    month        date not null,
    audience     text not null,
    owner        text not null,         -- empty where nobody's
    organisation text not null,
    items        bigint not null,
    primary key (collection, month, audience, owner, organisation)
) with (fillfactor = 50);

-- Items shared by name are few, and are counted one by one.
create index on finished_item using gin (shared) where shared is not null;


create function sees(
    audience text, owner text, organisation text, shared text[],
    sees_all boolean, person text, in_organisation text, names text[]
) returns boolean
language sql immutable parallel safe as $$
    select coalesce(audience is not null and (
        sees_all or audience = 'public' or owner = person
        or (audience = 'organisation' and organisation = in_organisation) or shared && names), false)
$$;

create function month_of(moment timestamptz) returns date
language sql immutable parallel safe as $$
    select date_trunc('month', moment at time zone 'UTC')::date
$$;


-- One change, or what remains of several of one transaction: nobody saw what stood in between, and pgSTAC replaces an
-- item by deleting and inserting it.
create function note(
    in_collection text, item text, at_revision bigint, before whose, after whose, with_collection boolean
) returns void
language plpgsql as $$
declare
    first whose;
begin
    if item is null then
        delete from catalogue.written w
        where w.collection = in_collection and w.id is null and w.xid = pg_current_xact_id()
        returning (w.was).* into first;
    else
        delete from catalogue.written w
        where w.collection = in_collection and w.id = item and w.xid = pg_current_xact_id()
        returning (w.was).* into first;
    end if;
    if found then
        before := first;
    end if;
    if (before).audience is not null or (after).audience is not null then
        insert into catalogue.written (collection, id, revision, was, became, swept)
        values (in_collection, item, at_revision, before, after, with_collection);
    end if;
end
$$;

-- The queue is empty when a session plans its statements, and long before the same session's load is done.
create function note_item() returns trigger
language plpgsql security definer set search_path = catalogue, public set enable_seqscan = off as $$
declare
    before whose;
    after whose;
begin
    if tg_op <> 'INSERT' then
        before := row(month_of(old.datetime), old.audience, old.owner, old.organisation, old.shared);
    end if;
    if tg_op = 'DELETE' then
        perform note(old.collection, old.id, null, before, null,
            not exists (select from pgstac.collections c where c.id = old.collection));
        return null;
    end if;
    after := row(month_of(new.datetime), new.audience, new.owner, new.organisation, new.shared);
    perform note(new.collection, new.id, new.revision, before, after, false);
    return null;
end
$$;
revoke all on function note_item from public;

create trigger note_item after insert or delete on finished_item
for each row execute function note_item();
-- Being laid out is no change.
create trigger note_new_item after update on finished_item
for each row when (old.revision is distinct from new.revision) execute function note_item();


-- Whose a collection is; of none, what is not one.
create function whose_collection(content jsonb) returns whose
language sql immutable parallel safe as $$
    select case when content ->> 'type' = 'Collection' then row(
        null::date,
        case coalesce(content ->> 'bocage:audience', 'public')
            when 'public' then 'public' when 'organisation' then 'organisation' else 'owner' end,
        content ->> 'bocage:owner',
        content ->> 'bocage:organisation',
        case when content ? 'bocage:shared_with'
            then pgstac.to_text_array(nullif(content -> 'bocage:shared_with', 'null')) end
    )::catalogue.whose end
$$;

create function note_collection() returns trigger
language plpgsql security definer set search_path = catalogue, pgstac, public as $$
declare
    before whose;
    after whose;
begin
    if tg_op <> 'INSERT' then
        before := whose_collection(old.content);
        if tg_op = 'DELETE' or old.id <> new.id then
            perform note(old.id, null, null, before, null, false);
            before := null;
        end if;
    end if;
    if tg_op <> 'DELETE' then
        after := whose_collection(new.content);
        perform note(new.id, null, null, before, after, false);
    end if;
    return null;
end
$$;
revoke all on function note_collection from public;

create trigger note_collection after insert or delete on pgstac.collections
for each row execute function note_collection();
create trigger note_new_collection after update on pgstac.collections
for each row when (old.content is distinct from new.content or old.id is distinct from new.id)
execute function note_collection();


-- Moves up to `most` committed changes, the oldest first, into the log and the tally; how many. Whoever sees a change
-- sees the earlier ones of the same item too, since those were committed before it was made.
create function order_changes(most integer) returns integer
language plpgsql set enable_seqscan = off as $$
declare
    seen integer;
begin
    if not exists (select from catalogue.written) then
        return 0;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('catalogue.change', 7));
    with bound as (
        select max(serial) as last from (select serial from catalogue.written order by serial limit most) s
    ), taken as (
        delete from catalogue.written using bound where serial <= bound.last returning written.*
    ), placed as (
        insert into catalogue.change
        select nextval('catalogue.change_position'), moment, collection, id, revision, was, became, swept
        from (select * from taken order by serial) t
    ), differences as (
        select collection, (w).month, (w).audience,
            case when (w).audience = 'public' then '' else coalesce((w).owner, '') end as owner,
            case when (w).audience = 'public' then '' else coalesce((w).organisation, '') end as organisation,
            sum(n) as items
        from (
            select collection, was as w, -1 as n from taken where id is not null and (was).audience is not null
            union all
            select collection, became, 1 from taken where id is not null and (became).audience is not null
        ) t
        group by 1, 2, 3, 4, 5 having sum(n) <> 0
    ), counted as (
        insert into catalogue.tally as t select * from differences
        on conflict (collection, month, audience, owner, organisation) do update set items = t.items + excluded.items
    )
    select count(*) into seen from taken;
    delete from catalogue.tally where items = 0;
    return seen;
end
$$;


-- How many items the caller sees, by collection and month, among some collections or (null) all, but for those that are
-- hidden from the caller: exactly, in the caller's snapshot.
create function tallied(
    among text[], unseen text[], sees_all boolean, person text, in_organisation text, names text[]
) returns table (in_collection text, in_month date, seen bigint)
language plpgsql stable set plan_cache_mode = force_generic_plan as $$
begin
    return query
    select n.collection, n.month, sum(n.items)::bigint from (
        select t.collection, t.month, t.items from catalogue.tally t
        where (among is null or t.collection = any(among)) and t.collection <> all(unseen)
            and catalogue.sees(t.audience, t.owner, t.organisation, null, sees_all, person, in_organisation, null)
        union all
        select w.collection, (v.state).month, v.n from catalogue.written w
        cross join lateral (values (w.became, 1), (w.was, -1)) v (state, n)
        where w.id is not null
            and (among is null or w.collection = any(among)) and w.collection <> all(unseen) and catalogue.sees(
            (v.state).audience, (v.state).owner, (v.state).organisation, null,
            sees_all, person, in_organisation, null)
        union all
        select f.collection, catalogue.month_of(f.datetime), 1 from catalogue.finished_item f
        where f.shared is not null and f.shared && names
            and (among is null or f.collection = any(among)) and f.collection <> all(unseen) and not catalogue.sees(
            f.audience, f.owner, f.organisation, null, sees_all, person, in_organisation, null)
    ) n
    group by 1, 2 having sum(n.items) <> 0;
end
$$;


-- What the caller may know of the changes behind `since`: at most `most`, of those among the next `far`; and a last row
-- with nothing but the place from which to go on. What is not seen before and not after is not told of; what begins to
-- be seen is created, and what ceases to be seen is deleted. Of an item that was decided by what its collection was then.
create function changes_since(
    since bigint, most integer, far integer, among text[],
    sees_all boolean, person text, in_organisation text, names text[], granted text[]
) returns table (place bigint, at timestamptz, in_collection text, item text, revised bigint, kind text)
language plpgsql stable as $$
begin
    return query
    with told as materialized (
        select c.position, c.moment, c.collection, c.id, c.revision, c.before, c.after from (
            -- To whom a hidden collection was granted, that one sees it as an administrator does.
            select s.*, k.seen and catalogue.sees((s.was).audience, (s.was).owner, (s.was).organisation,
                    (s.was).shared, sees_all or k.granted, person, in_organisation, names) as before,
                k.seen and catalogue.sees((s.became).audience, (s.became).owner, (s.became).organisation,
                    (s.became).shared, sees_all or k.granted, person, in_organisation, names) as after
            from (select * from catalogue.change where position > since order by position limit far) s
            cross join lateral (select s.id is null or coalesce((
                select catalogue.sees((h.became).audience, (h.became).owner, (h.became).organisation,
                    (h.became).shared, sees_all or h.collection = any(granted), person, in_organisation, names)
                from catalogue.change h
                where h.collection = s.collection and h.id is null and h.position < s.position
                order by h.position desc limit 1
            ), false) as seen, s.id is null and s.collection = any(granted) as granted) k
            where not s.swept and (among is null or s.collection = any(among))
        ) c
        where c.before or c.after
        order by c.position limit most
    )
    select t.position, t.moment, t.collection, t.id, t.revision,
        case when not t.before then 'created' when not t.after then 'deleted' else 'updated' end
    from told t
    union all
    select case when (select count(*) from told) = most then (select max(position) from told) else (
        select coalesce(max(position), since)
        from (select position from catalogue.change where position > since order by position limit far) s
    ) end, null, null, null, null, null
    order by 1, 3 nulls last;
end
$$;


-- Forgets what happened before a moment, as an operator asks; how many. Cursors from before are refused then. The last
-- state of each collection stays, since later changes of its items are told by it.
create function prune_changes(before timestamptz) returns bigint
language plpgsql as $$
declare
    bound bigint;
    gone bigint;
begin
    perform pg_advisory_xact_lock(hashtextextended('catalogue.change', 7));
    select coalesce(
        (select min(position) - 1 from catalogue.change where moment >= before),
        (select max(position) from catalogue.change), 0
    ) into bound;
    delete from catalogue.change c where position <= bound and (id is not null or (became).audience is null or exists (
        select from catalogue.change h
        where h.collection = c.collection and h.id is null and h.position > c.position and h.position <= bound));
    get diagnostics gone = row_count;
    update catalogue.change_log set pruned = greatest(pruned, bound);
    return gone;
end
$$;
revoke all on function prune_changes from public;


-- What was there before there was a log.
insert into written (collection, was, became)
select id, null, whose_collection(content) from pgstac.collections where content ->> 'type' = 'Collection';
insert into written (collection, id, revision, was, became)
select collection, id, revision, null, row(month_of(datetime), audience, owner, organisation, shared)::whose
from (select * from finished_item order by revision) f;
