//! Slack, as far as plugins use it: `chat.postMessage` and `chat.update` in one channel.
//!
//! <https://docs.slack.dev/reference/methods/chat.postMessage>. A refusal has the status 200
//! and a code, but for too many requests. A message with the `client_msg_id` of one that is
//! there is that one.

mod blocks;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::rate::Allowance;
use crate::service::{Section, Service};

/// The token of a bot with the scope `chat:write`.
pub const TOKEN: &str = "xoxb-of-the-stand-in";
/// The id of the one channel.
pub const CHANNEL: &str = "C0STANDIN01";

/// Longest text, in characters.
const TEXT_MAX: usize = 40_000;
/// Messages at once before the rate of one per second counts.
const POSTS_AT_ONCE: f64 = 5.0;
/// Changes per minute: each method has a rate of its own.
/// <https://docs.slack.dev/apis/web-api/rate-limits>
const UPDATES_PER_MINUTE: f64 = 50.0;

/// The service.
#[derive(Debug)]
pub struct Slack {
    messages: Vec<Message>,
    /// Whether the bot may write to the channel.
    is_member: bool,
    posts: Allowance,
    updates: Allowance,
}

/// A message in the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub ts: String,
    /// The message whose thread it is in.
    pub thread_ts: Option<String>,
    /// What a notification shows of it.
    pub text: String,
    /// Its blocks; null without.
    pub blocks: Value,
    /// How often it has been changed.
    pub n_updates: u32,
    client_msg_id: Option<String>,
}

impl Default for Slack {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Slack {
    /// An empty channel.
    #[must_use]
    pub fn new(is_limited: bool) -> Self {
        Self {
            messages: Vec::new(),
            is_member: true,
            posts: Allowance::new(POSTS_AT_ONCE, is_limited.then_some(1.0)),
            updates: Allowance::new(
                UPDATES_PER_MINUTE,
                is_limited.then_some(UPDATES_PER_MINUTE / 60.0),
            ),
        }
    }

    /// The messages, oldest first.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Puts the bot out of the channel, as a person would.
    pub fn remove_bot(&mut self) {
        self.is_member = false;
    }

    /// Deletes every message, as a person would.
    pub fn delete_all(&mut self) {
        self.messages.clear();
    }

    fn post(&mut self, body: &Value, now: SystemTime) -> Answer {
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        let client_msg_id = text("client_msg_id");
        let mut messages = self.messages.iter();
        let same = messages
            .find(|message| client_msg_id.is_some() && message.client_msg_id == client_msg_id);
        if let Some(same) = same {
            return same.answer(&format!("was there already: \"{}\"", same.first_line()));
        }
        let message = Message {
            ts: self.next_ts(now),
            thread_ts: text("thread_ts"),
            text: text("text").unwrap_or_default(),
            blocks: body["blocks"].clone(),
            n_updates: 0,
            client_msg_id,
        };
        let verb = match message.thread_ts {
            Some(_) => "answered",
            None => "posted",
        };
        let answer = message.answer(&format!("{verb} \"{}\"", message.first_line()));
        self.messages.push(message);
        answer
    }

    fn update(&mut self, body: &Value) -> Answer {
        let ts = body["ts"].as_str().unwrap_or_default();
        let Some(message) = self.messages.iter_mut().find(|message| message.ts == ts) else {
            return refuse("message_not_found");
        };
        message.text = body["text"].as_str().unwrap_or_default().to_owned();
        message.blocks = body["blocks"].clone();
        message.n_updates += 1;
        message.answer(&format!("changed to \"{}\"", message.first_line()))
    }

    /// Seconds since 1970 and a number that makes them unique.
    fn next_ts(&self, now: SystemTime) -> String {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{}.{:06}", since.as_secs(), self.messages.len() + 1)
    }
}

impl Message {
    /// What people read, without markup.
    #[must_use]
    pub fn shown(&self) -> String {
        let texts = blocks::texts(&self.blocks);
        let markup = match texts.is_empty() {
            true => self.text.clone(),
            false => texts.join("\n"),
        };
        blocks::plain(&markup)
    }

    fn first_line(&self) -> String {
        let shown = self.shown();
        shown.lines().next().unwrap_or_default().to_owned()
    }

    fn answer(&self, note: &str) -> Answer {
        let message = json!({
            "type": "message", "ts": self.ts, "text": self.text, "blocks": self.blocks,
            "thread_ts": self.thread_ts, "bot_id": "B0STANDIN01",
        });
        let answer = json!({ "ok": true, "channel": CHANNEL, "ts": self.ts, "message": message });
        Answer::json(200, &answer).with_note(note)
    }
}

impl Service for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn takes(&self, path: &str) -> bool {
        path.starts_with("/api/chat.")
    }

    fn answer(&mut self, request: &Request, now: SystemTime) -> Answer {
        if request.header("authorization").is_none() {
            return refuse("not_authed");
        }
        if !request.bears(TOKEN) {
            return refuse("invalid_auth");
        }
        let allowance = match request.path.as_str() {
            "/api/chat.update" => &mut self.updates,
            _ => &mut self.posts,
        };
        if !allowance.take(now) {
            return self.refusal(429).with_header("retry-after", "1");
        }
        let content_type = request.header("content-type").unwrap_or_default();
        if !content_type.starts_with("application/json") {
            return refuse("invalid_form_data");
        }
        let Ok(body) = request.json() else {
            return refuse("invalid_json");
        };
        if body["channel"] != CHANNEL {
            return refuse("channel_not_found");
        }
        if !self.is_member {
            return refuse("not_in_channel");
        }
        let text = body["text"].as_str().unwrap_or_default();
        if text.is_empty() && body["blocks"].is_null() {
            return refuse("no_text");
        }
        if text.chars().count() > TEXT_MAX {
            return refuse("msg_too_long");
        }
        let problems = blocks::problems(&body["blocks"]);
        if !problems.is_empty() {
            return refuse_because("invalid_blocks", &problems);
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/api/chat.postMessage") => self.post(&body, now),
            ("POST", "/api/chat.update") => self.update(&body),
            _ => refuse("unknown_method"),
        }
    }

    fn refusal(&self, status: u16) -> Answer {
        let code = match status {
            429 => "ratelimited",
            503 => "service_unavailable",
            _ => "internal_error",
        };
        let mut answer = refuse(code);
        answer.status = status;
        answer
    }

    fn sections(&self) -> Vec<Section> {
        let in_thread = |root: &Message| {
            let replies = self.messages.iter();
            let replies = replies.filter(|one| one.thread_ts.as_ref() == Some(&root.ts));
            let replies: Vec<String> = replies.map(Message::shown).collect();
            replies.join("\n")
        };
        let roots = self.messages.iter().filter(|one| one.thread_ts.is_none());
        vec![Section {
            title: "Slack: the channel".to_owned(),
            columns: ["Message", "Thread"].map(str::to_owned).to_vec(),
            rows: roots
                .rev()
                .map(|root| vec![root.shown(), in_thread(root)])
                .collect(),
        }]
    }
}

fn refuse(code: &str) -> Answer {
    refuse_because(code, &[])
}

fn refuse_because(code: &str, messages: &[String]) -> Answer {
    let mut answer = json!({ "ok": false, "error": code });
    if !messages.is_empty() {
        answer["response_metadata"] = json!({ "messages": messages });
    }
    Answer::json(200, &answer).with_note(format!("refused: {code}"))
}

#[cfg(test)]
mod tests;
