//! What Slack answers, and which failure a refusal is.
//!
//! Slack says no with the status 200 and a code. What each code means is in
//! <https://docs.slack.dev/reference/methods/chat.postMessage#errors>.

use std::{error, fmt};

use hookbay_plugin::{Failure, http::Response};
use serde::Deserialize;

use crate::message::Posted;

/// Why a message was not posted or updated. `?` turns it into the [`Failure`] that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No answer, or one that is not Slack's yes or no, with the failure it is.
    Http(Failure),
    /// Slack refused.
    Refused {
        /// Slack's code, such as `not_in_channel`.
        code: String,
        /// One line for people.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
    /// The scope that the token lacks.
    needed: Option<String>,
    ts: Option<String>,
    channel: Option<String>,
    #[serde(default)]
    response_metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    messages: Vec<String>,
}

impl Error {
    /// Whether the message is not there any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code == "message_not_found",
            Self::Http(_) => false,
        }
    }
}

/// Reads the answer to a call about a channel.
pub(crate) fn ok(method: &str, channel: &str, response: Response) -> Result<Posted, Error> {
    let response = response.error_for_status().map_err(Error::Http)?;
    let answer: Answer = response
        .json()
        .map_err(|error| Error::Http(Failure::retry(error)))?;
    if answer.ok {
        return Ok(Posted {
            channel: answer.channel.unwrap_or_else(|| channel.to_owned()),
            ts: answer.ts.unwrap_or_default(),
        });
    }
    let code = answer.error.as_deref().unwrap_or("unknown_error");
    let mut reason = format!("{method}: {code}");
    if let Some(hint) = hint(code, channel, answer.needed.as_deref()) {
        reason = format!("{reason}: {hint}");
    }
    for message in &answer.response_metadata.messages {
        reason = format!("{reason}; {message}");
    }
    Err(Error::Refused {
        code: code.to_owned(),
        reason,
    })
}

/// What a person can do about a code.
fn hint(code: &str, channel: &str, needed: Option<&str>) -> Option<String> {
    Some(match code {
        "channel_not_found" => format!("the token sees no channel `{channel}`"),
        "not_in_channel" => format!("invite the bot to the channel `{channel}`"),
        "is_archived" => format!("the channel `{channel}` is archived"),
        "missing_scope" => format!("the token lacks the scope `{}`", needed?),
        "not_authed" | "invalid_auth" | "token_revoked" | "token_expired" | "account_inactive" => {
            "Slack does not accept the token in secrets.SLACK_TOKEN".to_owned()
        }
        _ => return None,
    })
}

/// Whether a refusal may go away by itself.
fn is_passing(code: &str) -> bool {
    matches!(
        code,
        "fatal_error"
            | "internal_error"
            | "message_limit_exceeded"
            | "rate_limited"
            | "ratelimited"
            | "request_timeout"
            | "service_unavailable"
            | "team_added_to_org"
    )
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Http(failure) => failure,
            Error::Refused { code, reason } if is_passing(&code) => Self::retry(reason),
            Error::Refused { reason, .. } => Self::permanent(reason),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(failure) => failure.fmt(f),
            Self::Refused { reason, .. } => f.write_str(reason),
        }
    }
}

impl error::Error for Error {}
