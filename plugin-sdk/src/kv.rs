//! A durable map of the plugin's own, which no other plugin sees.
//!
//! An attempt reads what was committed when it looked, and its own writes. Its
//! writes are committed together with its success; a failed attempt leaves none.
//!
//! Two runs that read a key and then write it conflict: the host attempts the
//! later one again. [`increment`] neither reads nor conflicts, so it is the way
//! to count. Where a run reads first and then acts on the world, give its trigger
//! an [ordering key](crate::Trigger::ordered_by).

use std::{error, fmt};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Failure, imports};

/// Why a call failed. `?` turns it into the [`Failure`] that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A key, a value or their number is over its limit. Permanent.
    Limit(String),
    /// The value is not a decimal integer of 64 bits. Permanent.
    NotACounter(String),
    /// The value is not the JSON that was asked for, or has no JSON form. Permanent.
    Json(String),
    /// The store could not answer. Worth a retry.
    Unavailable(String),
}

/// The value of a key.
///
/// # Errors
///
/// [`Error::Limit`] or [`Error::Unavailable`].
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    Ok(imports::kv::get(key)?)
}

/// Sets a key.
///
/// # Errors
///
/// [`Error::Limit`] or [`Error::Unavailable`].
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
    Ok(imports::kv::set(key, value.as_ref())?)
}

/// Removes a key; one that does not exist is no error.
///
/// # Errors
///
/// [`Error::Limit`] or [`Error::Unavailable`].
pub fn delete(key: &str) -> Result<(), Error> {
    Ok(imports::kv::delete(key)?)
}

/// The keys that begin with `prefix`, in order, at most `limit` (1 to 1,000).
///
/// # Errors
///
/// [`Error::Limit`] or [`Error::Unavailable`].
pub fn list(prefix: &str, limit: u32) -> Result<Vec<String>, Error> {
    Ok(imports::kv::list(prefix, limit)?)
}

/// Adds `by` to a counter; one that does not exist is 0. Increments of runs that
/// execute at the same time add up.
///
/// # Errors
///
/// [`Error::NotACounter`], [`Error::Limit`] or [`Error::Unavailable`].
pub fn increment(key: &str, by: i64) -> Result<(), Error> {
    Ok(imports::kv::increment(key, by)?)
}

/// The value of a counter; one that does not exist is 0.
///
/// # Errors
///
/// [`Error::NotACounter`], [`Error::Limit`] or [`Error::Unavailable`].
pub fn get_counter(key: &str) -> Result<i64, Error> {
    let Some(value) = get(key)? else { return Ok(0) };
    let number = str::from_utf8(&value)
        .ok()
        .and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::NotACounter(format!("`{key}` is not a 64-bit decimal integer")))
}

/// The value of a key, from JSON.
///
/// # Errors
///
/// [`Error::Json`] if it is other JSON than `T`, [`Error::Limit`] or
/// [`Error::Unavailable`].
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    let Some(value) = get(key)? else {
        return Ok(None);
    };
    let parsed = serde_json::from_slice(&value);
    parsed
        .map(Some)
        .map_err(|error| Error::Json(format!("value of `{key}`: {error}")))
}

/// Sets a key, to JSON.
///
/// # Errors
///
/// [`Error::Json`] if `value` has no JSON form, [`Error::Limit`] or
/// [`Error::Unavailable`].
pub fn set_json(key: &str, value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_vec(value)
        .map_err(|error| Error::Json(format!("new value of `{key}`: {error}")))?;
    set(key, json)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(what) => write!(f, "kv limit: {what}"),
            Self::NotACounter(what) => write!(f, "kv counter: {what}"),
            Self::Json(what) => write!(f, "kv json: {what}"),
            Self::Unavailable(what) => write!(f, "kv unavailable: {what}"),
        }
    }
}

impl error::Error for Error {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(_) => Self::retry(error),
            Error::Limit(_) | Error::NotACounter(_) | Error::Json(_) => Self::permanent(error),
        }
    }
}

impl From<imports::kv::Error> for Error {
    fn from(error: imports::kv::Error) -> Self {
        match error {
            imports::kv::Error::Limit(what) => Self::Limit(what),
            imports::kv::Error::NotACounter(what) => Self::NotACounter(what),
            imports::kv::Error::Unavailable(what) => Self::Unavailable(what),
        }
    }
}
