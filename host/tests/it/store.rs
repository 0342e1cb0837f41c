//! What every store must do, whatever its engine: each property is a function over a
//! [`Bench`], and each engine calls them all.
//!
//! Time stands still unless a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookbay::clock::{Clock, Timestamp};
use hookbay::event::{Event, EventId, Headers};
use hookbay::kv::{KvEffects, KvWrite};
use hookbay::retry::Next;
use hookbay::run::{AttemptRecord, Claimed, NewRun, Outcome, PluginId, RunState};
use hookbay::store::{
    Finished, Ingested, NewEvent, RegisterPlugin, RunFilter, Settled, Store, Want,
};
use tempfile::TempDir;

use crate::database::{Engine, TestDatabase};

mod claims;
mod deliveries;
mod ends;

const WINDOW: Duration = Duration::from_secs(3600);

/// A time in 2001, so that nobody mixes it up with the machine's.
const START_MS: i64 = 1_000_000_000_000;

/// A store of one engine, and its time.
struct Bench {
    store: Store,
    now_ms: Arc<AtomicI64>,
    database: TestDatabase,
    folder: TempDir,
}

impl Bench {
    async fn on(engine: Engine) -> Self {
        let folder = TempDir::new().unwrap();
        let database = TestDatabase::new(engine).await;
        let now_ms = Arc::new(AtomicI64::new(START_MS));
        let settings = database.settings(folder.path());
        let store = Store::open(&settings, clock(&now_ms)).await.unwrap();
        Self {
            store,
            now_ms,
            database,
            folder,
        }
    }

    /// The same database after another start; the one before ended without a word, and
    /// its lease, if it had one, is over.
    async fn reopened(self) -> Self {
        let Self {
            store,
            now_ms,
            database,
            folder,
        } = self;
        store.close().await;
        drop(store);
        let settings = database.settings(folder.path());
        let store = Store::open(&settings, clock(&now_ms)).await.unwrap();
        store.rescue().await.unwrap();
        Self {
            store,
            now_ms,
            database,
            folder,
        }
    }

    /// Another host on the same database, where there can be one.
    async fn neighbour(&self) -> Option<Store> {
        if self.database.engine() == Engine::Sqlite {
            return None;
        }
        let settings = self.database.settings(self.folder.path());
        Some(Store::open(&settings, clock(&self.now_ms)).await.unwrap())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Ordering::SeqCst))
    }

    fn pass(&self, time: Duration) {
        self.now_ms
            .fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    async fn plugin(&self, name: &str) -> PluginId {
        let plugin = RegisterPlugin {
            name: name.to_owned(),
            file: format!("{name}.wasm"),
            digest: None,
            manifest: "{}".to_owned(),
            triggers: "[]".to_owned(),
            blocks_on_dead: false,
        };
        self.store.register(plugin).await.unwrap()
    }

    fn event(&self, body: &str) -> Event {
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

    /// Stores one delivery; its event and what became of it.
    async fn deliver(
        &self,
        key: Option<&str>,
        by_body: bool,
        body: &str,
        plugins: &[PluginId],
    ) -> (EventId, Ingested) {
        let event = self.event(body);
        let id = event.id;
        let new = NewEvent::new(event, key, by_body, WINDOW, unordered(plugins));
        let ingested = self.store.ingest(vec![new]).await.unwrap();
        assert_eq!(ingested.len(), 1);
        (id, ingested[0])
    }

    /// Stores so many events, each with a run for a plugin.
    async fn runs_for(&self, plugin: PluginId, count: usize) {
        for n in 0..count {
            self.deliver(None, false, &n.to_string(), &[plugin]).await;
        }
    }

    async fn claim(&self, plugin: PluginId, count: u32) -> (Vec<Claimed>, Option<Timestamp>) {
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

    /// Ends an attempt as it is said to have gone.
    async fn finish(
        &self,
        claimed: &Claimed,
        outcome: Outcome,
        next: Next,
        effects: KvEffects,
    ) -> Settled {
        let record = AttemptRecord {
            started_at: self.now(),
            duration_us: 1000,
            cpu_us: 1,
            memory_bytes: 1,
            logs: Vec::new(),
        };
        let finished = Finished {
            claimed: claimed.clone(),
            digest: [7; 32],
            host: "test".into(),
            record,
            outcome,
            error: None,
            summary: Some("done".to_owned()),
            data: None,
            next,
            max_attempts: 3,
            effects,
            emitted: Vec::new(),
        };
        self.store.finish(Arc::new(finished)).await.unwrap()
    }

    async fn succeed(&self, claimed: &Claimed, effects: KvEffects) -> Settled {
        self.finish(claimed, Outcome::Succeeded, Next::Succeeded, effects)
            .await
    }

    async fn states(&self) -> Vec<RunState> {
        let filter = RunFilter {
            limit: 100,
            ..RunFilter::default()
        };
        self.store
            .runs(&filter)
            .await
            .unwrap()
            .into_iter()
            .rev()
            .map(|run| run.state)
            .collect()
    }
}

/// A run of each of these plugins, in no order.
fn unordered(plugins: &[PluginId]) -> Vec<NewRun> {
    plugins.iter().copied().map(NewRun::unordered).collect()
}

fn clock(now_ms: &Arc<AtomicI64>) -> Clock {
    let now_ms = Arc::clone(now_ms);
    Clock::from_fn(move || Timestamp::from_millis(now_ms.load(Ordering::SeqCst)))
}

fn want(plugin: PluginId, count: u32) -> Want {
    Want {
        plugin,
        count,
        rate: None,
        hold: Duration::from_secs(300),
    }
}

fn increment(key: &str) -> KvEffects {
    KvEffects {
        reads: Vec::new(),
        writes: vec![KvWrite::Increment {
            key: key.to_owned(),
            by: 1,
        }],
    }
}

fn set(key: &str, value: &str) -> KvWrite {
    KvWrite::Set {
        key: key.to_owned(),
        value: value.as_bytes().to_vec(),
    }
}

/// All of it on one engine; nothing, where there is no server for it.
macro_rules! conformance {
    ($name:ident, $engine:expr) => {
        mod $name {
            use super::{Bench, Engine, claims, deliveries, ends};

            async fn bench() -> Bench {
                Bench::on($engine).await
            }

            fn is_here() -> bool {
                let engine: Engine = $engine;
                engine.is_here()
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn ingest() {
                if !is_here() {
                    return;
                }
                deliveries::deliveries_are_known_for_their_window(&bench().await).await;
                deliveries::equal_bodies_are_the_same_where_that_is_wanted(&bench().await).await;
                deliveries::a_batch_knows_itself(&bench().await).await;
                deliveries::many_deliveries_at_once_are_decided_alike(&bench().await).await;
                deliveries::what_is_over_is_forgotten_in_slices(&bench().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn claims() {
                if !is_here() {
                    return;
                }
                claims::claims_take_what_is_due_oldest_first(&bench().await).await;
                claims::what_is_given_back_has_used_up_nothing(&bench().await).await;
                claims::a_dead_hosts_runs_are_due_at_once(bench().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn states() {
                if !is_here() {
                    return;
                }
                claims::a_run_waits_by_the_stores_own_clock(&bench().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn ends() {
                if !is_here() {
                    return;
                }
                ends::who_has_lost_a_run_changes_nothing(&bench().await).await;
                ends::writes_are_kept_only_with_their_run(&bench().await).await;
                ends::what_was_read_must_still_stand(&bench().await).await;
                ends::ends_at_the_same_time_all_count(&bench().await).await;
                ends::a_dead_run_lives_again_and_a_finished_one_does_not(&bench().await).await;
            }
        }
    };
}

conformance!(sqlite, Engine::Sqlite);
conformance!(postgres, Engine::Postgres);
conformance!(pooled, Engine::Pooled);
