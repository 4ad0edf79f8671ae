-- Items as they leave: found by columns that are written with them, and hydrated and laid out once, soon afterwards,
-- so that a search reads text and a load in bulk does not wait for it.

create sequence revision;

create table finished_item (
    collection   text not null references pgstac.collections (id) on delete cascade,
    id           text not null,
    revision     bigint not null,
    datetime     timestamptz not null,
    end_datetime timestamptz not null,
    geometry     public.geometry not null,
    -- Who sees it: what bocage_kit.audience reads of its properties.
    audience     text not null check (audience in ('public', 'organisation', 'owner')),
    owner        text,
    organisation text,
    shared       text[],
    -- What conditions and orders may ask for, but for assets and links: those are in pgstac.items.
    content      jsonb not null,
    -- What its properties say of licences, as text: the key under which a search remembers its decision.
    licences     text not null,
    -- Null until finished; whoever reads it before lays it out on the spot. `body` is laid out, with control
    -- characters where a text depends on the caller, else the plain stored document; `hrefs` are the internal ones
    -- that it does not tell.
    hrefs        text,
    laid_out     boolean check ((laid_out is null) = (body is null)),
    body         bytea,
    primary key (id, collection)
);

create type sheet as (hrefs text, laid_out boolean, body bytea);

-- Conditions read `content` of many rows: it stays with the row, as it is, before `body` does.
alter table finished_item alter column content set storage main;
do $$
begin
    alter table finished_item alter column body set compression lz4, alter column content set compression lz4;
exception when feature_not_supported or invalid_parameter_value then
    null;  -- a server built without lz4 compresses by its own means
end
$$;

-- What is public is counted in an index alone; what is not, is little.
create index on finished_item (datetime desc, collection desc, id desc) include (end_datetime, audience);
create index on finished_item (collection, datetime desc, id desc) include (end_datetime, audience);
create index on finished_item (datetime desc, collection desc, id desc) where audience <> 'public';
create index on finished_item using gist (geometry);
create index on finished_item (revision) where body is null;


-- What pgSTAC keeps of an item, merged with what its collection says of all: the rules of the library that loads.
create function hydrated(own jsonb, base jsonb) returns jsonb
language plpgsql immutable parallel safe as $$
declare
    inner_members jsonb;
    dropped text[];
begin
    if jsonb_typeof(own) = 'object' and jsonb_typeof(base) = 'object' then
        if own::text !~ '^.+[\[{𒍟]' then
            return base || own;
        end if;
        select
            jsonb_object_agg(key, catalogue.hydrated(o.value, b.value)) filter (where o.value <> '"𒍟※"'),
            array_agg(key) filter (where o.value = '"𒍟※"')
        into inner_members, dropped
        from jsonb_each(own) o join jsonb_each(base) b using (key)
        where jsonb_typeof(o.value) in ('object', 'array') or o.value = '"𒍟※"';
        return (base || own || coalesce(inner_members, '{}')) - coalesce(dropped, '{}');
    end if;
    if jsonb_typeof(own) = 'array' and jsonb_typeof(base) = 'array'
        and jsonb_array_length(own) = jsonb_array_length(base) and own <> base
    then
        return (
            select jsonb_agg(catalogue.hydrated(o.value, b.value) order by o.place)
            from jsonb_array_elements(own) with ordinality o (value, place)
            join jsonb_array_elements(base) with ordinality b (value, place) using (place)
        );
    end if;
    return own;
end
$$;


-- Without the marks that say 'not merged' and met nothing to be merged with.
create function unmarked(document jsonb) returns jsonb
language sql immutable parallel safe as $$
    select case jsonb_typeof(document)
        when 'object' then (
            select coalesce(jsonb_object_agg(key, catalogue.unmarked(value)), '{}')
            from jsonb_each(document) where value <> '"𒍟※"'
        )
        when 'array' then (
            select coalesce(jsonb_agg(catalogue.unmarked(value) order by place), '[]')
            from jsonb_array_elements(document) with ordinality e (value, place)
        )
        else document
    end
$$;


-- The stored document of an item, as the catalogue's writers and readers know it.
create function stored_document(item pgstac.items) returns jsonb
language plpgsql stable as $$
declare
    tag text := item.content ->> 'pgstac:base_item';
    base jsonb;
    made jsonb := item.content - 'pgstac:base_item' || jsonb_build_object(
        'id', item.id, 'collection', item.collection, 'type', 'Feature',
        'geometry', public.st_asgeojson(item.geometry, 20)::jsonb
    );
begin
    if tag is null or tag ~ '^\s*\d{1,9}\s*$' then
        base := pgstac.collection_base_item(item.collection, tag::int);
    end if;
    if base is null and tag is not null then
        select c.base_item into base from pgstac.collections c where c.id = item.collection;
    end if;
    if base is not null then
        if base @? '$.* ? (@ == null)' then
            base := (select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(base) where value <> 'null');
        end if;
        made := catalogue.hydrated(made, base);
        if position('𒍟※' in made::text) > 0 then
            made := catalogue.unmarked(made);
        end if;
    end if;
    return made;
end
$$;


-- `proj:epsg` beside an EPSG `proj:code`, for readers of the older version of the extension.
create function epsg_of(holder jsonb) returns jsonb
language sql immutable parallel safe as $$
    select case when holder ->> 'proj:code' ~* '^EPSG:[0-9]{1,9}$'
        then jsonb_build_object('proj:epsg', substr(holder ->> 'proj:code', 6)::int) else '{}' end
$$;


-- One item as it is found, not finished yet.
create function entered(item pgstac.items) returns finished_item
language plpgsql stable as $$
declare
    content constant jsonb := item.content - '{assets,links,pgstac:base_item}'::text[];
    properties constant jsonb := coalesce(content -> 'properties', '{}');
    made catalogue.finished_item;
begin
    made.collection := item.collection;
    made.id := item.id;
    made.datetime := item.datetime;
    made.end_datetime := item.end_datetime;
    made.geometry := item.geometry;
    made.content := content;
    made.audience := case
        when coalesce(properties ->> 'bocage:audience', 'public') = 'public' then 'public'
        when properties ->> 'bocage:audience' = 'organisation' then 'organisation'
        else 'owner'  -- an audience that nobody has heard of shows an item to no more
    end;
    made.owner := properties ->> 'bocage:owner';
    made.organisation := properties ->> 'bocage:organisation';
    if properties ? 'bocage:shared_with' then
        made.shared := pgstac.to_text_array(nullif(properties -> 'bocage:shared_with', 'null'));
    end if;
    made.licences := '{}';
    if properties ?| '{bocage:licences,license}'::text[] then
        made.licences := (
            select coalesce(jsonb_object_agg(key, value), '{}')::text
            from jsonb_each(properties) where key in ('bocage:licences', 'license') and value <> 'null'
        );
    end if;
    return made;
end
$$;


-- One item, finished. Marks in the text: 1 the public base, 2 what an asset says of authentication, 3 the schemes of
-- authentication, 4 and 5 the extension's declaration after others and alone, 6 the links to licences.
create function laid(item pgstac.items) returns sheet
language plpgsql stable as $$
declare
    plain constant text := '^[A-Za-z0-9_.~:@!$&''()*+,;=-]+$';
    authentication constant text := 'https://stac-extensions.github.io/authentication/v1.1.0/schema.json';
    projection constant text := 'https://stac-extensions.github.io/projection/v2.0.0/schema.json';
    projection_with_epsg constant text := 'https://stac-extensions.github.io/projection/v1.2.0/schema.json';
    document jsonb := catalogue.stored_document(item);
    properties jsonb := coalesce(document -> 'properties', '{}');
    assets jsonb := coalesce(document -> 'assets', '{}');
    extensions jsonb := document -> 'stac_extensions';
    parent text := chr(1) || '/stac/collections/' || item.collection;
    shown jsonb;
    made catalogue.sheet;
    simple boolean;
    coded boolean;
    links jsonb;
    answer text;
begin
    answer := document::text;
    made.body := convert_to(answer, 'UTF8');
    made.laid_out := false;

    -- What is rare is laid out by the reader: shares, licences of single assets, schemes of its own, odd names.
    simple := coalesce(
        jsonb_typeof(properties) = 'object' and jsonb_typeof(assets) = 'object'
        and jsonb_typeof(extensions) = 'array' and coalesce(jsonb_typeof(document -> 'links') = 'array', true)
        and not properties ?| '{bocage:shared_with,auth:schemes}'::text[]
        and item.collection ~ plain and item.id ~ plain and position('\u000' in answer) = 0,
        false
    );
    if not simple then
        return made;
    end if;
    select
        coalesce(jsonb_object_agg(key, value || catalogue.epsg_of(value) || case when stored then
            jsonb_build_object(
                'href', chr(1) || '/assets/' || item.collection || '/' || item.id || '/' || key,
                'auth:refs', jsonb_build_array(chr(2))
            ) else '{}' end), '{}'),
        coalesce(bool_or(value ->> 'proj:code' ~* '^EPSG:[0-9]{1,9}$'), false),
        jsonb_object_agg(key, value -> 'href') filter (where stored)::text,
        coalesce(bool_and(
            jsonb_typeof(value) = 'object' and not value ?| '{bocage:licences,license,auth:refs}'::text[]
            and (not stored or key ~ plain)
        ), true)
    into shown, coded, made.hrefs, simple
    from (
        select key, value, coalesce(value ->> 'href' ~ '^(store:|s3:[a-z][a-z0-9-]{0,39}:(?!//).)', false) as stored
        from jsonb_each(case when (
            select coalesce(bool_and(jsonb_typeof(value) = 'object'), true) from jsonb_each(assets)
        ) then assets else '{"none": {"license": ""}}' end)
    ) a;
    if not simple then
        made.hrefs := null;
        return made;
    end if;
    coded := coded or coalesce(properties ->> 'proj:code' ~* '^EPSG:[0-9]{1,9}$', false);
    properties := '{"datetime": null}' || properties || catalogue.epsg_of(properties);
    if coded and not extensions ? projection_with_epsg then
        extensions := (
            select coalesce(jsonb_agg(
                case when value = to_jsonb(projection) then to_jsonb(projection_with_epsg) else value end order by place
            ), '[]')
            from jsonb_array_elements(extensions) with ordinality e (value, place)
        );
    end if;
    if made.hrefs is not null then
        properties := properties || jsonb_build_object('auth:schemes', chr(3));
        if not extensions ? authentication then
            extensions := extensions || jsonb_build_array(chr(4));
        end if;
    end if;
    links := jsonb_build_array(
        jsonb_build_object('rel', 'self', 'href', parent || '/items/' || item.id, 'type', 'application/geo+json'),
        jsonb_build_object('rel', 'root', 'href', chr(1) || '/stac', 'type', 'application/json'),
        jsonb_build_object('rel', 'parent', 'href', parent, 'type', 'application/json'),
        jsonb_build_object('rel', 'collection', 'href', parent, 'type', 'application/json'),
        chr(6)
    ) || (
        select coalesce(jsonb_agg(
            value || jsonb_build_object('href', case when value ->> 'href' like '/%' then chr(1) else '' end
                || coalesce(value ->> 'href', ''))
            order by place
        ), '[]')
        from jsonb_array_elements(coalesce(document -> 'links', '[]')) with ordinality l (value, place)
        where jsonb_typeof(value) = 'object' and coalesce(value ->> 'rel', '') <> all
            ('{self,root,parent,collection,items,item,child,queryables}'::text[])
    );
    document := document || jsonb_build_object(
        'properties', properties, 'assets', shown, 'stac_extensions', extensions, 'links', links
    );
    answer := document::text;
    answer := replace(answer, ', "auth:refs": ["\u0002"]', chr(2));
    answer := replace(answer, ', "auth:schemes": "\u0003"', chr(3));
    answer := replace(answer, ', "\u0004"', chr(4));
    answer := replace(answer, '"\u0004"', chr(5));
    answer := replace(answer, ', "\u0006"', chr(6));
    made.body := convert_to(replace(answer, '\u0001', chr(1)), 'UTF8');
    made.laid_out := true;
    return made;
end
$$;


-- What is not finished yet, on the spot.
create function laid_now(in_collection text, item text, moment timestamptz) returns sheet
language sql stable as $$
    select (d).* from pgstac.items i cross join lateral catalogue.laid(i) d
    where i.collection = in_collection and i.id = item and i.datetime = moment
$$;


-- Whoever writes, whichever way: `pypgstac load` writes into partitions, which have the triggers of their parent.
create function keep_finished() returns trigger
language plpgsql security definer set search_path = catalogue, pgstac, public as $$
declare
    made catalogue.finished_item;
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
    insert into finished_item select made.*
    on conflict (id, collection) do update set
        revision = excluded.revision, datetime = excluded.datetime, end_datetime = excluded.end_datetime,
        geometry = excluded.geometry, audience = excluded.audience, owner = excluded.owner,
        organisation = excluded.organisation, shared = excluded.shared, content = excluded.content,
        licences = excluded.licences, hrefs = null, laid_out = null, body = null;
    return null;
end
$$;

-- A role that may execute it could attach it to a table of its own. Partitions are made as pgstac_admin, whose
-- execution is asked for when the trigger is cloned.
revoke all on function keep_finished from public;
grant execute on function keep_finished to pgstac_admin;

create trigger keep_finished after insert or update or delete on pgstac.items
for each row execute function keep_finished();

create function forget_finished() returns trigger
language plpgsql security definer set search_path = catalogue, pgstac, public as $$
begin
    delete from finished_item;
    return null;
end
$$;
revoke all on function forget_finished from public;

create trigger forget_finished after truncate on pgstac.items
for each statement execute function forget_finished();


-- Enters up to `most` items that were there before the triggers; how many. The lock keeps a writer from deleting an
-- item between its being read and its being entered.
create function enter_more(most integer) returns integer
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
        insert into catalogue.finished_item
        select d.collection, d.id, nextval('catalogue.revision'), d.datetime, d.end_datetime, d.geometry, d.audience,
            d.owner, d.organisation, d.shared, d.content, d.licences
        from waiting, lateral catalogue.entered(waiting.i) d
        on conflict do nothing
    )
    select count(*) into seen from waiting;
    return seen;
end
$$;


-- Finishes up to `most` items, the oldest writes first; how many. Several may work at once, and none waits: an item
-- whose row is held is being written anew, or finished by another.
create function finish_more(most integer) returns integer
language plpgsql as $$
declare
    seen integer;
begin
    with waiting as (
        select f.id, f.collection, f.datetime from catalogue.finished_item f
        where f.body is null order by f.revision limit most
        for update skip locked
    ), made as (
        update catalogue.finished_item f set hrefs = d.hrefs, laid_out = d.laid_out, body = d.body
        from waiting w, lateral catalogue.laid_now(w.collection, w.id, w.datetime) d
        where f.id = w.id and f.collection = w.collection and d.body is not null
        returning 1
    )
    select count(*) into seen from made;
    return seen;
end
$$;
