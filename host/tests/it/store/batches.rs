//! Batches of deliveries: whole or not at all, on several hosts at once, sent twice.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::future::join_all;
use hookbay::event::{Event, EventId};
use hookbay::run::{NewRun, OrderKey, PluginId};
use hookbay::store::{Ingested, NewEvent, Settings};
use sqlx::Executor;

use super::bench::{Bench, WINDOW, unordered};
use crate::database::Engine;

/// A delivery of this body under this key, with a run for the plugin.
fn delivery(event: Event, key: Option<&str>, by_body: bool, plugin: PluginId) -> NewEvent {
    NewEvent::new(event, key, by_body, WINDOW, unordered(&[plugin]))
}

/// Which event each delivery is.
fn stored_as(sent: &[EventId], stored: &[Ingested]) -> Vec<EventId> {
    let event = |(sent, stored): (&EventId, &Ingested)| match stored {
        Ingested::New | Ingested::Conflict => *sent,
        Ingested::Duplicate(first) => *first,
    };
    sent.iter().zip(stored).map(event).collect()
}

pub(super) async fn the_same_batch_again_changes_nothing(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let events: Vec<Event> = (0..6).map(|n| bench.event(&n.to_string())).collect();
    let batch = || {
        let of = |n: usize, key, by_body| delivery(events[n].clone(), key, by_body, plugin);
        vec![
            of(0, Some("k0"), false),
            of(1, Some("k1"), true),
            of(2, Some("k2"), false),
            of(3, None, true),
        ]
    };
    for time in ["first", "second", "third"] {
        let stored = bench.ingest(batch()).await;
        assert_eq!(stored, [Ingested::New; 4], "the {time} time");
    }
    assert_eq!(bench.runs().await.len(), 4);
}

pub(super) async fn the_same_batch_again_on_another_host_changes_nothing(bench: Bench) {
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let plugin = bench.plugin("p").await;
    let events: Vec<Event> = (0..20).map(|n| bench.event(&n.to_string())).collect();
    let batch = || {
        let one = |event: &Event| delivery(event.clone(), None, false, plugin);
        events.iter().map(one).collect::<Vec<_>>()
    };
    // At the same time, too: a commit that hangs while the batch is sent again.
    let (first, second) = tokio::join!(bench.ingest(batch()), other.ingest(batch()));
    assert_eq!(first, [Ingested::New; 20]);
    assert_eq!(second, [Ingested::New; 20]);
    assert_eq!(bench.runs().await.len(), 20);
}

pub(super) async fn hosts_that_get_the_same_deliveries_store_each_once(bench: Bench) {
    const KEYS: usize = 30;
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let plugin = bench.plugin("p").await;
    for by_body in [false, true] {
        // Each host gets every key, in its own order, in several batches at once.
        let sent = join_all((0..6).map(|sender| {
            let host = [&bench, &other][sender % 2];
            async move {
                let mut order: Vec<usize> = (0..KEYS).collect();
                if sender % 2 == 1 {
                    order.reverse();
                }
                order.rotate_left(sender);
                let key = |n: &usize| format!("{by_body} {n}");
                let events: Vec<Event> = order.iter().map(|n| host.event(&key(n))).collect();
                let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
                let batch = events
                    .into_iter()
                    .zip(&order)
                    .map(|(event, n)| delivery(event, Some(&key(n)), by_body, plugin));
                let stored = host.ingest(batch.collect()).await;
                (order, stored.clone(), stored_as(&ids, &stored))
            }
        }))
        .await;
        let mut by_key: HashMap<usize, BTreeSet<EventId>> = HashMap::new();
        let mut new = 0;
        for (order, stored, events) in sent {
            new += stored.iter().filter(|one| **one == Ingested::New).count();
            assert!(!stored.contains(&Ingested::Conflict));
            for (key, event) in order.into_iter().zip(events) {
                by_key.entry(key).or_default().insert(event);
            }
        }
        assert_eq!(new, KEYS, "by body: {by_body}");
        assert!(by_key.values().all(|events| events.len() == 1));
    }
    assert_eq!(bench.runs().await.len(), 2 * KEYS);
}

pub(super) async fn another_body_is_kept_once_by_all_hosts(bench: Bench) {
    const BODIES: usize = 4;
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let plugin = bench.plugin("p").await;
    let send = |sender: usize| {
        let host = [&bench, &other][sender % 2];
        let body = format!("body {}", sender % BODIES);
        async move {
            let event = host.event(&body);
            let id = event.id;
            let new = vec![delivery(event, Some("k"), false, plugin)];
            (body, id, host.ingest(new).await[0])
        }
    };
    let sent = join_all((0..24).map(send)).await;
    let count =
        |which: fn(&Ingested) -> bool| sent.iter().filter(|(_, _, stored)| which(stored)).count();
    assert_eq!(count(|one| *one == Ingested::New), 1);
    assert_eq!(count(|one| *one == Ingested::Conflict), BODIES - 1);
    let mut by_body: HashMap<&str, BTreeSet<EventId>> = HashMap::new();
    for (body, id, stored) in &sent {
        let event = stored_as(&[*id], &[*stored])[0];
        by_body.entry(body).or_default().insert(event);
    }
    assert_eq!(by_body.len(), BODIES);
    assert!(by_body.values().all(|events| events.len() == 1));
    assert_eq!(bench.runs().await.len(), 1, "a conflict starts no run");
}

pub(super) async fn batches_in_opposite_order_do_not_wait_for_each_other(bench: Bench) {
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let plugin = bench.plugin("p").await;
    for round in 0..10 {
        let batch = |host: &Bench, is_reversed: bool| {
            let mut keys: Vec<String> = (0..100).map(|n| format!("{round} {n}")).collect();
            if is_reversed {
                keys.reverse();
            }
            let one = |key: &String| delivery(host.event("a"), Some(key), false, plugin);
            keys.iter().map(one).collect::<Vec<_>>()
        };
        let (ours, theirs) = tokio::join!(
            bench.ingest(batch(&bench, false)),
            other.ingest(batch(&other, true))
        );
        let stored = [ours, theirs].concat();
        let new = stored.iter().filter(|one| **one == Ingested::New);
        assert_eq!(new.count(), 100);
    }
}

pub(super) async fn an_expired_key_is_new_on_one_host(bench: Bench) {
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let plugin = bench.plugin("p").await;
    bench.deliver(Some("k"), false, "a", &[plugin]).await;
    bench.pass(WINDOW);
    let batch = |host: &Bench| vec![delivery(host.event("a"), Some("k"), false, plugin)];
    let (ours, theirs) = tokio::join!(bench.ingest(batch(&bench)), other.ingest(batch(&other)));
    let stored = [ours, theirs].concat();
    assert!(stored.contains(&Ingested::New));
    assert!(
        stored
            .iter()
            .any(|one| matches!(one, Ingested::Duplicate(_))),
        "{stored:?}"
    );
}

pub(super) async fn texts_that_no_database_takes_are_stored_all_the_same(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let odd = Event {
        kind: "a\0b".to_owned(),
        delivery_id: Some("\0".to_owned()),
        ..bench.event("\0")
    };
    let id = odd.id;
    let batch = vec![
        delivery(bench.event("before"), Some("1"), false, plugin),
        delivery(odd, Some("\0"), false, plugin),
        delivery(bench.event("after"), Some("2"), false, plugin),
    ];
    let stored = bench.ingest(batch).await;
    assert_eq!(stored, [Ingested::New; 3]);
    let (row, _) = bench.store.event(id).await.unwrap().unwrap();
    assert_eq!(row.kind, "a\u{FFFD}b");
    assert_eq!(row.delivery_id.as_deref(), Some("\u{FFFD}"));
}

pub(super) async fn what_is_stored_is_said_though_others_cannot_be_decided_on(bench: Bench) {
    if bench.database.engine() == Engine::Sqlite {
        return;
    }
    let impatient = |settings: &mut Settings| {
        settings.pool.statement_timeout = Duration::from_secs(1);
    };
    let host = bench.beside(impatient).await;
    let plugin = bench.plugin("p").await;
    let run = NewRun {
        plugin,
        order: Some(OrderKey::of("a")),
    };
    let (plain, ordered) = (bench.event("plain"), bench.event("ordered"));
    let batch = |ordered: &Event| {
        // Two keys take a second look, which waits for somebody here.
        let ordered = NewEvent::new(ordered.clone(), Some("k"), true, WINDOW, vec![run]);
        vec![delivery(plain.clone(), None, false, plugin), ordered]
    };
    let mut other = bench.database.connect().await;
    let lock = "begin; lock table order_blocks in access exclusive mode";
    other.execute(lock).await.unwrap();
    let stored = host.store.ingest(batch(&ordered)).await.unwrap();
    assert_eq!(stored, [Some(Ingested::New), None]);
    assert_eq!(bench.runs().await.len(), 1);
    other.execute("rollback").await.unwrap();
    // Only the other one's sender comes back.
    let again = batch(&bench.event("ordered")).pop().into_iter().collect();
    assert_eq!(host.ingest(again).await, [Ingested::New]);
    assert_eq!(bench.runs().await.len(), 2);
}
