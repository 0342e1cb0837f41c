-- What each plugin keeps in `kv`, so that its quota needs no count: changed in the
-- transaction that changes what it counts.
create table kv_usage (
    plugin_id integer primary key,
    n_keys    integer not null,
    n_bytes   integer not null                -- of keys and values
) strict;
insert into kv_usage (plugin_id, n_keys, n_bytes)
    select plugin_id, count(*), sum(length(cast(key as blob)) + length(value)) from kv group by plugin_id;
