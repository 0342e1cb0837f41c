//! A message that is put together, posted and updated.
//!
//! <https://docs.slack.dev/reference/methods/chat.postMessage>,
//! <https://docs.slack.dev/reference/block-kit/blocks>

use hookbay_plugin::{Run, config, http};
use serde::{Deserialize, Serialize};

use crate::answer::{Error, ok};
use crate::text::cut;
use crate::{CHANNEL, ENDPOINT, TOKEN};

/// What Slack takes in one block, in characters.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3_000;
/// What Slack shows of a text.
const TEXT_MAX: usize = 4_000;

/// A message. Its texts are markup: what comes from outside goes through
/// [`escape`](crate::escape) first. What is longer than Slack takes is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a message is not posted until `post`"]
pub struct Message {
    text: String,
    blocks: Vec<Block>,
    thread: Option<Posted>,
}

/// Where a message stands: what a plugin keeps to answer or update it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The channel's id.
    pub channel: String,
    /// The message's id in it: when it was posted.
    pub ts: String,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Header { text: Text },
    Section { text: Text },
    Context { elements: [Text; 1] },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Text {
    /// `emoji`: `:smile:` is turned into one.
    PlainText { text: String, emoji: bool },
    /// `verbatim`: names and addresses are not turned into mentions and links.
    Mrkdwn { text: String, verbatim: bool },
}

/// What a call is given.
#[derive(Serialize)]
struct Body<'a> {
    channel: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "<[Block]>::is_empty")]
    blocks: &'a [Block],
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<&'a str>,
    /// Not among the documented arguments, but two of the documented errors are about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_msg_id: Option<String>,
    /// Pages behind links are the reader's to open.
    unfurl_links: bool,
    unfurl_media: bool,
}

impl Message {
    /// A message of this text. With blocks it is what a notification shows.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self {
            text: cut(text.as_ref(), TEXT_MAX),
            blocks: Vec::new(),
            thread: None,
        }
    }

    /// Adds a heading: text without markup, shown as it is.
    pub fn heading(mut self, text: &str) -> Self {
        let text = Text::PlainText {
            text: cut_plain(text, HEADER_MAX),
            emoji: false,
        };
        self.blocks.push(Block::Header { text });
        self
    }

    /// Adds a paragraph.
    pub fn section(mut self, text: impl AsRef<str>) -> Self {
        let text = Text::markup(text.as_ref());
        self.blocks.push(Block::Section { text });
        self
    }

    /// Adds a line of small print.
    pub fn context(mut self, text: impl AsRef<str>) -> Self {
        let elements = [Text::markup(text.as_ref())];
        self.blocks.push(Block::Context { elements });
        self
    }

    /// Makes it a reply in the thread that begins with another message.
    pub fn in_thread(mut self, root: &Posted) -> Self {
        self.thread = Some(root.clone());
        self
    }

    /// Posts it: to its thread, else to the operator's channel. A run posts one message:
    /// Slack knows a repetition by an id that is the run's in every attempt and replay.
    ///
    /// # Errors
    ///
    /// [`Error::Http`] without a usable answer, [`Error::Refused`] for Slack's reason.
    pub fn post(self, run: &Run) -> Result<Posted, Error> {
        let (channel, thread_ts) = match &self.thread {
            Some(root) => (root.channel.clone(), Some(root.ts.as_str())),
            None => (config::require(CHANNEL).map_err(Error::Http)?, None),
        };
        let body = Body {
            thread_ts,
            client_msg_id: Some(run.uuid("message")),
            ..self.body(&channel)
        };
        call("chat.postMessage", &body)
    }

    /// Puts it in the place of a message that the bot has posted.
    ///
    /// # Errors
    ///
    /// As [`Message::post`]; [`Error::is_gone`] if there is no such message any more.
    pub fn update(self, posted: &Posted) -> Result<(), Error> {
        let body = Body {
            ts: Some(&posted.ts),
            ..self.body(&posted.channel)
        };
        call("chat.update", &body)?;
        Ok(())
    }

    fn body<'a>(&'a self, channel: &'a str) -> Body<'a> {
        Body {
            channel,
            text: &self.text,
            blocks: &self.blocks,
            thread_ts: None,
            ts: None,
            client_msg_id: None,
            unfurl_links: false,
            unfurl_media: false,
        }
    }
}

impl Text {
    fn markup(text: &str) -> Self {
        Self::Mrkdwn {
            text: cut(text.trim_end(), SECTION_MAX),
            verbatim: true,
        }
    }
}

fn cut_plain(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some(_) => text.chars().take(chars_max - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

fn call(method: &str, body: &Body<'_>) -> Result<Posted, Error> {
    let request = http::post(ENDPOINT, &format!("/api/{method}"))
        .bearer(TOKEN)
        .header("Content-Type", "application/json; charset=utf-8");
    let response = request.json(body).and_then(http::Request::send);
    let response = response.map_err(|error| Error::Http(error.into()))?;
    ok(method, body.channel, response)
}
