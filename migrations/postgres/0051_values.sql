-- Values that a source's `index` picks out of its bodies, for search.
alter table events add column indexed text;   -- JSON: the texts, or null
create index events_by_value on events using gin ((indexed::jsonb)) where indexed is not null;
