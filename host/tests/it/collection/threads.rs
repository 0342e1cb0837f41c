//! Plugins that keep something between events: a thread per pull request, a chain of events.

use hookbay_stand_in::{Options, StandIn};
use serde_json::Value;

use super::{SOURCES, sample};
use crate::harness::{Host, SECRET};
use crate::signing::github_headers;

/// A host with the plugins that speak of releases and pull requests, as the rows grant them.
async fn start(stand_in: &StandIn, further: &str, plugins: &[&str]) -> Host {
    let mut toml = format!("{SOURCES}{further}");
    for row in super::rows() {
        if plugins.contains(&row.file) {
            let grants = row.grants.replace("ORIGIN", &stand_in.origin());
            toml.push_str(&format!("[plugins.{}]\n{grants}", row.file));
        }
    }
    Host::start(&toml, plugins).await
}

/// Sends the sample of what happened to a pull request, as if to the one of this id.
async fn send(host: &Host, kind: &str, id: u64, delivery: &str) {
    let mut body: Value = serde_json::from_str(&sample("github", kind, delivery)).unwrap();
    body["pull_request"]["id"] = id.into();
    let body = body.to_string();
    let headers = github_headers(SECRET, "pull_request", delivery, body.as_bytes());
    let answer = host.send_signed("github", &headers, body).await;
    assert_eq!(answer.status / 100, 2, "{}", answer.text());
}

const LIFE: [&str; 3] = [
    "pull_request.opened",
    "pull_request.synchronize",
    "pull_request.closed",
];
/// The orders in which three things can come.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_has_one_thread_whatever_comes_first() {
    let stand_in = StandIn::start(Options::quiet()).unwrap();
    let host = start(&stand_in, "", &["github-to-slack"]).await;
    // Nobody waits between deliveries, so that those of one pull request would race.
    for (number, order) in ORDERS.iter().enumerate() {
        for index in order {
            let delivery = format!("d-{number}-{index}");
            send(&host, LIFE[*index], 900 + number as u64, &delivery).await;
            send(&host, LIFE[*index], 900 + number as u64, &delivery).await;
        }
    }
    let plugin = host.settled("github-to-slack").await;
    let n = ORDERS.len();
    assert_eq!(plugin["runs"]["succeeded"], 3 * n, "{plugin}");
    stand_in.with(|services| {
        let messages = services.slack.messages();
        let roots: Vec<_> = messages
            .iter()
            .filter(|one| one.thread_ts.is_none())
            .collect();
        assert_eq!((roots.len(), messages.len()), (n, 3 * n));
        for root in roots {
            let shown = root.shown();
            assert!(shown.contains("Merged"), "{shown}");
            let replies = messages.iter();
            let replies = replies.filter(|one| one.thread_ts.as_ref() == Some(&root.ts));
            assert_eq!(replies.count(), 2, "{shown}");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_passed_on_to_whoever_announces_it() {
    let stand_in = StandIn::start(Options::quiet()).unwrap();
    let announcing = r#"
[plugins.announce]
file = "slack-notify.wasm"
triggers = [{ source = "plugin:github-release", kind = "release.announced" }]
config.text = "{/repository} {/version}: {/title}"
"#;
    let grants = super::rows()
        .into_iter()
        .find(|row| row.file == "slack-notify");
    let grants = grants.unwrap().grants.replace("ORIGIN", &stand_in.origin());
    let plugins = ["github-release", "slack-notify"];
    let host = Host::start(&format!("{SOURCES}{announcing}{grants}"), &plugins).await;
    let answer = super::deliver(&host, "github", "release.published", "d-1").await;
    host.finished(&answer.event()).await;
    let plugin = host.settled("announce").await;
    assert_eq!(plugin["runs"]["succeeded"], 1, "{plugin}");
    stand_in.with(|services| {
        let messages = services.slack.messages();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].text, "octo-labs/harbor v2.4.0: Storm warnings");
    });
}
