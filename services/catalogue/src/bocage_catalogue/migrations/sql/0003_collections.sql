-- Collections as they are found: by columns that are written with them, with a revision each. What they say in full
-- stays text, as it was stored: laying a few out at each read takes less than the caller's own connection does.

create table finished_collection (
    id           text primary key references pgstac.collections (id) on update cascade on delete cascade,
    revision     bigint not null,
    -- Who sees it: what bocage_kit.audience reads of it.
    audience     text not null check (audience in ('public', 'organisation', 'owner')),
    owner        text,
    organisation text,
    shared       text[],
    title        text,
    -- Its members that say under which licences and conditions it is.
    rights       jsonb not null,
    datetime     timestamptz not null,
    end_datetime timestamptz not null,
    geometry     public.geometry,
    -- Title, description and keywords, in every language it has them in, without accents.
    words        tsvector not null,
    body         bytea not null
);


-- A text as it is found: of the word itself, of its English and of its French stem, without accents and case. There is
-- room for so much of it.
create function words_of(told text) returns tsvector
language sql stable parallel safe as $$
    select to_tsvector('simple', plain) || to_tsvector('english', plain) || to_tsvector('french', plain)
    from public.unaccent(left(coalesce(told, ''), 100000)) plain
$$;


-- What is asked for, in the same forms; words that stand together are found together.
create function words_asked(term text) returns tsquery
language sql stable parallel safe as $$
    select phraseto_tsquery('simple', plain) || phraseto_tsquery('english', plain) || phraseto_tsquery('french', plain)
    from public.unaccent(coalesce(term, '')) plain
$$;


-- The extent of all of a collection, over the antimeridian where the west is east of the east. The first box is the
-- whole, others are its parts.
create function extent_of(content jsonb) returns public.geometry
language plpgsql immutable parallel safe as $$
declare
    box constant jsonb := content #> '{extent,spatial,bbox,0}';
    half int;
    west float;
    south float;
    east float;
    north float;
begin
    if jsonb_typeof(box) is distinct from 'array' or jsonb_array_length(box) not in (4, 6)
        or exists (select from jsonb_array_elements(box) e where jsonb_typeof(e) <> 'number')
    then
        return null;
    end if;
    half := jsonb_array_length(box) / 2;
    west := (box ->> 0)::float;
    south := (box ->> 1)::float;
    east := (box ->> half)::float;
    north := (box ->> (half + 1))::float;
    if west <= east then
        return public.st_makeenvelope(west, south, east, north, 4326);
    end if;
    return public.st_collect(
        public.st_makeenvelope(west, south, 180, north, 4326), public.st_makeenvelope(-180, south, east, north, 4326)
    );
exception when numeric_value_out_of_range then
    return null;
end
$$;


-- The names under which a collection's titles, descriptions and keywords are found, as one text.
create function told_of(content jsonb) returns text
language sql immutable parallel safe as $$
    select string_agg(told #>> '{}', E'\n')
    from (
        select content as holder
        union all
        select jsonb_path_query(content, '$."bocage:translations".*')
    ) holders,
    lateral (
        values (holder -> 'title'), (holder -> 'description')
        union all
        select jsonb_path_query(holder, '$.keywords[*]')
    ) texts (told)
    where jsonb_typeof(told) = 'string'
$$;


-- One collection as it is found; its revision is whoever enters it to give.
create function entered(collection pgstac.collections) returns finished_collection
language plpgsql stable as $$
declare
    content constant jsonb := collection.content;
    made catalogue.finished_collection;
begin
    made.id := collection.id;
    made.audience := case
        when coalesce(content ->> 'bocage:audience', 'public') = 'public' then 'public'
        when content ->> 'bocage:audience' = 'organisation' then 'organisation'
        else 'owner'  -- an audience that nobody has heard of shows a collection to no more
    end;
    made.owner := content ->> 'bocage:owner';
    made.organisation := content ->> 'bocage:organisation';
    if content ? 'bocage:shared_with' then
        made.shared := pgstac.to_text_array(nullif(content -> 'bocage:shared_with', 'null'));
    end if;
    made.title := content ->> 'title';
    made.rights := (
        select coalesce(jsonb_object_agg(key, value), '{}')
        from jsonb_each(content)
        where value <> 'null' and key in (
            'bocage:licences', 'license', 'bocage:embargo_until', 'bocage:recalled', 'bocage:organisation'
        )
    );
    made.datetime := collection.datetime;
    made.end_datetime := collection.end_datetime;
    made.geometry := catalogue.extent_of(content);
    made.words := catalogue.words_of(catalogue.told_of(content));
    made.body := convert_to(content::text, 'UTF8');
    return made;
end
$$;


-- Whoever writes, `pypgstac load` included. What is no collection by its type is not shown, and so not entered.
create function keep_finished_collection() returns trigger
language plpgsql security definer set search_path = catalogue, pgstac, public as $$
declare
    made catalogue.finished_collection;
begin
    if tg_op = 'UPDATE' and new.content = old.content then
        return null;
    end if;
    if new.content ->> 'type' is distinct from 'Collection' then
        delete from finished_collection f where f.id = new.id;
        return null;
    end if;
    made := entered(new);
    made.revision := nextval('revision');
    insert into finished_collection select made.*
    on conflict (id) do update set
        revision = excluded.revision, audience = excluded.audience, owner = excluded.owner,
        organisation = excluded.organisation, shared = excluded.shared, title = excluded.title,
        rights = excluded.rights, datetime = excluded.datetime, end_datetime = excluded.end_datetime,
        geometry = excluded.geometry, words = excluded.words, body = excluded.body;
    return null;
end
$$;

revoke all on function keep_finished_collection from public;
grant execute on function keep_finished_collection to pgstac_admin;

-- Deletions are the foreign key's: whatever deletes a collection, its row goes with it.
create trigger keep_finished_collection after insert or update of content on pgstac.collections
for each row execute function keep_finished_collection();


insert into finished_collection
select d.id, nextval('revision'), d.audience, d.owner, d.organisation, d.shared, d.title, d.rights, d.datetime,
    d.end_datetime, d.geometry, d.words, d.body
from pgstac.collections c, lateral entered(c) d
where c.content ->> 'type' = 'Collection';


-- One item, finished. Marks in the text: 1 the public base, 2 what an asset says of authentication and of its store,
-- 3 the schemes of both, 4 and 5 the extensions' declarations after others and alone, 6 the links to licences,
-- 7 whether their terms are accepted.
create or replace function laid(item pgstac.items) returns sheet
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

    -- What is rare is laid out by the reader: shares, translations, licences of single assets, schemes of its own, odd
    -- names.
    simple := coalesce(
        jsonb_typeof(properties) = 'object' and jsonb_typeof(assets) = 'object'
        and jsonb_typeof(extensions) = 'array' and coalesce(jsonb_typeof(document -> 'links') = 'array', true)
        and not properties ?| '{bocage:shared_with,bocage:translations,auth:schemes}'::text[]
        and not extensions ? authentication and position('/storage/v' in extensions::text) = 0
        and position('"storage:' in answer) = 0
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
    properties := '{"datetime": null}' || properties || catalogue.epsg_of(properties)
        || jsonb_build_object('bocage:terms_accepted', chr(7));
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
        extensions := extensions || jsonb_build_array(chr(4));
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
    answer := replace(answer, ', "bocage:terms_accepted": "\u0007"', chr(7));
    made.body := convert_to(replace(answer, '\u0001', chr(1)), 'UTF8');
    made.laid_out := true;
    return made;
end
$$;

-- What was laid out before is laid out anew, by this process of migrating and by those that serve.
update finished_item set hrefs = null, laid_out = null, body = null where body is not null;
