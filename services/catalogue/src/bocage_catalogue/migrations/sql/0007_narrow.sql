-- What most searches ask for stands in indexes alone: a row of items is wide, and to look at a thousand of them for ten
-- takes longer than all else.

-- An entry of an index has room for some two and a half kilobytes: what is loaded past the API is not refused for that.
create function fits(geometry public.geometry, collection text, item text) returns boolean
language sql immutable parallel safe
return public.st_npoints(geometry) <= 32 and octet_length(collection) + octet_length(item) <= 600;

create function measured(number numeric) returns numeric
language sql immutable parallel safe
return case when length(number::text) <= 60 then number end;

alter table finished_item
    -- A shape with few corners, else the box around it: then the shape itself has to be asked (`outlined`).
    add column outline public.geometry generated always as (
        case when fits(geometry, collection, id) then geometry else public.st_envelope(geometry) end
    ) stored,
    add column outlined boolean generated always as (not fits(geometry, collection, id)) stored,
    -- Whether it is shared by name; with whom, the row says.
    add column lent boolean generated always as (shared is not null) stored,
    add column cloud_cover numeric generated always as (measured(number_at(content, 'eo:cloud_cover'))) stored;

drop index finished_item_collection_datetime_id_end_datetime_audience_idx;
drop index finished_item_datetime_collection_id_end_datetime_audience_idx;
drop index finished_item_geometry_idx;
drop index finished_item_cloud_cover;
drop index finished_item_shared_idx;  -- there were two

create index finished_item_of_collection on finished_item (collection, datetime desc, id desc)
    include (end_datetime, audience, owner, organisation, lent, outlined, cloud_cover, outline);
create index finished_item_of_all on finished_item (datetime desc, collection desc, id desc)
    include (end_datetime, audience, owner, organisation, lent, outlined, cloud_cover, outline);
create index finished_item_outline on finished_item using gist (outline);
create index finished_item_cloud_cover on finished_item (cloud_cover, collection, id)
    include (audience, owner, organisation, lent);
-- One in sixteen, whichever: what is found among them tells how many there are.
create index finished_item_sample on finished_item (datetime desc)
    include (collection, id, end_datetime, audience, owner, organisation, lent, outlined, cloud_cover, outline)
    where hashtext(id) & 15 = 0;


-- How long an item of a collection lasts at most, in steps so that it seldom grows: what begins before a period by more
-- than that has ended before it.
alter table finished_collection add column longest interval;

create function longest(since timestamptz, until timestamptz) returns interval
language sql immutable parallel safe
return case
    when not (isfinite(since) and isfinite(until)) then interval '100000 years'
    else make_interval(secs => power(2, ceil(log(2, greatest(extract(epoch from until - since), 1))))::double precision)
end;

create function note_longest() returns trigger
language plpgsql security definer set search_path = catalogue, public as $$
declare
    lasting constant interval := longest(new.datetime, new.end_datetime);
begin
    update finished_collection c set longest = lasting
    where c.id = new.collection and (c.longest is null or c.longest < lasting);
    return null;
end
$$;
revoke all on function note_longest from public;
grant execute on function note_longest to pgstac_admin;

create trigger note_longest after insert or update of datetime, end_datetime on finished_item
for each row when (new.end_datetime > new.datetime) execute function note_longest();

update finished_collection c set longest = d.lasting
from (
    select collection, max(longest(datetime, end_datetime)) as lasting
    from finished_item where end_datetime > datetime group by collection
) d where d.collection = c.id;


-- As before, but for the columns that are made of others.
create or replace function keep_finished() returns trigger
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
    insert into finished_item (
        collection, id, revision, datetime, end_datetime, geometry, audience, owner, organisation, shared, content,
        licences
    ) values (
        made.collection, made.id, nextval('revision'), made.datetime, made.end_datetime, made.geometry, made.audience,
        left(made.owner, 200), left(made.organisation, 200), made.shared, made.content, made.licences
    )
    on conflict (id, collection) do update set
        revision = excluded.revision, datetime = excluded.datetime, end_datetime = excluded.end_datetime,
        geometry = excluded.geometry, audience = excluded.audience, owner = excluded.owner,
        organisation = excluded.organisation, shared = excluded.shared, content = excluded.content,
        licences = excluded.licences, hrefs = null, laid_out = null, body = null;
    return null;
end
$$;


-- Whether two geometries meet. PostGIS counts its own so dear that the planner would do anything to ask it less, which
-- takes longer; most of what it is asked for has been told apart by the boxes before.
create function meets(one public.geometry, other public.geometry) returns boolean
language plpgsql immutable strict parallel safe cost 2 as $$
begin
    return public.st_intersects(one, other);
end
$$;

-- The same of an item whose outline is not its shape.
create function shape_meets(in_collection text, item text, other public.geometry) returns boolean
language plpgsql stable strict parallel safe cost 2 as $$
begin
    return exists (
        select from catalogue.finished_item w
        where w.id = item and w.collection = in_collection and public.st_intersects(w.geometry, other)
    );
end
$$;

-- Whether an item that is lent is lent to one of these.
create function lent_to(in_collection text, item text, names text[]) returns boolean
language plpgsql stable strict parallel safe cost 2 as $$
begin
    return exists (
        select from catalogue.finished_item w where w.id = item and w.collection = in_collection and w.shared && names
    );
end
$$;
