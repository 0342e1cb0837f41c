//! What is due and to whom it is given.

use std::time::Duration;

use hookbay::kv::KvEffects;
use hookbay::retry::Next;
use hookbay::run::{Claimed, Fence, Outcome, RunState};
use hookbay::store::Settled;

use super::bench::{Bench, ids, increment};

pub(super) async fn claims_take_what_is_due_oldest_first(bench: Bench) {
    let (plugin, other) = (bench.plugin("p").await, bench.plugin("q").await);
    bench.runs_for(plugin, 5).await;
    let (first, next_due) = bench.claim(plugin, 3).await;
    assert_eq!((first.len(), next_due), (3, None));
    assert!(first.is_sorted_by_key(|claimed| claimed.fence.run));
    assert!(
        first
            .iter()
            .all(|claimed| (claimed.attempt, claimed.free_attempts) == (1, 0))
    );
    let (rest, next_due) = bench.claim(plugin, 3).await;
    assert_eq!((rest.len(), next_due), (2, None));
    assert!(rest[0].fence.run > first[2].fence.run);
    assert!(bench.claim(plugin, 3).await.0.is_empty(), "they are taken");
    assert!(bench.claim(other, 3).await.0.is_empty());

    let due = bench.now().plus(Duration::from_secs(10));
    let settled = bench
        .finish(
            &first[1],
            Outcome::Retry,
            Next::RetryAt(due),
            KvEffects::default(),
        )
        .await;
    assert_eq!(
        settled,
        Settled::Recorded(Outcome::Retry, Next::RetryAt(due))
    );
    let (none, next_due) = bench.claim(plugin, 3).await;
    assert_eq!((none.len(), next_due), (0, Some(due)));
    bench.pass(Duration::from_secs(10));
    let (again, _) = bench.claim(plugin, 3).await;
    assert_eq!(again.len(), 1);
    assert_eq!(
        (again[0].fence.run, again[0].attempt),
        (first[1].fence.run, 2)
    );
}

pub(super) async fn a_run_waits_by_the_stores_own_clock(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let (event, _) = bench.deliver(None, false, "a", &[plugin]).await;
    let (claimed, _) = bench.claim(plugin, 1).await;
    assert_eq!(bench.states().await, [RunState::Running]);
    let due = bench.now().plus(Duration::from_secs(60));
    bench
        .finish(
            &claimed[0],
            Outcome::Retry,
            Next::RetryAt(due),
            KvEffects::default(),
        )
        .await;
    for (passed, expected) in [(59, RunState::Waiting), (1, RunState::Ready)] {
        bench.pass(Duration::from_secs(passed));
        assert_eq!(bench.states().await, [expected]);
        let live = bench.store.plugin_runs(plugin).await.unwrap();
        assert_eq!(
            (live.due, live.later),
            if expected == RunState::Ready {
                (1, 0)
            } else {
                (0, 1)
            }
        );
        let counts = bench.store.run_counts(&[event]).await.unwrap();
        assert_eq!(counts[0].state, expected);
    }
}

pub(super) async fn what_is_given_back_has_used_up_nothing(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 2).await;
    for _ in 0..5 {
        let (claimed, _) = bench.claim(plugin, 2).await;
        assert_eq!(
            claimed.iter().map(|one| one.attempt).collect::<Vec<_>>(),
            [1, 1]
        );
        bench
            .store
            .release(claimed.iter().map(|one| one.fence).collect())
            .await
            .unwrap();
    }
    assert_eq!(bench.states().await, [RunState::Ready, RunState::Ready]);
}

pub(super) async fn a_dead_hosts_runs_are_due_at_once(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 3).await;
    let (held, _) = bench.claim(plugin, 2).await;
    let bench = bench.reopened().await;
    assert_eq!(
        bench.succeed(&held[0], increment("n")).await,
        Settled::Fenced,
        "the start before has lost it"
    );
    let (claimed, _) = bench.claim(plugin, 10).await;
    let counts: Vec<(u32, u32)> = claimed
        .iter()
        .map(|one| (one.attempt, one.free_attempts))
        .collect();
    assert_eq!(counts, [(2, 1), (2, 1), (1, 0)]);
    let attempts = bench.store.attempts(held[0].fence.run).await.unwrap();
    assert_eq!(
        attempts
            .iter()
            .map(|one| one.outcome.as_str())
            .collect::<Vec<_>>(),
        ["host_lost"]
    );
}

/// A claim of many runs may begin where the one before it ended; what became ready
/// before that place must not wait for long.
pub(super) async fn what_is_given_back_is_found_among_many(bench: Bench) {
    const MANY: u32 = 20;
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 460).await;
    let fences = |claimed: &[Claimed]| claimed[..5].iter().map(|one| one.fence).collect();
    let holds = |claimed: &[Claimed], back: &[Claimed]| {
        let ids = ids(claimed);
        back[..5].iter().all(|one| ids.contains(&one.fence.run))
    };

    // After some time.
    let (back, _) = bench.claim(plugin, MANY).await;
    bench.store.release(fences(&back)).await.unwrap();
    bench.pass(Duration::from_millis(250));
    assert!(holds(&bench.claim(plugin, MANY).await.0, &back), "in time");

    // After some claims.
    let (back, _) = bench.claim(plugin, MANY).await;
    bench.store.release(fences(&back)).await.unwrap();
    let mut claims = 0;
    loop {
        claims += 1;
        let (claimed, _) = bench.claim(plugin, MANY).await;
        assert_eq!(claimed.len(), 20, "there are enough");
        if holds(&claimed, &back) {
            break;
        }
    }
    assert!(claims <= 17, "{claims}");

    // At once, where there is room for all.
    let (back, _) = bench.claim(plugin, MANY).await;
    bench.store.release(fences(&back)).await.unwrap();
    let (rest, _) = bench.claim(plugin, 1000).await;
    assert!(holds(&rest, &back), "everything was wanted");
    assert_eq!(bench.claim(plugin, 1).await.0.len(), 0, "nothing is left");
}

/// A server that crashed, or a standby that took over, may know nothing of a claim: those
/// do not wait for the disk.
pub(super) async fn a_claim_that_the_database_forgot_ends_nothing(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.beat().await;
    bench.runs_for(plugin, 1).await;
    let (forgotten, _) = bench.claim(plugin, 1).await;
    bench
        .execute(
            "update runs set state = 0, owner = null, deadline_ms = null, attempt = 0, lease_no = 0",
        )
        .await;
    let (again, _) = bench.claim(plugin, 1).await;
    assert_eq!(ids(&again), ids(&forgotten));
    assert_eq!(
        bench.succeed(&forgotten[0], increment("n")).await,
        Settled::Fenced
    );
    bench.store.release(vec![forgotten[0].fence]).await.unwrap();
    assert_eq!(bench.states().await, [RunState::Running]);
    bench.succeed(&again[0], increment("n")).await;
    assert_eq!(bench.value(plugin, "n").await.as_deref(), Some("1"));
}

/// Nor of the run itself, whose id another then gets.
pub(super) async fn a_run_that_the_database_forgot_ends_no_other(bench: Bench) {
    if bench.file().is_some() {
        // A file forgets nothing that was committed.
        return;
    }
    let plugin = bench.plugin("p").await;
    bench.beat().await;
    bench.runs_for(plugin, 1).await;
    let (forgotten, _) = bench.claim(plugin, 1).await;
    let id = forgotten[0].fence.run;
    bench
        .execute(&format!(
            "delete from runs; alter table runs alter column run_id restart with {id}"
        ))
        .await;
    bench.runs_for(plugin, 1).await;
    let (other, _) = bench.claim(plugin, 1).await;
    assert_eq!(ids(&other), [id]);
    assert_ne!(other[0].event, forgotten[0].event);
    assert_eq!(
        bench.succeed(&forgotten[0], increment("n")).await,
        Settled::Fenced
    );
    assert_eq!(bench.states().await, [RunState::Running]);
    assert_eq!(bench.value(plugin, "n").await, None);
}

/// What a host compares its own account with.
pub(super) async fn a_host_can_ask_what_it_holds(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 3).await;
    let (claimed, _) = bench.claim(plugin, 3).await;
    let fences: Vec<Fence> = claimed.iter().map(|one| one.fence).collect();
    let sorted = |mut held: Vec<Fence>| {
        held.sort_unstable_by_key(|fence| fence.run);
        held
    };
    let store = &bench.store;
    assert_eq!(sorted(store.held().await.unwrap()), fences);
    assert_eq!(
        sorted(store.held_of(ids(&claimed[1..])).await.unwrap()),
        fences[1..]
    );
    assert!(store.held_of(Vec::new()).await.unwrap().is_empty());
    store.release(vec![fences[0]]).await.unwrap();
    assert_eq!(
        sorted(store.held_of(ids(&claimed)).await.unwrap()),
        fences[1..]
    );
    if let Some(other) = bench.neighbour().await {
        assert!(other.store.held_of(ids(&claimed)).await.unwrap().is_empty());
    }
}
