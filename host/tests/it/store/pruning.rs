//! What removes what is over, when two do it at the same time.

use std::time::Duration;

use futures_util::future::join_all;
use hookbay::clock::Timestamp;
use hookbay::event::EventId;
use hookbay::kv::KvEffects;
use hookbay::run::RunId;
use hookbay::store::{EventSlice, SourceMinute};

use super::bench::{Bench, WINDOW};

/// Finished runs, and as many events without one.
const EACH: u32 = 300;

pub(super) async fn two_that_prune_at_once_remove_each_once(bench: Bench) {
    let other = bench.neighbour().await;
    let other = other.as_ref().unwrap_or(&bench);
    let plugin = bench.plugin("p").await;
    for n in 0..EACH {
        let key = format!("k{n}");
        bench.deliver(Some(&key), false, "a", &[plugin]).await;
        bench.deliver(None, false, "b", &[]).await;
    }
    let (claimed, _) = bench.claim(plugin, EACH).await;
    let ends = claimed
        .iter()
        .map(|one| bench.succeed(one, KvEffects::default()));
    join_all(ends).await;
    write_minutes(&bench).await;
    bench.pass(2 * WINDOW);
    let now = bench.now();
    // One event with a live run stays, whoever looks.
    let (kept, _) = bench.deliver(Some("kept"), false, "c", &[plugin]).await;
    bench.pass(Duration::from_secs(1));

    let (ours, theirs) = tokio::join!(prune(&bench, now), prune(other, now));
    let both: Vec<u64> = ours.iter().zip(theirs).map(|(a, b)| a + b).collect();
    let each = u64::from(EACH);
    assert_eq!(both, [each, each, 2 * each, each]);
    assert!(bench.store.event(kept).await.unwrap().is_some());
    assert_eq!(bench.runs().await.len(), 1);
}

pub(super) async fn what_was_stored_by_a_clock_that_was_ahead_keeps_nothing_else(bench: Bench) {
    const YEAR: Duration = Duration::from_hours(24 * 365);
    let plugin = bench.plugin("p").await;
    let finish = async |count: u32| {
        bench.beat().await;
        bench.runs_for(plugin, count as usize).await;
        for claimed in bench.claim(plugin, count).await.0 {
            bench.succeed(&claimed, KvEffects::default()).await;
        }
    };
    bench.pass(YEAR);
    finish(1).await;
    bench.go_back(YEAR);
    finish(3).await;
    bench.pass(WINDOW);
    finish(1).await;
    let over = bench.now().minus(WINDOW / 2);
    let slice = bench.store.remove_history(RunId(0), over).await.unwrap();
    assert_eq!(slice.rows, 3);
    assert_eq!(
        bench.runs().await.len(),
        2,
        "of the year to come, and a new one"
    );
}

async fn write_minutes(bench: &Bench) {
    let minute = |n| SourceMinute {
        minute_ms: n,
        source: "source".to_owned(),
        received: 1,
        duplicates: 0,
        rejected: 0,
        ack: "{}".to_owned(),
    };
    let minutes = (0..i64::from(EACH)).map(minute).collect();
    bench
        .store
        .write_minutes(minutes, Vec::new())
        .await
        .unwrap();
}

/// Removes what is over at a time: deliveries, finished runs, events, minutes.
async fn prune(host: &Bench, over: Timestamp) -> [u64; 4] {
    let mut removed = [0; 4];
    loop {
        match host.store.forget_expired_deliveries(50).await.unwrap() {
            0 => break,
            some => removed[0] += some,
        }
    }
    let mut after = Some(RunId(0));
    while let Some(from) = after {
        let slice = host.store.remove_history(from, over).await.unwrap();
        removed[1] += slice.rows;
        after = slice.next;
    }
    let mut after = Some(EventId::lower_bound(Timestamp::from_millis(0)));
    while let Some(from) = after {
        let slice = EventSlice {
            source: None,
            after: from,
            before: EventId::lower_bound(host.now()),
            bytes_max: u64::MAX,
            with_runs: true,
        };
        let slice = host.store.remove_events(&slice).await.unwrap();
        removed[2] += slice.rows;
        after = slice.next;
    }
    loop {
        match host.store.remove_minutes(over).await.unwrap() {
            0 => break,
            some => removed[3] += some,
        }
    }
    removed
}
