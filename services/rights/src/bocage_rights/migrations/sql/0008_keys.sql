-- A key takes down what it made, within the reach of who asks: an administrator's former key made keys of other
-- organisations and of services, which whoever manages the organisation of that person has no say over.
drop function revoke_key_and_descendants(text, boolean);

-- Without `p_everybody` only keys of the root's own person; with `p_organisation` only keys of its people.
create function revoke_key_and_descendants(p_key text, p_everybody boolean, p_organisation uuid) returns void
language plpgsql set search_path = rights, pg_temp as $$
declare
    level text[] := array[p_key];
    owner uuid;
begin
    select person into owner from api_key where id = p_key;
    -- Each level in a statement of its own: that one waits for whoever makes a key with a key of the level at the same
    -- time, and the next one sees it.
    while cardinality(level) > 0 loop
        perform from api_key where id = any (level) order by id for update;
        update api_key set revoked_at = now() where id = any (level) and revoked_at is null;
        level := array(
            select k.id from api_key k left join person p on p.id = k.person
             where k.made_by = any (level)
               and (k.person = owner
                    or p_everybody and (p_organisation is null or p.organisation = p_organisation))
        );
    end loop;
end
$$;
