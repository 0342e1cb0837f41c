//! Slack messages, for plugins that write them: text that is safe to show ([`escape`],
//! [`link`], [`quote`]), a [`Message`] of blocks, and what posts and updates it.
//!
//! A plugin asks the operator for what it takes by [`wants`]: the endpoint, the token of a
//! bot, and the channel.
//!
//! ```
//! use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, manifest, testing};
//! use hookbay_slack::{self as slack, Message};
//! use serde_json::json;
//!
//! struct Greet;
//!
//! impl Plugin for Greet {
//!     fn manifest() -> Manifest {
//!         slack::wants(manifest!())
//!     }
//!
//!     fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
//!         let name: String = event.json()?;
//!         let hello = format!("Hello, {}!", slack::escape(&name));
//!         Message::new(hello).post(run)?;
//!         Ok(Success::new("greeted"))
//!     }
//! }
//!
//! let mut host = testing::Host::new().with_config("channel", "C0123456789");
//! host.on("slack", "POST", "/api/chat.postMessage", |request| {
//!     assert_eq!(request.json::<serde_json::Value>()["text"], "Hello, &lt;Nour&gt;!");
//!     testing::Answer::json(200, &json!({"ok": true, "channel": "C0123456789", "ts": "1.2"}))
//! });
//! let attempt = host.handle::<Greet>(&testing::json_event("shop", "visit", &"<Nour>"));
//! assert_eq!(attempt.summary(), "greeted");
//! ```
//!
//! It speaks of nothing but Slack: what a message says of an event is the plugin's.

mod answer;
mod message;
mod text;

pub use answer::Error;
pub use message::{Message, Posted};
pub use text::{bold, code, escape, link, quote};

use hookbay_plugin::Manifest;

/// The endpoint's name in the manifest and the grant.
const ENDPOINT: &str = "slack";
/// The token's.
const TOKEN: &str = "SLACK_TOKEN";
/// The configuration key of the channel.
const CHANNEL: &str = "channel";

/// Adds to a manifest what posting to Slack needs from the operator.
pub fn wants(manifest: Manifest) -> Manifest {
    manifest
        .endpoint(ENDPOINT, "https://slack.com", "where messages are posted")
        .secret(
            TOKEN,
            "token of a bot with the scope `chat:write`: `xoxb-…`",
        )
        .requires_config(
            CHANNEL,
            "the channel's id, such as C0123456789; invite the bot",
        )
}
