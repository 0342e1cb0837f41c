//! Posts a message of the operator's own wording to Discord, for any event.
//!
//! It has no triggers of its own: the operator says for which events it runs, and as what.
//! `config.text` is a template (see `hookbay_plugin::template`) in Discord's markup; what
//! the event fills in is escaped, and the message notifies nobody by name.
//!
//! It speaks as a bot, not through a webhook of Discord's: the address of such a webhook is
//! its password, and the host fills secrets into headers alone.
//! <https://discord.com/developers/docs/resources/message#create-message>

use hookbay_plugin::template::{Template, Values};
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, config, http, manifest};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What Discord takes in one message, and in one nonce, in characters.
const TEXT_MAX: usize = 2_000;
const NONCE_MAX: usize = 25;

struct DiscordNotify;

hookbay_plugin::export!(DiscordNotify);

/// The message as Discord has stored it.
#[derive(Serialize, Deserialize)]
struct Posted {
    id: String,
    channel_id: String,
}

impl Plugin for DiscordNotify {
    fn manifest() -> Manifest {
        manifest!()
            .endpoint(
                "discord",
                "https://discord.com",
                "where messages are posted",
            )
            .secret(
                "DISCORD_TOKEN",
                "token of a bot that may send messages to the channel",
            )
            .requires_config("channel_id", "the channel's id, such as 772908445358620702")
            .reads_config("text", "the message, such as `Order {/order/id} was paid`")
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let channel = config::require("channel_id")?;
        let template = Template::from_config("text", "**{kind}** from {source}")?;
        let text = cut(&template.fill(&Values::of(event), escape));

        // Discord answers a repetition of the nonce, for some minutes, with the message
        // that is there.
        let nonce: String = run
            .uuid("message")
            .replace('-', "")
            .chars()
            .take(NONCE_MAX)
            .collect();
        let path = format!("/api/v10/channels/{}/messages", http::encode(&channel));
        let posted: Posted = http::post("discord", &path)
            .secret_header("Authorization", "Bot ", "DISCORD_TOKEN")
            // Its form is Discord's rule.
            .header(
                "User-Agent",
                "DiscordBot (https://github.com/hookbay/hookbay, 0.1)",
            )
            .json(&json!({
                "content": text,
                "nonce": nonce,
                "enforce_nonce": true,
                "allowed_mentions": {"parse": []},
            }))?
            .send()?
            .error_for_status()?
            .json()?;
        Success::new(format!("posted to {channel}: {text}")).with_data(&posted)
    }
}

/// Makes a text show as it is, whatever marks are in it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control() || *c == '\n') {
        if "\\*_~`|>#-+[]()<:@".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some(_) => text.chars().take(TEXT_MAX - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
