-- Values that a source's `index` picks out of its bodies, for search.
alter table events add column indexed text;   -- JSON: the texts, or null
create table event_values (
    value    text not null,
    event_id blob not null,
    primary key (value, event_id)
) strict, without rowid;
create trigger events_note_values after insert on events when new.indexed is not null
begin
    insert or ignore into event_values (value, event_id)
        select value, new.id from json_each(new.indexed);
end;
create trigger events_forget_values before delete on events when old.indexed is not null
begin
    delete from event_values where event_id = old.id and value in (select value from json_each(old.indexed));
end;
