-- Items that come together are entered together: to begin a statement for each takes longer than what it does.

-- Columns that the database makes of others are prepared anew for every statement, which takes a quarter of the time of
-- one that enters one item. Whoever enters items makes them: the functions below, and nobody else.
alter table finished_item
    alter outline drop expression,
    alter outlined drop expression,
    alter lent drop expression,
    alter cloud_cover drop expression,
    alter west drop expression,
    alter south drop expression,
    alter east drop expression,
    alter north drop expression;
alter table finished_item
    alter outline set not null,
    alter outlined set not null,
    alter lent set not null,
    alter west set not null,
    alter south set not null,
    alter east set not null,
    alter north set not null;

-- What of an item is searched and sorted by stands in a row of its own. What that takes from the item, part by part:
create function searched(content jsonb) returns jsonb
language sql immutable parallel safe
return content - '{assets,links,pgstac:base_item}'::text[];

create function audience_of(properties jsonb) returns text
language sql immutable parallel safe
return case
    when coalesce(properties ->> 'bocage:audience', 'public') = 'public' then 'public'
    when properties ->> 'bocage:audience' = 'organisation' then 'organisation'
    else 'owner'  -- an audience that nobody has heard of shows an item to no more
end;

create function owner_of(properties jsonb) returns text
language sql immutable parallel safe
return left(properties ->> 'bocage:owner', 200);

create function organisation_of(properties jsonb) returns text
language sql immutable parallel safe
return left(properties ->> 'bocage:organisation', 200);

create function shared_of(properties jsonb) returns text[]
language sql immutable parallel safe
return case when properties ? 'bocage:shared_with'
    then pgstac.to_text_array(nullif(properties -> 'bocage:shared_with', 'null')) end;

create function licences_of(properties jsonb) returns text
language sql stable parallel safe
return case when properties ?| '{bocage:licences,license}'::text[] then (
    case when coalesce(properties -> 'bocage:licences', 'null') <> 'null'
        then jsonb_build_object('bocage:licences', properties -> 'bocage:licences') else '{}' end
    || case when coalesce(properties -> 'license', 'null') <> 'null'
        then jsonb_build_object('license', properties -> 'license') else '{}' end
)::text else '{}' end;

create function outline_of(geometry public.geometry, outlined boolean) returns public.geometry
language sql immutable parallel safe
return case when outlined then public.st_envelope(geometry) else geometry end;

create function cloud_cover_of(content jsonb) returns numeric
language sql immutable parallel safe
return catalogue.measured(catalogue.number_at(content, 'eo:cloud_cover'));

create or replace function entered(item pgstac.items) returns finished_item
language plpgsql stable as $$
declare
    content constant jsonb := catalogue.searched(item.content);
    properties constant jsonb := coalesce(content -> 'properties', '{}');
    made catalogue.finished_item;
begin
    made.collection := item.collection;
    made.id := item.id;
    made.datetime := item.datetime;
    made.end_datetime := item.end_datetime;
    made.geometry := item.geometry;
    made.content := content;
    made.audience := catalogue.audience_of(properties);
    made.owner := catalogue.owner_of(properties);
    made.organisation := catalogue.organisation_of(properties);
    made.shared := catalogue.shared_of(properties);
    made.licences := catalogue.licences_of(properties);
    made.outlined := not catalogue.fits(item.geometry, item.collection, item.id);
    made.outline := catalogue.outline_of(item.geometry, made.outlined);
    made.lent := made.shared is not null;
    made.cloud_cover := catalogue.cloud_cover_of(content);
    made.west := catalogue.west_of(item.geometry);
    made.south := catalogue.south_of(item.geometry);
    made.east := catalogue.east_of(item.geometry);
    made.north := catalogue.north_of(item.geometry);
    return made;
end
$$;

create or replace function keep_finished() returns trigger
language plpgsql security definer set search_path = catalogue, pgstac, public set enable_seqscan = off as $$
declare
    made catalogue.finished_item;
    before catalogue.whose;
begin
    if tg_op <> 'INSERT' and (tg_op = 'DELETE' or (old.collection, old.id) <> (new.collection, new.id)) then
        -- The moment tells an item from its successor in another partition.
        delete from finished_item f
        where f.collection = old.collection and f.id = old.id and f.datetime = old.datetime;
    end if;
    if tg_op = 'DELETE' then
        return null;
    end if;
    made := entered(new);
    made.revision := nextval('revision');
    loop
        insert into finished_item values (made.*) on conflict (id, collection) do nothing;
        if found then
            -- What `note_new_items` does of many at once takes longer than this of one.
            delete from written w
            where w.collection = made.collection and w.id = made.id and w.xid = pg_current_xact_id()
            returning (w.was).* into before;
            insert into written (collection, id, revision, was, became) values (
                made.collection, made.id, made.revision, case when before.audience is not null then before end,
                row(month_of(made.datetime), made.audience, made.owner, made.organisation, made.shared)::whose
            );
            insert into waiting (collection, id) values (made.collection, made.id);
            return null;
        end if;
        update finished_item f set
            revision = made.revision, datetime = made.datetime, end_datetime = made.end_datetime,
            geometry = made.geometry, audience = made.audience, owner = made.owner, organisation = made.organisation,
            shared = made.shared, content = made.content, licences = made.licences, outline = made.outline,
            outlined = made.outlined, lent = made.lent, cloud_cover = made.cloud_cover, west = made.west,
            south = made.south, east = made.east, north = made.north, hrefs = null, laid_out = null, body = null
        where f.id = made.id and f.collection = made.collection;
        if found then
            return null;
        end if;
        -- Another writer deleted it in between.
    end loop;
end
$$;

create or replace function enter_more(most integer) returns integer
language plpgsql as $$
declare
    seen integer;
begin
    with waiting as (
        select i from pgstac.items i
        where not exists (select from catalogue.finished_item f where f.id = i.id and f.collection = i.collection)
        limit most
        for share of i
    ), made as (
        insert into catalogue.finished_item (
            collection, id, revision, datetime, end_datetime, geometry, audience, owner, organisation, shared, content,
            licences, outline, outlined, lent, cloud_cover, west, south, east, north
        )
        select d.collection, d.id, nextval('catalogue.revision'), d.datetime, d.end_datetime, d.geometry, d.audience,
            d.owner, d.organisation, d.shared, d.content, d.licences, d.outline, d.outlined, d.lent, d.cloud_cover, d.west,
            d.south, d.east, d.north
        from waiting, lateral catalogue.entered(waiting.i) d
        on conflict do nothing
    )
    select count(*) into seen from waiting;
    return seen;
end
$$;


-- Whoever writes, whichever way, but for the function below: what that inserts, it enters itself.
create or replace trigger keep_finished after insert or update or delete on pgstac.items
for each row when (current_setting('bocage.entered', true) is distinct from 'together')
execute function keep_finished();

-- Inserts items into a table of pgSTAC's, and enters them, by one statement: there is none without the other. The
-- setting does not outlast it; if it fails, what it is undone with undoes the setting too.
create function put(
    holder regclass, in_collection text, ids text[], starts text[], ends text[], shapes bytea[], contents bytea[]
) returns void
-- No two items are alike: to look whether they are takes longer than to make of one what is made of it.
language plpgsql set enable_memoize = off as $$
begin
    perform set_config('bocage.entered', 'together', true);
    execute format($put$
        with stored as (
            insert into %s (id, collection, datetime, end_datetime, geometry, content)
            select n.id, $1, n.start::timestamptz, n.stop::timestamptz, n.shape::public.geometry,
                convert_from(n.content, 'UTF8')::jsonb
            from unnest($2, $3, $4, $5, $6) n (id, start, stop, shape, content)
            returning id, collection, datetime, end_datetime, geometry, content
        )
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
        on conflict (id, collection) do update set
            revision = excluded.revision, datetime = excluded.datetime, end_datetime = excluded.end_datetime,
            geometry = excluded.geometry, audience = excluded.audience, owner = excluded.owner,
            organisation = excluded.organisation, shared = excluded.shared, content = excluded.content,
            licences = excluded.licences, outline = excluded.outline, outlined = excluded.outlined,
            lent = excluded.lent, cloud_cover = excluded.cloud_cover, west = excluded.west, south = excluded.south,
            east = excluded.east, north = excluded.north, hrefs = null, laid_out = null, body = null
    $put$, holder) using in_collection, ids, starts, ends, shapes, contents;
    perform set_config('bocage.entered', '', true);
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

-- Those of the items that are there, each looked up by its key, whatever the planner takes the table for: it knows
-- nothing of what is loaded now, and a collection that it has never seen is no smaller for that. Nor does it keep a plan
-- from when there was nothing.
create function held(in_collection text, ids text[]) returns setof text
language plpgsql stable set plan_cache_mode = force_custom_plan set enable_seqscan = off as $$
begin
    return query
    select n.id from unnest(ids) n (id) cross join lateral (
        -- By the id alone: an index that begins with the collection would seem to serve as well.
        select from catalogue.finished_item f where f.id = n.id and f.collection || '' = in_collection limit 1
    ) f;
end
$$;

-- Items that are new, by the statement that entered them: they are told of, and wait to be laid out. Those that a
-- trigger enters, it tells of itself.
create function note_new_items() returns trigger
language plpgsql security definer set search_path = catalogue, public set enable_seqscan = off as $$
begin
    with noted as (
        -- Each is looked up for itself: the queue may be long, and what is new seldom stands in it.
        delete from written w where w.serial = any(array(
            select o.serial from made m cross join lateral (
                select w.serial from written w
                where w.collection = m.collection and w.id = m.id and w.xid = pg_current_xact_id() offset 0
            ) o
        ))
        returning w.collection, w.id, w.was
    )
    insert into written (collection, id, revision, was, became)
    select m.collection, m.id, m.revision, n.was,
        row(month_of(m.datetime), m.audience, m.owner, m.organisation, m.shared)::whose
    from made m left join noted n using (collection, id)
    order by m.revision;
    insert into waiting (collection, id)
    select m.collection, m.id from made m where m.body is null order by m.revision;
    return null;
end
$$;
revoke all on function note_new_items from public;

drop trigger wait on finished_item;
create trigger wait after update of body on finished_item
for each row when (new.body is null) execute function wait();

drop trigger note_item on finished_item;
create trigger note_item after delete on finished_item
for each row execute function note_item();
create trigger note_new_items after insert on finished_item
referencing new table as made for each statement when (pg_trigger_depth() = 0) execute function note_new_items();
