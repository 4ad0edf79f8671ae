-- The last time that each stored object was read from end to end, and what was found.
create table fixity_check (
    store      text not null,  -- empty: the local store
    key        text not null,
    collection text not null,
    item       text not null,
    asset      text not null,
    at         timestamptz not null default now(),
    outcome    text not null check (outcome in ('ok', 'no-checksum', 'changed', 'missing', 'unreadable')),
    -- What its bytes were; of what was not read, what they were when they were read before.
    sha256     text check (sha256 ~ '^[0-9a-f]{64}$'),
    size       bigint,
    primary key (store, key)
);
create index on fixity_check (at);
create index on fixity_check (outcome) where outcome not in ('ok', 'no-checksum');
