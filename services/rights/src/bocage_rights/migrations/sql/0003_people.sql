-- Who: verified organisations, activated people, service accounts, projects, OpenID Connect logins.

-- An organisation that an administrator makes is verified unless they say otherwise; while it is not, its people hold
-- nothing that needs acceptance, and none of its jobs may cost anything.
alter table organisation
    add column representative      text check (length(representative) between 1 and 200),
    add column verification        text not null default 'verified'
        check (verification in ('verified', 'unverified', 'refused')),
    add column verification_by     text,
    add column verification_at     timestamptz not null default now(),
    add column verification_reason text check (length(verification_reason) between 1 and 1000);

-- A domain belongs to one organisation: who signs in from it for the first time becomes one of its people.
create table email_domain (
    domain       text primary key
        check (length(domain) <= 253 and domain ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$'),
    organisation uuid not null references organisation
);
create index on email_domain (organisation);

alter table person
    drop constraint person_state_check,
    add constraint person_state_check check (state in ('pending', 'active', 'suspended')),
    add column kind text not null default 'person' check (kind in ('person', 'service')),
    add column purpose text not null default 'undeclared'
        check (purpose in ('commercial', 'research', 'public_service', 'education', 'undeclared')),
    add constraint person_service_check check (kind = 'person' or (email is null and role = 'member'));
create index on person (lower(email));

-- Which account at a provider is which person. It says who somebody is, so it goes with the person's row.
create table person_login (
    issuer       text not null check (length(issuer) <= 500),
    subject      text not null check (length(subject) between 1 and 255),
    person       uuid not null references person on delete cascade,
    created_at   timestamptz not null default now(),
    last_used_at timestamptz,
    primary key (issuer, subject)
);
create index on person_login (person);

create function only_people_log_in() returns trigger language plpgsql set search_path = rights, pg_temp as $$
begin
    if not exists (select from person where id = new.person and kind = 'person') then
        raise exception 'a service account has no login' using errcode = '23514';
    end if;
    return new;
end
$$;
create trigger only_people before insert or update on person_login
    for each row execute function only_people_log_in();

-- Erasing a person deletes its row and nothing else: what it did stays under an id that then names nobody.
alter table api_key drop constraint api_key_person_fkey;
alter table acceptance drop constraint acceptance_person_fkey;

create function person_is_known() returns trigger language plpgsql set search_path = rights, pg_temp as $$
begin
    if new.person is not null then
        -- held until the end of the transaction, so that the person is not erased meanwhile
        perform from person where id = new.person for key share;
        if not found then
            raise exception 'no such person' using errcode = '23503';
        end if;
    end if;
    return new;
end
$$;
create trigger person_is_known before insert or update of person on api_key
    for each row execute function person_is_known();
create trigger person_is_known before insert on acceptance
    for each row execute function person_is_known();

alter table api_key
    add column project text check (length(project) between 1 and 200),
    add column made_by text references api_key;
create index on api_key (made_by);

-- A key takes down what it made, within the reach of who asks.
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

-- A login is announced as a credential of its person.
create or replace function announce_keys_of(p_organisation uuid, p_person uuid) returns void language plpgsql
set search_path = rights, pg_temp as $$
begin
    perform announce_key(k.id) from api_key k join person p on p.id = k.person
      where k.revoked_at is null and (p.id = p_person or p.organisation = p_organisation);
    perform announce(jsonb_build_object('credential', 'login-' || p.id)) from person p
      where (p.id = p_person or p.organisation = p_organisation)
        and exists (select from person_login l where l.person = p.id);
end
$$;

-- Before the row goes: after it nobody knows any more whose keys they were.
create function on_person_erased() returns trigger language plpgsql security definer
set search_path = rights, pg_temp as $$
begin
    perform announce_keys_of(null, old.id);
    return old;
end
$$;
create trigger announce_erasure before delete on person for each row execute function on_person_erased();

create function on_login_change() returns trigger language plpgsql security definer
set search_path = rights, pg_temp as $$
begin
    perform announce(jsonb_build_object('credential', 'login-' || old.person));
    return null;
end
$$;
create trigger announce after delete on person_login for each row execute function on_login_change();

-- The project goes to the identity, so a change of it is one that the gateway hears of.
create trigger announce_project after update of project on api_key for each row execute function on_key_change();

-- Whatever reserves, and however: an organisation that is not verified pays for nothing. After the row is there, so
-- that a repeated reservation stays a replay.
create function only_verified_reserve() returns trigger language plpgsql security definer
set search_path = rights, pg_temp as $$
begin
    if not exists (select from organisation where id = new.organisation and verification = 'verified') then
        raise exception 'the organisation is not verified' using errcode = 'P0404';
    end if;
    return null;
end
$$;
create trigger only_verified after insert on ledger_transaction
    for each row when (new.kind = 'reserve' and new.amount > 0) execute function only_verified_reserve();
