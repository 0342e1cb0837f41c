//! What a test can ask about an attempt: its result, and what it did on the way.

use std::fmt;

use serde::de::DeserializeOwned;

use super::Request;
use crate::{Failure, Success, log::Level};

/// What came of one attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What the plugin answered.
    pub result: Result<Success, Failure>,
    /// The lines that it logged.
    pub lines: Vec<Line>,
    /// The requests that it sent, answered or not.
    pub requests: Vec<Request>,
    /// The events that it emitted; none if it failed.
    pub emitted: Vec<Emitted>,
}

/// A line that was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// The message.
    pub message: String,
    /// The fields, as name and value.
    pub fields: Vec<(String, String)>,
}

/// A follow-up event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// Its kind.
    pub kind: String,
    /// Its body; see [`Emitted::json`].
    pub body: Vec<u8>,
}

impl Emitted {
    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is other JSON than `T`.
    #[must_use]
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the event's body is not what was asked for")
    }
}

impl Attempt {
    /// The success's summary.
    ///
    /// # Panics
    ///
    /// If the attempt failed.
    #[must_use]
    #[track_caller]
    pub fn summary(&self) -> &str {
        &self.success().summary
    }

    /// The success's data.
    ///
    /// # Panics
    ///
    /// If the attempt failed, or its data is missing or other JSON than `T`.
    #[must_use]
    #[track_caller]
    pub fn data<T: DeserializeOwned>(&self) -> T {
        let json = self
            .success()
            .data
            .as_deref()
            .expect("the success has no data");
        serde_json::from_str(json).expect("the success's data is not what was asked for")
    }

    /// The failure.
    ///
    /// # Panics
    ///
    /// If the attempt succeeded.
    #[must_use]
    #[track_caller]
    pub fn failure(&self) -> &Failure {
        self.result.as_ref().expect_err("the attempt succeeded")
    }

    /// The logged lines as text: `info: counted kind=push`.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.lines.iter().map(Line::to_string).collect()
    }

    #[track_caller]
    fn success(&self) -> &Success {
        self.result.as_ref().expect("the attempt failed")
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.level, self.message)?;
        for (name, value) in &self.fields {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}
