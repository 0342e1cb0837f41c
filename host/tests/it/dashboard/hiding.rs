//! What a source hides of its bodies: no page has it.

use serde_json::json;

use super::Browser;
use crate::harness::{Host, TOKEN};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_hides_stands_in_no_page() {
    const HIDING: &str = "[sources.noop]\nprovider = \"none\"\nredact = [\"/card\"]\n";
    let host = Host::start(HIDING, &["noop"]).await;
    let long = "x".repeat(100_000);
    for rest in ["short", &long] {
        let body = json!({ "card": "4242-4242", "rest": rest }).to_string();
        let event = host.send("noop", &[], body.clone()).await.event();
        let mut browser = Browser::signed_in(&host, TOKEN).await;
        let page = browser.get(&format!("/events/{event}")).await;
        let text = page.text();
        assert!(
            text.contains("[redacted]") && !text.contains("4242"),
            "{text}"
        );
        // No button fetches the rest into the page.
        assert!(!text.contains("data-cut"), "{text}");
        let exact = browser.get(&format!("/events/{event}/body")).await;
        assert_eq!(exact.text(), body, "whoever wants the bytes gets them");
    }
}
