-- What comes together stands in the queues together: of a batch of new items `written` has one row for those that are
-- alike, and `waiting` one for all. A row for each of them took as long as two indexes do.

alter table written add column ids text[], add column revisions bigint[];
alter table waiting alter column id drop not null, add column ids text[];
create index waiting_together on waiting (serial) where ids is not null;


-- One change, or what remains of several of one transaction: nobody saw what stood in between, and pgSTAC replaces an
-- item by deleting and inserting it.
create or replace function note(
    in_collection text, item text, at_revision bigint, before whose, after whose, with_collection boolean
) returns void
language plpgsql as $$
declare
    first whose;
begin
    if item is null then
        delete from catalogue.written w
        where w.collection = in_collection and w.id is null and w.ids is null and w.xid = pg_current_xact_id()
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


-- What was told of new items before, in this transaction, is told with them.
create or replace function rejoin(in_collection text, ids text[]) returns void
language plpgsql set enable_seqscan = off as $$
begin
    with before as (
        -- Each is looked up for itself: the queue may be long.
        delete from catalogue.written w where w.serial = any(array(
            select o.serial from unnest(rejoin.ids) n (id) cross join lateral (
                select w.serial from catalogue.written w
                where w.collection = in_collection and w.id = n.id and w.xid = pg_current_xact_id()
                    and (w.became).audience is null
                offset 0
            ) o
        ))
        returning w.id, w.was
    )
    update catalogue.written w set was = b.was from before b
    where w.collection = in_collection and w.id = b.id and w.xid = pg_current_xact_id()
        and (w.became).audience is not null;
end
$$;


-- Moves about `most` committed changes, the oldest first, into the log and the tally; how many. Whoever sees a change
-- sees the earlier ones of the same item too, since those were committed before it was made.
create or replace function order_changes(most integer) returns integer
language plpgsql set enable_seqscan = off as $$
declare
    seen integer;
begin
    if not exists (select from catalogue.written) then
        return 0;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('catalogue.change', 7));
    with bound as (
        select max(s.serial) as last from (
            select w.serial, sum(w.size) over (order by w.serial) - w.size as before from (
                select serial, coalesce(cardinality(ids), 1) as size from catalogue.written order by serial limit most
            ) w
        ) s
        where s.before < most
    ), taken as (
        delete from catalogue.written using bound where serial <= bound.last returning written.*
    ), placed as (
        insert into catalogue.change
        select nextval('catalogue.change_position'), t.moment, t.collection, t.id, t.revision, t.was, t.became, t.swept
        from (
            select t.moment, t.collection, coalesce(i.id, t.id) as id, coalesce(i.revision, t.revision) as revision,
                t.was, t.became, t.swept
            from taken t left join lateral unnest(t.ids, t.revisions) with ordinality i (id, revision, place) on true
            order by t.serial, i.place
        ) t
    ), differences as (
        select collection, (w).month, (w).audience,
            case when (w).audience = 'public' then '' else coalesce((w).owner, '') end as owner,
            case when (w).audience = 'public' then '' else coalesce((w).organisation, '') end as organisation,
            sum(n) as items
        from (
            select collection, was as w, -1 as n from taken where id is not null and (was).audience is not null
            union all
            select collection, became, coalesce(cardinality(ids), 1) from taken
            where (id is not null or ids is not null) and (became).audience is not null
        ) t
        group by 1, 2, 3, 4, 5 having sum(n) <> 0
    ), counted as (
        insert into catalogue.tally as t select * from differences
        on conflict (collection, month, audience, owner, organisation) do update set items = t.items + excluded.items
    )
    select coalesce(sum(coalesce(cardinality(ids), 1)), 0) into seen from taken;
    delete from catalogue.tally where items = 0;
    return seen;
end
$$;


-- How many items the caller sees, by collection and month, among some collections or (null) all, but for those that are
-- hidden from the caller: exactly, in the caller's snapshot.
create or replace function tallied(
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
        cross join lateral (values (w.became, coalesce(cardinality(w.ids), 1)), (w.was, -1)) v (state, n)
        where (w.id is not null or w.ids is not null)
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


-- Inserts items into a table of pgSTAC's, and enters them, by one statement: there is none without the other. The
-- setting does not outlast it; if it fails, what it is undone with undoes the setting too.
create or replace function put(
    holder regclass, in_collection text, ids text[], starts text[], ends text[], shapes bytea[], contents bytea[]
) returns void
-- No two items are alike: to look whether they are takes longer than to make of one what is made of it.
language plpgsql set enable_memoize = off as $$
declare
    rejoined constant boolean := coalesce(current_setting('bocage.deleted', true) = 'yes', false);
    deprecated text[];
    lasting interval;
    found_in text;
begin
    perform set_config('bocage.entered', 'together', true);
    execute format($put$
        with stored as (
            insert into %s (id, collection, datetime, end_datetime, geometry, content)
            select n.id, $1, n.start::timestamptz, n.stop::timestamptz, n.shape::public.geometry,
                convert_from(n.content, 'UTF8')::jsonb
            from unnest($2, $3, $4, $5, $6) n (id, start, stop, shape, content)
            returning id, collection, datetime, end_datetime, geometry, content
        ), entered as (
            insert into catalogue.finished_item (
                collection, id, revision, datetime, end_datetime, geometry, audience, owner, organisation, shared, content,
                licences, outline, outlined, lent, cloud_cover, west, south, east, north
            )
            select s.collection, s.id, nextval('catalogue.revision'), s.datetime, s.end_datetime, s.geometry,
                catalogue.audience_of(p.properties), catalogue.owner_of(p.properties),
                catalogue.organisation_of(p.properties), catalogue.shared_of(p.properties), c.content,
                catalogue.licences_of(p.properties),
                catalogue.outline_of(s.geometry, not catalogue.fits(s.geometry, s.collection, s.id)),
                not catalogue.fits(s.geometry, s.collection, s.id), catalogue.shared_of(p.properties) is not null,
                catalogue.cloud_cover_of(c.content), catalogue.west_of(s.geometry), catalogue.south_of(s.geometry),
                catalogue.east_of(s.geometry), catalogue.north_of(s.geometry)
            from stored s
            -- Each is worked out once.
            cross join lateral (select catalogue.searched(s.content) as content offset 0) c
            cross join lateral (select coalesce(c.content -> 'properties', '{}') as properties offset 0) p
            returning id, revision, datetime, end_datetime, catalogue.month_of(datetime) as month, audience, owner,
                organisation, shared, catalogue.is_deprecated(content) as deprecated
        ), told as (
            insert into catalogue.written (collection, ids, revisions, became)
            select $1, array_agg(e.id), array_agg(e.revision),
                row(e.month, e.audience, e.owner, e.organisation, e.shared)::catalogue.whose
            from entered e where not $7 group by e.month, e.audience, e.owner, e.organisation, e.shared
        ), told_each as (
            insert into catalogue.written (collection, id, revision, became)
            select $1, e.id, e.revision,
                row(e.month, e.audience, e.owner, e.organisation, e.shared)::catalogue.whose
            from entered e where $7
        ), listed as (
            insert into catalogue.waiting (collection, ids)
            select $1, array_agg(e.id) from entered e having count(*) > 0
        )
        select array_agg(id) filter (where deprecated),
            max(catalogue.longest(datetime, end_datetime)) filter (where end_datetime > datetime)
        from entered
    $put$, holder) into deprecated, lasting using in_collection, ids, starts, ends, shapes, contents, rejoined;
    perform set_config('bocage.entered', '', true);
    if rejoined then
        perform catalogue.rejoin(in_collection, ids);
    end if;
    if lasting is not null then
        perform catalogue.widen(in_collection, lasting);
    end if;
    if deprecated is not null then
        perform catalogue.list_deprecated(in_collection, deprecated);
    end if;
exception when unique_violation then
    get stacked diagnostics found_in = schema_name;
    if found_in = 'pgstac' then
        raise;
    end if;
    -- Of one pgSTAC has nothing, or another table of the collection has it.
    execute format($put$
        insert into %s (id, collection, datetime, end_datetime, geometry, content)
        select n.id, $1, n.start::timestamptz, n.stop::timestamptz, n.shape::public.geometry,
            convert_from(n.content, 'UTF8')::jsonb
        from unnest($2, $3, $4, $5, $6) n (id, start, stop, shape, content)
    $put$, holder) using in_collection, ids, starts, ends, shapes, contents;
end
$$;

-- What pgSTAC keeps of an item takes longest to be compressed.
do $$
begin
    alter function put set default_toast_compression = 'lz4';
exception when invalid_parameter_value then
    null;  -- a server built without lz4 compresses by its own means
end
$$;


-- Claims up to `most` items that are not finished, those listed first, registers their properties and lays them
-- out. Several may work at once, and none waits: an item whose row is held is being written anew, or finished by
-- another.
create or replace function finishing(most integer) returns table (
    in_collection text, item text, hrefs text, laid_out boolean, body bytea
)
language plpgsql set enable_seqscan = off as $$
declare
    held bigint[];
    lot record;
begin
    -- What is listed together is listed one by one when it is among the oldest, as far as it is still to be laid out. Of
    -- many lists of which nothing is, so many are passed over at once.
    for passed in 1..50 loop
        select x.serial, x.collection, x.ids into lot from catalogue.waiting x
        where x.ids is not null and x.serial <= coalesce(
            (select w.serial from catalogue.waiting w order by w.serial offset most - 1 limit 1), x.serial
        ) order by x.serial limit 1 for update skip locked;
        exit when not found;
        delete from catalogue.waiting w where w.serial = lot.serial;
        insert into catalogue.waiting (collection, id)
        select lot.collection, i.id from unnest(lot.ids) with ordinality i (id, place)
        where exists (
            select from catalogue.finished_item f where f.id = i.id and f.collection = lot.collection and f.body is null
        ) order by i.place;
        exit when found;
    end loop;
    -- Deleted since, or laid out when it was listed twice.
    delete from catalogue.waiting w
    where w.serial in (
            select x.serial from catalogue.waiting x where x.id is not null
            order by x.serial limit most for update skip locked
        ) and not exists (
            select from catalogue.finished_item f
            where f.id = w.id and f.collection = w.collection and f.body is null
        );
    -- Held first and read by the next statement, which sees what all have written who held it before: what this one
    -- sees of pgSTAC's items may be older than the row that it comes to hold. Of large items so many as are laid out
    -- soon: their writers wait.
    select array_agg(s.serial) into held
    from (
        select c.serial, sum(c.size) over (order by c.serial) - c.size as before
        from (
            select w.serial, coalesce((
                select pg_column_size(i.content) from pgstac.items i
                where i.collection = f.collection and i.id = f.id and i.datetime = f.datetime limit 1
            ), 0) as size
            from catalogue.waiting w join catalogue.finished_item f on f.id = w.id and f.collection = w.collection
            where f.body is null order by w.serial limit most
            for update of w, f skip locked
        ) c
    ) s
    where s.before < 1000000;
    return query
    with claimed as (
        select w.serial, f.id, f.collection, f.datetime, f.audience, f.owner, f.organisation,
            case when jsonb_typeof(f.content -> 'properties') = 'object' then f.content -> 'properties' else '{}' end
                as properties
        from catalogue.waiting w join catalogue.finished_item f on f.id = w.id and f.collection = w.collection
        where w.serial = any(held)
    ), named as (
        select distinct w.collection, p.key as name, case jsonb_typeof(p.value)
                when 'string' then 'text' else jsonb_typeof(p.value) end as kind,
            w.audience,
            case when w.audience = 'public' then '' else coalesce(w.owner, '') end as owner,
            case when w.audience = 'organisation' then coalesce(w.organisation, '') else '' end as organisation
        from claimed w cross join lateral jsonb_each(w.properties) p
        where p.value <> 'null' and length(p.key) <= 200
    ), registered as (
        -- In one order, so that two that register the same do not wait for each other.
        insert into catalogue.queryable
        select n.* from named n
        where not exists (
            select from catalogue.queryable q
            where (q.collection, q.name, q.kind, q.audience, q.owner, q.organisation)
                = (n.collection, n.name, n.kind, n.audience, n.owner, n.organisation)
        )
        order by n.collection, n.name, n.kind, n.audience, n.owner, n.organisation
        on conflict do nothing
    ), made as (
        select w.collection, w.id, d.*
        from claimed w, lateral catalogue.laid_now(w.collection, w.id, w.datetime) d
        where d.body is not null
    ), done as (
        -- Those too of which pgSTAC has nothing: who writes one of them anew lists it again.
        delete from catalogue.waiting w where w.serial = any(held)
    )
    select made.collection, made.id, made.hrefs, made.laid_out, made.body from made;
end
$$;


-- The same as before. pgSTAC is asked of one item of each month which partition it belongs to, not of each.
create or replace function make_room(in_collection text, starts timestamptz[], ends timestamptz[]) returns void
language plpgsql set timezone = 'UTC' as $$
declare
    part record;
begin
    for part in
        select p.partition_range as whole, tstzrange(
                date_trunc('year', min(m.first)), date_trunc('year', max(m.last)) + interval '1 year', '[)'
            ) as begun, tstzrange(
                date_trunc('year', min(m.first_end)), date_trunc('year', max(m.last_end)) + interval '1 year', '[)'
            ) as ended
        from (
            select min(i.start) as first, max(i.start) as last, min(i.stop) as first_end, max(i.stop) as last_end
            from unnest(starts, ends) i (start, stop) group by date_trunc('month', i.start)
        ) m, lateral pgstac.partition_name(in_collection, m.first) p
        group by p.partition_range order by p.partition_range
    loop
        perform pgstac.check_partition(in_collection, part.begun * part.whole, part.ended);
    end loop;
end
$$;
