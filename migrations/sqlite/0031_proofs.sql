-- Secrets that senders gave in a handshake: the first of each source.
create table learnt_secrets (
    source        text    primary key,
    secret        blob    not null,
    learnt_ms     integer not null,
    refused       text,                       -- fingerprint of the last other one that came, if any
    refused_ms    integer
) strict, without rowid;

-- When each secret of a source last proved a request, by the secret's fingerprint: its
-- place in the configuration may change.
create table secret_matches (
    source      text    not null,
    fingerprint text    not null,
    matched_ms  integer not null,
    primary key (source, fingerprint)
) strict, without rowid;
