//! How much the store takes: it keeps within its bytes, stops growing, and loses whole days.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hookbay::dispatch::{Policy, Retention, Wakeup};
use hookbay::retry::Next;
use hookbay::store::Store;
use sqlx::Executor;
use tokio_util::sync::CancellationToken;

use super::{Bench, DAY, HOUR, policy};
use crate::database::Engine;
use crate::harness::{eventually, standing};

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

pub(super) async fn the_store_keeps_within_its_bytes(engine: Engine) {
    let limit = 6 << 20;
    let kept = Policy {
        max_bytes: limit,
        ..policy()
    };
    let mut bench = Bench::new(engine, kept).await;
    let live = bench
        .deliver("s", noise(1, 10_000), bench.unordered())
        .await;
    let mut newest = live;
    for seed in 2..12u64 {
        bench.pass(DAY).await;
        for n in 0..100 {
            newest = bench
                .deliver("s", noise(seed * 1000 + n, 10_000), Vec::new())
                .await;
        }
        bench.retention.pass().await;
        let used = bench.store.used_bytes(limit).await.unwrap();
        assert!(used <= limit, "{used} bytes on day {seed}");
    }
    let events = bench.events().await;
    assert!(events.contains(&live), "its run has not finished");
    assert!(events.contains(&newest));
    assert!(events.len() > 100, "no more goes than has to");
    assert!(events.len() < 800);
}

pub(super) async fn the_store_stops_growing(engine: Engine) {
    let kept = Policy {
        events: 3 * DAY,
        history: 3 * DAY,
        ..policy()
    };
    let mut bench = Bench::new(engine, kept).await;
    let mut after_ten = 0;
    for day in 0..30u64 {
        for n in 0..40 {
            let runs = bench.unordered();
            bench.deliver("s", noise(day * 1000 + n, 5_000), runs).await;
            bench.finish_one(Next::Succeeded).await;
        }
        bench.pass(DAY).await;
        bench.retention.pass().await;
        if day == 9 {
            after_ten = size(&bench).await;
        }
    }
    let at_end = size(&bench).await;
    assert!(
        at_end <= after_ten + after_ten / 5,
        "{after_ten} bytes after ten days, {at_end} after thirty"
    );
    assert!(bench.events().await.len() <= 5 * 40);
    assert!(bench.runs().await.len() <= 5 * 40);
}

/// What the store takes on disk.
async fn size(bench: &Bench) -> u64 {
    if bench.database.engine() == Engine::Sqlite {
        let file = bench.folder.path().join("hookbay.db");
        return std::fs::metadata(file).unwrap().len();
    }
    bench.store.used_bytes(u64::MAX).await.unwrap()
}

pub(super) async fn days_go_whole(engine: Engine) {
    let mut bench = Bench::new(engine, policy()).await;
    bench.deliver("s", b"{}".to_vec(), Vec::new()).await;
    bench.pass(DAY).await;
    bench.deliver("s", b"{}".to_vec(), bench.unordered()).await;
    let gone = bench.deliver("s", b"{}".to_vec(), Vec::new()).await;
    let mut reader = bench.database.connect().await;
    reader.execute("begin; select 1 from events").await.unwrap();
    bench.pass(35 * DAY).await;
    bench.retention.pass().await;
    let days = bench.partitions("events").await;
    assert!(
        days.contains(&"events_20010909".to_owned()),
        "somebody reads it: {days:?}"
    );
    reader.execute("rollback").await.unwrap();
    bench.retention.pass().await;
    let days = bench.partitions("events").await;
    assert!(!days.contains(&"events_20010909".to_owned()), "{days:?}");
    assert!(
        days.contains(&"events_20010910".to_owned()),
        "a live run needs an event of it: {days:?}"
    );
    let events = bench.events().await;
    assert_eq!(events.len(), 1, "what nobody needs of it is gone");
    assert!(!events.contains(&gone));
    assert!(
        !bench
            .partitions("history")
            .await
            .contains(&"history_20010909".to_owned())
    );
    bench.finish_one(Next::Succeeded).await;
    bench.retention.pass().await;
    let days = bench.partitions("events").await;
    assert!(!days.contains(&"events_20010910".to_owned()), "{days:?}");
}

/// What the server says of each deletion whose log has no room.
const FULL: &str = "create function full_disk() returns trigger language plpgsql as \
    $$ begin raise exception 'could not write: No space left on device' using errcode = '53100'; end $$; \
    create trigger full_disk before delete on events for each statement execute function full_disk()";

pub(super) async fn on_a_full_disk_days_go_and_the_rest_goes_later(engine: Engine) {
    let mut kept = policy();
    kept.by_source.insert("short".to_owned(), DAY);
    let mut bench = Bench::new(engine, kept).await;
    bench.deliver("s", b"{}".to_vec(), Vec::new()).await;
    bench.pass(32 * DAY).await;
    for _ in 0..3 {
        bench.deliver("short", b"{}".to_vec(), Vec::new()).await;
    }
    let stays = bench.deliver("s", b"{}".to_vec(), Vec::new()).await;
    bench.pass(3 * DAY).await;
    let mut connection = bench.database.connect().await;
    connection.execute(sqlx::raw_sql(FULL)).await.unwrap();
    for _ in 0..2 {
        bench.retention.pass().await;
        // To drop a day takes no room, and gives its own back.
        let days = bench.partitions("events").await;
        assert!(!days.contains(&"events_20010909".to_owned()), "{days:?}");
        assert_eq!(bench.events().await.len(), 4);
        assert_eq!(bench.database.open_transactions().await, 0);
    }
    let room = "drop trigger full_disk on events";
    connection.execute(room).await.unwrap();
    bench.retention.pass().await;
    assert_eq!(bench.events().await, [stays]);
}

pub(super) async fn two_hosts_remove_at_once(engine: Engine) {
    let mut bench = Bench::new(engine, policy()).await;
    for _ in 0..600 {
        bench
            .finished("s", Next::Succeeded, bench.unordered())
            .await;
    }
    bench.pass(35 * DAY).await;
    let settings = bench.database.settings(bench.folder.path());
    let neighbour = Store::open(&settings, standing(&bench.now_ms))
        .await
        .unwrap();
    let mut other = Retention::new(
        neighbour.clone(),
        policy(),
        Arc::new(Wakeup::default()),
        CancellationToken::new(),
    );
    tokio::join!(bench.retention.pass(), other.pass());
    bench.retention.pass().await;
    assert!(bench.events().await.is_empty());
    assert!(bench.runs().await.is_empty());
    neighbour.close().await;
    // With leases, the one that has lived longest does it alone.
    bench
        .store
        .beat("a", HOUR, Vec::new(), BTreeSet::new())
        .await
        .unwrap();
    assert!(bench.store.is_first_host().await.unwrap());
}

pub(super) async fn room_of_today_is_not_made_twice(engine: Engine) {
    let limit = 4 << 20;
    let kept = Policy {
        max_bytes: limit,
        ..policy()
    };
    let mut bench = Bench::new(engine, kept).await;
    for n in 0..500 {
        bench.deliver("s", noise(n, 10_000), Vec::new()).await;
    }
    bench.pass(Duration::from_secs(1)).await;
    bench.retention.pass().await;
    let left = bench.events().await.len();
    assert!((150..450).contains(&left), "{left} of 500 events are left");
    // The files are as large as before, and the table says so a little later.
    eventually("the table knows what was deleted", async || {
        (bench.store.used_bytes(limit).await.unwrap() <= limit).then_some(())
    })
    .await;
    bench.retention.pass().await;
    assert_eq!(bench.events().await.len(), left);
}
