-- Rows hold of an item what is searched and sorted by, and no more: a page of the table takes three small ones instead of
-- two, with the room that finishing them needs. Rows from before keep what they have, which nobody asks for.
create or replace function searched(content jsonb) returns jsonb
language sql immutable parallel safe
return jsonb_set('{"properties": {}}', '{properties}', coalesce(content -> 'properties', '{}'));

-- The same as before, but for offsets of sixteen hours and more: RFC 3339 allows them, and they failed.
create or replace function moment_of(written text) returns timestamptz
language plpgsql immutable strict parallel safe as $$
declare
    shape text := translate(written, '0123456789', '##########');
    year integer;
    moment timestamptz;
begin
    -- What nearly all are is told without the expression, which takes ten times as long.
    if not (
        (shape = '####-##-##T##:##:##Z' or (
            shape like '####-##-##T##:##:##.#%Z' and rtrim(shape, '#Z') = '####-##-##T##:##:##.'
            and length(shape) <= 27 and strpos(shape, 'Z') = length(shape)
        ))
        and substr(written, 12, 2) <= '23' and substr(written, 15, 2) <= '59' and substr(written, 18, 2) <= '59'
        and substr(written, 6, 2) between '01' and '12' and substr(written, 9, 2) between '01' and '31'
        and substr(written, 1, 4) > '0000'
    ) and written !~ '^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,18})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$'
    then
        return null;
    end if;
    if substr(written, 9, 2) > '28' then
        year := substr(written, 1, 4);
        if (substr(written, 9, 2)::integer > case
            when substr(written, 6, 2) in ('04', '06', '09', '11') then 30
            when substr(written, 6, 2) <> '02' then 31
            when year % 4 = 0 and (year % 100 <> 0 or year % 400 = 0) then 29
            else 28
        end) then
            return null;
        end if;
    end if;
    if length(written) = 10 then
        return (written || 'T00:00:00Z')::timestamptz;
    end if;
    if length(written) > 27 then
        -- What is finer than the database counts is cut, not rounded.
        written := regexp_replace(written, '(\.[0-9]{6})[0-9]+', '\1');
    end if;
    if right(written, 1) in ('Z', 'z') then
        return written::timestamptz;
    end if;
    -- Taken off by itself: the database takes offsets of sixteen hours and more for mistakes.
    moment := (left(written, -6) || 'Z')::timestamptz - right(written, 6)::interval;
    -- Offsets lead out of the years that RFC 3339 can write: a place in an order of such has no name.
    if moment < '0001-01-01T00:00:00Z' or moment >= '10000-01-01T00:00:00Z' then
        return null;
    end if;
    return moment;
end
$$;
