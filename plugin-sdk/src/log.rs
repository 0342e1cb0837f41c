//! Lines that are kept with the attempt and shown to the operator.
//!
//! A message is a literal with the usual format arguments. After a semicolon come
//! fields, whose values are anything that can be displayed:
//!
//! ```no_run
//! # use hookbay_plugin::log;
//! # let (branch, repository, n_commits) = ("main", "octo/hello", 3);
//! log::info!("pushed");
//! log::info!("pushed to {branch}"; repository = repository, commits = n_commits);
//! log::warn!("{} commits", n_commits);
//! ```

use std::fmt::{self, Display};

use crate::imports;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// For the operator, now and then.
    Info,
    /// Something is odd, and the plugin went on.
    Warn,
    /// Something failed.
    Error,
}

/// Writes one line; the macros are shorter.
pub fn write(level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
    let to_field = |(name, value): &(&str, &dyn Display)| imports::log::Field {
        name: (*name).to_owned(),
        value: value.to_string(),
    };
    let fields: Vec<_> = fields.iter().map(to_field).collect();
    imports::log::write(level.into(), message, &fields);
}

/// Writes a line for the plugin's author. See [the syntax](crate::log).
#[doc(inline)]
pub use crate::__debug as debug;
/// Writes a line about something that failed. See [the syntax](crate::log).
#[doc(inline)]
pub use crate::__error as error;
/// Writes a line for the operator. See [the syntax](crate::log).
#[doc(inline)]
pub use crate::__info as info;
/// Writes a line about something odd. See [the syntax](crate::log).
#[doc(inline)]
pub use crate::__warn as warn;

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

impl From<Level> for imports::log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

// `macro_export` puts a macro at the crate's root whatever module it stands in, so
// these carry other names there and are re-exported above under their own.

#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($line:tt)+) => { $crate::__log!($crate::log::Level::Debug, $($line)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($line:tt)+) => { $crate::__log!($crate::log::Level::Info, $($line)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($line:tt)+) => { $crate::__log!($crate::log::Level::Warn, $($line)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($line:tt)+) => { $crate::__log!($crate::log::Level::Error, $($line)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    (
        $level:expr,
        $message:literal $(, $argument:expr)* $(,)?
        $(; $($name:ident = $value:expr),+ $(,)?)?
    ) => {
        $crate::log::write(
            $level,
            &::std::format!($message $(, $argument)*),
            &[$($((::core::stringify!($name), &$value as &dyn ::core::fmt::Display)),+)?],
        )
    };
}
