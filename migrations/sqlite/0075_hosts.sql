-- JSON: the plugins that a host matches every event against, those that it has in hand and
-- has not stored yet among them, [plugin_id]; none of a host of a version before this.
alter table hosts add column knows text;
