-- The keys that requests were ever encrypted with, by their ids, which say nothing of them.
create table seal_keys (
    key_id        text    primary key,        -- in hexadecimal
    first_used_ms bigint  not null
);
