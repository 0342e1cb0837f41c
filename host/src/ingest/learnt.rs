//! Secrets that senders bring in a handshake. The first one of a source is kept in the store
//! and is its secret on every host; a later other one is refused and noted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::Secret;
use crate::hash::is_same;
use crate::store::{Store, StoreError};

use super::refusal::Refusal;
use super::source::{Source, Sources};

/// Between looks at what other hosts have learnt or were told to forget.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between notes of secrets that came too late.
const NOTED_AGAIN: Duration = Duration::from_secs(10);

/// Learns secrets.
pub struct Learnt {
    store: Store,
    turns: Mutex<HashMap<String, Arc<Turn>>>,
}

/// Looks at the store for one source, one after the other.
#[derive(Default)]
struct Turn {
    begun: AtomicU64,
    lock: tokio::sync::Mutex<()>,
}

impl Learnt {
    /// Nothing yet.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            turns: Mutex::default(),
        }
    }

    /// Keeps a secret that a sender brings, if it is the first; it holds when this returns.
    pub(super) async fn learn(&self, source: &Source, secret: &Secret) -> Result<(), Refusal> {
        let name = source.config.name.as_str();
        if !source.learns() || !source.can_use(secret) {
            return Err(Refusal::OtherSecret);
        }
        let kept = self.store.learn_secret(name, secret).await;
        let kept = kept.map_err(|error| away(&error))?;
        source.has_learnt(Some(&kept));
        let fingerprint = secret.fingerprint();
        if is_same(kept.secret.expose(), secret.expose()) {
            tracing::info!(
                source = name,
                fingerprint,
                "the sender has brought its secret"
            );
            return Ok(());
        }
        let now = self.store.clock().now();
        let is_noted = kept.refused.as_ref().is_some_and(|(noted, at)| {
            // Anybody can bring another: of many, the store is told of few.
            *noted == fingerprint || now.since(*at) < NOTED_AGAIN
        });
        if !is_noted {
            let refused = self.store.refuse_secret(name, &fingerprint).await;
            refused.map_err(|error| away(&error))?;
        }
        Err(Refusal::OtherSecret)
    }

    /// Looks whether another host has learnt a source's secret since this one looked; whether
    /// there is one that was not known here. Who comes while a look is under way waits for
    /// the next, which serves all of them.
    pub(super) async fn look_up(&self, source: &Source) -> Result<bool, Refusal> {
        if !source.learns() || source.learnt().is_some() {
            return Ok(false);
        }
        let turn = self.turn(source.config.name.as_str());
        let before = turn.begun.load(Ordering::SeqCst);
        let _turn = turn.lock.lock().await;
        if turn.begun.load(Ordering::SeqCst) == before {
            turn.begun.fetch_add(1, Ordering::SeqCst);
            let rows = self.store.learnt_secrets().await;
            let rows = rows.map_err(|error| away(&error))?;
            let name = source.config.name.as_str();
            source.has_learnt(rows.iter().find(|row| row.source == name));
        }
        Ok(source.learnt().is_some())
    }

    fn turn(&self, name: &str) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(name) {
            return Arc::clone(turn);
        }
        let turn = Arc::<Turn>::default();
        turns.insert(name.to_owned(), Arc::clone(&turn));
        turn
    }
}

fn away(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "the secret that a sender brings cannot be looked up now");
    Refusal::StoreAway
}

/// Takes over what the store has.
///
/// # Errors
/// [`StoreError`] if it does not answer; what was known stays.
pub async fn read(store: &Store, sources: &Sources) -> Result<(), StoreError> {
    let learns: Vec<Arc<Source>> = sources
        .all()
        .into_iter()
        .filter(|one| one.learns())
        .collect();
    if learns.is_empty() {
        return Ok(());
    }
    let rows = store.learnt_secrets().await?;
    for source in learns {
        let name = source.config.name.as_str();
        source.has_learnt(rows.iter().find(|row| row.source == name));
    }
    Ok(())
}

/// Follows the store until `stop`, and notes there when secrets matched.
pub async fn follow(store: Store, sources: Arc<Sources>, stop: CancellationToken) {
    let mut noted = HashMap::new();
    loop {
        let is_over = tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => false,
            () = stop.cancelled() => true,
        };
        note_matches(&store, &sources, &mut noted).await;
        if is_over {
            return;
        }
        if let Err(error) = read(&store, &sources).await {
            tracing::debug!(%error, "what secrets senders have brought cannot be read now");
        }
    }
}

/// Writes down when secrets last matched, where that has changed.
async fn note_matches(
    store: &Store,
    sources: &Sources,
    noted: &mut HashMap<(String, String), i64>,
) {
    let mut changed = Vec::new();
    for source in sources.all() {
        for one in source.matches() {
            let key = (one.source.clone(), one.fingerprint.clone());
            if noted.get(&key).copied().unwrap_or(0) < one.matched_at.millis() {
                changed.push(one);
            }
        }
    }
    match store.note_matches(changed.clone()).await {
        Ok(()) => noted.extend(changed.into_iter().map(|one| {
            let key = (one.source, one.fingerprint);
            (key, one.matched_at.millis())
        })),
        Err(error) => tracing::debug!(%error, "which secrets match cannot be noted now"),
    }
}
