-- Senders choose their kinds, of which there may be many: what is asked of a source alone
-- does not look into each of them.
create index events_by_source on events (source, id);
