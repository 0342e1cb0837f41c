-- Positions in the stream of events: the transaction that stored them. What is older than
-- every transaction that is open is complete, and nothing comes before it any more.
alter table events add column position bigint not null default 0; -- 0: stored before there was a stream
alter table events alter column position set default (pg_current_xact_id()::text::bigint);
create index events_by_position on events (position, id);

-- One row: what a position is ahead of its transaction's number. Not 0 once the tables
-- were moved to a server whose numbers are lower.
create table stream_base (
    base bigint not null
);
insert into stream_base (base) values (0);

-- Sources that take nothing until they are resumed.
create table paused_sources (
    source    text   collate "C" primary key,
    paused_ms bigint not null
);
