-- Who began an operation: the name of the token; null if the host itself did, or it was begun
-- before this was noted.
alter table operations add column created_by text;
