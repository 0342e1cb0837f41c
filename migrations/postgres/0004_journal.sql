-- What an attempt cost at the choke point, and its recorded host calls.
alter table attempts add column egress_bytes bigint not null default 0;
alter table attempts add column calls_us     bigint not null default 0;
alter table attempts add column journal      bytea; -- JSON, packed by LZ4 with its length before it
