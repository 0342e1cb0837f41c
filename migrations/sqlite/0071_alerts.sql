-- What is wrong now, as the hosts see it: each renews what it sees, one of them tells.
create table alerts (
    key        text    primary key,           -- kind and subject
    kind       text    not null,              -- such as plugin.tripped
    subject    text    not null,              -- the plugin or source
    message    text    not null,
    raised_ms  integer not null,              -- when it was first seen
    seen_ms    integer not null,              -- when it was last seen
    claimed_ms integer,                       -- when somebody last tried to tell
    told_ms    integer                        -- when somebody was told; null not yet
) strict, without rowid;
