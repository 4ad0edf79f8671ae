-- One page of a search among what the caller sees, and a last row with nothing but how many there are altogether.
-- pgSTAC makes the conditions, the order and the place of a token; `most` + 1 rows tell whether there are more.
create function page(
    search jsonb, most integer,
    sees_all boolean, person text, in_organisation text, names text[], unseen text[]
) returns table (
    in_collection text, item text, licences text, audience text, hrefs text, laid_out boolean, body bytea,
    now catalogue.sheet, matched bigint
)
-- The statement that it makes is planned for its values in any case; those of the makers need not be, each time.
language plpgsql stable set plan_cache_mode = auto as $$
declare
    among text[] := pgstac.to_text_array(search -> 'collections');
    conditions text := pgstac.stac_search_to_where(search);
    ordering text := 'datetime desc, collection desc, id desc';  -- pgSTAC's own, unless another is asked for
    backwards boolean := coalesce(search ->> 'token' ilike 'prev:%', false);
    token record;
    after text := 'true';
    visible text := 'true';
    theirs text := 'false';
    source text := 'catalogue.finished_item';
    returned bigint;
    total bigint;
begin
    if not sees_all then
        visible := $v$(audience = 'public')$v$;
        if person is not null then
            theirs := $v$(audience <> 'public' and (
                owner = $1 or (audience = 'organisation' and organisation = $2) or shared && $3))$v$;
        end if;
    end if;
    if cardinality(unseen) > 0 then
        conditions := format('(%s) and collection <> all ($4)', conditions);
    end if;
    if cardinality(among) = 1 then
        -- As an equality it lets the index of one collection give the order.
        conditions := format('(%s) and collection = %L', conditions, among[1]);
    end if;
    if search ? 'token' then
        token := pgstac.get_token_record(search ->> 'token');
        after := pgstac.get_token_filter(search -> 'sortby', token.item, token.prev, false, among);
    end if;
    if backwards or jsonb_array_length(nullif(search -> 'sortby', 'null')) > 0 then
        ordering := pgstac.sort_sqlorderby(search, backwards, '{collection,id}', among);
    end if;
    if position('content->''assets''' in conditions || ordering || after) > 0
        or position('content->''links''' in conditions || ordering || after) > 0
    then
        source := $s$(select f.collection, f.id, f.datetime, f.end_datetime, f.geometry, f.audience, f.owner,
            f.organisation, f.shared, f.licences, f.hrefs, f.laid_out, f.body, i.content
            from catalogue.finished_item f join pgstac.items i
            on i.collection = f.collection and i.id = f.id and i.datetime = f.datetime) f$s$;
    end if;
    return query execute format(
        'select collection, id, licences, audience, hrefs, laid_out, body,
            case when body is null then catalogue.laid_now(collection, id, datetime) end, null::bigint
         from %s where (%s) and (%s) and (%s) order by %s limit %s',
        source, conditions, after, visible || ' or ' || theirs, ordering, most + 1
    ) using person, in_organisation, names, unseen;
    get diagnostics returned = row_count;
    if not search ? 'token' and returned <= most then
        total := returned;
    else
        -- Apart, since the larger part needs no more than an index.
        execute format(
            'select (select count(*) from %1$s where (%2$s) and %3$s) + (select count(*) from %1$s where (%2$s) and %4$s)',
            source, conditions, visible, theirs
        ) into total using person, in_organisation, names, unseen;
    end if;
    return query select
        null::text, null::text, null::text, null::text, null::text, null::boolean, null::bytea, null::catalogue.sheet, total;
end
$$;
