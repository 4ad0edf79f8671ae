-- The texts of a collection's items are much alike: `body` keeps what each has beyond a dictionary, which is the text of
-- others (`packing.py`). So a page of a hundred is read and handed over in a tenth of the bytes.
create table dictionary (
    -- Of its collection and text: whoever remembers what a digest stands for need never ask again.
    digest     bytea primary key check (octet_length(digest) = 8),
    -- It goes when the items go.
    collection text not null references pgstac.collections (id) on delete cascade,
    text       bytea not null,
    made       timestamptz not null default now()
);
create index on dictionary (collection, made);
