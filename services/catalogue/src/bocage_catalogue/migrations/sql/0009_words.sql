-- What collections are about, as ids of the vocabulary, and the words that these are found by.

-- As before, but for a gap between the three forms: words that no language keeps count as places. Without it the last
-- word of a text and its first would stand together.
create or replace function words_of(told text) returns tsvector
language sql stable parallel safe as $$
    select to_tsvector('simple', plain) || to_tsvector('english', 'the the the ' || plain)
        || to_tsvector('french', 'le le le ' || plain)
    from public.unaccent(left(coalesce(told, ''), 100000)) plain
$$;


-- The words of each concept: its own names, and the names of what is broader, which count for less. The service fills
-- it when it starts (concept_words.py), so that a change of the vocabulary needs no migration.
create table concept (
    key   text primary key,
    words tsvector not null
);

alter table finished_collection add column concepts text[] not null default '{}';

create aggregate joined(tsvector) (sfunc = tsvector_concat, stype = tsvector, initcond = '');


-- The concepts that a collection names in schemes of our own, which are stored by their relative names.
create function concepts_of(content jsonb) returns text[]
language sql immutable parallel safe as $$
    select coalesce(array_agg(distinct substr(scheme, length('vocabulary/') + 1) || '/' || concept), '{}')
    from (
        select entry ->> 'scheme' as scheme,
            jsonb_path_query(entry, '$.concepts[*].id ? (@.type() == "string")') #>> '{}' as concept
        from jsonb_path_query(content, '$.themes[*] ? (@.type() == "object")') entry
    ) named
    where scheme like 'vocabulary/%'
$$;


-- One kind of texts that a collection is described by, in every language.
create function texts_of(content jsonb, path jsonpath) returns text
language sql immutable parallel safe as $$
    select string_agg(told #>> '{}', E'\n')
    from (
        select jsonb_path_query(holder, path) as told
        from (
            select content as holder
            union all
            select jsonb_path_query(content, '$."bocage:translations".*')
        ) holders
    ) texts
    where jsonb_typeof(told) = 'string'
$$;


-- By what a collection is found, the better the higher its weight: title, concepts, keywords and broader concepts,
-- description.
create function weighed(content jsonb, concepts text[]) returns tsvector
language sql stable parallel safe as $$
    select setweight(catalogue.words_of(catalogue.texts_of(content, '$.title')), 'A')
        || (select catalogue.joined(c.words order by c.key) from catalogue.concept c where c.key = any(concepts))
        || setweight(catalogue.words_of(catalogue.texts_of(content, '$.keywords[*]')), 'C')
        || setweight(catalogue.words_of(catalogue.texts_of(content, '$.description')), 'D')
$$;


-- How well words answer what is asked: of several terms the best answered counts. A word in the title is worth more
-- than any number in keywords and description.
create function worth(words tsvector, terms text[]) returns real
language sql stable parallel safe as $$
    select max(ts_rank('{0.01, 0.05, 0.25, 1}', words, catalogue.words_asked(term))) from unnest(terms) term
$$;


create function describe_collection() returns trigger
language plpgsql security definer set search_path = catalogue, pgstac, public as $$
declare
    content constant jsonb := convert_from(new.body, 'UTF8')::jsonb;
begin
    new.concepts := concepts_of(content);
    new.words := weighed(content, new.concepts);
    return new;
end
$$;

revoke all on function describe_collection from public;
grant execute on function describe_collection to pgstac_admin;

create trigger describe_collection before insert or update of body on finished_collection
for each row execute function describe_collection();

-- As it is found from now on; nobody is shown anything else.
update finished_collection set body = body;


-- Items that name concepts themselves are laid out by the reader, who knows the language and the base. The function is
-- as it was but for that.
do $$
declare
    before constant text := pg_get_functiondef('catalogue.laid(pgstac.items)'::regprocedure);
    listed constant text := 'bocage:translations,auth:schemes';
begin
    if position(listed || '}' in before) = 0 then
        raise exception 'catalogue.laid does not list what the reader lays out';
    end if;
    execute replace(before, listed || '}', listed || ',themes}');
end
$$;
update finished_item set hrefs = null, laid_out = null, body = null where content -> 'properties' ? 'themes';


-- Gives words to the concepts: text in parallel arrays, by key; weight is that of a concept's own names. Collections
-- about a concept whose words change are found by the new ones. Returns how many concepts changed.
create function learn_concepts(keys text[], own text[], weights text[], broader text[]) returns bigint
language sql as $$
    with made as (
        select key, setweight(catalogue.words_of(names), weight::"char") || setweight(catalogue.words_of(above), 'C')
            as words
        from unnest(keys, own, weights, broader) c (key, names, weight, above)
    ), gone as (
        delete from catalogue.concept where key <> all(keys) returning key
    ), learnt as (
        insert into catalogue.concept as c select key, words from made
        on conflict (key) do update set words = excluded.words where c.words <> excluded.words
        returning key
    )
    select (select count(*) from gone) + (select count(*) from learnt)
$$;
