-- What the gateway must forget is announced on one channel, whoever changed it and however.

create function announce(p_message jsonb) returns void language sql as $$
    select pg_notify('bocage_rights', p_message::text)
$$;

create function announce_key(p_key text) returns void language plpgsql set search_path = rights, pg_temp as $$
begin
    perform announce(jsonb_build_object('credential', p_key));
    perform announce(jsonb_build_object('credential', t.id)) from tile_token t
      where t.api_key = p_key and t.revoked_at is null and t.expires_at > now();
end
$$;

create function announce_keys_of(p_organisation uuid, p_person uuid) returns void language plpgsql
set search_path = rights, pg_temp as $$
begin
    perform announce_key(k.id) from api_key k join person p on p.id = k.person
      where k.revoked_at is null and (p.id = p_person or p.organisation = p_organisation);
end
$$;

create function on_key_change() returns trigger language plpgsql security definer set search_path = rights, pg_temp as $$
begin
    perform announce_key(new.id);
    return null;
end
$$;
create trigger announce after update of revoked_at, expires_at, scopes, purpose, hmac on api_key
    for each row execute function on_key_change();

create function on_token_change() returns trigger language plpgsql security definer set search_path = rights, pg_temp as $$
begin
    perform announce(jsonb_build_object('credential', new.id));
    return null;
end
$$;
create trigger announce after update on tile_token for each row execute function on_token_change();

create function on_organisation_change() returns trigger language plpgsql security definer
set search_path = rights, pg_temp as $$
begin
    perform announce_keys_of(new.id, null);
    return null;
end
$$;
create trigger announce after update on organisation for each row execute function on_organisation_change();

create function on_person_change() returns trigger language plpgsql security definer set search_path = rights, pg_temp as $$
begin
    perform announce_keys_of(null, new.id);
    return null;
end
$$;
create trigger announce after update on person for each row execute function on_person_change();

create function on_acceptance() returns trigger language plpgsql security definer set search_path = rights, pg_temp as $$
begin
    if new.on_behalf = 'organisation' then
        perform announce_keys_of(new.organisation, null);
    else
        perform announce_keys_of(null, new.person);
    end if;
    return null;
end
$$;
create trigger announce after insert on acceptance for each row execute function on_acceptance();

create function on_general_change() returns trigger language plpgsql security definer set search_path = rights, pg_temp as $$
begin
    perform announce('{"everything": true}');
    return null;
end
$$;
create trigger announce after insert or update or delete on licence for each statement execute function on_general_change();
create trigger announce after insert on licence_version for each statement execute function on_general_change();
create trigger announce after insert or update or delete on tariff for each statement execute function on_general_change();
