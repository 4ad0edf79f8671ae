-- Organisations, people, credentials, licences and what was accepted.

create table organisation (
    id         uuid primary key default gen_random_uuid(),
    name       text not null unique check (length(name) between 1 and 200),
    slug       text not null unique check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    category   text not null check (category in ('public', 'research', 'private')),
    country    text check (country ~ '^[A-Z]{2}$'),
    state      text not null default 'active' check (state in ('active', 'suspended')),
    created_at timestamptz not null default now()
);

create table person (
    id           uuid primary key default gen_random_uuid(),
    organisation uuid not null references organisation,
    name         text not null check (length(name) between 1 and 200),
    email        text check (email ~ '^[^@\s]+@[^@\s]+$'),
    role         text not null default 'member' check (role in ('representative', 'referent', 'member')),
    state        text not null default 'active' check (state in ('active', 'suspended')),
    created_at   timestamptz not null default now(),
    unique (organisation, name)
);

create table service_account (
    name       text primary key check (name ~ '^[a-z][a-z0-9_-]{0,40}$'),
    created_at timestamptz not null default now()
);

create table api_key (
    id           text primary key check (id ~ '^[A-Za-z0-9_-]{8,40}$'),
    hmac         bytea not null check (length(hmac) = 32),
    name         text not null check (length(name) between 1 and 100),
    person       uuid references person,
    service      text references service_account,
    scopes       text[] not null default '{}',
    purpose      text not null default 'undeclared'
        check (purpose in ('commercial', 'research', 'public_service', 'education', 'undeclared')),
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    check (num_nonnulls(person, service) = 1)
);
create index on api_key (person);
create index on api_key (service);

create table tile_token (
    id         text primary key check (id ~ '^[A-Za-z0-9_-]{8,40}$'),
    hmac       bytea not null check (length(hmac) = 32),
    api_key    text not null references api_key,
    scope      jsonb not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz,
    check (expires_at <= created_at + interval '30 days 1 minute')
);
create index on tile_token (api_key);

create table licence (
    id            text primary key check (id ~ '^[A-Za-z0-9.-]{1,80}$'),
    title_en      text not null,
    title_fr      text not null,
    kind          text not null check (kind in ('open', 'attribution', 'non-commercial', 'restricted')),
    demonstration boolean not null default false
);

-- A version never changes: what somebody accepted stays readable. `fallback` is the level left to those who do not
-- fulfil the terms (identity.Level: 0 metadata, 1 preview, 2 tile, 3 asset, 4 job).
create table licence_version (
    licence          text not null references licence,
    version          text not null check (version ~ '^[A-Za-z0-9.-]{1,40}$'),
    text_en          text not null,
    text_fr          text not null,
    sha256_en        text not null,
    sha256_fr        text not null,
    url              text,
    needs_acceptance text not null check (needs_acceptance in ('none', 'user', 'organisation')),
    reaccept         boolean not null default true,
    purposes         text[] not null,
    categories       text[] not null,
    allow_commercial boolean not null generated always as ('commercial' = any (purposes)) stored,
    fallback         smallint not null default 0 check (fallback between 0 and 4),
    valid_from       timestamptz not null default now(),
    embargo_until    timestamptz,
    primary key (licence, version),
    check (purposes <@ array['commercial', 'research', 'public_service', 'education', 'undeclared']),
    check (categories <@ array['public', 'research', 'private'])
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'P0405';
end
$$;

create function digest_licence_text() returns trigger language plpgsql as $$
begin
    new.sha256_en := encode(sha256(convert_to(new.text_en, 'UTF8')), 'hex');
    new.sha256_fr := encode(sha256(convert_to(new.text_fr, 'UTF8')), 'hex');
    return new;
end
$$;
create trigger digest before insert on licence_version for each row execute function digest_licence_text();
create trigger append_only before update or delete on licence_version
    for each row execute function refuse_change();

-- Who accepted what, for whom, on which text. A withdrawal is a row too; the newest row of a holder counts.
create table acceptance (
    id           bigint generated always as identity primary key,
    licence      text not null,
    version      text not null,
    action       text not null default 'accept' check (action in ('accept', 'withdraw')),
    on_behalf    text not null check (on_behalf in ('user', 'organisation')),
    organisation uuid not null references organisation,
    person       uuid references person,
    recorded_by  text not null,
    purpose      text not null,
    text_sha256  text not null check (text_sha256 ~ '^[0-9a-f]{64}$'),
    evidence     jsonb not null default '{}',
    at           timestamptz not null default clock_timestamp(),
    foreign key (licence, version) references licence_version,
    check (on_behalf = 'organisation' or person is not null)
);
create index on acceptance (organisation, licence);
create trigger append_only before update or delete on acceptance for each row execute function refuse_change();
create trigger append_only_whole before truncate on acceptance execute function refuse_change();

create table upload (
    key          text primary key,
    collection   text not null,
    item         text not null,
    asset        text not null,
    organisation uuid not null references organisation,
    person       text not null,
    size         bigint not null check (size >= 0),
    sha256       text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    media_type   text,
    at           timestamptz not null default now()
);
create index on upload (organisation);
