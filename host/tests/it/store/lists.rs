//! Lists of events by source and kind, where senders make up kinds without end.

use std::time::Duration;

use hookbay::event::EventId;
use hookbay::store::{EventFilter, NewEvent};

use super::bench::{Bench, WINDOW};

/// More kinds than a list looks into one by one.
const KINDS: usize = 700;

/// An event of each of these; their ids, oldest first.
async fn store(
    bench: &Bench,
    events: impl IntoIterator<Item = (&'static str, String)>,
) -> Vec<EventId> {
    let mut batch = Vec::new();
    for (source, kind) in events {
        let mut event = bench.event("{}");
        event.source = source.parse().unwrap();
        event.kind = kind;
        batch.push(event);
        bench.pass(Duration::from_millis(1));
    }
    let ids = batch.iter().map(|event| event.id).collect();
    let new = |event| NewEvent::new(event, None, false, WINDOW, Vec::new());
    bench.ingest(batch.into_iter().map(new).collect()).await;
    ids
}

fn filter(source: Option<&str>, kind: Option<&str>) -> EventFilter {
    EventFilter {
        source: source.map(str::to_owned),
        kind: kind.map(|kind| kind.parse().unwrap()),
        limit: 100,
        ..EventFilter::default()
    }
}

/// All pages of a list, newest first; how many they are.
async fn pages(bench: &Bench, filter: &EventFilter) -> (Vec<EventId>, usize) {
    let (mut ids, mut filter) = (Vec::new(), filter.clone());
    for pages in 1.. {
        let page = bench.store.events(&filter).await.unwrap();
        assert!(page.events.len() <= 100);
        ids.extend(page.events.into_iter().map(|event| event.id));
        if page.is_end {
            return (ids, pages);
        }
        filter.before = page.looked_to;
    }
    unreachable!()
}

/// The same, oldest first.
async fn rising(bench: &Bench, filter: &EventFilter, until: EventId) -> Vec<EventId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = bench.store.events_between(filter, after, until, 100);
        let page = page.await.unwrap();
        ids.extend(page.events.into_iter().map(|event| event.id));
        if page.is_end {
            return ids;
        }
        after = page.looked_to;
    }
}

pub(super) async fn lists_are_whole_however_many_kinds_there_are(bench: Bench) {
    let few = ["invoice", "invoice.paid", "invoice.paid.late", "invoices"];
    let few = store(&bench, few.map(|kind| ("few", kind.to_owned()))).await;
    let many = (0..KINDS).map(|n| match n % 2 {
        0 => ("many", format!("made-up-{n}.done")),
        _ => ("others", format!("made-up-{n}.left")),
    });
    let many = store(&bench, many).await;
    let of = |remainder: usize| {
        let of = many
            .iter()
            .enumerate()
            .filter(move |(n, _)| n % 2 == remainder);
        of.map(|(_, id)| *id).collect::<Vec<_>>()
    };
    let last = *many.last().unwrap();
    for (source, kind, expected) in [
        (Some("few"), None, few.clone()),
        (Some("many"), None, of(0)),
        (Some("none"), None, Vec::new()),
        (Some("none"), Some("invoice"), Vec::new()),
        (None, Some("invoice"), few[..1].to_vec()),
        (None, Some("invoice.*"), few[1..2].to_vec()),
        (None, Some("invoice.**"), few[..3].to_vec()),
        (None, Some("*.paid"), few[1..2].to_vec()),
        (Some("few"), Some("**"), few.clone()),
        (Some("many"), Some("invoice.**"), Vec::new()),
        (None, Some("made-up-7.left"), vec![many[7]]),
        (None, Some("*.done"), of(0)),
        (Some("many"), Some("*.done"), of(0)),
        (Some("others"), Some("*.*"), of(1)),
    ] {
        let filter = filter(source, kind);
        assert_eq!(rising(&bench, &filter, last).await, expected, "{filter:?}");
        let (mut found, _) = pages(&bench, &filter).await;
        found.reverse();
        assert_eq!(found, expected, "{filter:?}");
    }
    let sources = bench.store.sources_of_events().await.unwrap();
    assert_eq!(sources, ["few", "many", "others"]);
    let newest = bench.store.last_events_at().await.unwrap();
    assert_eq!(newest.into_keys().collect::<Vec<_>>(), sources);
}

pub(super) async fn a_page_looks_at_so_many_events_and_says_how_far(bench: Bench) {
    let oldest = store(&bench, [("source", "rare".to_owned())]).await;
    for part in 0..12 {
        let kinds = (0..1000).map(|n| ("source", format!("made-up-{part}.{}", n % 100)));
        store(&bench, kinds).await;
    }
    // What begins in a way of its own is found at once among any number ...
    assert_eq!(
        pages(&bench, &filter(None, Some("rare.**"))).await,
        (oldest.clone(), 1)
    );
    // ... what may begin in any way is not.
    let page = bench.store.events(&filter(None, Some("*"))).await.unwrap();
    assert_eq!((page.events.len(), page.is_end), (0, false));
    assert!(page.looked_to.unwrap() > oldest[0]);
    assert_eq!(pages(&bench, &filter(None, Some("*"))).await, (oldest, 2));
}
