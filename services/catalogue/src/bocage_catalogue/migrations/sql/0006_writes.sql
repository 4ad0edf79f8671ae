-- What writing asks of the database.

-- Makes the partitions that items of these moments need, and widens the bounds of those that are there. Bounds are
-- whole years, or what a partition holds: were they those of the items, each batch of a series in time would move them,
-- and pgSTAC reads all of a partition when its bounds move.
create function make_room(in_collection text, starts timestamptz[], ends timestamptz[]) returns void
language plpgsql set timezone = 'UTC' as $$
declare
    part record;
begin
    for part in
        select p.partition_range as whole, tstzrange(
                date_trunc('year', min(m.start)), date_trunc('year', max(m.start)) + interval '1 year', '[)'
            ) as begun, tstzrange(
                date_trunc('year', min(m.stop)), date_trunc('year', max(m.stop)) + interval '1 year', '[)'
            ) as ended
        from unnest(starts, ends) m (start, stop), lateral pgstac.partition_name(in_collection, m.start) p
        group by p.partition_range order by p.partition_range
    loop
        perform pgstac.check_partition(in_collection, part.begun * part.whole, part.ended);
    end loop;
end
$$;


-- Collections whose items may have to be laid out anew. pgSTAC keeps every version of what a collection says of all
-- assets, and an item its own; but one that names a version which is not there follows the present one.
create table rebased (collection text primary key);

create function note_rebased() returns trigger
language plpgsql security definer set search_path = catalogue, pgstac, public as $$
begin
    if tg_table_name = 'collections' then
        insert into rebased values (new.id) on conflict do nothing;
    else
        insert into rebased values (old.collection) on conflict do nothing;
    end if;
    return null;
end
$$;
revoke all on function note_rebased from public;
grant execute on function note_rebased to pgstac_admin;

create trigger note_rebased after update on pgstac.collections
for each row when (old.base_item is distinct from new.base_item) execute function note_rebased();
create trigger note_rebased after update or delete on pgstac.base_items
for each row execute function note_rebased();


-- Has the items of one such collection laid out anew that follow its present version; whether there was one.
create function heed_rebased() returns boolean
language plpgsql as $$
declare
    changed text;
begin
    delete from catalogue.rebased r where r.collection = (
        select collection from catalogue.rebased order by collection limit 1 for update skip locked
    ) returning r.collection into changed;
    if changed is null then
        return false;
    end if;
    update catalogue.finished_item f set hrefs = null, laid_out = null, body = null
    from pgstac.items i
    where i.collection = changed and f.collection = changed and f.id = i.id and f.body is not null
        and i.content ? 'pgstac:base_item' and not exists (
            select from pgstac.base_items b
            where b.collection = changed and b.id::text = btrim(i.content ->> 'pgstac:base_item')
        );
    return true;
end
$$;
