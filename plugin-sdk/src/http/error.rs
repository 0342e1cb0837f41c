//! Why a request has no answer, and which failure that is.

use std::{error, fmt};

use crate::{Failure, imports::http as wit};

/// Why there is no answer, or none that was asked for. `?` turns it into the
/// [`Failure`] that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The endpoint, the secret for it, or the address behind it is not granted.
    /// Permanent.
    Denied(String),
    /// The request cannot be made: a path, method or header that is none. Permanent.
    Invalid(String),
    /// The request or its answer is longer than it may be. Permanent.
    TooLarge(String),
    /// The answer did not come in time; the request may have been carried out.
    /// Worth a retry.
    Timeout(String),
    /// No connection, or it broke before the answer had ended; the request may have
    /// been carried out. Worth a retry.
    Unavailable(String),
    /// A body has no JSON form, or is other JSON than was asked for. Permanent.
    Json(String),
}

impl Error {
    /// The host's answer to a request, with the name of that request.
    pub(super) fn new(line: &str, error: wit::Error) -> Self {
        let named = |what: String| format!("{line}: {what}");
        match error {
            wit::Error::Denied(what) => Self::Denied(named(what)),
            wit::Error::Invalid(what) => Self::Invalid(named(what)),
            wit::Error::TooLarge(what) => Self::TooLarge(named(what)),
            wit::Error::Timeout(what) => Self::Timeout(named(what)),
            wit::Error::Unavailable(what) => Self::Unavailable(named(what)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(what) => write!(f, "http denied: {what}"),
            Self::Invalid(what) => write!(f, "http invalid: {what}"),
            Self::TooLarge(what) => write!(f, "http too large: {what}"),
            Self::Timeout(what) => write!(f, "http timeout: {what}"),
            Self::Unavailable(what) => write!(f, "http unavailable: {what}"),
            Self::Json(what) => write!(f, "http json: {what}"),
        }
    }
}

impl error::Error for Error {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Timeout(_) | Error::Unavailable(_) => Self::retry(error),
            Error::Denied(_) | Error::Invalid(_) | Error::TooLarge(_) | Error::Json(_) => {
                Self::permanent(error)
            }
        }
    }
}
