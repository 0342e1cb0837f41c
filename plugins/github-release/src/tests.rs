//! What the plugin says and passes on, on the fake host.

use hookbay_plugin::{Failure, testing};
use serde_json::{Value, json};

use super::GithubRelease;

fn published() -> hookbay_plugin::Event {
    let body = json!({
        "action": "published",
        "release": {
            "tag_name": "v1.2.0", "name": "Spring tide", "body": "* Pilots",
            "html_url": "https://github.com/octo/hello/releases/tag/v1.2.0",
            "prerelease": true,
        },
        "repository": {"full_name": "octo/hello"},
        "sender": {"login": "mona"},
    });
    testing::json_event("github", "release.published", &body)
}

#[test]
fn a_release_is_said_and_passed_on() {
    let attempt = testing::Host::new().handle::<GithubRelease>(&published());
    assert_eq!(
        attempt.summary(),
        "pre-release v1.2.0 of octo/hello published by mona: Spring tide"
    );
    let expected = json!({
        "repository": "octo/hello", "version": "v1.2.0", "title": "Spring tide",
        "notes": "* Pilots", "url": "https://github.com/octo/hello/releases/tag/v1.2.0",
        "is_prerelease": true, "author": "mona",
    });
    assert_eq!(attempt.data::<Value>(), expected);
    let [announced] = &attempt.emitted[..] else {
        panic!("one event: {:?}", attempt.emitted)
    };
    assert_eq!(announced.kind, "release.announced");
    assert_eq!(announced.json::<Value>(), expected);
}

#[test]
fn a_chain_that_is_full_or_another_body_fails_for_good() {
    let attempt = testing::Host::new()
        .with_full_chain()
        .handle::<GithubRelease>(&published());
    assert!(matches!(attempt.failure(), Failure::Permanent { .. }));
    let event = testing::event("github", "release.published", "{}");
    let attempt = testing::Host::new().handle::<GithubRelease>(&event);
    assert!(matches!(attempt.failure(), Failure::Permanent { .. }));
    assert!(attempt.emitted.is_empty());
}
