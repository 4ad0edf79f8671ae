-- What is searched and sorted by: properties as SQL reads them, those that occur, and their indexes.
--
-- Each reader of a property takes one kind of JSON and gives null for any other: no condition fails on a value.

create function value_at(content jsonb, name text) returns jsonb
language sql immutable parallel safe
return nullif(content -> 'properties' -> name, 'null'::jsonb);

create function text_at(content jsonb, name text) returns text
language sql immutable parallel safe
return case when jsonb_typeof(content -> 'properties' -> name) = 'string' then content -> 'properties' ->> name end;

create function number_at(content jsonb, name text) returns numeric
language sql immutable parallel safe
return case when jsonb_typeof(content -> 'properties' -> name) = 'number'
    then (content -> 'properties' -> name)::numeric end;

create function boolean_at(content jsonb, name text) returns boolean
language sql immutable parallel safe
return case when jsonb_typeof(content -> 'properties' -> name) = 'boolean'
    then (content -> 'properties' -> name)::boolean end;

create function array_at(content jsonb, name text) returns jsonb
language sql immutable parallel safe
return case when jsonb_typeof(content -> 'properties' -> name) = 'array' then content -> 'properties' -> name end;


-- An instant of RFC 3339, or the first of a day. Its offset is written in it, so that no setting of the session
-- matters; days that the calendar does not have are none.
create function moment_of(written text) returns timestamptz
language plpgsql immutable strict parallel safe as $$
declare
    shape text := translate(written, '0123456789', '##########');
    year integer;
begin
    -- What nearly all are is told without the expression, which takes ten times as long.
    if not (
        (shape = '####-##-##T##:##:##Z' or (
            shape like '####-##-##T##:##:##.#%Z' and rtrim(shape, '#Z') = '####-##-##T##:##:##.'
            and length(shape) <= 27 and strpos(shape, 'Z') = length(shape)
        ))
        and substr(written, 12, 2) <= '23' and substr(written, 15, 2) <= '59' and substr(written, 18, 2) <= '59'
        and substr(written, 6, 2) between '01' and '12' and substr(written, 9, 2) between '01' and '31'
        and substr(written, 1, 4) > '0000'
    ) and written !~ '^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,18})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$'
    then
        return null;
    end if;
    if substr(written, 9, 2) > '28' then
        year := substr(written, 1, 4);
        if (substr(written, 9, 2)::integer > case
            when substr(written, 6, 2) in ('04', '06', '09', '11') then 30
            when substr(written, 6, 2) <> '02' then 31
            when year % 4 = 0 and (year % 100 <> 0 or year % 400 = 0) then 29
            else 28
        end) then
            return null;
        end if;
    end if;
    if length(written) = 10 then
        return (written || 'T00:00:00Z')::timestamptz;
    end if;
    if length(written) > 27 then
        -- What is finer than the database counts is cut, not rounded.
        written := regexp_replace(written, '(\.[0-9]{6})[0-9]+', '\1');
    end if;
    -- Offsets lead out of the years that RFC 3339 can write: a place in an order of such has no name.
    if right(written, 1) not in ('Z', 'z') and substr(written, 1, 4) in ('0001', '9999')
        and (written::timestamptz < '0001-01-01T00:00:00Z' or written::timestamptz >= '10000-01-01T00:00:00Z')
    then
        return null;
    end if;
    return written::timestamptz;
end
$$;

create function moment_at(content jsonb, name text) returns timestamptz
language sql immutable parallel safe
return case when jsonb_typeof(content -> 'properties' -> name) = 'string'
    then catalogue.moment_of(content -> 'properties' ->> name) end;


-- Powers that have a value; what is larger than anyone counts has none.
create function raised(base numeric, exponent numeric) returns numeric
language sql immutable parallel safe
return case
    when abs(exponent) > 64 or abs(base) > 1e30 or (base <> 0 and abs(base) < 1e-30) then null
    when base = 0 and exponent < 0 then null
    when base < 0 and exponent <> trunc(exponent) then null
    else power(base, exponent)
end;

-- Without accents and other signs above, below and through letters that Unicode can take apart.
create function unaccented(written text) returns text
language sql immutable strict parallel safe
return regexp_replace(normalize(written, nfd), '[\u0300-\u036f]', '', 'g');

create function overlapping(one jsonb, other jsonb) returns boolean
language sql immutable parallel safe as $$
    select case when one is not null and other is not null then exists (
        select from jsonb_array_elements(one) a (value) join jsonb_array_elements(other) b (value) using (value)
    ) end
$$;


-- A geometry of GeoJSON that was checked to be one. Planning calls it, once.
create function area(geojson text, place text) returns public.geometry
language plpgsql immutable strict parallel safe as $$
declare
    made constant public.geometry := public.st_setsrid(public.st_force2d(public.st_geomfromgeojson(geojson)), 4326);
begin
    if not public.st_isvalid(made) then
        raise exception '%: the geometry is not valid: %.', place, public.st_isvalidreason(made) using detail = place;
    end if;
    return made;
end
$$;

create function relation(named text, one public.geometry, other public.geometry) returns boolean
language sql immutable strict parallel safe
return case named
    when 's_intersects' then public.st_intersects(one, other)
    when 's_contains' then public.st_contains(one, other)
    when 's_within' then public.st_within(one, other)
    when 's_equals' then public.st_equals(one, other)
    when 's_touches' then public.st_touches(one, other)
    when 's_crosses' then public.st_crosses(one, other)
    when 's_overlaps' then public.st_overlaps(one, other)
end;

-- Relations of geometries that may be such as nobody can relate: they are mended first, and if that is of no help it
-- is unknown.
create function related(named text, one public.geometry, other public.geometry) returns boolean
language plpgsql immutable strict as $$
begin
    return catalogue.relation(named, one, other);
exception when internal_error or invalid_parameter_value then
    begin
        return catalogue.relation(named, public.st_makevalid(one), public.st_makevalid(other));
    exception when internal_error or invalid_parameter_value then
        return null;
    end;
end
$$;


-- The words of what is written about an item for people, without case and accents.
create function words(content jsonb) returns tsvector
language sql immutable parallel safe
return to_tsvector('simple'::regconfig, lower(catalogue.unaccented(left(concat_ws(' . ',
    catalogue.text_at(content, 'title'), catalogue.text_at(content, 'description'),
    catalogue.array_at(content, 'keywords')::text
), 20000))));

create function asked_words(terms text[]) returns tsquery
language sql immutable parallel safe as $$
    select coalesce(string_agg(nullif(phraseto_tsquery('simple'::regconfig,
        lower(catalogue.unaccented(term)))::text, ''), ' | '), '')::tsquery
    from unnest(terms) term
$$;

-- The usual orders. Others read every row that the conditions leave; an operator may index them likewise.
create index finished_item_cloud_cover on finished_item (number_at(content, 'eo:cloud_cover'), collection, id);
create index finished_item_updated on finished_item (moment_at(content, 'updated'), collection, id);

-- Items with words for people are few, and those that others are shared with fewer.
create index finished_item_words on finished_item using gin (words(content))
    where content -> 'properties' ?| '{title,description,keywords}';
create index finished_item_shared on finished_item using gin (shared) where shared is not null;


-- The properties that occur, by who may know of them. A name stays until its collection goes. No foreign key: whoever
-- registers holds items, and would wait for who deletes their collection, who waits for the items.
create table queryable (
    collection   text not null,
    name         text not null,
    kind         text not null,
    audience     text not null,
    owner        text not null,
    organisation text not null,
    primary key (collection, name, kind, audience, owner, organisation)
);

-- Of the items that were finished before: those that are not are registered when they are.
insert into queryable
select distinct f.collection, p.key, case jsonb_typeof(p.value) when 'string' then 'text' else jsonb_typeof(p.value) end,
    f.audience,
    case when f.audience = 'public' then '' else coalesce(f.owner, '') end,
    case when f.audience = 'organisation' then coalesce(f.organisation, '') else '' end
from finished_item f cross join lateral jsonb_each(
    case when jsonb_typeof(f.content -> 'properties') = 'object' then f.content -> 'properties' else '{}' end) p
where f.body is not null and p.value <> 'null' and length(p.key) <= 200;

create function forget_queryables() returns trigger
language plpgsql security definer set search_path = catalogue, pgstac, public as $$
begin
    delete from queryable q where q.collection = old.id;
    return null;
end
$$;
revoke all on function forget_queryables from public;

create trigger forget_queryables after delete on pgstac.collections
for each row execute function forget_queryables();


-- What is not finished yet, on the spot. An item that cannot be laid out is told as it is stored.
create or replace function laid_now(in_collection text, item text, moment timestamptz) returns sheet
language plpgsql stable as $$
declare
    made catalogue.sheet;
begin
    select (d).* into made from pgstac.items i cross join lateral catalogue.laid(i) d
    where i.collection = in_collection and i.id = item and i.datetime = moment;
    return made;
exception when others then
    -- Not when it is the moment's fault, and not the item's: what is said here may be kept.
    if sqlstate ~ '^(08|25|40|55|57|58)' then
        raise;
    end if;
    select null, false, convert_to((content - 'pgstac:base_item' || jsonb_build_object(
        'id', i.id, 'collection', i.collection, 'type', 'Feature', 'geometry', null
    ))::text, 'UTF8') into made
    from pgstac.items i where i.collection = in_collection and i.id = item and i.datetime = moment;
    return made;
end
$$;


-- Finishes up to `most` items, the oldest writes first, and registers their properties; how many. Several may work at
-- once, and none waits: an item whose row is held is being written anew, or finished by another.
create or replace function finish_more(most integer) returns integer
language plpgsql as $$
declare
    seen integer;
begin
    with waiting as (
        select f.id, f.collection, f.datetime, f.audience, f.owner, f.organisation,
            case when jsonb_typeof(f.content -> 'properties') = 'object' then f.content -> 'properties' else '{}' end
                as properties
        from catalogue.finished_item f
        where f.body is null order by f.revision limit most
        for update skip locked
    ), named as (
        select distinct w.collection, p.key as name, case jsonb_typeof(p.value)
                when 'string' then 'text' else jsonb_typeof(p.value) end as kind,
            w.audience,
            case when w.audience = 'public' then '' else coalesce(w.owner, '') end as owner,
            case when w.audience = 'organisation' then coalesce(w.organisation, '') else '' end as organisation
        from waiting w cross join lateral jsonb_each(w.properties) p
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
        update catalogue.finished_item f set hrefs = d.hrefs, laid_out = d.laid_out, body = d.body
        from waiting w, lateral catalogue.laid_now(w.collection, w.id, w.datetime) d
        where f.id = w.id and f.collection = w.collection and d.body is not null
        returning 1
    )
    select count(*) into seen from made;
    return seen;
end
$$;

-- Statements are made by the service.
drop function page;
