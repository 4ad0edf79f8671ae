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
