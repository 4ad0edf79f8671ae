-- What was taken, whatever the item's outline; and the lineage of results that were there before it was kept.

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
create or replace function take(p_entries jsonb) returns void language sql security definer
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

-- Results carry links to what they were made of: recalls must find those too that were released before.
insert into lineage (collection, item, input_collection, input_item, job, licences)
select i.collection, i.id, split_part(l ->> 'title', '/', 1), split_part(l ->> 'title', '/', 2), i.id,
       array(select jsonb_array_elements_text(case jsonb_typeof(i.content -> 'properties' -> 'bocage:licences')
                                              when 'array' then i.content -> 'properties' -> 'bocage:licences'
                                              else '[]' end))
  from pgstac.items i
  join pgstac.collections c on c.id = i.collection and c.content ->> 'bocage:write_scope' = 'service'
 cross join lateral jsonb_array_elements(i.content -> 'links') l
 where l ->> 'rel' = 'derived_from' and l ->> 'title' ~ '^[^/]+/[^/]+$'
on conflict do nothing;

revoke execute on all functions in schema rights from public;
grant execute on function take(jsonb) to bocage_processing;
