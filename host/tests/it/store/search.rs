//! What is sought in events.

use std::thread;
use std::time::Duration;

use hookbay::event::EventId;
use hookbay::store::{EventFilter, EventRow, NewEvent, SearchedEvent, SoughtKinds};

use super::bench::{Bench, WINDOW};

/// Every event, newest first.
async fn rows(bench: &Bench) -> Vec<EventRow> {
    let filter = EventFilter {
        limit: 10_000,
        ..EventFilter::default()
    };
    bench.store.events(&filter).await.unwrap().events
}

pub(super) async fn bodies_are_looked_into_where_nobody_waits(bench: Bench) {
    for body in ["small", "too large", ""] {
        bench.deliver(None, false, body, &[]).await;
        bench.pass(Duration::from_millis(1));
    }
    let mut events = rows(&bench).await;
    let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    // What is gone is no matter.
    events.push(EventRow {
        id: EventId::new(bench.now()),
        ..events[0].clone()
    });
    let here = thread::current().id();
    let look = move |one: &SearchedEvent| {
        assert_ne!(thread::current().id(), here, "it holds up everybody else");
        one.body.as_deref().map(<[u8]>::to_vec)
    };
    let looked = bench.store.look_into(&events, 5, look).await.unwrap();
    let bodies = [Some(Vec::new()), None, Some(b"small".to_vec())];
    assert_eq!(looked, ids.into_iter().zip(bodies).collect::<Vec<_>>());
}

/// Stores events of a source that are indexed by a value; their ids, newest first.
async fn indexed(bench: &Bench, source: &str, value: &str, count: usize) -> Vec<EventId> {
    let mut batch = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..count {
        let mut event = bench.event("{}");
        event.source = source.parse().unwrap();
        ids.insert(0, event.id);
        let new = NewEvent::new(event, None, false, WINDOW, Vec::new());
        batch.push(new.indexed(vec![value.to_owned()]));
        bench.pass(Duration::from_millis(1));
    }
    bench.ingest(batch).await;
    ids
}

/// All pages of what the indexes give for a text.
async fn given(bench: &Bench, text: &str, filter: &EventFilter) -> Vec<EventId> {
    let kinds = SoughtKinds::ByIndex;
    let sought = bench.store.seek(text, text, filter, kinds).await.unwrap();
    let (mut found, mut filter) = (Vec::new(), filter.clone());
    loop {
        let page = bench.store.events_indexed(&sought, &filter).await.unwrap();
        assert!(page.events.len() <= 100);
        found.extend(page.events.into_iter().map(|event| event.id));
        if page.is_end {
            return found;
        }
        filter.before = page.looked_to;
    }
}

pub(super) async fn a_value_is_found_behind_any_number_of_others(bench: Bench) {
    let mut expected = indexed(&bench, "quiet", "same", 1).await;
    let later = bench.now();
    for _ in 0..3 {
        let more = indexed(&bench, "busy", "same", 400).await;
        expected.splice(0..0, more);
        indexed(&bench, "busy", "other", 1).await;
    }
    let filter = EventFilter {
        limit: 100,
        ..EventFilter::default()
    };
    assert_eq!(given(&bench, "same", &filter).await, expected);
    let oldest = expected[expected.len() - 1..].to_vec();
    for narrower in [
        EventFilter {
            source: Some("quiet".to_owned()),
            ..filter.clone()
        },
        EventFilter {
            until: Some(later),
            ..filter
        },
    ] {
        let found = given(&bench, "same", &narrower).await;
        assert_eq!(found, oldest, "{narrower:?}");
    }
}
