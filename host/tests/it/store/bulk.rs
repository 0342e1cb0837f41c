//! Bulk retries of two hosts over the same runs, while others of these end: all take their
//! locks in one order, so that nobody waits for who waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use hookbay::kv::KvEffects;
use hookbay::run::{NewRun, OrderKey, PluginId, RunId, RunState};
use hookbay::store::{NewEvent, NewOperation, OwnOperation, Request, RunFilter, Settled};

use super::bench::{Bench, Dice, WINDOW, want};
use crate::harness::eventually;

const EVENTS: usize = 80;
/// Ends after which a run is to be tried again.
const DEATHS: usize = 600;

/// How the work stands.
#[derive(Default)]
struct Work {
    deaths: AtomicUsize,
    succeeded: AtomicUsize,
    is_over: AtomicBool,
}

/// An operation that a host works on: it tries dead runs again.
async fn retry(host: &Bench) -> OwnOperation {
    host.beat().await;
    let request = Request::Retry { filter: dead() };
    let new = NewOperation {
        request,
        is_dry_run: false,
        created_by: None,
        idempotency_key: None,
    };
    host.store.begin_operation(new).await.unwrap();
    host.store.own_operations().await.unwrap().remove(0)
}

fn dead() -> RunFilter {
    RunFilter {
        state: Some(RunState::Dead),
        ..RunFilter::default()
    }
}

/// Tries all dead runs again, without end.
async fn revive(host: &Bench, operation: &OwnOperation, work: &Work) {
    let filter = dead();
    let (first, last) = (RunId::BEFORE_ALL, RunId(i64::MAX));
    while !work.is_over.load(Ordering::SeqCst) {
        let page = host.store.retriable_between(&filter, first, last, 1000);
        let runs = page.await.unwrap().runs;
        // It stays where it is, so that it goes over all of them again.
        let to = Some(operation.position.clone());
        let slice = host.store.retry_slice(operation, to, runs, RunState::Dead);
        assert!(slice.await.unwrap().is_some());
    }
}

/// Claims and ends runs, many at once, until each has succeeded.
async fn execute(host: &Bench, plugins: &[PluginId], seed: u64, work: &Work) {
    let mut dice = Dice(seed);
    while !work.is_over.load(Ordering::SeqCst) {
        let wants = plugins.iter().map(|plugin| want(*plugin, 8)).collect();
        let claimed = host.store.claim(wants).await.unwrap().runs;
        let ends = claimed.iter().map(|(claimed, _)| {
            let dies = dice.below(3) > 0 && work.deaths.fetch_add(1, Ordering::SeqCst) < DEATHS;
            async move {
                let settled = if dies {
                    host.die(claimed).await
                } else {
                    host.succeed(claimed, KvEffects::default()).await
                };
                assert_ne!(settled, Settled::Fenced);
                !dies
            }
        });
        let ends: Vec<_> = ends.collect();
        let succeeded = join_all(ends).await.into_iter().filter(|is| *is).count();
        let before = work.succeeded.fetch_add(succeeded, Ordering::SeqCst);
        if before + succeeded == EVENTS * plugins.len() {
            work.is_over.store(true, Ordering::SeqCst);
        }
    }
}

pub(super) async fn retries_of_two_hosts_and_ends_do_not_wait_for_each_other(bench: Bench) {
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let mut plugins = Vec::new();
    for name in ["p", "q", "r"] {
        plugins.push(bench.plugin(name).await);
    }
    let order = |n: usize| (!n.is_multiple_of(3)).then(|| OrderKey::of(&(n % 20).to_string()));
    let runs = |n| {
        let run = |plugin: &PluginId| NewRun {
            plugin: *plugin,
            order: order(n),
        };
        plugins.iter().map(run).collect()
    };
    let new = |n| NewEvent::new(bench.event("a"), None, false, WINDOW, runs(n));
    bench.ingest((0..EVENTS).map(new).collect()).await;
    let operations = [retry(&bench).await, retry(&other).await];
    let work = Work::default();
    tokio::join!(
        revive(&bench, &operations[0], &work),
        revive(&other, &operations[1], &work),
        execute(&bench, &plugins, 3, &work),
        execute(&bench, &plugins, 5, &work),
        execute(&other, &plugins, 7, &work),
        execute(&other, &plugins, 11, &work),
    );
    assert!(work.deaths.load(Ordering::SeqCst) > DEATHS / 2);
    let states = bench.states().await;
    assert_eq!(states, vec![RunState::Succeeded; EVENTS * plugins.len()]);
    for plugin in &plugins {
        let counts = bench.store.plugin_runs(*plugin).await.unwrap();
        assert_eq!((counts.succeeded, counts.dead), (EVENTS as i64, 0));
    }
    // What a session has counted is told at its end. One that was given up is tried again:
    // nobody else would notice.
    let database = Arc::clone(&bench.database);
    other.store.close().await;
    bench.store.close().await;
    if database.engine() == crate::database::Engine::Postgres {
        eventually("the sessions have ended", async || {
            (database.connections().await == 0).then_some(())
        })
        .await;
    }
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(database.number(deadlocks).await, 0);
}
