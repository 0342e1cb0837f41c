//! How often runs of a plugin may start, on all hosts together.

use std::time::Duration;

use futures_util::future::join_all;
use hookbay::run::{Claimed, PluginId};
use hookbay::store::Want;

use super::bench::{Bench, want};

/// Claims at a rate; when more may start is said where there was less than wanted.
async fn claim_at(
    bench: &Bench,
    rate: &str,
    plugin: PluginId,
    count: u32,
) -> (Vec<Claimed>, Option<Duration>) {
    let wanted = Want {
        rate: Some(rate.parse().unwrap()),
        ..want(plugin, count)
    };
    let got = bench.store.claim(vec![wanted]).await.unwrap();
    let next = got.next_due.iter().find(|(of, _)| *of == plugin);
    let wait = next.map(|(_, due)| due.since(bench.now()));
    let runs = got.runs.into_iter().map(|(claimed, _)| claimed);
    (runs.collect(), wait)
}

pub(super) async fn a_rate_bounds_what_is_claimed_and_says_when_more_is(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 20).await;
    let (burst, wait) = claim_at(&bench, "4/s", plugin, 10).await;
    assert_eq!(
        (burst.len(), wait),
        (4, Some(Duration::from_millis(250))),
        "a second's worth"
    );
    for (passed, count, next) in [(0, 0, 250), (249, 0, 1), (1, 1, 250), (500, 2, 250)] {
        bench.pass(Duration::from_millis(passed));
        let (claimed, wait) = claim_at(&bench, "4/s", plugin, 10).await;
        let next = Some(Duration::from_millis(next));
        assert_eq!((claimed.len(), wait), (count, next), "after {passed} ms");
    }
    bench.pass(Duration::from_secs(60));
    let (burst, _) = claim_at(&bench, "4/s", plugin, 10).await;
    assert_eq!(burst.len(), 4, "no more is kept for later");
}

pub(super) async fn what_is_due_later_is_not_due_for_a_rate(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 1).await;
    let (claimed, wait) = claim_at(&bench, "1/m", plugin, 10).await;
    assert_eq!((claimed.len(), wait), (1, None), "nothing is left");
    bench.fail(&claimed[0]).await;
    let (claimed, wait) = claim_at(&bench, "1/m", plugin, 10).await;
    assert_eq!(
        (claimed.len(), wait),
        (0, Some(Duration::from_secs(60))),
        "a retry starts a run too"
    );
}

pub(super) async fn a_rate_without_runs_is_not_used_up(bench: Bench) {
    let plugin = bench.plugin("p").await;
    for _ in 0..5 {
        assert!(claim_at(&bench, "2/s", plugin, 10).await.0.is_empty());
    }
    bench.runs_for(plugin, 5).await;
    assert_eq!(claim_at(&bench, "2/s", plugin, 10).await.0.len(), 2);
}

pub(super) async fn one_plugins_rate_does_not_hold_up_another(bench: Bench) {
    let (slow, quick) = (bench.plugin("p").await, bench.plugin("q").await);
    bench.runs_for(slow, 5).await;
    bench.runs_for(quick, 5).await;
    let limited = Want {
        rate: Some("1/s".parse().unwrap()),
        ..want(slow, 5)
    };
    let wants = vec![limited, want(quick, 5)];
    let got = bench.store.claim(wants).await.unwrap();
    let of = |plugin| got.runs.iter().filter(move |(one, _)| one.plugin == plugin);
    assert_eq!((of(slow).count(), of(quick).count()), (1, 5));
}

pub(super) async fn hosts_share_a_rate(bench: Bench) {
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 60).await;
    let mut started = 0;
    for second in 0..4 {
        let claims = (0..8).map(|n| {
            let host = if n % 2 == 0 { &bench } else { &other };
            claim_at(host, "10/s", plugin, 3)
        });
        let claimed = join_all(claims).await;
        started += claimed.iter().map(|(runs, _)| runs.len()).sum::<usize>();
        assert_eq!(started, 10 * (second + 1));
        bench.pass(Duration::from_secs(1));
    }
}
