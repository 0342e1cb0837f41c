//! What is new, what came before, and what is forgotten.

use std::time::Duration;

use futures_util::future::join_all;
use hookbay::store::{Ingested, NewEvent};

use super::bench::{Bench, WINDOW, unordered};

pub(super) async fn deliveries_are_known_for_their_window(bench: Bench) {
    let (first, ingested) = bench.deliver(Some("k"), false, "a", &[]).await;
    assert_eq!(ingested, Ingested::New);
    let (other, ingested) = bench.deliver(Some("k"), false, "b", &[]).await;
    assert_eq!(ingested, Ingested::Conflict);
    bench.pass(WINDOW - Duration::from_millis(1));
    assert_eq!(
        bench.deliver(Some("k"), false, "a", &[]).await.1,
        Ingested::Duplicate(first)
    );
    assert_eq!(
        bench.deliver(Some("k"), false, "b", &[]).await.1,
        Ingested::Duplicate(other)
    );
    assert_eq!(
        bench.deliver(None, false, "a", &[]).await.1,
        Ingested::New,
        "nothing is known without a key"
    );
    bench.pass(Duration::from_millis(1));
    assert_eq!(
        bench.deliver(Some("k"), false, "a", &[]).await.1,
        Ingested::New,
        "the window is over"
    );
}

pub(super) async fn equal_bodies_are_the_same_where_that_is_wanted(bench: Bench) {
    let (first, _) = bench.deliver(Some("k1"), true, "a", &[]).await;
    for key in [Some("k1"), Some("k2"), None] {
        assert_eq!(
            bench.deliver(key, true, "a", &[]).await.1,
            Ingested::Duplicate(first),
            "{key:?}"
        );
    }
    assert_eq!(
        bench.deliver(Some("k3"), true, "b", &[]).await.1,
        Ingested::New
    );
}

pub(super) async fn a_batch_knows_itself(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let new = |body: &str| {
        NewEvent::new(
            bench.event(body),
            Some("k"),
            false,
            WINDOW,
            unordered(&[plugin]),
        )
    };
    let batch = vec![new("a"), new("a"), new("b"), new("b")];
    let decided = bench.ingest(batch).await;
    assert!(
        matches!(
            decided[..],
            [
                Ingested::New,
                Ingested::Duplicate(_),
                Ingested::Conflict,
                Ingested::Duplicate(_)
            ]
        ),
        "{decided:?}"
    );
    assert_eq!(
        bench.states().await.len(),
        1,
        "one run: a conflict starts none"
    );
    assert!(bench.ingest(Vec::new()).await.is_empty());
}

/// A body of which only a conflict is known, under another key, is known all the same.
pub(super) async fn what_only_a_conflict_had_is_known(bench: Bench) {
    bench.deliver(Some("k"), false, "a", &[]).await;
    let (conflict, decided) = bench.deliver(Some("k"), true, "b", &[]).await;
    assert_eq!(decided, Ingested::Conflict);
    let (_, again) = bench.deliver(None, true, "b", &[]).await;
    assert_eq!(again, Ingested::Duplicate(conflict));
    bench.pass(WINDOW);
    let (_, later) = bench.deliver(None, true, "b", &[]).await;
    assert_eq!(later, Ingested::New, "its window is over");
}

pub(super) async fn many_deliveries_at_once_are_decided_alike(bench: Bench) {
    let bench = &bench;
    let deliveries = (0..200).map(|n| async move {
        bench
            .deliver(Some(&format!("k{}", n % 20)), false, "a", &[])
            .await
            .1
    });
    let decided = join_all(deliveries).await;
    assert_eq!(
        decided.iter().filter(|one| **one == Ingested::New).count(),
        20
    );
}

pub(super) async fn what_is_over_is_forgotten_in_slices(bench: Bench) {
    for n in 0..5 {
        bench.deliver(Some(&format!("k{n}")), false, "a", &[]).await;
    }
    assert_eq!(bench.store.forget_expired_deliveries(100).await.unwrap(), 0);
    bench.pass(WINDOW);
    bench.deliver(Some("fresh"), false, "a", &[]).await;
    let mut forgotten = 0;
    loop {
        match bench.store.forget_expired_deliveries(2).await.unwrap() {
            0 => break,
            some => forgotten += some,
        }
    }
    assert_eq!(forgotten, 5);
    assert!(matches!(
        bench.deliver(Some("fresh"), false, "a", &[]).await.1,
        Ingested::Duplicate(_)
    ));
}
