-- When a version became active first, as far back as that was noted; `activated_ms` is when it
-- did last. Null where an older host noted it: then it is the same.
alter table digests add column first_activated_ms integer;
update digests set first_activated_ms = activated_ms;
