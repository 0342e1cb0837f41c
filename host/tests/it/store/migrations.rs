//! Databases of versions before this one.

use std::path::Path;
use std::time::Duration;

use hookbay::event::{DedupKey, EventId, body_sha256};
use hookbay::kv::KvEffects;
use hookbay::run::{PluginId, RunId, RunState};
use hookbay::store::{EventFilter, Ingested, Retried, Store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tempfile::TempDir;

use super::bench::{Bench, LEASE, ids, increment};
use crate::database::{Engine, TestDatabase};

const FIRST: &str = include_str!("../../../../migrations/sqlite/0001_init.sql");

/// What a host of the first version left when it was killed: a run in each state, one of
/// them in its hands, and more finished than are kept.
const LEFT: &str = "
insert into events (id, source, provider, kind, received_ms, size_bytes, is_handshake, dedup_conflict,
    encoding, header_bytes, request)
    values (x'00000000000070008000000000000001', 'source', 'none', 'unknown', 1, 2, 0, 0, 0, 6, x'613a20620d0a7b7d'),
    (x'00000000000070008000000000000002', 'source', 'none', 'push', 2, 2, 0, 0, 0, 0, x'7b7d');
insert into dedup values ('source', zeroblob(16), zeroblob(32), x'00000000000070008000000000000001', 9000000000000);
insert into plugins values (3, 'p', 'p.wasm', 'one', '{}', '[]', 5, 40, 3, 0), (7, 'q', 'q.wasm', null, '{}', '[]', null, 0, 0, 2);
insert into hosts values (99, 'before', 1);
insert into runs (run_id, event_id, plugin_id, state, due_ms, attempt, free_attempts, lease_no, owner, created_ms)
    values (50, x'00000000000070008000000000000001', 3, 0, 1, 0, 0, 0, null, 1),
    (51, x'00000000000070008000000000000002', 3, 1, 1, 2, 1, 2, 99, 1),
    (52, x'00000000000070008000000000000002', 7, 0, 8000000000000, 1, 0, 1, null, 1);
insert into history values (40, x'00000000000070008000000000000001', 3, 'succeeded', 1, 0, 12, 1, 1, 2, 'succeeded', 'done', null, null),
    (60, x'00000000000070008000000000000002', 3, 'dead', 12, 0, 12, 12, 1, 2, 'retry', null, null, 'gave up');
insert into attempts values (40, 1, zeroblob(32), 'before', 1, 1, 1, 1, 'succeeded', null, '[]');
insert into kv values (3, 'n', x'3430', 40, 2);
insert into source_minutes values (0, 99, 'source', 2, 0, 0, '{}');
insert into plugin_minutes values (0, 99, 'p', 40, 3, 3, '{}');
update sqlite_sequence set seq = 75 where name = 'runs';
";

/// The first of its events.
const FIRST_EVENT: u128 = 0x0000_0000_0000_7000_8000_0000_0000_0001;

async fn make_first_version(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = options.create_if_missing(true).connect().await.unwrap();
    // As sqlx's own runner notes it, so that the host knows what it finds.
    let migrator = sqlx::migrate::Migrator::with_migrations(vec![sqlx::migrate::Migration::new(
        1,
        "init".into(),
        sqlx::migrate::MigrationType::Simple,
        sqlx::SqlStr::from_static(FIRST),
        false,
    )]);
    migrator
        .run_direct(None, &mut connection, false)
        .await
        .unwrap();
    let left = sqlx::raw_sql(AssertSqlSafe(LEFT));
    connection.execute(left).await.unwrap();
    // A delivery `seen` of the first event, with the body that the bench sends.
    let seen = sqlx::query("insert into dedup values ('source', $1, $2, $3, 9000000000000)")
        .bind(DedupKey::of_delivery("seen").as_bytes().to_vec())
        .bind(body_sha256(b"a").to_vec())
        .bind(FIRST_EVENT.to_be_bytes().to_vec());
    seen.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_first_version_keeps_everything() {
    let folder = TempDir::new().unwrap();
    let database = TestDatabase::new(Engine::Sqlite).await;
    make_first_version(&folder.path().join("hookbay.db")).await;
    let bench = Bench::over(database, folder).await;
    let (plugin, other) = (PluginId(3), PluginId(7));

    // Nobody else can have the file, so the run in the killed host's hands is rescued.
    assert_eq!(bench.store.rescue().await.unwrap().due, 1);
    let runs = bench.runs().await;
    let stand: Vec<(i64, RunState)> = runs.iter().map(|run| (run.id.0, run.state)).collect();
    assert_eq!(
        stand,
        [
            (40, RunState::Succeeded),
            (50, RunState::Ready),
            (51, RunState::Ready),
            (52, RunState::Waiting),
            (60, RunState::Dead)
        ]
    );
    assert_eq!(bench.outcomes(RunId(51)).await, ["host_lost"]);
    assert_eq!(bench.outcomes(RunId(40)).await, ["succeeded"]);
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!((counts.succeeded, counts.dead, counts.due), (40, 3, 2));
    let counts = bench.store.plugin_runs(other).await.unwrap();
    assert_eq!((counts.cancelled, counts.later), (2, 1));
    assert_eq!(bench.value(plugin, "n").await.as_deref(), Some("40"));
    let had = bench.store.versions(plugin).await.unwrap();
    assert_eq!(had[0].digest, "one");
    assert_eq!(had[0].first_activated_at, had[0].activated_at);
    let filter = EventFilter {
        limit: 10,
        ..EventFilter::default()
    };
    let events = bench.store.events(&filter).await.unwrap().events;
    assert_eq!(events.len(), 2);
    let (_, event) = bench.store.event(events[1].id).await.unwrap().unwrap();
    assert_eq!(event.body, "{}");

    let (_, seen) = bench.deliver(Some("seen"), false, "a", &[]).await;
    let first = EventId::from_bytes(&FIRST_EVENT.to_be_bytes()).unwrap();
    assert_eq!(seen, Ingested::Duplicate(first));

    let file = bench.file().unwrap();
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let usage = "select n_keys, n_bytes from kv_usage where plugin_id = 3";
    let usage = connection.fetch_one(usage).await.unwrap();
    assert_eq!((usage.get::<i64, _>(0), usage.get::<i64, _>(1)), (1, 3));
    connection.close().await.unwrap();

    // And it goes on from there.
    let (claimed, _) = bench.claim(plugin, 10).await;
    assert_eq!(ids(&claimed), [RunId(50), RunId(51)]);
    assert_eq!((claimed[1].attempt, claimed[1].free_attempts), (3, 2));
    bench.succeed(&claimed[0], KvEffects::default()).await;
    bench.store.retry(RunId(60)).await.unwrap();
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!((counts.succeeded, counts.dead), (41, 2));
    let new = bench.in_order(plugin, &["a", "a"]).await;
    assert_eq!(
        new,
        [RunId(76), RunId(77)],
        "no number is given a second time"
    );
}

/// Hosts of one version that start at once on a database that has none yet.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_start_at_once_migrate_once() {
    for engine in [Engine::Postgres, Engine::Pooled] {
        if !engine.is_here() {
            continue;
        }
        let folder = TempDir::new().unwrap();
        let database = TestDatabase::new(engine).await;
        let settings = database.settings(folder.path());
        let migrations = (0..4).map(|_| Store::migrate(&settings));
        for migrated in futures_util::future::join_all(migrations).await {
            migrated.unwrap();
        }
        let bench = Bench::over(database, folder).await;
        let plugin = bench.plugin("p").await;
        bench.runs_for(plugin, 1).await;
        // Days later there is a place for what comes then.
        bench.pass(Duration::from_hours(24 * 30));
        bench.runs_for(plugin, 1).await;
        assert_eq!(bench.claim(plugin, 10).await.0.len(), 2);
    }
}

/// Somebody holds what is to be brought up to date: the host says so and does not start,
/// and once nobody does, it starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_waits_for_a_lock_only_so_long() {
    for engine in [Engine::Postgres, Engine::Pooled] {
        if !engine.is_here() {
            continue;
        }
        let database = TestDatabase::new(engine).await;
        let mut settings = database.settings(Path::new("unused"));
        Store::migrate(&settings).await.unwrap();
        settings.lock_patience = Duration::from_millis(100);
        for lock in [
            // Another host migrates, and hangs.
            "select pg_advisory_xact_lock((x'686b0009'::bigint) << 32)",
            "lock table hookbay_migrations in access exclusive mode",
        ] {
            let mut holder = database.connect().await;
            let begin = sqlx::raw_sql(AssertSqlSafe(format!("begin; {lock}")));
            holder.execute(begin).await.unwrap();
            let refusal = Store::migrate(&settings).await.unwrap_err().to_string();
            for words in [
                "cannot open database",
                "lock timeout",
                "somebody holds the tables: try again",
            ] {
                assert!(refusal.contains(words), "{refusal}");
            }
            holder.execute("rollback").await.unwrap();
            Store::migrate(&settings).await.unwrap();
        }
    }
}

/// What a later version may do to the tables: add to them.
const LATER: &str = "
alter table events add column later text;
alter table runs add column later bigint not null default 0;
alter table history add column later text;
alter table attempts add column later bigint;
alter table hosts add column later text;
alter table plugins add column later bigint not null default 0;
alter table kv add column later text;
create table later (later_id bigint primary key);
insert into hookbay_migrations (version, description, checksum) values (9999, 'later', '');
";

/// A newer host has brought the tables up to date while this one runs: it goes on with what
/// it knows of them. Once it has stopped, only a newer one can start.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_goes_on_beside_a_newer_one_and_does_not_start_again() {
    for engine in [Engine::Postgres, Engine::Pooled] {
        if !engine.is_here() {
            continue;
        }
        let bench = Bench::on(engine).await;
        let plugin = bench.plugin("p").await;
        let use_it = async |n: usize| {
            bench.beat().await;
            let key = format!("k{n}");
            let (event, new) = bench.deliver(Some(&key), false, "a", &[plugin]).await;
            assert_eq!(new, Ingested::New);
            let (_, again) = bench.deliver(Some(&key), false, "a", &[plugin]).await;
            assert_eq!(again, Ingested::Duplicate(event));
            bench.in_order(plugin, &["a", "a"]).await;
            let (claimed, _) = bench.claim(plugin, 10).await;
            assert_eq!(claimed.len(), 2);
            bench.succeed(&claimed[0], increment("n")).await;
            bench.die(&claimed[1]).await;
            let dead = claimed[1].fence.run;
            assert_eq!(bench.store.retry(dead).await.unwrap(), Retried::Due(plugin));
            let (claimed, _) = bench.claim(plugin, 10).await;
            bench.store.release(vec![claimed[0].fence]).await.unwrap();
            let (claimed, _) = bench.claim(plugin, 10).await;
            bench.pass(LEASE);
            assert_eq!(bench.store.rescue().await.unwrap().due, claimed.len());
            while let (claimed, _) = bench.claim(plugin, 10).await
                && !claimed.is_empty()
            {
                for one in &claimed {
                    bench.succeed(one, increment("n")).await;
                }
            }
            let counts = bench.store.plugin_runs(plugin).await.unwrap();
            assert_eq!((counts.live(), counts.succeeded), (0, 3 * (n as i64)));
        };
        use_it(1).await;
        bench.execute(LATER).await;
        // With a day that is not there yet, too.
        bench.pass(Duration::from_hours(24 * 30));
        use_it(2).await;
        assert_eq!(bench.value(plugin, "n").await.as_deref(), Some("6"));

        let settings = bench.database.settings(Path::new("unused"));
        let refusal = Store::migrate(&settings).await.unwrap_err().to_string();
        for word in ["made by a newer Hookbay", "version 9999"] {
            assert!(refusal.contains(word), "{refusal}");
        }
        use_it(3).await;
    }
}
