//! A clock that is set while runs wait and execute: nobody loses a run for it, and none
//! waits for it. On Postgres it is the database's.

use std::time::Duration;

use hookbay::kv::KvEffects;
use hookbay::retry::Next;
use hookbay::run::{Outcome, RunId, RunState};
use hookbay::store::{Ingested, Rescued, Settled, Want};

use super::bench::{Bench, HOLD, WINDOW, ids, increment, want};

const HOURS: Duration = Duration::from_hours(5);
const SOON: Duration = Duration::from_mins(5);

pub(super) async fn a_clock_set_ahead_takes_no_run_from_its_host(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.beat().await;
    bench.runs_for(plugin, 2).await;
    let (held, _) = bench.claim(plugin, 2).await;
    bench.pass(HOURS);
    bench.beat().await;
    bench.store.clock_set_ahead(HOURS).await.unwrap();
    assert_eq!(bench.store.rescue().await.unwrap(), Rescued::default());
    let settled = bench.succeed(&held[0], increment("n")).await;
    assert_eq!(
        settled,
        Settled::Recorded(Outcome::Succeeded, Next::Succeeded)
    );
    // One that hangs is late as long after that as it would have been.
    bench.pass(HOLD);
    bench.beat().await;
    assert_eq!(bench.store.rescue().await.unwrap(), Rescued::default());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.store.rescue().await.unwrap().due, 1);
}

pub(super) async fn a_clock_set_back_makes_nothing_wait(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.beat().await;
    bench.runs_for(plugin, 2).await;
    let (tried, _) = bench.claim(plugin, 1).await;
    let due = bench.now().plus(SOON);
    let (retry, none) = (Next::RetryAt(due), KvEffects::default());
    bench.finish(&tried[0], Outcome::Retry, retry, none).await;
    let ordered = bench.in_order(plugin, &["a", "a"]).await;
    let rated = bench.plugin("q").await;
    bench.runs_for(rated, 2).await;
    let once_a_minute = Want {
        rate: Some("1/m".parse().unwrap()),
        ..want(rated, 1)
    };
    let of_rated = bench.store.claim(vec![once_a_minute]).await.unwrap().runs;
    assert_eq!(of_rated.len(), 1);

    bench.go_back(HOURS);
    bench.beat().await;
    assert_eq!(bench.claim(plugin, 10).await.0.len(), 0, "all would wait");
    bench
        .store
        .clock_set_back(HOURS, &mut { RunId::BEFORE_ALL })
        .await
        .unwrap();
    let (now_due, next_due) = bench.claim(plugin, 10).await;
    assert_eq!(now_due.len(), 2);
    assert_eq!(now_due[1].fence.run, ordered[0]);
    assert_eq!(next_due, Some(bench.now().plus(SOON)), "as it was to be");
    bench.succeed(&now_due[1], KvEffects::default()).await;
    let (behind, _) = bench.claim(plugin, 10).await;
    assert_eq!(ids(&behind), ordered[1..]);
    bench.pass(Duration::from_mins(1));
    let more = bench.store.claim(vec![once_a_minute]).await.unwrap().runs;
    assert_eq!(more.len(), 1, "its rate lets one go a minute later");
    bench.beat().await;
    assert_eq!(bench.store.rescue().await.unwrap(), Rescued::default());
    bench.pass(SOON);
    let (again, _) = bench.claim(plugin, 10).await;
    assert_eq!(ids(&again), ids(&tried));
}

/// A start finds that the clock was set back while no host ran, and once only.
pub(super) async fn what_was_seen_is_known_until_the_clock_was_gone_by(bench: Bench) {
    let store = &bench.store;
    assert_eq!(store.last_seen().await.unwrap(), None);
    let minute = bench.now().minute();
    store.note_queue(minute).await.unwrap();
    bench.go_back(HOURS);
    assert_eq!(store.last_seen().await.unwrap(), Some(minute));
    store
        .clock_set_back(HOURS, &mut { RunId::BEFORE_ALL })
        .await
        .unwrap();
    assert_eq!(store.last_seen().await.unwrap(), None);
    // One that stops says so itself.
    bench.beat().await;
    let left = bench.now();
    store.leave().await.unwrap();
    bench.go_back(HOURS);
    assert_eq!(store.last_seen().await.unwrap(), Some(left));
    store
        .clock_set_back(HOURS, &mut { RunId::BEFORE_ALL })
        .await
        .unwrap();
    assert_eq!(store.last_seen().await.unwrap(), Some(bench.now()));
}

pub(super) async fn deliveries_are_known_whatever_the_clock_does(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let (first, _) = bench.deliver(Some("k"), false, "a", &[plugin]).await;
    let known = Ingested::Duplicate(first);
    for _ in 0..2 {
        bench.go_back(HOURS);
        assert_eq!(bench.store.forget_expired_deliveries(10).await.unwrap(), 0);
        assert_eq!(
            bench.deliver(Some("k"), false, "a", &[plugin]).await.1,
            known
        );
    }
    bench.pass(2 * HOURS + WINDOW - Duration::from_millis(1));
    assert_eq!(bench.store.forget_expired_deliveries(10).await.unwrap(), 0);
    assert_eq!(
        bench.deliver(Some("k"), false, "a", &[plugin]).await.1,
        known
    );
    bench.pass(HOURS);
    let (_, again) = bench.deliver(Some("k"), false, "a", &[plugin]).await;
    assert_eq!(again, Ingested::New);
    assert_eq!(bench.states().await, [RunState::Ready; 2]);
}
