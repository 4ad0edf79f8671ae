-- What results inherit: attributions and embargoes of licences, rules, lineage, recalls.

alter table licence_version
    add column embargo_from           timestamptz,
    add column share_alike            boolean not null default false,
    add column attribution_en         text,
    add column attribution_fr         text,
    add column attribution_derived_en text,
    add column attribution_derived_fr text,
    add check (embargo_from < embargo_until),
    add check ((attribution_en is null) = (attribution_fr is null)),
    add check ((attribution_derived_en is null) = (attribution_derived_fr is null));

-- What the versions known from the start always said, put where programs find it.
alter table licence_version disable trigger append_only;
update licence_version set share_alike = true where licence = 'CC-BY-SA-4.0';
update licence_version
   set attribution_en = 'Bocage, demonstration data',
       attribution_fr = 'Bocage, données de démonstration',
       attribution_derived_en = 'Contains Bocage, demonstration data',
       attribution_derived_fr = 'Contient : Bocage, données de démonstration'
 where licence = 'LicenseRef-Bocage-Demonstration';
alter table licence_version enable trigger append_only;

alter table acceptance add column project text check (length(project) between 1 and 200);

-- What a licence says of results, by what they keep of its data. The last version of each pair is in force.
create table derivation_rule (
    licence     text not null check (licence ~ '^[A-Za-z0-9.-]{1,80}$'),
    effect      text not null check (effect in ('pixels', 'elevation', 'index', 'statistic')),
    version     integer not null check (version > 0),
    outcome     text not null check (outcome in ('keep', 'release', 'same', 'forbid')),
    status      text not null check (status in ('confirmed', 'assumed')),
    source      text not null check (length(trim(source)) between 1 and 1000),
    date        date not null,
    recorded_by text not null,
    at          timestamptz not null default clock_timestamp(),
    primary key (licence, effect, version)
);

-- Numbers the versions, and refuses what says something else on the strength of the same source and date.
create function number_derivation_rule() returns trigger language plpgsql set search_path = rights, pg_temp as $$
declare
    v_last derivation_rule;
begin
    perform pg_advisory_xact_lock(hashtext('derivation_rule'));
    select * into v_last from derivation_rule
     where licence = new.licence and effect = new.effect order by version desc limit 1;
    if found and (v_last.source = new.source or new.date < v_last.date) then
        raise exception 'a new version of a rule has a source of its own, and a date not before the last one''s'
            using errcode = 'P0422';
    end if;
    new.version := coalesce(v_last.version, 0) + 1;
    return new;
end
$$;
create trigger number before insert on derivation_rule for each row execute function number_derivation_rule();
create trigger append_only before update or delete on derivation_rule for each row execute function refuse_change();
create trigger append_only_whole before truncate on derivation_rule execute function refuse_change();
create trigger announce after insert on derivation_rule for each statement execute function on_general_change();

create view rule_in_force as
    select distinct on (licence, effect) * from derivation_rule order by licence, effect, version desc;

-- Which result was released from which inputs, and under which licences these were.
create table lineage (
    collection       text not null,
    item             text not null,
    input_collection text not null,
    input_item       text not null,
    job              text not null,
    licences         text[] not null,
    at               timestamptz not null default clock_timestamp(),
    primary key (collection, item, input_collection, input_item)
);
create index on lineage (input_collection, input_item);
create trigger append_only before update or delete on lineage for each row execute function refuse_change();
create trigger append_only_whole before truncate on lineage execute function refuse_change();

create table recall (
    id          uuid primary key default gen_random_uuid(),
    collection  text not null check (length(collection) between 1 and 256),
    item        text not null check (length(item) between 1 and 256),
    reason      text not null check (length(trim(reason)) between 1 and 1000),
    recalled_by text not null,
    at          timestamptz not null default clock_timestamp(),
    lifted_by   text,
    lifted_at   timestamptz,
    check ((lifted_by is null) = (lifted_at is null))
);
create unique index one_recall_at_a_time on recall (collection, item) where lifted_at is null;

-- A recall is lifted once; nothing else of it changes.
create function guard_recall() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or old.lifted_at is not null
       or row(new.id, new.collection, new.item, new.reason, new.recalled_by, new.at)
          is distinct from row(old.id, old.collection, old.item, old.reason, old.recalled_by, old.at) then
        raise exception 'a recall is lifted once, and never changed' using errcode = 'P0405';
    end if;
    return new;
end
$$;
create trigger guard before update or delete on recall for each row execute function guard_recall();

-- What is blocked now: recalled items and all that was made of them, however late it was released.
create view blocked_item as
    with recursive blocked (collection, item, recall, reason) as (
        select collection, item, id, reason from recall where lifted_at is null
        union
        select l.collection, l.item, b.recall, b.reason
          from blocked b join lineage l on (l.input_collection, l.input_item) = (b.collection, b.item)
    )
    select * from blocked;

-- The same of one item, looked for among its few ancestors.
create function recalls_of(p_collection text, p_item text)
returns table (recall uuid, collection text, item text, reason text) language sql stable
set search_path = rights, pg_temp as $$
    with recursive above (collection, item) as (
        select p_collection, p_item
        union
        select l.input_collection, l.input_item
          from above a join lineage l on (l.collection, l.item) = (a.collection, a.item)
    )
    select r.id, r.collection, r.item, r.reason
      from above a join recall r on (r.collection, r.item) = (a.collection, a.item)
     where r.lifted_at is null order by r.at
$$;

-- Tiles looks at the list each half second.
grant usage on schema rights to bocage_tiles;
grant select on blocked_item to bocage_tiles;

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
