//! Hosts and their leases: who is silent too long loses its runs, and nothing else.

use std::time::Duration;

use futures_util::future::join_all;
use hookbay::kv::KvEffects;
use hookbay::run::{Claimed, DEATHS_MAX, RunId, RunState};
use hookbay::store::{Rescued, Settled};
use sqlx::Executor as _;

use super::bench::{Bench, HOLD, LEASE, ids, increment};

/// One millisecond: what parts a lease that holds from one that is over.
const MOMENT: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);

pub(super) async fn a_host_keeps_its_runs_as_long_as_its_lease(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.beat().await;
    bench.runs_for(plugin, 2).await;
    let (held, _) = bench.claim(plugin, 2).await;
    for _ in 0..3 {
        bench.pass(LEASE - MOMENT);
        assert_eq!(bench.store.rescue().await.unwrap(), Rescued::default());
        bench.beat().await;
    }
    bench.succeed(&held[0], increment("n")).await;
    bench.pass(LEASE);
    let rescued = bench.store.rescue().await.unwrap();
    assert_eq!((rescued.due, rescued.dead), (1, 0));
    assert_eq!(rescued.plugins, [plugin]);
    assert_eq!(
        bench.states().await,
        [RunState::Succeeded, RunState::Ready],
        "what it had finished stays so"
    );
}

pub(super) async fn a_silent_hosts_runs_are_due_at_once(bench: Bench) {
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let plugin = bench.plugin("p").await;
    bench.beat().await;
    bench.runs_for(plugin, 1).await;
    let (held, _) = bench.claim(plugin, 1).await;
    bench.pass(LEASE);
    other.beat().await;
    assert_eq!(other.store.rescue().await.unwrap().due, 1);
    assert_eq!(other.store.rescue().await.unwrap(), Rescued::default());
    let (taken, _) = other.claim(plugin, 1).await;
    assert_eq!(ids(&taken), ids(&held));
    // The attempt is on record and uses up none.
    assert_eq!((taken[0].attempt, taken[0].free_attempts), (2, 1));
    assert_eq!(bench.outcomes(held[0].fence.run).await, ["host_lost"]);
    // Whoever lost it leaves no trace, whether it wakes up before or after the other's end.
    assert!(!bench.store.note_executing(held[0].fence).await.unwrap());
    assert_eq!(
        bench.succeed(&held[0], increment("n")).await,
        Settled::Fenced
    );
    other.succeed(&taken[0], increment("n")).await;
    assert_eq!(
        bench.succeed(&held[0], increment("n")).await,
        Settled::Fenced
    );
    assert_eq!(bench.value(plugin, "n").await.as_deref(), Some("1"));
    assert_eq!(
        bench.outcomes(held[0].fence.run).await,
        ["host_lost", "succeeded"]
    );
}

pub(super) async fn a_host_that_ends_its_lease_gives_its_runs_away(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.beat().await;
    bench.runs_for(plugin, 1).await;
    bench.claim(plugin, 1).await;
    bench.store.end_lease(bench.store.epoch()).await.unwrap();
    assert!(bench.store.live_hosts().await.unwrap().is_empty());
    assert_eq!(bench.store.rescue().await.unwrap().due, 1);
}

pub(super) async fn a_host_that_is_not_in_the_registry_has_no_runs(bench: Bench) {
    if bench.neighbour().await.is_none() {
        return;
    }
    let plugin = bench.plugin("p").await;
    bench.beat().await;
    bench.runs_for(plugin, 1).await;
    let (held, _) = bench.claim(plugin, 1).await;
    let mut connection = bench.database.connect().await;
    connection.execute("delete from hosts").await.unwrap();
    assert_eq!(bench.store.rescue().await.unwrap().due, 1);
    // Nor does a beat after that make them its own again.
    bench.beat().await;
    assert_eq!(
        bench.succeed(&held[0], KvEffects::default()).await,
        Settled::Fenced
    );
}

pub(super) async fn a_run_that_is_held_too_long_is_freed(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 1).await;
    bench.beat().await;
    let (held, _) = bench.claim(plugin, 1).await;
    bench.pass(HOLD);
    bench.beat().await;
    assert_eq!(bench.store.rescue().await.unwrap(), Rescued::default());
    bench.pass(MOMENT);
    assert_eq!(bench.store.rescue().await.unwrap().due, 1);
    assert_eq!(
        bench.succeed(&held[0], KvEffects::default()).await,
        Settled::Fenced
    );
    let (again, _) = bench.claim(plugin, 1).await;
    assert_eq!(
        again[0].deaths, 0,
        "its host lives: that it hung is another thing"
    );
    assert_eq!((again[0].attempt, again[0].free_attempts), (2, 1));
}

/// Claims the one run; its host dies, after the guest was started where `is_executing`.
async fn die_with(bench: &Bench, is_executing: bool) -> (Claimed, Rescued) {
    let plugin = bench.plugin("p").await;
    bench.beat().await;
    let (held, _) = bench.claim(plugin, 1).await;
    if is_executing {
        assert!(bench.store.note_executing(held[0].fence).await.unwrap());
    }
    bench.pass(LEASE);
    let rescued = bench.store.rescue().await.unwrap();
    (held[0].clone(), rescued)
}

pub(super) async fn a_run_that_kills_its_hosts_is_ended(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 1).await;
    for deaths in 0..DEATHS_MAX - 1 {
        let (held, rescued) = die_with(&bench, true).await;
        assert_eq!(
            (held.deaths, rescued.due, rescued.dead),
            (deaths, 1, 0),
            "not yet"
        );
    }
    let (held, rescued) = die_with(&bench, true).await;
    assert_eq!((rescued.due, rescued.dead), (0, 1));
    assert_eq!(bench.states().await, [RunState::Dead]);
    assert_eq!(
        bench.runs().await[0].outcome.as_deref(),
        Some("killed_host")
    );
    assert_eq!(
        bench.outcomes(held.fence.run).await,
        ["host_lost", "host_lost", "killed_host"]
    );
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!((counts.dead, counts.running), (1, 0));
    // An operator who knows better can have it tried again, from the start.
    bench.store.retry(held.fence.run).await.unwrap();
    let (again, _) = bench.claim(plugin, 1).await;
    assert_eq!(again[0].deaths, 0);
}

pub(super) async fn a_run_that_was_only_claimed_ahead_kills_nobody(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 1).await;
    for deaths in [0, 1, 1, 1, 1] {
        let (held, rescued) = die_with(&bench, false).await;
        assert_eq!((held.deaths, rescued.due), (deaths, 1));
    }
    assert_eq!(bench.states().await, [RunState::Ready]);
}

/// Hosts that are stopped one after the other cut a long run short each time.
pub(super) async fn a_host_that_stops_in_good_order_was_not_killed(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 1).await;
    for stops in 0..=DEATHS_MAX {
        bench.beat().await;
        let (held, _) = bench.claim(plugin, 1).await;
        assert_eq!((held[0].deaths, held[0].free_attempts), (0, stops));
        bench.store.leave().await.unwrap();
        // What comes after that knows it still, also where the clock is set back meanwhile:
        // the start before was over.
        bench.go_back(HOUR);
        let moved = &mut { RunId::BEFORE_ALL };
        bench.store.clock_set_back(HOUR, moved).await.unwrap();
        let epoch = bench.store.epoch();
        bench.store.end_lease(epoch).await.unwrap();
        bench.store.forget_hosts().await.unwrap();
        assert_eq!(bench.store.rescue().await.unwrap().due, 1);
    }
    let run = bench.runs().await[0].id;
    let attempts = bench.store.attempts(run).await.unwrap();
    assert!(attempts.iter().all(|one| one.host == "test"));
    // Those that really die count all the same.
    for _ in 0..DEATHS_MAX {
        die_with(&bench, true).await;
    }
    assert_eq!(bench.states().await, [RunState::Dead]);
}

pub(super) async fn an_attempt_that_ends_clears_its_run(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 1).await;
    for _ in 0..3 {
        for deaths in 0..DEATHS_MAX - 1 {
            let (held, _) = die_with(&bench, true).await;
            assert_eq!(held.deaths, deaths);
        }
        bench.beat().await;
        let (held, _) = bench.claim(plugin, 1).await;
        assert_eq!(held[0].deaths, DEATHS_MAX - 1);
        bench.fail(&held[0]).await;
    }
    assert_eq!(bench.states().await, [RunState::Ready]);
}

pub(super) async fn a_run_that_killed_its_hosts_frees_its_key(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let runs = bench.in_order(plugin, &["a", "a"]).await;
    for _ in 0..DEATHS_MAX {
        let (held, _) = die_with(&bench, true).await;
        assert_eq!(held.fence.run, runs[0]);
    }
    let (next, _) = bench.claim(plugin, 10).await;
    assert_eq!(ids(&next), [runs[1]]);
}

pub(super) async fn rescues_at_once_rescue_each_run_once(bench: Bench) {
    const MANY: usize = 1200;
    let (Some(other), Some(dead)) = (bench.neighbour().await, bench.neighbour().await) else {
        return;
    };
    let plugin = bench.plugin("p").await;
    let keys: Vec<String> = (0..MANY).map(|n| n.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    bench.in_order(plugin, &keys).await;
    dead.beat().await;
    let (held, _) = dead.claim(plugin, u32::try_from(MANY).unwrap()).await;
    bench.pass(LEASE);
    let rescuers = (0..4).map(|n| {
        let store = if n % 2 == 0 {
            &bench.store
        } else {
            &other.store
        };
        async move {
            let mut rescued = 0;
            for _ in 0..10 {
                rescued += store.rescue().await.unwrap().due;
            }
            rescued
        }
    });
    // Meanwhile the host that was taken for dead records its ends: each of its runs is
    // either finished by it or rescued.
    let ends = join_all(
        held.iter()
            .take(300)
            .map(|one| dead.succeed(one, increment("n"))),
    );
    let (rescued, settled) = tokio::join!(join_all(rescuers), ends);
    let late: usize = {
        let mut late = 0;
        while let Ok(Rescued { due, .. }) = bench.store.rescue().await
            && due > 0
        {
            late += due;
        }
        late
    };
    let finished = settled
        .iter()
        .filter(|one| **one != Settled::Fenced)
        .count();
    assert_eq!(rescued.iter().sum::<usize>() + late + finished, MANY);
    let (again, _) = bench.claim(plugin, u32::try_from(MANY).unwrap()).await;
    assert_eq!(again.len(), MANY - finished);
    assert!(again.iter().all(|one| one.attempt == 2), "once each");
    let counted = bench.value(plugin, "n").await.unwrap_or("0".to_owned());
    assert_eq!(counted, finished.to_string());
}
