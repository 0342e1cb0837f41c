//! Follow-up events, which start runs of other plugins.
//!
//! They are stored together with the run's success, each exactly once; a failed
//! attempt emits nothing. An event's source is `plugin:NAME`, with the name that the
//! operator gave this plugin, and its provider `hookbay`.
//!
//! ```
//! use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success};
//! use hookbay_plugin::{events, manifest, testing};
//! use serde_json::{Value, json};
//!
//! struct Split;
//!
//! impl Plugin for Split {
//!     fn manifest() -> Manifest {
//!         manifest!()
//!     }
//!
//!     fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
//!         let lines: Vec<Value> = event.json()?;
//!         for line in &lines {
//!             events::emit_json("order.line", line)?;
//!         }
//!         Ok(Success::new(format!("{} lines", lines.len())))
//!     }
//! }
//!
//! let mut host = testing::Host::new();
//! let attempt = host.handle::<Split>(&testing::event("shop", "order", r#"[{"n": 1}]"#));
//! assert_eq!(attempt.emitted[0].kind, "order.line");
//! assert_eq!(attempt.emitted[0].json::<Value>(), json!({"n": 1}));
//! ```

use std::{error, fmt};

use serde::Serialize;

use crate::{Failure, imports};

/// Why an event cannot be emitted. `?` turns it into a permanent [`Failure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The kind is none: segments of letters, digits, `_` and `-`, between dots.
    Invalid(String),
    /// The chain of events that led here is as long as one may be.
    TooDeep(String),
    /// The body has no JSON form.
    Json(String),
}

/// Emits an event of this kind.
///
/// # Errors
///
/// [`Error::Invalid`] or [`Error::TooDeep`].
pub fn emit(kind: &str, body: impl AsRef<[u8]>) -> Result<(), Error> {
    Ok(imports::events::emit(kind, body.as_ref())?)
}

/// Emits an event of this kind with JSON as its body.
///
/// # Errors
///
/// [`Error::Json`] if `body` has no JSON form, [`Error::Invalid`] or
/// [`Error::TooDeep`].
pub fn emit_json(kind: &str, body: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_vec(body)
        .map_err(|error| Error::Json(format!("body of `{kind}`: {error}")))?;
    emit(kind, json)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(what) => write!(f, "events invalid: {what}"),
            Self::TooDeep(what) => write!(f, "events too deep: {what}"),
            Self::Json(what) => write!(f, "events json: {what}"),
        }
    }
}

impl error::Error for Error {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::permanent(error)
    }
}

impl From<imports::events::Error> for Error {
    fn from(error: imports::events::Error) -> Self {
        match error {
            imports::events::Error::Invalid(what) => Self::Invalid(what),
            imports::events::Error::TooDeep(what) => Self::TooDeep(what),
        }
    }
}
