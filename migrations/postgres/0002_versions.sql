-- Versions that an operator chooses, and plugins that are forgotten. A name is free
-- again once its plugin is forgotten.
alter table plugins
    add column is_pinned bigint not null default 0,  -- whether no known version may replace the active one
    add column resumed_ms bigint not null default 0, -- when it was last resumed: breakers that tripped before are closed
    add column forgotten_ms bigint,                  -- when it was forgotten: then only its history is left
    drop constraint plugins_name_key;
create unique index plugins_by_name on plugins (name) where forgotten_ms is null;

-- What its author calls a version; null if nobody noted it.
alter table digests add column version text;
