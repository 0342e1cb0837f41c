//! Ordering keys: the runs of one go one at a time, in the order in which they were
//! stored.

use std::time::Duration;

use hookbay::kv::KvEffects;
use hookbay::retry::Next;
use hookbay::run::{NewRun, OrderKey, Outcome, PluginId, RunId, RunState};
use hookbay::store::{Cancelled, NewEvent, Retried};

use super::bench::{Bench, WINDOW, ids};

/// The runs that can be claimed now; they are given back.
async fn claimable(bench: &Bench, plugin: PluginId) -> Vec<RunId> {
    let (claimed, _) = bench.claim(plugin, 100).await;
    let fences = claimed.iter().map(|one| one.fence).collect();
    bench.store.release(fences).await.unwrap();
    ids(&claimed)
}

/// Claims the one run that can be, and lets it succeed.
async fn run_next(bench: &Bench, plugin: PluginId) -> RunId {
    let (claimed, _) = bench.claim(plugin, 100).await;
    assert_eq!(claimed.len(), 1, "one at a time");
    bench.succeed(&claimed[0], KvEffects::default()).await;
    claimed[0].fence.run
}

pub(super) async fn only_the_first_of_a_key_can_be_claimed(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let runs = bench.in_order(plugin, &["a", "a", "b", "a", "b"]).await;
    let (claimed, next_due) = bench.claim(plugin, 100).await;
    assert_eq!(ids(&claimed), [runs[0], runs[2]]);
    assert_eq!(next_due, None, "what waits behind its key is not due");
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!((counts.running, counts.due, counts.behind), (2, 0, 3));
    let filter = hookbay::store::RunFilter {
        state: Some(RunState::Blocked),
        limit: 10,
        ..hookbay::store::RunFilter::default()
    };
    assert_eq!(bench.store.runs(&filter).await.unwrap().len(), 3);

    bench.succeed(&claimed[0], KvEffects::default()).await;
    assert_eq!(claimable(&bench, plugin).await, [runs[1]]);
    bench.succeed(&claimed[1], KvEffects::default()).await;
    assert_eq!(claimable(&bench, plugin).await, [runs[1], runs[4]]);
}

pub(super) async fn a_retry_keeps_the_key(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let runs = bench.in_order(plugin, &["a", "a"]).await;
    let (claimed, _) = bench.claim(plugin, 100).await;
    let due = bench.now().plus(Duration::from_secs(10));
    let none = KvEffects::default();
    bench
        .finish(&claimed[0], Outcome::Retry, Next::RetryAt(due), none)
        .await;
    let (nothing, next_due) = bench.claim(plugin, 100).await;
    assert_eq!((ids(&nothing), next_due), (vec![], Some(due)));
    assert_eq!(bench.states().await, [RunState::Waiting, RunState::Blocked]);
    bench.pass(Duration::from_secs(10));
    assert_eq!(claimable(&bench, plugin).await, [runs[0]]);

    // Neither does one that does not count.
    let (claimed, _) = bench.claim(plugin, 100).await;
    let none = KvEffects::default();
    bench
        .finish(&claimed[0], Outcome::Conflict, Next::Again, none)
        .await;
    assert_eq!(run_next(&bench, plugin).await, runs[0]);
    assert_eq!(run_next(&bench, plugin).await, runs[1]);
}

/// The run that one waits behind.
async fn first_before(bench: &Bench, run: RunId) -> Option<RunId> {
    bench.store.first_of_its_key(run).await.unwrap()
}

pub(super) async fn a_dead_run_lets_the_next_one_go(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let runs = bench.in_order(plugin, &["a", "a", "a"]).await;
    let (claimed, _) = bench.claim(plugin, 100).await;
    bench.die(&claimed[0]).await;
    let (second, _) = bench.claim(plugin, 100).await;
    assert_eq!(ids(&second), [runs[1]]);
    // Tried again, it waits for the one that has the key now, and goes before the rest.
    let retried = bench.store.retry(runs[0]).await.unwrap();
    assert_eq!(retried, Retried::Due(plugin));
    assert_eq!(claimable(&bench, plugin).await, []);
    for behind in [runs[0], runs[2]] {
        assert_eq!(first_before(&bench, behind).await, Some(runs[1]));
    }
    assert_eq!(first_before(&bench, runs[1]).await, None);
    bench.succeed(&second[0], KvEffects::default()).await;
    assert_eq!(run_next(&bench, plugin).await, runs[0]);
    assert_eq!(run_next(&bench, plugin).await, runs[2]);
}

pub(super) async fn a_dead_run_blocks_its_key_where_that_is_wanted(bench: Bench) {
    let plugin = bench.blocking_plugin("p").await;
    let runs = bench.in_order(plugin, &["a", "a", "b", "a"]).await;
    let (claimed, _) = bench.claim(plugin, 100).await;
    bench.die(&claimed[0]).await;
    bench.succeed(&claimed[1], KvEffects::default()).await;
    let later = bench.in_order(plugin, &["a", "b"]).await;
    assert_eq!(claimable(&bench, plugin).await, [later[1]], "only `b`");
    for (run, first) in [
        (runs[0], None),
        (runs[3], Some(runs[0])),
        (later[0], Some(runs[0])),
        (later[1], None),
    ] {
        assert_eq!(first_before(&bench, run).await, first, "{run}");
    }

    // Tried again it goes first, and may block again.
    let retried = bench.store.retry(runs[0]).await.unwrap();
    assert_eq!(retried, Retried::Due(plugin));
    assert_eq!(claimable(&bench, plugin).await, [runs[0], later[1]]);
    let (claimed, _) = bench.claim(plugin, 1).await;
    bench.die(&claimed[0]).await;
    assert_eq!(claimable(&bench, plugin).await, [later[1]]);

    // Ended by an operator it lets the next one go.
    let cancelled = bench.store.cancel(runs[0]).await.unwrap();
    assert_eq!(cancelled, Cancelled::Done(plugin));
    let again = bench.store.cancel(runs[0]).await.unwrap();
    assert_eq!(again, Cancelled::NotNow(RunState::Cancelled));
    assert_eq!(claimable(&bench, plugin).await, [runs[1], later[1]]);
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!((counts.dead, counts.cancelled, counts.behind), (0, 1, 2));
}

pub(super) async fn a_dead_run_blocks_nothing_when_others_of_its_key_succeed(bench: Bench) {
    let plugin = bench.blocking_plugin("p").await;
    let runs = bench.in_order(plugin, &["a", "a"]).await;
    let (claimed, _) = bench.claim(plugin, 1).await;
    bench.die(&claimed[0]).await;
    bench.store.retry(runs[0]).await.unwrap();
    assert_eq!(run_next(&bench, plugin).await, runs[0]);
    assert_eq!(run_next(&bench, plugin).await, runs[1]);
    assert_eq!(
        bench.states().await,
        [RunState::Succeeded, RunState::Succeeded]
    );
}

pub(super) async fn a_replay_goes_last(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let runs = bench.in_order(plugin, &["a", "a", "a"]).await;
    assert_eq!(run_next(&bench, plugin).await, runs[0]);
    let event = bench.runs().await[0].event;
    let again = NewRun {
        plugin,
        order: Some(OrderKey::of("a")),
    };
    let replayed = bench.store.replay(event, vec![again]).await.unwrap();
    let replayed = replayed.unwrap();
    assert!(replayed[0] > runs[2]);
    for expected in [runs[1], runs[2], replayed[0]] {
        assert_eq!(run_next(&bench, plugin).await, expected);
    }
}

pub(super) async fn keys_and_plugins_do_not_hold_each_other_up(bench: Bench) {
    let (plugin, other) = (bench.plugin("p").await, bench.plugin("q").await);
    let first = bench.in_order(plugin, &["a"]).await;
    let second = bench.in_order(other, &["a", "a"]).await;
    bench.runs_for(plugin, 2).await;
    assert_eq!(claimable(&bench, plugin).await.len(), 3);
    assert_eq!(claimable(&bench, other).await, [second[0]]);
    let (claimed, _) = bench.claim(plugin, 1).await;
    assert_eq!(ids(&claimed), first);
    bench.die(&claimed[0]).await;
    assert_eq!(claimable(&bench, other).await, [second[0]]);
}

pub(super) async fn a_run_that_is_given_back_is_the_first_again(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let runs = bench.in_order(plugin, &["a", "a"]).await;
    for _ in 0..3 {
        assert_eq!(claimable(&bench, plugin).await, [runs[0]]);
    }
}

pub(super) async fn a_cancelled_run_lets_the_next_one_go(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let runs = bench.in_order(plugin, &["a", "a", "a", "a"]).await;
    let done = Cancelled::Done(plugin);
    assert_eq!(bench.store.cancel(runs[1]).await.unwrap(), done, "behind");
    assert_eq!(claimable(&bench, plugin).await, [runs[0]]);
    assert_eq!(bench.store.cancel(runs[0]).await.unwrap(), done, "ready");
    let (claimed, _) = bench.claim(plugin, 100).await;
    assert_eq!(ids(&claimed), [runs[2]]);
    assert_eq!(bench.store.cancel(runs[2]).await.unwrap(), done, "running");
    assert_eq!(claimable(&bench, plugin).await, [runs[3]]);
}

pub(super) async fn a_large_batch_keeps_the_order_of_its_events(bench: Bench) {
    let plugin = bench.plugin("p").await;
    for size in [3, 40, 256] {
        let runs = bench.in_order(plugin, &vec!["a"; size]).await;
        assert!(runs.is_sorted(), "{size} events: {runs:?}");
    }
}

pub(super) async fn events_with_two_keys_of_deduplication_are_in_order_too(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let run = NewRun {
        plugin,
        order: Some(OrderKey::of("a")),
    };
    let events: Vec<_> = (0..5).map(|n| bench.event(&n.to_string())).collect();
    let stored: Vec<_> = events.iter().map(|event| event.id).collect();
    let batch = events
        .into_iter()
        .enumerate()
        .map(|(n, event)| NewEvent::new(event, Some(&format!("k{n}")), true, WINDOW, vec![run]));
    bench.store.ingest(batch.collect()).await.unwrap();
    let events: Vec<_> = bench.runs().await.iter().map(|run| run.event).collect();
    assert_eq!(events, stored);
    assert_eq!(claimable(&bench, plugin).await.len(), 1);
}
