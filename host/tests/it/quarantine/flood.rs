//! Floods of forged requests: what they can take, and what they cannot.

use std::sync::Arc;
use std::time::Duration;

use hookbay::clock::{Clock, Timestamp};
use hookbay::event::{EventId, Headers};
use hookbay::store::{NewQuarantined, QuarantineBounds, QuarantinedRow, RawRequest};

use super::{NEW, SOURCES, refused_push, set_aside};
use crate::harness::{Folder, Host, eventually, push_body};

/// What a source may have set aside at once, and no clock moves.
const BURST: usize = 50;

/// A counter of `/metrics`.
async fn counted(host: &Host, source: &str, result: &str) -> u64 {
    let text = host.ask(reqwest::Method::GET, "/metrics", "").await.text();
    let label = format!("hookbay_quarantine_total{{source=\"{source}\",result=\"{result}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&label));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_leaves_a_sample_and_no_genuine_request_is_lost() {
    let mut folder = Folder::new(SOURCES, &["github-push"]).await;
    let now = Clock::system().now();
    folder.clock = Clock::from_fn(move || now);
    let host = Host::over(folder).await;
    // With one more below, within what one address may fail before it is only counted.
    const FORGED: usize = 96;
    let body = push_body("octo/harbor", 1);
    let mut sent = Vec::new();
    for n in 0..FORGED {
        let delivery = format!("forged-{n}");
        sent.push(tokio::join!(refused_push(&host, NEW, &delivery), async {
            match n % 4 {
                0 => Some(host.push(&format!("genuine-{n}"), &body).await),
                _ => None,
            }
        }));
    }
    let genuine: Vec<_> = sent
        .iter()
        .filter_map(|(_, answer)| answer.as_ref())
        .collect();
    assert!(genuine.iter().all(|answer| answer.status == 202));
    let kept = eventually("all is decided", async || {
        let kept = counted(&host, "github", "kept").await;
        let over = counted(&host, "github", "over_rate").await;
        (kept + over == FORGED as u64).then_some(kept)
    })
    .await;
    assert_eq!(
        kept, BURST as u64,
        "no more than the allowance, and all of it"
    );
    let listed = host.items("quarantine?limit=1000").await;
    assert_eq!(listed.len(), BURST);
    // What came first is there still.
    let first: Vec<&String> = sent.iter().take(BURST).map(|(id, _)| id).collect();
    assert!(
        listed
            .iter()
            .all(|one| first.iter().any(|id| one["id"] == **id))
    );
    let events = host.items("events?limit=1000").await;
    assert_eq!(events.len(), FORGED / 4);
    // Another source has an allowance of its own.
    let headers = [("x-gitlab-token", "wrong")];
    let other = super::refused(&host.send("gitlab", &headers, "{}").await, 401);
    set_aside(&host, &other).await;
    // The address has room for three failures more; what is over it is kept nowhere.
    for _ in 0..10 {
        assert_eq!(host.send("gitlab", &headers, "{}").await.status, 401);
    }
    eventually("the three are decided", async || {
        let listed = host.items("quarantine?source=gitlab").await;
        (listed.len() == 4).then_some(())
    })
    .await;
    assert_eq!(counted(&host, "gitlab", "over_rate").await, 0);
}

/// One that came `n` milliseconds after `start`.
fn request(source: &str, start: Timestamp, n: u64, size: usize) -> NewQuarantined {
    let received_at = start.plus(Duration::from_millis(n));
    let row = QuarantinedRow {
        id: EventId::new(received_at),
        source: source.to_owned(),
        received_at,
        code: "wrong_signature".to_owned(),
        message: "wrong".to_owned(),
        hint: None,
        remote_addr: None,
        size_bytes: i64::try_from(size).unwrap(),
    };
    // Does not compress.
    let mut state = n | 1;
    let body: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
    .take(size)
    .collect();
    let raw = RawRequest {
        method: "POST".to_owned(),
        target: "/webhooks/a".to_owned(),
        headers: Headers::default(),
        body: body.into(),
    };
    NewQuarantined::new(row, &raw)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_quarantine_keeps_what_it_has_and_others_have_room() {
    let host = Host::start(SOURCES, &[]).await;
    let store = host.store();
    let bounds = QuarantineBounds {
        all: 100_000,
        source: 50_000,
        for_proven: 0,
    };
    let start = Clock::system().now();
    let offer = async |source: &str, first: u64| {
        let batch = (first..first + 10)
            .map(|n| request(source, start, n, 9_000))
            .collect();
        let kept = store.quarantine(batch, bounds).await.unwrap();
        kept.get(source).copied().unwrap_or(0)
    };
    assert_eq!(offer("a", 0).await, 5, "half of it is one source's at most");
    assert_eq!(offer("a", 10).await, 0);
    assert_eq!(offer("b", 20).await, 5);
    assert_eq!(offer("c", 30).await, 0, "it is full");
    let listed = host.items("quarantine?limit=1000").await;
    assert_eq!(listed.len(), 10);
    // What is over makes room, exactly so much.
    let before = start.plus(Duration::from_millis(3));
    assert_eq!(store.remove_quarantine_before(before).await.unwrap(), 3);
    assert_eq!(offer("c", 40).await, 3);
    assert_eq!(offer("a", 50).await, 0, "others have taken the room");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_fill_it_together_stay_within_the_bounds() {
    let host = Host::start(SOURCES, &[]).await;
    let store = Arc::new(host.store().clone());
    let bounds = QuarantineBounds {
        all: 200_000,
        source: 100_000,
        for_proven: 0,
    };
    let start = Clock::system().now();
    let tasks = (0..16u64).map(|n| {
        let store = Arc::clone(&store);
        let source = if n % 2 == 0 { "a" } else { "b" };
        tokio::spawn(async move {
            let batch = (0..4)
                .map(|m| request(source, start, n * 100 + m, 9_000))
                .collect();
            let kept = store.quarantine(batch, bounds).await.unwrap();
            kept.values().sum::<u64>()
        })
    });
    let kept = futures_util::future::join_all(tasks).await;
    let kept: u64 = kept.into_iter().map(Result::unwrap).sum();
    assert_eq!(kept, 20, "ten of each, whoever came first");
    assert_eq!(host.items("quarantine?limit=1000").await.len(), 20);
}
