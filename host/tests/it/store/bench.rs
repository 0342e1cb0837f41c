//! A store with its time, and what tests do to it.
//!
//! Time stands still unless a test moves it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookbay::clock::Timestamp;
use hookbay::event::{Event, EventId, Headers};
use hookbay::kv::{KvEffects, KvWrite};
use hookbay::retry::Next;
use hookbay::run::{AttemptRecord, Claimed, NewRun, OrderKey, Outcome, PluginId, RunId, RunState};
use hookbay::store::{
    Finished, Ingested, NewEvent, RegisterPlugin, RunFilter, RunRow, Settings, Settled, Store, Want,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tempfile::TempDir;

use crate::database::{Engine, TestDatabase};
use crate::harness::standing;

pub(super) const WINDOW: Duration = Duration::from_secs(3600);

/// How long a silent host keeps its runs.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// How long a host may take for a run.
pub(super) const HOLD: Duration = Duration::from_secs(300);

/// A time in 2001, so that nobody mixes it up with the machine's.
const START_MS: i64 = 1_000_000_000_000;

/// A store of one engine, and its time.
pub(super) struct Bench {
    pub(super) store: Store,
    now_ms: Arc<AtomicI64>,
    pub(super) database: Arc<TestDatabase>,
    folder: Arc<TempDir>,
}

/// Random numbers that are the same every time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number below a bound.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }

    /// One of these, unless there is none.
    pub(super) fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        (!all.is_empty()).then(|| all[self.below(all.len())].clone())
    }
}

impl Bench {
    pub(super) async fn on(engine: Engine) -> Self {
        Self::over(TestDatabase::new(engine).await, TempDir::new().unwrap()).await
    }

    /// On a database that may hold something already.
    pub(super) async fn over(database: TestDatabase, folder: TempDir) -> Self {
        let now_ms = Arc::new(AtomicI64::new(START_MS));
        let settings = database.settings(folder.path());
        let store = Store::open(&settings, standing(&now_ms)).await.unwrap();
        Self {
            store,
            now_ms,
            database: Arc::new(database),
            folder: Arc::new(folder),
        }
    }

    /// The same database after another start; the one before ended without a word, and
    /// its lease, if it had one, is over.
    pub(super) async fn reopened(self) -> Self {
        let Self {
            store,
            now_ms,
            database,
            folder,
        } = self;
        store.close().await;
        drop(store);
        let settings = database.settings(folder.path());
        let store = Store::open(&settings, standing(&now_ms)).await.unwrap();
        store.rescue().await.unwrap();
        Self {
            store,
            now_ms,
            database,
            folder,
        }
    }

    /// Another host on the same database, with the same time, where there can be one.
    pub(super) async fn neighbour(&self) -> Option<Self> {
        if self.database.engine() == Engine::Sqlite {
            return None;
        }
        Some(self.beside(|_| {}).await)
    }

    /// Another host that is set differently.
    pub(super) async fn beside(&self, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.database.settings(self.folder.path());
        set(&mut settings);
        let store = Store::open(&settings, standing(&self.now_ms))
            .await
            .unwrap();
        Self {
            store,
            now_ms: Arc::clone(&self.now_ms),
            database: Arc::clone(&self.database),
            folder: Arc::clone(&self.folder),
        }
    }

    /// Renews this host's lease.
    pub(super) async fn beat(&self) {
        let beat = self.store.beat("test", LEASE, Vec::new(), BTreeSet::new());
        beat.await.unwrap();
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Ordering::SeqCst))
    }

    pub(super) fn pass(&self, time: Duration) {
        self.now_ms
            .fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Sets the clock back.
    pub(super) fn go_back(&self, time: Duration) {
        self.now_ms
            .fetch_sub(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(super) async fn plugin(&self, name: &str) -> PluginId {
        self.store.register(about(name)).await.unwrap()
    }

    /// A plugin whose dead runs block their ordering key.
    pub(super) async fn blocking_plugin(&self, name: &str) -> PluginId {
        let plugin = RegisterPlugin {
            blocks_on_dead: true,
            ..about(name)
        };
        self.store.register(plugin).await.unwrap()
    }

    pub(super) fn event(&self, body: &str) -> Event {
        Event {
            id: EventId::new(self.now()),
            source: "source".parse().unwrap(),
            provider: "none".to_owned(),
            kind: "unknown".to_owned(),
            delivery_id: None,
            received_at: self.now(),
            content_type: None,
            headers: Headers::default(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            is_handshake: false,
        }
    }

    /// Stores a batch of which the database refuses nothing.
    pub(super) async fn ingest(&self, batch: Vec<NewEvent>) -> Vec<Ingested> {
        let stored = self.store.ingest(batch).await.unwrap();
        stored.into_iter().map(Option::unwrap).collect()
    }

    /// Makes the database refuse events of this kind: a rule that the store knows
    /// nothing of.
    pub(super) async fn refuse(&self, kind: &str) {
        self.database.refuse_kind(self.folder.path(), kind).await;
    }

    /// Does something to the database past the store.
    pub(super) async fn execute(&self, text: &str) {
        let text = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
        if let Some(file) = self.file() {
            let options = SqliteConnectOptions::new().filename(file);
            let mut connection = options.connect().await.unwrap();
            connection.execute(text).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = self.database.connect().await;
            connection.execute(text).await.unwrap();
        }
    }

    /// The database's file, if it is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let is_file = self.database.engine() == Engine::Sqlite;
        is_file.then(|| self.folder.path().join("hookbay.db"))
    }

    /// Stores one delivery; its event and what became of it.
    pub(super) async fn deliver(
        &self,
        key: Option<&str>,
        by_body: bool,
        body: &str,
        plugins: &[PluginId],
    ) -> (EventId, Ingested) {
        let event = self.event(body);
        let id = event.id;
        let new = NewEvent::new(event, key, by_body, WINDOW, unordered(plugins));
        let ingested = self.ingest(vec![new]).await;
        assert_eq!(ingested.len(), 1);
        (id, ingested[0])
    }

    /// Stores so many events, each with a run for a plugin.
    pub(super) async fn runs_for(&self, plugin: PluginId, count: usize) {
        for n in 0..count {
            self.deliver(None, false, &n.to_string(), &[plugin]).await;
        }
    }

    /// Stores an event for each of these keys, in one batch, each with a run that goes
    /// behind the others of its key; the runs in the order of the events.
    pub(super) async fn in_order(&self, plugin: PluginId, keys: &[&str]) -> Vec<RunId> {
        let order = |key: &&str| NewRun {
            plugin,
            order: Some(OrderKey::of(key)),
        };
        let events: Vec<Event> = keys.iter().map(|key| self.event(key)).collect();
        let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
        let runs = keys.iter().map(order);
        let new = events.into_iter().zip(runs);
        let batch = new.map(|(event, run)| NewEvent::new(event, None, false, WINDOW, vec![run]));
        let stored = self.ingest(batch.collect()).await;
        assert!(stored.iter().all(|one| *one == Ingested::New), "{stored:?}");
        let runs = self.runs().await;
        let of = |id| runs.iter().find(|run| run.event == id).unwrap().id;
        ids.into_iter().map(of).collect()
    }

    pub(super) async fn claim(
        &self,
        plugin: PluginId,
        count: u32,
    ) -> (Vec<Claimed>, Option<Timestamp>) {
        let got = self.store.claim(vec![want(plugin, count)]).await.unwrap();
        let next_due = got
            .next_due
            .iter()
            .find(|(of, _)| *of == plugin)
            .map(|(_, due)| *due);
        (
            got.runs.into_iter().map(|(claimed, _)| claimed).collect(),
            next_due,
        )
    }

    /// An attempt that has ended this way and wants nothing after it.
    pub(super) fn finished(&self, claimed: &Claimed, outcome: Outcome) -> Finished {
        let record = AttemptRecord {
            started_at: self.now(),
            duration_us: 1000,
            cpu_us: 1,
            memory_bytes: 1,
            egress_bytes: 0,
            calls_us: 0,
            journal: None,
            logs: Vec::new(),
        };
        Finished {
            claimed: claimed.clone(),
            digest: [7; 32],
            host: "test".into(),
            record,
            outcome,
            error: None,
            summary: Some("done".to_owned()),
            data: None,
            next: Next::Succeeded,
            next_over_quota: Next::Dead,
            max_attempts: 3,
            effects: KvEffects::default(),
            emitted: Vec::new(),
        }
    }

    /// Ends an attempt as it is said to have gone.
    pub(super) async fn finish(
        &self,
        claimed: &Claimed,
        outcome: Outcome,
        next: Next,
        effects: KvEffects,
    ) -> Settled {
        let finished = Finished {
            next,
            effects,
            ..self.finished(claimed, outcome)
        };
        self.store.finish(Arc::new(finished)).await.unwrap()
    }

    pub(super) async fn succeed(&self, claimed: &Claimed, effects: KvEffects) -> Settled {
        self.finish(claimed, Outcome::Succeeded, Next::Succeeded, effects)
            .await
    }

    /// Every run, oldest first.
    pub(super) async fn runs(&self) -> Vec<RunRow> {
        let filter = RunFilter {
            limit: 10_000,
            ..RunFilter::default()
        };
        let mut runs = self.store.runs(&filter).await.unwrap();
        runs.reverse();
        runs
    }

    /// How every run stands, oldest first.
    pub(super) async fn states(&self) -> Vec<RunState> {
        self.runs().await.into_iter().map(|run| run.state).collect()
    }

    /// How the attempts of a run ended, first to last.
    pub(super) async fn outcomes(&self, run: RunId) -> Vec<String> {
        let attempts = self.store.attempts(run).await.unwrap();
        attempts.into_iter().map(|one| one.outcome).collect()
    }

    pub(super) async fn value(&self, plugin: PluginId, key: &str) -> Option<String> {
        let value = self.store.kv_get(plugin, key).await.unwrap()?.value;
        Some(String::from_utf8(value).unwrap())
    }

    /// An attempt that asked for another, due at once.
    pub(super) async fn fail(&self, claimed: &Claimed) -> Settled {
        let next = Next::RetryAt(self.now());
        self.finish(claimed, Outcome::Retry, next, KvEffects::default())
            .await
    }

    /// An attempt after which there is no other.
    pub(super) async fn die(&self, claimed: &Claimed) -> Settled {
        let none = KvEffects::default();
        self.finish(claimed, Outcome::Permanent, Next::Dead, none)
            .await
    }
}

/// A run of each of these plugins, in no order.
pub(super) fn unordered(plugins: &[PluginId]) -> Vec<NewRun> {
    plugins.iter().copied().map(NewRun::unordered).collect()
}

/// What is registered of a plugin.
pub(super) fn about(name: &str) -> RegisterPlugin {
    RegisterPlugin {
        name: name.to_owned(),
        file: format!("{name}.wasm"),
        digest: None,
        manifest: "{}".to_owned(),
        triggers: "[]".to_owned(),
        blocks_on_dead: false,
        version: None,
        is_pinned: false,
    }
}

/// The runs that were claimed.
pub(super) fn ids(claimed: &[Claimed]) -> Vec<RunId> {
    claimed.iter().map(|one| one.fence.run).collect()
}

pub(super) fn want(plugin: PluginId, count: u32) -> Want {
    Want {
        plugin,
        count,
        rate: None,
        hold: HOLD,
    }
}

pub(super) fn increment(key: &str) -> KvEffects {
    KvEffects {
        reads: Vec::new(),
        writes: vec![KvWrite::Increment {
            key: key.to_owned(),
            by: 1,
        }],
    }
}

pub(super) fn set(key: &str, value: &str) -> KvWrite {
    KvWrite::Set {
        key: key.to_owned(),
        value: value.as_bytes().to_vec(),
    }
}
