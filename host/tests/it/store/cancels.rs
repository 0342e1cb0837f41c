//! What an operator ends, and what can be ended.

use std::time::Duration;

use hookbay::kv::KvEffects;
use hookbay::retry::Next;
use hookbay::run::{Outcome, RunId, RunState};
use hookbay::store::{Cancelled, Retried, Settled};

use super::bench::{Bench, increment};

pub(super) async fn a_live_run_can_be_ended_in_any_state(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 2).await;
    let (claimed, _) = bench.claim(plugin, 2).await;
    let due = bench.now().plus(Duration::from_secs(10));
    let none = KvEffects::default();
    bench
        .finish(&claimed[0], Outcome::Retry, Next::RetryAt(due), none)
        .await;
    let behind = bench.in_order(plugin, &["a", "a"]).await[1];
    let runs = bench.runs().await;
    let states: Vec<RunState> = runs.iter().map(|run| run.state).collect();
    assert_eq!(
        states,
        [
            RunState::Waiting,
            RunState::Running,
            RunState::Ready,
            RunState::Blocked
        ]
    );
    for run in [behind, runs[0].id, runs[1].id, runs[2].id] {
        let cancelled = bench.store.cancel(run).await.unwrap();
        assert_eq!(cancelled, Cancelled::Done(plugin), "{run}");
        let again = bench.store.cancel(run).await.unwrap();
        assert_eq!(again, Cancelled::NotNow(RunState::Cancelled), "{run}");
    }
    // What tried one of them before is known still.
    let listed = bench.runs().await;
    let digests: Vec<Option<Vec<u8>>> = listed.into_iter().map(|run| run.digest).collect();
    assert_eq!(digests[0], Some(vec![7; 32]));
    assert_eq!(digests[2..], [None, None]);
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!(
        (counts.cancelled, counts.running, counts.due, counts.later),
        (4, 0, 0, 0)
    );
    assert_eq!(counts.behind, 0);
    assert!(bench.claim(plugin, 10).await.0.is_empty());
}

pub(super) async fn who_executes_a_cancelled_run_is_fenced(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 1).await;
    let (held, _) = bench.claim(plugin, 1).await;
    let run = held[0].fence.run;
    bench.store.cancel(run).await.unwrap();
    assert_eq!(
        bench.succeed(&held[0], increment("n")).await,
        Settled::Fenced
    );
    assert_eq!(bench.value(plugin, "n").await, None);
    assert_eq!(bench.outcomes(run).await, ["cancelled"]);
    // Tried again, it is another claim's.
    assert_eq!(bench.store.retry(run).await.unwrap(), Retried::Due(plugin));
    let (again, _) = bench.claim(plugin, 1).await;
    assert_eq!(
        bench.succeed(&held[0], increment("n")).await,
        Settled::Fenced
    );
    bench.succeed(&again[0], increment("n")).await;
    assert_eq!(bench.value(plugin, "n").await.as_deref(), Some("1"));
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!((counts.cancelled, counts.succeeded), (0, 1));
}

pub(super) async fn what_is_over_or_unknown_cannot_be_ended(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 2).await;
    let (claimed, _) = bench.claim(plugin, 2).await;
    bench.succeed(&claimed[0], KvEffects::default()).await;
    bench.die(&claimed[1]).await;
    for (run, expected) in [
        (claimed[0].fence.run, Cancelled::NotNow(RunState::Succeeded)),
        (claimed[1].fence.run, Cancelled::NotNow(RunState::Dead)),
        (RunId(1 << 40), Cancelled::Unknown),
        (RunId(-1), Cancelled::Unknown),
    ] {
        assert_eq!(bench.store.cancel(run).await.unwrap(), expected);
    }
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!((counts.succeeded, counts.dead, counts.cancelled), (1, 1, 0));
}

pub(super) async fn an_end_and_a_cancel_at_once_are_one_of_the_two(bench: Bench) {
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let plugin = bench.plugin("p").await;
    bench.in_order(plugin, &["a"; 30]).await;
    let mut ended = 0;
    for _ in 0..30 {
        let (held, _) = bench.claim(plugin, 10).await;
        assert_eq!(held.len(), 1);
        let (settled, cancelled) = tokio::join!(
            bench.succeed(&held[0], increment("n")),
            other.store.cancel(held[0].fence.run)
        );
        match (settled, cancelled.unwrap()) {
            (Settled::Recorded(..), Cancelled::NotNow(RunState::Succeeded)) => ended += 1,
            (Settled::Fenced, Cancelled::Done(_)) => {}
            both => panic!("{both:?}"),
        }
    }
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!((counts.succeeded, counts.cancelled), (ended, 30 - ended));
    let counted = bench.value(plugin, "n").await.unwrap_or("0".to_owned());
    assert_eq!(counted, ended.to_string());
}
