//! Swapping a plugin under load: no event is lost, no run is doubled, nothing broken runs.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;

use crate::components::{Component, named};
use crate::harness::{Host, outcomes, push_body};

const SOURCES: &str = r#"
[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"
"#;
const MANY: usize = 400;

/// Replaces the file ten times, broken ones among them; the digests that may have run.
async fn swap(host: &Host) -> BTreeSet<String> {
    let good = named("github-push");
    let mut digests = BTreeSet::from([good.digest()]);
    let folder = host.folder.plugins_dir();
    for number in 0..10 {
        let newer = good.numbered(number);
        match number % 3 {
            0 => newer.truncated().write_over(&folder, "github-push.wasm"),
            1 => {
                Component(b"\x7fELF\x02\x01\x01\0".repeat(4000)).place(&folder, "github-push.wasm")
            }
            _ => {
                digests.insert(newer.digest());
                newer.write_over(&folder, "github-push.wasm");
            }
        }
        host.rescan().await;
    }
    digests
}

#[tokio::test(flavor = "multi_thread")]
async fn swapping_under_load_loses_and_doubles_nothing() {
    let host = Host::start(SOURCES, &["github-push"]).await;
    let body = push_body("Codertocat/Hello-World", 2);
    let (host_ref, body_ref) = (&host, &body);
    let push = |n: usize| async move {
        host_ref
            .push(&format!("delivery-{n}"), body_ref)
            .await
            .event()
    };
    let pushes = stream::iter(0..MANY)
        .map(push)
        .buffer_unordered(16)
        .collect::<BTreeSet<String>>();
    let (events, digests) = tokio::join!(pushes, swap(&host));
    assert_eq!(events.len(), MANY);

    let plugin = host.settled("github-push").await;
    assert_eq!(plugin["runs"]["succeeded"], MANY);
    assert!(
        plugin["candidate"].is_object(),
        "the last file was a broken one"
    );
    let finish = |event: String| async move { host_ref.finished(&event).await };
    let runs: Vec<_> = stream::iter(events)
        .map(finish)
        .buffer_unordered(16)
        .collect()
        .await;
    for run in runs {
        assert_eq!(outcomes(&run), ["succeeded"], "{run}");
        assert!(
            digests.contains(run["attempts"][0]["digest"].as_str().unwrap()),
            "{run}"
        );
    }
    let counter = host
        .kv("github-push", "pushes/Codertocat/Hello-World")
        .await;
    assert_eq!(counter, Some(MANY.to_string()));
}
