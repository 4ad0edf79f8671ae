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

-- Beginning a statement on `finished_item` takes longer than what it does: who enters an item sees itself to what a
-- trigger for each row would do, and to what a foreign key would ask, which pgSTAC's own has asked of the item.
alter table finished_item drop constraint finished_item_collection_fkey;
create function delete_items() returns trigger
language plpgsql security definer set search_path = catalogue, public as $$
begin
    delete from finished_item f where f.collection = old.id;
    return null;
end
$$;
revoke all on function delete_items from public;
create trigger delete_items after delete on pgstac.collections
for each row execute function delete_items();

drop trigger note_longest on finished_item;
create trigger note_longest after update of datetime, end_datetime on finished_item
for each row when (new.end_datetime > new.datetime) execute function note_longest();
drop trigger note_deprecated on finished_item;
drop trigger wait on finished_item;
create trigger wait after update of body on finished_item
for each row when (new.body is null) execute function wait();

-- Of a new item, or several: how long they last, and that there are deprecated ones.
create function widen(in_collection text, lasting interval) returns void
language sql as $$
    update catalogue.finished_collection c set longest = lasting
    where c.id = in_collection and (c.longest is null or c.longest < lasting)
$$;
create function list_deprecated(in_collection text, ids text[]) returns void
language sql as $$
    insert into catalogue.deprecated_item select in_collection, n.id from unnest(ids) n (id) on conflict do nothing;
    update catalogue.finished_collection c set deprecated_items = true
    where c.id = in_collection and not c.deprecated_items
$$;

-- Only a transaction that has deleted items may have told before of one that it enters: pgSTAC replaces an item by
-- deleting and inserting it. Others need not look.
drop trigger note_item on finished_item;
create function note_deleted_item() returns trigger
language plpgsql security definer set search_path = catalogue, public set enable_seqscan = off as $$
begin
    perform note(
        old.collection, old.id, null,
        row(month_of(old.datetime), old.audience, old.owner, old.organisation, old.shared), null,
        not exists (select from pgstac.collections c where c.id = old.collection)
    );
    perform set_config('bocage.deleted', 'yes', true);
    return null;
end
$$;
revoke all on function note_deleted_item from public;
create trigger note_item after delete on finished_item
for each row execute function note_deleted_item();

-- What was told of new items before, in this transaction, is told with them.
create function rejoin(in_collection text, ids text[]) returns void
language plpgsql set enable_seqscan = off as $$
begin
    with before as (
        -- Each is looked up for itself: the queue may be long.
        delete from catalogue.written w where w.serial = any(array(
            select o.serial from unnest(ids) n (id) cross join lateral (
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

-- An item over one with its id; whether there is one. The table may have been empty when a session made its plans.
create function replace_entered(made finished_item) returns boolean
language plpgsql set enable_seqscan = off as $$
begin
    update catalogue.finished_item f set
        revision = made.revision, datetime = made.datetime, end_datetime = made.end_datetime,
        geometry = made.geometry, audience = made.audience, owner = made.owner, organisation = made.organisation,
        shared = made.shared, content = made.content, licences = made.licences, outline = made.outline,
        outlined = made.outlined, lent = made.lent, cloud_cover = made.cloud_cover, west = made.west,
        south = made.south, east = made.east, north = made.north, hrefs = null, laid_out = null, body = null
    where f.id = made.id and f.collection = made.collection;
    return found;
end
$$;

create function leave(item pgstac.items) returns boolean
language plpgsql set enable_seqscan = off as $$
begin
    -- The moment tells an item from its successor in another partition.
    delete from catalogue.finished_item f
    where f.collection = item.collection and f.id = item.id and f.datetime = item.datetime;
    return found;
end
$$;

create function enter(item pgstac.items) returns boolean
language plpgsql as $$
declare
    made catalogue.finished_item := catalogue.entered(item);
begin
    made.revision := nextval('catalogue.revision');
    loop
        insert into catalogue.finished_item values (made.*) on conflict (id, collection) do nothing;
        exit when found;
        if catalogue.replace_entered(made) then
            return false;
        end if;
        -- Another writer deleted it in between.
    end loop;
    insert into catalogue.written (collection, id, revision, became) values (
        made.collection, made.id, made.revision,
        row(catalogue.month_of(made.datetime), made.audience, made.owner, made.organisation, made.shared)
    );
    insert into catalogue.waiting (collection, id) values (made.collection, made.id);
    if current_setting('bocage.deleted', true) = 'yes' then
        perform catalogue.rejoin(made.collection, array[made.id]);
    end if;
    if made.end_datetime > made.datetime then
        perform catalogue.widen(made.collection, catalogue.longest(made.datetime, made.end_datetime));
    end if;
    if catalogue.is_deprecated(made.content) then
        perform catalogue.list_deprecated(made.collection, array[made.id]);
    end if;
    return true;
end
$$;

create or replace function keep_finished() returns trigger
language plpgsql security definer set search_path = catalogue, pgstac, public as $$
declare
    done boolean;
begin
    if tg_op <> 'INSERT' and (tg_op = 'DELETE' or (old.collection, old.id) <> (new.collection, new.id)) then
        done := leave(old);
    end if;
    if tg_op <> 'DELETE' then
        done := enter(new);
    end if;
    return null;
end
$$;

create or replace function enter_more(most integer) returns integer
language plpgsql as $$
declare
    seen integer;
begin
    with missing as materialized (
        select i from pgstac.items i
        where not exists (select from catalogue.finished_item f where f.id = i.id and f.collection = i.collection)
        limit most
        for share of i
    )
    select count(catalogue.enter(missing.i)) into seen from missing;
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
declare
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
            returning id, revision, datetime, end_datetime, audience, owner, organisation, shared,
                catalogue.is_deprecated(content) as deprecated
        ), told as (
            insert into catalogue.written (collection, id, revision, became)
            select $1, e.id, e.revision,
                row(catalogue.month_of(e.datetime), e.audience, e.owner, e.organisation, e.shared)::catalogue.whose
            from entered e
        ), listed as (
            insert into catalogue.waiting (collection, id) select $1, e.id from entered e
        )
        select array_agg(id) filter (where deprecated),
            max(catalogue.longest(datetime, end_datetime)) filter (where end_datetime > datetime)
        from entered
    $put$, holder) into deprecated, lasting using in_collection, ids, starts, ends, shapes, contents;
    perform set_config('bocage.entered', '', true);
    if current_setting('bocage.deleted', true) = 'yes' then
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
