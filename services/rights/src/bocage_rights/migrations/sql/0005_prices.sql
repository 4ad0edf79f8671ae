-- Prices, by process, collection of the inputs and category of the organisation; null is any.

alter table tariff
    alter column process drop not null,
    drop constraint tariff_unit_check,
    add constraint tariff_unit_check check (unit ~ '^[a-z][a-z0-9_]*$'),
    add column category text check (category in ('public', 'research', 'private')),
    add column collection text check (length(collection) between 1 and 128),
    drop constraint tariff_process_unit_tstzrange_excl,
    add constraint one_price_at_a_time exclude using gist (
        coalesce(process, '') with =, coalesce(collection, '') with =, coalesce(category, '') with =, unit with =,
        tstzrange(valid_from, valid_to) with &&
    );

-- What was charged must stay explicable: of a price only the end may be set, once, and not into the past.
create function keep_tariff() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or old.valid_to is not null and old.valid_to <= now()
       or (new.process, new.unit, new.category, new.collection, new.price, new.valid_from)
          is distinct from (old.process, old.unit, old.category, old.collection, old.price, old.valid_from)
       or new.valid_to is not null and new.valid_to < now() then
        raise exception 'a price in force is closed, not changed' using errcode = 'P0405';
    end if;
    return new;
end
$$;
create trigger keep before update or delete on tariff for each row execute function keep_tariff();

-- The entry that it follows is closed; it ends where a later one begins. Null price: from then on the more general entry holds again.
create function tariff_set(
    process text, unit text, category text, collection text, price numeric, valid_from timestamptz default null
) returns bigint language plpgsql security definer set search_path = rights, pg_temp as $$
#variable_conflict use_column
declare
    starts timestamptz := coalesce($6, now());
    made   bigint;
begin
    if starts < now() then
        raise exception 'a price cannot hold from the past' using errcode = 'P0422';
    end if;
    update tariff t set valid_to = starts
     where t.unit = $2
       and (t.process, t.category, t.collection) is not distinct from ($1, $3, $4)
       and t.valid_from < starts and (t.valid_to is null or t.valid_to > starts);
    if $5 is not null then
        insert into tariff (process, unit, category, collection, price, valid_from, valid_to)
        select $1, $2, $3, $4, $5, starts, min(t.valid_from) from tariff t
         where t.unit = $2 and (t.process, t.category, t.collection) is not distinct from ($1, $3, $4)
           and t.valid_from > starts
        returning id into made;
    end if;
    return made;
end
$$;

-- The price list's lines for one collection: of each unit the most specific.
create function tariffs_in(p_process text, p_category text, p_collection text, p_at timestamptz) returns setof tariff
language sql stable set search_path = rights, pg_temp as $$
    select distinct on (t.unit) t.* from tariff t
     where (t.process = p_process or t.process is null)
       and (t.collection = p_collection or t.collection is null)
       and (t.category = p_category or t.category is null)
       and p_at >= t.valid_from and (t.valid_to is null or p_at < t.valid_to)
     order by t.unit, t.process is null, t.collection is null, t.category is null
$$;

create function price_in(p_process text, p_usage jsonb, p_category text, p_collection text, p_at timestamptz)
returns numeric language plpgsql stable set search_path = rights, pg_temp as $$
declare
    line     record;
    quantity numeric;
    total    numeric := 0;
    known    boolean := false;
begin
    for line in
        select t.unit, t.price from tariffs_in(p_process, p_category, p_collection, p_at) t
    loop
        known := true;
        quantity := case line.unit when 'job' then 1 else (p_usage ->> line.unit)::numeric end;
        if quantity is null or quantity < 0 or quantity = 'NaN' or quantity = 'Infinity' then
            raise exception 'the usage lacks %', line.unit using errcode = 'P0422';
        end if;
        total := total + quantity * line.price;
    end loop;
    if not known then
        raise exception 'no price for the process %', p_process using errcode = 'P0404';
    end if;
    return round(ceil(total * 100) / 100, 2);
end
$$;

-- Of several input collections the dearest counts.
create function price(process text, usage jsonb, category text, collections text[], at timestamptz) returns numeric
language sql stable security definer set search_path = rights, pg_temp as $$
    select max(price_in($1, $2, $3, c, $5))
      from unnest(case when cardinality($4) > 0 then $4 else array[null::text] end) c
$$;

-- How that price comes about: the lines of the dearest collection.
create function price_lines(process text, usage jsonb, category text, collections text[], at timestamptz)
returns table (unit text, quantity numeric, price numeric, for_process text, for_collection text, for_category text)
language sql stable security definer set search_path = rights, pg_temp as $$
    select t.unit, case t.unit when 'job' then 1 else ($2 ->> t.unit)::numeric end, t.price, t.process, t.collection,
           t.category
      from (select c from unnest(case when cardinality($4) > 0 then $4 else array[null::text] end) c
             order by price_in($1, $2, $3, c, $5) desc, c limit 1) dearest
     cross join tariffs_in($1, $3, dearest.c, $5) t
     order by t.unit
$$;
create or replace function price(process text, usage jsonb) returns numeric
language sql stable security definer set search_path = rights, pg_temp as $$
    select price_in($1, $2, null, null, now())
$$;
