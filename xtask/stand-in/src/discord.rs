//! Discord, as far as plugins use it: messages in one channel.
//!
//! <https://discord.com/developers/docs/resources/message#create-message>. A message whose
//! enforced nonce is that of one that is there is that one.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::calendar::rfc3339;
use crate::http::{Answer, Request};
use crate::rate::Allowance;
use crate::service::{Section, Service};

/// The token of a bot that may send messages to the channel.
pub const TOKEN: &str = "bot-of-the-stand-in";
/// The id of the one channel.
pub const CHANNEL: &str = "772908445358620702";

/// Longest content and longest nonce, in characters.
const CONTENT_MAX: usize = 2_000;
const NONCE_MAX: usize = 25;
/// Messages at once before the rate of one per second counts.
const BURST: f64 = 5.0;

/// The service.
#[derive(Debug)]
pub struct Discord {
    messages: Vec<Message>,
    allowance: Allowance,
}

/// A message in the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its text, in Discord's markup.
    pub content: String,
    nonce: Option<String>,
    posted_at: String,
}

impl Default for Discord {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Discord {
    /// An empty channel.
    #[must_use]
    pub fn new(is_limited: bool) -> Self {
        Self {
            messages: Vec::new(),
            allowance: Allowance::new(BURST, is_limited.then_some(1.0)),
        }
    }

    /// The messages, oldest first.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    fn post(&mut self, body: &Value, now: SystemTime) -> Answer {
        let content = body["content"].as_str().unwrap_or_default();
        let nonce = body["nonce"].as_str().map(str::to_owned);
        if content.is_empty() {
            return refuse(400, 50006, "Cannot send an empty message");
        }
        for (text, key, chars_max) in [
            (content, "content", CONTENT_MAX),
            (nonce.as_deref().unwrap_or_default(), "nonce", NONCE_MAX),
        ] {
            if text.chars().count() > chars_max {
                return too_long(key, chars_max);
            }
        }
        let is_same = |(_, message): &(usize, &Message)| {
            body["enforce_nonce"] == true && nonce.is_some() && message.nonce == nonce
        };
        if let Some((index, same)) = self.messages.iter().enumerate().find(is_same) {
            return same.answer(index, "was there already");
        }
        let message = Message {
            content: content.to_owned(),
            nonce,
            posted_at: rfc3339(now),
        };
        let answer = message.answer(self.messages.len(), "posted");
        self.messages.push(message);
        answer
    }
}

impl Message {
    fn answer(&self, index: usize, verb: &str) -> Answer {
        let answer = json!({
            "id": format!("90000000000000{index:04}"),
            "channel_id": CHANNEL,
            "content": self.content,
            "timestamp": self.posted_at,
            "nonce": self.nonce,
            "type": 0,
        });
        let first_line = self.content.lines().next().unwrap_or_default();
        Answer::json(200, &answer).with_note(format!("{verb} \"{first_line}\""))
    }
}

impl Service for Discord {
    fn name(&self) -> &'static str {
        "discord"
    }

    fn takes(&self, path: &str) -> bool {
        path.starts_with("/api/v10/")
    }

    fn answer(&mut self, request: &Request, now: SystemTime) -> Answer {
        let user_agent = request.header("user-agent").unwrap_or_default();
        if !user_agent.starts_with("DiscordBot (") {
            return refuse(403, 40333, "internal network error");
        }
        if request.header("authorization") != Some(&format!("Bot {TOKEN}")) {
            return self.refusal(401);
        }
        let segments: Vec<&str> = request.path.split('/').skip(3).collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("POST", ["channels", CHANNEL, "messages"]) => {
                if !self.allowance.take(now) {
                    return self.refusal(429).with_header("retry-after", "1");
                }
                match request.json() {
                    Ok(body) => self.post(&body, now),
                    Err(_) => refuse(400, 50109, "The request body contains invalid JSON."),
                }
            }
            (_, ["channels", ..]) => refuse(404, 10003, "Unknown Channel"),
            _ => self.refusal(404),
        }
    }

    fn refusal(&self, status: u16) -> Answer {
        match status {
            401 => refuse(401, 0, "401: Unauthorized"),
            403 => refuse(403, 50013, "Missing Permissions"),
            429 => {
                let message = "You are being rate limited.";
                let body = json!({ "message": message, "retry_after": 1.0, "global": false });
                Answer::json(429, &body).with_note(message)
            }
            status => refuse(status, 0, &format!("{status}: refused by the stand-in")),
        }
    }

    fn sections(&self) -> Vec<Section> {
        let row = |message: &Message| vec![message.posted_at.clone(), message.content.clone()];
        vec![Section {
            title: "Discord: the channel".to_owned(),
            columns: ["Posted", "Message"].map(str::to_owned).to_vec(),
            rows: self.messages.iter().rev().map(row).collect(),
        }]
    }
}

fn refuse(status: u16, code: u32, message: &str) -> Answer {
    let body = json!({ "message": message, "code": code });
    Answer::json(status, &body).with_note(message)
}

fn too_long(key: &str, chars_max: usize) -> Answer {
    let message = format!("Must be {chars_max} or fewer in length.");
    let errors = json!([{ "code": "BASE_TYPE_MAX_LENGTH", "message": message }]);
    let body = json!({
        "message": "Invalid Form Body",
        "code": 50035,
        "errors": { key: { "_errors": errors } },
    });
    Answer::json(400, &body).with_note(format!("{key}: {message}"))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn post(discord: &mut Discord, path: &str, agent: &str, body: &Value) -> (u16, Value) {
        let mut request = Request::new("POST", path, body.to_string().as_bytes());
        let headers = [
            ("Authorization", format!("Bot {TOKEN}")),
            ("User-Agent", agent.to_owned()),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value));
        request.headers.extend(headers);
        let answer = discord.answer(&request, UNIX_EPOCH);
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    const BOT: &str = "DiscordBot (https://x.example, 1)";

    #[test]
    fn a_nonce_that_is_enforced_makes_one_message() {
        let mut discord = Discord::default();
        let path = format!("/api/v10/channels/{CHANNEL}/messages");
        let body = json!({ "content": "a", "nonce": "1", "enforce_nonce": true });
        let first = post(&mut discord, &path, BOT, &body);
        assert_eq!((first.0, &first.1["content"]), (200, &json!("a")));
        assert_eq!(post(&mut discord, &path, BOT, &body).1["id"], first.1["id"]);
        let free = json!({ "content": "a", "nonce": "1" });
        post(&mut discord, &path, BOT, &free);
        assert_eq!(discord.messages().len(), 2);
    }

    #[test]
    fn refusals_have_discords_codes() {
        let path = format!("/api/v10/channels/{CHANNEL}/messages");
        let fine = json!({ "content": "a" });
        for (path, agent, body, expected) in [
            (path.as_str(), "curl/8", &fine, (403, 40333)),
            ("/api/v10/channels/1/messages", BOT, &fine, (404, 10003)),
            (&path, BOT, &json!({}), (400, 50006)),
            (
                &path,
                BOT,
                &json!({ "content": "é".repeat(2_001) }),
                (400, 50035),
            ),
            (
                &path,
                BOT,
                &json!({ "content": "a", "nonce": "1".repeat(26) }),
                (400, 50035),
            ),
        ] {
            let mut discord = Discord::default();
            let (status, answer) = post(&mut discord, path, agent, body);
            assert_eq!(
                (status, answer["code"].as_u64()),
                (expected.0, Some(expected.1))
            );
            assert!(discord.messages().is_empty());
        }
    }
}
