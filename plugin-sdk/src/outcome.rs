//! What a plugin answers: a [`Success`] or a [`Failure`].

use std::{error::Error, fmt, time::Duration};

use serde::Serialize;

/// The event was handled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Success {
    /// One line for people: `3 commits to octo/hello on main by mona`.
    pub summary: String,
    /// JSON text, kept with the run; see [`Success::with_data`].
    pub data: Option<String>,
}

/// The event was not handled, and what the host should do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Worth another attempt later.
    Retry {
        /// One line for people.
        reason: String,
        /// Wait at least this long, capped at 24 hours. Without it the operator's
        /// schedule applies.
        after: Option<Duration>,
    },
    /// No attempt will ever succeed: the run ends.
    Permanent {
        /// One line for people.
        reason: String,
    },
}

impl Success {
    /// A success with one line for people.
    #[must_use]
    pub fn new(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            data: None,
        }
    }

    /// Adds JSON for programs. The result is what [`Plugin::handle`] returns, so
    /// this can be its last expression.
    ///
    /// [`Plugin::handle`]: crate::Plugin::handle
    ///
    /// # Errors
    ///
    /// [`Failure::Permanent`] if the data has no JSON form, such as a map whose
    /// keys are not text.
    pub fn with_data(self, data: &impl Serialize) -> Result<Self, Failure> {
        match serde_json::to_string(data) {
            Ok(json) => Ok(Self {
                data: Some(json),
                ..self
            }),
            Err(error) => Err(Failure::permanent(format!(
                "data has no JSON form: {error}"
            ))),
        }
    }
}

impl Failure {
    /// Worth another attempt, on the operator's schedule unless
    /// [`after`](Failure::after) says otherwise.
    #[must_use]
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self::Retry {
            reason: reason.to_string(),
            after: None,
        }
    }

    /// No attempt will ever succeed: the run ends, and a person must look at it.
    /// Takes any error: `text.parse::<u32>().map_err(Failure::permanent)?`.
    #[must_use]
    pub fn permanent(reason: impl fmt::Display) -> Self {
        Self::Permanent {
            reason: reason.to_string(),
        }
    }

    /// Asks the host to wait at least this long before the next attempt. A
    /// permanent failure stays permanent.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        match self {
            Self::Retry { reason, .. } => Self::Retry {
                reason,
                after: Some(delay),
            },
            Self::Permanent { reason } => Self::Permanent { reason },
        }
    }

    /// The line for people.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Retry { reason, .. } | Self::Permanent { reason } => reason,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Error for Failure {}
