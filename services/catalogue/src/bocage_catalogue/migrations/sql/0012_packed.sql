-- A side of a shape, to be compared with one of a box: shorter numbers take less room in an index. A real number is off
-- by less than a part in ten thousand as far as a box may reach.
create function side(degrees double precision) returns real
language sql immutable parallel safe
return least(greatest(degrees, -1000), 1000)::real;

create function west_of(geometry public.geometry) returns real
language sql immutable parallel safe
return catalogue.side(public.st_xmin(geometry) - 1e-4);

create function south_of(geometry public.geometry) returns real
language sql immutable parallel safe
return catalogue.side(public.st_ymin(geometry) - 1e-4);

create function east_of(geometry public.geometry) returns real
language sql immutable parallel safe
return catalogue.side(public.st_xmax(geometry) + 1e-4);

create function north_of(geometry public.geometry) returns real
language sql immutable parallel safe
return catalogue.side(public.st_ymax(geometry) + 1e-4);

alter table finished_item
    add column west real generated always as (west_of(geometry)) stored,
    add column south real generated always as (south_of(geometry)) stored,
    add column east real generated always as (east_of(geometry)) stored,
    add column north real generated always as (north_of(geometry)) stored;

-- Entries that lie elsewhere are left out while an index is walked, before anything else is asked of them.
drop index finished_item_of_collection;
drop index finished_item_of_all;
create index finished_item_of_collection on finished_item
    (collection, datetime desc, id desc, west, east, south, north)
    include (end_datetime, audience, owner, organisation, lent, outlined, cloud_cover, outline);
create index finished_item_of_all on finished_item
    (datetime desc, collection desc, id desc, west, east, south, north)
    include (end_datetime, audience, owner, organisation, lent, outlined, cloud_cover, outline);


-- What is to be laid out stands in a list of its own: were it told by the row that it is not, the row that says it is
-- would need an entry anew in every index. So it needs none, where there is room for it beside the former.
create table waiting (
    serial     bigint generated always as identity primary key,
    collection text not null,
    id         text not null
);
-- It fills and empties.
alter table waiting set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
alter table finished_item set (fillfactor = 45);
drop index finished_item_revision_idx;
insert into waiting (collection, id) select collection, id from finished_item where body is null order by revision;

create function wait() returns trigger
language plpgsql security definer set search_path = catalogue, public as $$
begin
    insert into waiting (collection, id) values (new.collection, new.id);
    return null;
end
$$;
revoke all on function wait from public;
grant execute on function wait to pgstac_admin;
create trigger wait after insert or update of body on finished_item
for each row when (new.body is null) execute function wait();


-- Claims up to `most` items that are not finished, the oldest writes first, registers their properties and lays them
-- out. Several may work at once, and none waits: an item whose row is held is being written anew, or finished by
-- another.
create function finishing(most integer) returns table (
    in_collection text, item text, hrefs text, laid_out boolean, body bytea
)
language plpgsql set enable_seqscan = off as $$
declare
    held bigint[];
begin
    -- Deleted since, or laid out when it was listed twice.
    delete from catalogue.waiting w
    where w.serial in (select x.serial from catalogue.waiting x order by x.serial limit most for update skip locked)
        and not exists (
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

-- The same, kept plain, where no service is at hand that packs it; how many.
create or replace function finish_more(most integer) returns integer
language plpgsql as $$
declare
    seen integer;
begin
    with made as (
        update catalogue.finished_item f set hrefs = d.hrefs, laid_out = d.laid_out, body = d.body
        from catalogue.finishing(most) d
        where f.id = d.item and f.collection = d.in_collection
        returning 1
    )
    select count(*) into seen from made;
    return seen;
end
$$;
