-- Positions in the stream of events are `events.seq`: it grows in the order of commits.
-- No `seq` is given twice, though the newest events may be removed: whoever goes on
-- behind one of them must not miss what comes next.
create table stream_mark (
    seq integer not null                      -- one row: the newest that was removed while it was the newest
) strict;
insert into stream_mark (seq) values (0);
create trigger events_mark_removed before delete on events
when old.seq > (select seq from stream_mark) and old.seq = (select max(seq) from events)
begin
    update stream_mark set seq = old.seq;
end;
create trigger events_after_mark after insert on events
when new.seq <= (select seq from stream_mark)
begin
    update events set seq = (select seq from stream_mark) + 1 where seq = new.seq;
end;

-- Sources that take nothing until they are resumed.
create table paused_sources (
    source    text    primary key,
    paused_ms integer not null
) strict, without rowid;
