//! Why the host gave no usable answer, in words for the person at the terminal.
//!
//! No variant ever holds a token, only where it came from.

use reqwest::StatusCode;

/// Why the host gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The address is none.
    #[error("admin address `{url}` is not of the form http://host:port or https://host:port")]
    Address {
        /// As given.
        url: String,
    },
    /// The token cannot be had or sent.
    #[error("cannot use the admin token from {origin}: {reason}")]
    Token {
        /// Where the token was to come from.
        origin: String,
        /// What is wrong with it; never its text.
        reason: String,
    },
    /// The HTTP client cannot be made, say without any CA certificates for https.
    #[error("cannot make an HTTP client: {0}")]
    Setup(String),
    /// Nobody answers there.
    #[error("cannot reach {url}: {reason}; is hookbay running? try `hookbay serve`")]
    Unreachable {
        /// The admin address.
        url: String,
        /// What the connection failed with.
        reason: String,
    },
    /// The connection was there and broke, or the answer took too long.
    #[error("no answer from {url}: {reason}")]
    Interrupted {
        /// The admin address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// 401.
    #[error("{url} does not accept the admin token ({token_origin})")]
    Unauthorized {
        /// The admin address.
        url: String,
        /// Where the token came from.
        token_origin: String,
    },
    /// A refusal that explains itself (RFC 9457).
    #[error("{}", explain(title, detail))]
    Problem {
        /// The status of the answer.
        status: StatusCode,
        /// The class of failure.
        title: String,
        /// This failure.
        detail: String,
    },
    /// A refusal without an explanation: probably not Hookbay's.
    #[error("{url} answered {status} without saying why; is that the admin address of a Hookbay?")]
    Refused {
        /// The admin address.
        url: String,
        /// The status of the answer.
        status: StatusCode,
    },
    /// An answer that does not read as what was asked for.
    #[error("{url} answered with something else than expected: {reason}")]
    NotJson {
        /// The admin address.
        url: String,
        /// Where reading failed.
        reason: String,
    },
}

impl ClientError {
    /// The status of a refusal that explains itself.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        self.problem().map(|(status, _)| status)
    }

    /// Whether the host has what it was asked for and lacks the key that it is encrypted with.
    pub(crate) fn is_of_missing_key(&self) -> bool {
        self.problem()
            .is_some_and(|(_, title)| title == MISSING_KEY)
    }

    /// Status and class of a refusal that explains itself.
    fn problem(&self) -> Option<(StatusCode, &str)> {
        match self {
            Self::Problem { status, title, .. } => Some((*status, title)),
            Self::Address { .. }
            | Self::Token { .. }
            | Self::Setup(_)
            | Self::Unreachable { .. }
            | Self::Interrupted { .. }
            | Self::Unauthorized { .. }
            | Self::Refused { .. }
            | Self::NotJson { .. } => None,
        }
    }
}

/// The class of failure of what is encrypted with a key that the host lacks.
const MISSING_KEY: &str = "missing key";

fn explain(title: &str, detail: &str) -> String {
    if detail.is_empty() {
        title.to_owned()
    } else {
        format!("{title}: {detail}")
    }
}
