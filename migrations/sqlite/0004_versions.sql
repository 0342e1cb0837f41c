-- Versions that an operator chooses, and plugins that are forgotten. A name is free
-- again once its plugin is forgotten, which SQLite can only say of a table made anew.
create table plugins_new (
    plugin_id      integer primary key autoincrement,
    name           text    not null,
    file           text    not null,
    digest         text,                      -- active version: sha256 in hex, null before the first
    manifest       text    not null,          -- JSON, of the active or only known version
    triggers       text    not null,          -- JSON, in force now
    loaded_ms      integer,                   -- when the active version became so
    is_paused      integer not null default 0,
    blocks_on_dead integer not null default 0, -- whether a dead run blocks its ordering key
    is_pinned      integer not null default 0, -- whether no known version may replace the active one
    resumed_ms     integer not null default 0, -- when it was last resumed: breakers that tripped before are closed
    forgotten_ms   integer                    -- when it was forgotten: then only its history is left
) strict;
insert into plugins_new (plugin_id, name, file, digest, manifest, triggers, loaded_ms, is_paused, blocks_on_dead)
    select plugin_id, name, file, digest, manifest, triggers, loaded_ms, is_paused, blocks_on_dead from plugins;
insert into sqlite_sequence (name, seq)
    select 'plugins_new', 0 where not exists (select 1 from sqlite_sequence where name = 'plugins_new');
update sqlite_sequence set seq = coalesce((select seq from sqlite_sequence where name = 'plugins'), 0)
    where name = 'plugins_new';
drop table plugins;
alter table plugins_new rename to plugins;
create unique index plugins_by_name on plugins (name) where forgotten_ms is null;

-- What its author calls a version; null if nobody noted it.
alter table digests add column version text;
