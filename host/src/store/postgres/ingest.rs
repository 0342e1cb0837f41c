//! Stores a batch on Postgres, where other hosts do the same at the same time.
//!
//! What is new goes in with one statement: dedup keys, events and runs. Two hosts
//! that have the same key meet in the primary key of `dedup`, in the order of keys,
//! so that one waits and neither deadlocks. What is not new is looked at again, after
//! that commit. Ids are given by the host, so that a batch whose commit may or may
//! not have come to pass is sent again as it is.

use std::collections::HashSet;

use crate::clock::millis;
use crate::event::EventId;

use super::super::StoreError;
use super::super::ingest::{Decided, Ingested, Known, NewEvent, known, wanted_keys};
use super::super::order;
use super::super::rows::{Kind, ManyRows, columns};
use super::super::sql::{Value, sql};
use super::super::tx::Tx;
use super::{Sessions, sessions};

/// Times that an event is looked at whose keys others change meanwhile.
pub(super) const LOOKS: u32 = 10;
pub(super) const CONTENDED: StoreError =
    StoreError::Unavailable("others keep changing the keys of an event");
const NO_ANSWER: StoreError = StoreError::Unavailable("an event of a batch has no answer");

/// The statements of ingest that only Postgres has.
pub(in super::super) struct Statements {
    look_up: ManyRows,
    keys: ManyRows,
    conflicts: ManyRows,
}

/// Everything of a batch that may be new. Of a known key only an expired row is taken
/// over, and no key of which a conflict is known still: that may be all that is known of
/// it. What is not returned has been seen before. (`is true` keeps the planner from
/// joining: a hashed look-up, however many rows there are; `limit 1` a look at the index.)
const NEW: &str = "with fresh as (insert into dedup as d (source, key, body_sha256, event_id, expires_ms) \
    select * from unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bigint[]) \
    as k (source, key, body_sha256, event_id, expires_ms) \
    where (select true from dedup_conflicts c where c.source = k.source and c.key = k.key \
    and c.expires_ms > $6 limit 1) is null \
    on conflict (source, key) do update set body_sha256 = excluded.body_sha256, event_id = excluded.event_id, \
    expires_ms = excluded.expires_ms where d.expires_ms <= $6 returning d.event_id), \
    stored as (insert into events (id, source, provider, kind, received_ms, delivery_id, content_type, \
    size_bytes, is_handshake, dedup_conflict, no_run_reason, encoding, header_bytes, request, is_forced, indexed) \
    select id, source, provider, kind, received_ms, delivery_id, content_type, \
    size_bytes, is_handshake, dedup_conflict, no_run_reason, encoding, header_bytes, request, is_forced, indexed \
    from unnest($7::bytea[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[], \
    $14::bigint[], $15::bigint[], $16::bigint[], $17::text[], $18::bigint[], $19::bigint[], $20::bytea[], \
    $21::bigint[], $22::text[], $23::bigint[]) as t (id, source, provider, kind, received_ms, delivery_id, content_type, \
    size_bytes, is_handshake, dedup_conflict, no_run_reason, encoding, header_bytes, request, is_forced, indexed, is_keyed) \
    where (is_keyed = 0 or id in (select event_id from fresh)) is true on conflict (id) do nothing returning id), \
    started as (insert into runs (event_id, plugin_id, state, due_ms, order_key, created_ms) \
    select event_id, plugin_id, state, $6, order_key, $6 \
    from unnest($24::bytea[], $25::bigint[], $26::bigint[], $27::bytea[]) with ordinality \
    as r (event_id, plugin_id, state, order_key, n) where (event_id in (select id from stored)) is true order by n) \
    select id from stored";

impl Statements {
    pub(in super::super) const fn new() -> Self {
        const TEXT: Kind = Kind::Text;
        const BYTES: Kind = Kind::Bytes;
        Self {
            look_up: ManyRows::new(
                "with wanted (source, key) as (",
                &[TEXT, BYTES],
                ") select d.source, d.key, d.body_sha256, d.event_id, d.expires_ms \
                 from wanted w join dedup d on d.source = w.source and d.key = w.key \
                 union all select d.source, d.key, d.body_sha256, d.event_id, d.expires_ms \
                 from wanted w join dedup_conflicts d on d.source = w.source and d.key = w.key",
            ),
            keys: ManyRows::new(
                "with wanted (source, key, body_sha256, event_id, expires_ms, now_ms) as (",
                &[TEXT, BYTES, BYTES, BYTES, Kind::Int, Kind::Int],
                ") insert into dedup as d (source, key, body_sha256, event_id, expires_ms) \
                 select source, key, body_sha256, event_id, expires_ms from wanted \
                 on conflict (source, key) do update set body_sha256 = excluded.body_sha256, \
                 event_id = excluded.event_id, expires_ms = excluded.expires_ms \
                 where d.expires_ms <= (select max(now_ms) from wanted) returning d.key",
            ),
            conflicts: ManyRows::new(
                "with wanted (source, key, body_sha256, event_id, expires_ms, now_ms) as (",
                &[TEXT, BYTES, BYTES, BYTES, Kind::Int, Kind::Int],
                ") insert into dedup_conflicts as d (source, key, body_sha256, event_id, expires_ms) \
                 select source, key, body_sha256, event_id, expires_ms from wanted \
                 on conflict (source, key, body_sha256) do update set \
                 event_id = excluded.event_id, expires_ms = excluded.expires_ms \
                 where d.expires_ms <= (select max(now_ms) from wanted) returning d.key",
            ),
        }
    }
}

impl super::super::Statements {
    /// Stores a batch; the answer has one entry for each event, in order, and none for one
    /// that could not be decided on. Each is stored whole or not at all.
    pub(in super::super) async fn ingest_postgres(
        &self,
        sessions: &Sessions,
        batch: &[NewEvent],
    ) -> Result<Vec<Option<Ingested>>, StoreError> {
        let mut keys = HashSet::new();
        // One key each, and none twice: a statement may touch a row only once.
        let is_simple: Vec<bool> = batch
            .iter()
            .map(|new| {
                let mut own = new.keys();
                match (own.next(), own.next()) {
                    (None, _) => true,
                    (Some(key), None) => keys.insert((new.source(), key)),
                    (Some(_), Some(_)) => false,
                }
            })
            .collect();
        let simple: Vec<&NewEvent> = batch
            .iter()
            .zip(&is_simple)
            .filter_map(|(new, is_simple)| is_simple.then_some(new))
            .collect();
        let stored = self.store_new(sessions, &simple).await?;
        let is_over = |new: &NewEvent| new.keys().next().is_none() || stored.contains(&new.id());
        let rest: Vec<&NewEvent> = batch
            .iter()
            .zip(&is_simple)
            .filter(|(new, is_simple)| !(**is_simple && is_over(new)))
            .map(|(new, _)| new)
            .collect();
        let seen = match self.look_again(sessions, &rest).await {
            Ok(seen) => seen,
            Err(error) if error.is_refused_row() || rest.len() == batch.len() => return Err(error),
            // The others are stored: to have them sent again would double those that no key
            // tells apart.
            Err(error) => {
                tracing::error!(%error, events = rest.len(), "events of a batch cannot be decided on; their senders are told to come back");
                Vec::new()
            }
        };
        let mut seen = seen.into_iter();
        let answers = batch.iter().zip(is_simple).map(|(new, is_simple)| {
            if is_simple && is_over(new) {
                Some(Ingested::New)
            } else {
                seen.next()
            }
        });
        Ok(answers.collect())
    }

    /// Stores what is new of these; the ids of it.
    async fn store_new(
        &self,
        sessions: &Sessions,
        batch: &[&NewEvent],
    ) -> Result<HashSet<EventId>, StoreError> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.try_store_new(sessions, batch).await {
                Err(error) if tried == 1 && is_cut_off(&error) => {
                    // Whether it was committed is not known; with the same ids it does
                    // not matter.
                    tracing::warn!(%error, events = batch.len(), "the database was cut off from a batch; it is sent again");
                }
                Err(error) if tried < 4 && sessions.is_worth_another(&error).await => {}
                stored => return stored,
            }
        }
    }

    async fn try_store_new(
        &self,
        sessions: &Sessions,
        batch: &[&NewEvent],
    ) -> Result<HashSet<EventId>, StoreError> {
        if batch.is_empty() {
            return Ok(HashSet::new());
        }
        let order_keys = order_keys(batch);
        let mut tx = if order_keys.is_empty() {
            sessions.single().await?
        } else {
            sessions.begin().await?
        };
        order::lock(&mut tx, order_keys.iter().copied(), std::iter::empty()).await?;
        let statement = new_statement(&tx, batch);
        let rows = tx.fetch_all(statement).await?;
        self.order.promote(&mut tx, &order_keys).await?;
        tx.commit().await?;
        rows.iter().map(|row| row.event("id")).collect()
    }

    /// Decides on events of which a key is known, or which have two of them.
    async fn look_again(
        &self,
        sessions: &Sessions,
        rest: &[&NewEvent],
    ) -> Result<Vec<Ingested>, StoreError> {
        match self.try_look_again(sessions, rest).await {
            // As in `store_new`.
            Err(error) if is_cut_off(&error) => self.try_look_again(sessions, rest).await,
            seen => seen,
        }
    }

    async fn try_look_again(
        &self,
        sessions: &Sessions,
        rest: &[&NewEvent],
    ) -> Result<Vec<Ingested>, StoreError> {
        if rest.is_empty() {
            return Ok(Vec::new());
        }
        // Most are plain repetitions: these need one look for all of them.
        let mut known = self.known_now(sessions, rest).await?;
        let mut answers = Vec::with_capacity(rest.len());
        for new in rest {
            let answer = if known.has(new) {
                known.classify(new)
            } else {
                self.decide(sessions, new).await?
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Decides on one event and stores it, against others who do the same.
    async fn decide(&self, sessions: &Sessions, new: &NewEvent) -> Result<Ingested, StoreError> {
        for _ in 0..LOOKS {
            let mut tx = sessions.begin().await?;
            lock_orders(&mut tx, &[new]).await?;
            if let Some(answers) = self.decide_within(&mut tx, &[new]).await? {
                tx.commit().await?;
                return answers.first().copied().ok_or(NO_ANSWER);
            }
            tx.roll_back().await;
        }
        Err(CONTENDED)
    }

    /// Decides on events within a transaction that may do more, and stores what is new; the
    /// caller holds the locks of their ordering keys. None if somebody else changed their
    /// dedup keys meanwhile: then it is to be rolled back, and tried again.
    pub(super) async fn decide_within(
        &self,
        tx: &mut Tx,
        events: &[&NewEvent],
    ) -> Result<Option<Vec<Ingested>>, StoreError> {
        let Decided { answers, to_store } = self.known_within(tx, events).await?.decide(events);
        for (statement, of_conflicts) in [
            (&self.postgres.keys, false),
            (&self.postgres.conflicts, true),
        ] {
            let wanted = to_store.iter();
            let wanted = wanted.filter(|(_, is_conflict)| *is_conflict == of_conflicts);
            let wanted: Vec<&NewEvent> = wanted.map(|(new, _)| *new).collect();
            if !take_keys(tx, statement, &wanted).await? {
                return Ok(None);
            }
        }
        self.store_events(tx, &to_store).await?;
        Ok(Some(answers))
    }

    async fn known_now(
        &self,
        sessions: &Sessions,
        events: &[&NewEvent],
    ) -> Result<Known, StoreError> {
        let mut tx = sessions.single().await?;
        let known = self.known_within(&mut tx, events).await?;
        tx.commit().await?;
        Ok(known)
    }

    async fn known_within(&self, tx: &mut Tx, events: &[&NewEvent]) -> Result<Known, StoreError> {
        let wanted = wanted_keys(events);
        let keys = wanted
            .iter()
            .map(|(source, key)| [(*source).into(), key.as_bytes().as_slice().into()]);
        let rows = self.postgres.look_up.with(keys).fetch_all(tx).await?;
        known(&rows, &wanted, tx.now)
    }
}

/// Locks the ordering keys of the events' runs.
pub(super) async fn lock_orders(tx: &mut Tx, events: &[&NewEvent]) -> Result<(), StoreError> {
    order::lock(tx, order_keys(events).into_iter(), std::iter::empty()).await
}

fn order_keys(events: &[&NewEvent]) -> Vec<order::Key> {
    let runs = events.iter().flat_map(|new| new.runs());
    runs.filter_map(|run| Some((run.plugin, run.order?)))
        .collect()
}

/// Takes the keys of events, in order, so that nobody who does the same waits for us while
/// we wait for them; false if somebody was faster.
async fn take_keys(
    tx: &mut Tx,
    statement: &ManyRows,
    events: &[&NewEvent],
) -> Result<bool, StoreError> {
    let now = tx.now;
    let keys = events.iter().flat_map(|new| {
        new.keys()
            .map(move |key| (new.source().as_str(), key, *new))
    });
    let mut keys: Vec<_> = keys.collect();
    keys.sort_unstable_by_key(|(source, key, _)| (*source, *key));
    let rows = keys.iter().map(|(source, key, new)| -> [Value<'_>; 6] {
        [
            (*source).into(),
            key.as_bytes().as_slice().into(),
            new.body_sha256().as_slice().into(),
            new.id_bytes().into(),
            now.millis().saturating_add(millis(new.window())).into(),
            now.into(),
        ]
    });
    let taken = statement.with(rows).fetch_all(tx).await?.len();
    Ok(taken == keys.len())
}

fn is_cut_off(error: &StoreError) -> bool {
    matches!(error, StoreError::Database(error) if sessions::is_cut_off(error))
}

fn new_statement<'q>(tx: &Tx, batch: &[&'q NewEvent]) -> super::super::sql::Statement<'q> {
    const INT: Kind = Kind::Int;
    const TEXT: Kind = Kind::Text;
    const BYTES: Kind = Kind::Bytes;
    let now = tx.now;
    let mut keyed: Vec<&NewEvent> = batch
        .iter()
        .copied()
        .filter(|new| new.keys().next().is_some())
        .collect();
    keyed.sort_by_cached_key(|new| (new.source().as_str().to_owned(), new.keys().next()));
    let keys = keyed.into_iter().flat_map(|new| {
        let expires = now.millis().saturating_add(millis(new.window()));
        let key = new.keys().next().map(|key| key.as_bytes().to_vec());
        [
            new.source().as_str().into(),
            Value::Bytes(key.map(Into::into)),
            new.body_sha256().as_slice().into(),
            new.id_bytes().into(),
            expires.into(),
        ]
    });
    let events = batch.iter().flat_map(|new| {
        let is_keyed = new.keys().next().is_some();
        new.row(false).into_iter().chain([is_keyed.into()])
    });
    let runs = batch.iter().flat_map(|new| {
        new.runs().iter().flat_map(|run| {
            let state = if run.order.is_some() { 2i64 } else { 0 };
            [
                new.id_bytes().into(),
                run.plugin.0.into(),
                state.into(),
                run.order
                    .as_ref()
                    .map(|key| key.as_bytes().as_slice())
                    .into(),
            ]
        })
    });
    let mut statement = sql(NEW);
    for column in columns(&[TEXT, BYTES, BYTES, BYTES, INT], keys.collect()) {
        statement = statement.bind(column);
    }
    statement = statement.bind(now);
    let event_columns = [
        BYTES, TEXT, TEXT, TEXT, INT, TEXT, TEXT, INT, INT, INT, TEXT, INT, INT, BYTES, INT, TEXT,
        INT,
    ];
    for column in columns(&event_columns, events.collect()) {
        statement = statement.bind(column);
    }
    for column in columns(&[BYTES, INT, INT, BYTES], runs.collect()) {
        statement = statement.bind(column);
    }
    statement
}
