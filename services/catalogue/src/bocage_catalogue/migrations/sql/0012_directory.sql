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


-- Concepts of items are shown as those of collections are, by the reader: such items are laid out by it.
do $$
declare
    written constant text := pg_get_functiondef('catalogue.laid(pgstac.items)'::regprocedure);
    changed constant text := replace(written, '{bocage:shared_with,', '{themes,bocage:shared_with,');
begin
    if changed = written then
        raise exception 'catalogue.laid does not say any more what is rare as it did';
    end if;
    execute changed;
end
$$;
update finished_item set hrefs = null, laid_out = null, body = null where content -> 'properties' ? 'themes';
