//! What is over goes, what is needed stays, and the store stops growing: on each engine,
//! with a clock that the test moves.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookbay::clock::Timestamp;
use hookbay::dispatch::{Policy, Retention, Wakeup};
use hookbay::event::{Event, EventId, Headers};
use hookbay::kv::KvEffects;
use hookbay::retry::Next;
use hookbay::run::{AttemptRecord, NewRun, OrderKey, Outcome, PluginId, RunId, RunState};
use hookbay::store::{
    Cancelled, EventFilter, Finished, NewEvent, RegisterPlugin, Retried, RunFilter, RunRow, Store,
    Want,
};
use sqlx::{Executor, Row};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::database::{Engine, TestDatabase};
use crate::harness::standing;

mod audit;
mod room;

use audit::the_audit_log_goes_by_age;
use room::{
    days_go_whole, on_a_full_disk_days_go_and_the_rest_goes_later, room_of_today_is_not_made_twice,
    the_store_keeps_within_its_bytes, the_store_stops_growing, two_hosts_remove_at_once,
};

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);
/// Noon of a day in 2001.
const START_MS: i64 = 1_000_036_800_000;

/// A store, its time, and what removes from it.
struct Bench {
    store: Store,
    now_ms: Arc<AtomicI64>,
    retention: Retention,
    plugin: PluginId,
    database: TestDatabase,
    folder: TempDir,
}

fn policy() -> Policy {
    Policy {
        events: 30 * DAY,
        by_source: HashMap::new(),
        quarantine: DAY,
        history: 30 * DAY,
        audit: 60 * DAY,
        max_bytes: 1 << 40,
        max_pending_age: None,
    }
}

impl Bench {
    async fn new(engine: Engine, policy: Policy) -> Self {
        let folder = TempDir::new().unwrap();
        let database = TestDatabase::new(engine).await;
        let now_ms = Arc::new(AtomicI64::new(START_MS));
        let settings = database.settings(folder.path());
        let store = Store::open(&settings, standing(&now_ms)).await.unwrap();
        let wakeup = Arc::new(Wakeup::default());
        let stop = CancellationToken::new();
        let plugin = RegisterPlugin {
            name: "p".to_owned(),
            file: "p.wasm".to_owned(),
            digest: None,
            manifest: "{}".to_owned(),
            triggers: "[]".to_owned(),
            blocks_on_dead: true,
            version: None,
            is_pinned: false,
        };
        Self {
            plugin: store.register(plugin).await.unwrap(),
            retention: Retention::new(store.clone(), policy, wakeup, stop),
            store,
            now_ms,
            database,
            folder,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Ordering::SeqCst))
    }

    /// Lets time pass, as a host does that prepares every hour.
    async fn pass(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap();
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
        self.retention.prepare().await;
    }

    async fn deliver(&self, source: &str, body: Vec<u8>, runs: Vec<NewRun>) -> EventId {
        let event = Event {
            id: EventId::new(self.now()),
            source: source.parse().unwrap(),
            provider: "none".to_owned(),
            kind: "unknown".to_owned(),
            delivery_id: None,
            received_at: self.now(),
            content_type: None,
            headers: Headers::default(),
            body: Bytes::from(body),
            is_handshake: false,
        };
        let id = event.id;
        let new = NewEvent::new(event, None, false, HOUR, runs);
        self.store.ingest(vec![new]).await.unwrap();
        id
    }

    /// An event whose run has finished.
    async fn finished(&self, source: &str, next: Next, runs: Vec<NewRun>) -> (EventId, RunId) {
        let event = self.deliver(source, b"{}".to_vec(), runs).await;
        let run = self.finish_one(next).await;
        (event, run)
    }

    async fn finish_one(&self, next: Next) -> RunId {
        let want = Want {
            plugin: self.plugin,
            count: 1,
            rate: None,
            hold: HOUR,
        };
        let mut claimed = self.store.claim(vec![want]).await.unwrap().runs;
        let (claimed, _) = claimed.pop().expect("a run is due");
        let run = claimed.fence.run;
        let finished = Finished {
            claimed,
            digest: [7; 32],
            host: "test".into(),
            record: AttemptRecord {
                started_at: self.now(),
                duration_us: 1000,
                cpu_us: 1,
                memory_bytes: 1,
                egress_bytes: 0,
                calls_us: 0,
                journal: None,
                logs: Vec::new(),
            },
            outcome: match next {
                Next::Succeeded => Outcome::Succeeded,
                _ => Outcome::Permanent,
            },
            error: None,
            summary: None,
            data: None,
            next,
            next_over_quota: Next::Dead,
            max_attempts: 3,
            effects: KvEffects::default(),
            emitted: Vec::new(),
        };
        self.store.finish(Arc::new(finished)).await.unwrap();
        run
    }

    fn unordered(&self) -> Vec<NewRun> {
        vec![NewRun::unordered(self.plugin)]
    }

    async fn events(&self) -> Vec<EventId> {
        let filter = EventFilter {
            limit: 100_000,
            ..EventFilter::default()
        };
        let events = self.store.events(&filter).await.unwrap().events;
        events.into_iter().rev().map(|event| event.id).collect()
    }

    async fn runs(&self) -> Vec<RunRow> {
        let filter = RunFilter {
            limit: 100_000,
            ..RunFilter::default()
        };
        let runs = self.store.runs(&filter).await.unwrap();
        runs.into_iter().rev().collect()
    }

    async fn run_ids(&self) -> Vec<RunId> {
        self.runs().await.iter().map(|run| run.id).collect()
    }

    async fn attempts(&self, run: RunId) -> usize {
        self.store.attempts(run).await.unwrap().len()
    }

    /// The partitions of a table, on Postgres.
    async fn partitions(&self, parent: &str) -> Vec<String> {
        let mut connection = self.database.connect().await;
        let text = "select c.relname::text as name from pg_class c where c.relkind = 'r' \
                    and c.relname like $1 order by 1";
        let query = sqlx::query(text).bind(format!("{parent}\\_2%"));
        let rows = connection.fetch_all(query).await.unwrap();
        rows.iter().map(|row| row.get("name")).collect()
    }
}

async fn events_go_by_age_and_source(engine: Engine) {
    let by_source = [("short".to_owned(), 2 * DAY), ("long".to_owned(), 60 * DAY)];
    let kept = Policy {
        by_source: by_source.into(),
        ..policy()
    };
    let mut bench = Bench::new(engine, kept).await;
    let short = bench.deliver("short", b"{}".to_vec(), Vec::new()).await;
    let other = bench.deliver("other", b"{}".to_vec(), Vec::new()).await;
    let long = bench.deliver("long", b"{}".to_vec(), Vec::new()).await;
    let live = bench
        .deliver("short", b"{}".to_vec(), bench.unordered())
        .await;
    for (pass, expected) in [
        (2 * DAY - HOUR, vec![short, other, long, live]),
        (2 * HOUR, vec![other, long, live]),
        (28 * DAY, vec![long, live]),
        (31 * DAY, vec![live]),
    ] {
        bench.pass(pass).await;
        bench.retention.pass().await;
        let mut expected = expected;
        expected.sort_unstable();
        let mut events = bench.events().await;
        events.sort_unstable();
        assert_eq!(events, expected, "at {}", bench.now());
    }
    // When its run is over it may go; its history stays for its own time.
    let run = bench.finish_one(Next::Succeeded).await;
    bench.pass(2 * HOUR).await;
    bench.retention.pass().await;
    assert!(bench.events().await.is_empty());
    assert_eq!(bench.run_ids().await, [run]);
}

async fn finished_runs_go_by_age(engine: Engine) {
    let kept = Policy {
        history: 10 * DAY,
        ..policy()
    };
    let mut bench = Bench::new(engine, kept).await;
    let key = OrderKey::of("a");
    let ordered = vec![NewRun {
        plugin: bench.plugin,
        order: Some(key),
    }];
    let (_, blocking) = bench.finished("s", Next::Dead, ordered.clone()).await;
    let (_, done) = bench
        .finished("s", Next::Succeeded, bench.unordered())
        .await;
    bench.deliver("s", b"{}".to_vec(), ordered).await;
    let late = bench.deliver("s", b"{}".to_vec(), bench.unordered()).await;
    bench.pass(9 * DAY).await;
    bench.retention.pass().await;
    let late_run = bench.finish_one(Next::Succeeded).await;
    assert!(bench.run_ids().await.contains(&done));
    bench.pass(2 * DAY).await;
    bench.retention.pass().await;
    let left = bench.run_ids().await;
    assert!(!left.contains(&done), "it is over");
    assert_eq!(bench.attempts(done).await, 0, "and so are its attempts");
    assert!(left.contains(&late_run), "it finished later");
    assert_eq!(bench.attempts(late_run).await, 1);
    assert!(left.contains(&blocking), "a run waits behind it");
    assert!(bench.events().await.contains(&late));
    // Nothing is blocked for ever: it can be cancelled, and then goes too.
    let cancelled = bench.store.cancel(blocking).await.unwrap();
    assert_eq!(cancelled, Cancelled::Done(bench.plugin));
    bench.pass(2 * HOUR).await;
    bench.retention.pass().await;
    assert!(!bench.run_ids().await.contains(&blocking));
    bench.finish_one(Next::Succeeded).await;
}

async fn a_run_whose_event_is_gone_is_not_started(engine: Engine) {
    let kept = Policy {
        events: 2 * DAY,
        ..policy()
    };
    let mut bench = Bench::new(engine, kept).await;
    let (event, run) = bench.finished("s", Next::Dead, bench.unordered()).await;
    bench.pass(4 * DAY).await;
    bench.retention.pass().await;
    assert!(bench.events().await.is_empty());
    assert_eq!(bench.store.retry(run).await.unwrap(), Retried::EventGone);
    let replayed = bench.store.replay(event, bench.unordered()).await.unwrap();
    assert_eq!(replayed, None);
    let states: Vec<RunState> = bench.runs().await.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Dead]);
}

async fn runs_that_waited_too_long_are_dead(engine: Engine) {
    let kept = Policy {
        max_pending_age: Some(5 * DAY),
        ..policy()
    };
    let mut bench = Bench::new(engine, kept).await;
    let ordered = || {
        vec![NewRun {
            plugin: bench.plugin,
            order: Some(OrderKey::of("a")),
        }]
    };
    for _ in 0..600 {
        bench.deliver("s", b"{}".to_vec(), bench.unordered()).await;
    }
    for _ in 0..2 {
        bench.deliver("s", b"{}".to_vec(), ordered()).await;
    }
    let want = Want {
        plugin: bench.plugin,
        count: 1,
        rate: None,
        hold: 30 * DAY,
    };
    let running = bench.store.claim(vec![want]).await.unwrap().runs[0]
        .0
        .fence
        .run;
    bench.pass(4 * DAY).await;
    bench.deliver("s", b"{}".to_vec(), bench.unordered()).await;
    bench.retention.pass().await;
    assert!(bench.runs().await.iter().all(|run| run.state.is_live()));
    bench.pass(2 * DAY).await;
    bench.retention.pass().await;
    let runs = bench.runs().await;
    let live: Vec<&RunRow> = runs.iter().filter(|run| run.state.is_live()).collect();
    assert_eq!(live.len(), 2);
    assert_eq!(
        (live[0].id, live[0].state),
        (running, RunState::Running),
        "what a host executes is left to it"
    );
    let dead = runs.iter().find(|run| !run.state.is_live()).unwrap();
    assert_eq!(dead.state, RunState::Dead);
    assert_eq!(dead.outcome.as_deref(), Some("expired"));
    let attempts = bench.store.attempts(dead.id).await.unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].outcome, "expired");
    let counts = bench.store.plugin_runs(bench.plugin).await.unwrap();
    assert_eq!(counts.dead, 601);
}

/// All of it on one engine; nothing, where there is no server for it.
macro_rules! on {
    ($name:ident, $engine:expr, $($test:ident),*) => {
        mod $name {
            use crate::database::Engine;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    let engine: Engine = $engine;
                    if engine.is_here() {
                        Box::pin(super::$test(engine)).await;
                    }
                }
            )*
        }
    };
}

on!(
    sqlite,
    Engine::Sqlite,
    events_go_by_age_and_source,
    finished_runs_go_by_age,
    a_run_whose_event_is_gone_is_not_started,
    runs_that_waited_too_long_are_dead,
    the_store_keeps_within_its_bytes,
    the_store_stops_growing,
    the_audit_log_goes_by_age
);
on!(
    postgres,
    Engine::Postgres,
    events_go_by_age_and_source,
    finished_runs_go_by_age,
    a_run_whose_event_is_gone_is_not_started,
    runs_that_waited_too_long_are_dead,
    the_store_keeps_within_its_bytes,
    the_store_stops_growing,
    days_go_whole,
    on_a_full_disk_days_go_and_the_rest_goes_later,
    the_audit_log_goes_by_age,
    two_hosts_remove_at_once,
    room_of_today_is_not_made_twice
);
on!(
    pooled,
    Engine::Pooled,
    events_go_by_age_and_source,
    finished_runs_go_by_age,
    two_hosts_remove_at_once
);
