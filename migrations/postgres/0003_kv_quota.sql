-- What each plugin keeps in `kv`, so that its quota needs no count: changed in the
-- transaction that changes what it counts.
create table kv_usage (
    plugin_id bigint primary key,
    n_keys    bigint not null,
    n_bytes   bigint not null                 -- of keys and values
) with (fillfactor = 50);
insert into kv_usage (plugin_id, n_keys, n_bytes)
    select plugin_id, count(*), sum(octet_length(key) + octet_length(value)) from kv group by plugin_id;
