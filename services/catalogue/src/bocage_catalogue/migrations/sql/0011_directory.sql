-- Which processes run on a collection's items, where every search sees it: beside its licences.
create function name_processes() returns trigger
language plpgsql set search_path = catalogue, public as $$
declare
    named constant jsonb := convert_from(new.body, 'UTF8')::jsonb -> 'bocage:processes';
begin
    new.rights := new.rights - 'bocage:processes';
    if coalesce(named, 'null') <> 'null' then
        new.rights := new.rights || jsonb_build_object('bocage:processes', named);
    end if;
    return new;
end
$$;

create trigger name_processes before insert or update of body on finished_collection
for each row execute function name_processes();

-- None names any yet, unless somebody used the member before it meant something.
update finished_collection set body = body where convert_from(body, 'UTF8')::jsonb ? 'bocage:processes';


-- The words of what is written about an item for people, in each language that it is told in.
create or replace function words(content jsonb) returns tsvector
language sql immutable parallel safe
return to_tsvector('simple'::regconfig, lower(catalogue.unaccented(left(concat_ws(' . ',
    catalogue.text_at(content, 'title'), catalogue.text_at(content, 'description'),
    catalogue.array_at(content, 'keywords')::text,
    case when content -> 'properties' ? 'bocage:translations' then (
        select string_agg(told #>> '{}', ' . ')
        from jsonb_path_query(content, '$.properties."bocage:translations".*.*') told
    ) end
), 20000))));
reindex index finished_item_words;
