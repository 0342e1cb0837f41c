//! Posts a message of the operator's own wording to Slack, for any event.
//!
//! It has no triggers of its own: the operator says for which events it runs, and as what.
//! `config.text` is a template (see `hookbay_plugin::template`) in Slack's markup; what the
//! event fills in is escaped. `config.title`, a template too, is plain text.

use hookbay_plugin::template::{Template, Values};
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, config, manifest};
use hookbay_slack::{self as slack, Message};

struct SlackNotify;

hookbay_plugin::export!(SlackNotify);

impl Plugin for SlackNotify {
    fn manifest() -> Manifest {
        slack::wants(manifest!())
            .reads_config("text", "the message, such as `Order {/order/id} was paid`")
            .reads_config("title", "a heading above it")
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let values = Values::of(event);
        let text = Template::from_config("text", "`{kind}` from {source}")?;
        let text = text.fill(&values, slack::escape);

        let mut message = Message::new(&text);
        if config::get("title").is_some() {
            let title = Template::from_config("title", "")?.fill(&values, str::to_owned);
            message = message.heading(&title).section(&text);
        }
        let posted = message.post(run)?;
        Success::new(format!("posted to {}: {text}", posted.channel)).with_data(&posted)
    }
}

#[cfg(test)]
mod tests;
