//! The contract's imports as the fake host answers them, in the shapes that
//! `wit-bindgen` gives them. The larger ones have files of their own.

use super::{CURRENT, Emitted, Line, Sandbox};

pub(crate) mod crypto;
pub(crate) mod http;
pub(crate) mod kv;
pub(crate) mod oracle;

/// Lets an import work on the attempt that this thread is making.
#[track_caller]
fn with_sandbox<T>(call: &str, work: impl FnOnce(&mut Sandbox) -> T) -> T {
    CURRENT.with_borrow_mut(|current| match current {
        Some(sandbox) => work(sandbox),
        None => panic!("{call} was called outside of `handle`; use `testing::Host::handle`"),
    })
}

pub(crate) mod log {
    use super::{Line, with_sandbox};
    use crate::log::Level as OurLevel;

    pub(crate) use crate::bindings::hookbay::plugin::log::{Field, Level};

    pub(crate) fn write(level: Level, message: &str, fields: &[Field]) {
        let level = match level {
            Level::Debug => OurLevel::Debug,
            Level::Info => OurLevel::Info,
            Level::Warn => OurLevel::Warn,
            Level::Error => OurLevel::Error,
        };
        let fields = fields
            .iter()
            .map(|field| (field.name.clone(), field.value.clone()))
            .collect();
        let line = Line {
            level,
            message: message.to_owned(),
            fields,
        };
        with_sandbox("log", |sandbox| sandbox.lines.push(line));
    }
}

pub(crate) mod config {
    use super::with_sandbox;

    pub(crate) fn get(key: &str) -> Option<String> {
        with_sandbox("config::get", |sandbox| {
            sandbox.host.config.get(key).cloned()
        })
    }
}

pub(crate) mod events {
    use super::{Emitted, with_sandbox};

    pub(crate) use crate::bindings::hookbay::plugin::events::Error;

    pub(crate) fn emit(kind: &str, body: &[u8]) -> Result<(), Error> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let mut segments = kind.split('.');
        if !segments.all(|segment| !segment.is_empty() && segment.chars().all(is_allowed)) {
            return Err(Error::Invalid(format!(
                "kind `{kind}`: expected segments of letters, digits, `_` and `-`, between dots"
            )));
        }
        with_sandbox("events::emit", |sandbox| {
            if sandbox.host.is_chain_full {
                return Err(Error::TooDeep("the test made it so".to_owned()));
            }
            sandbox.emitted.push(Emitted {
                kind: kind.to_owned(),
                body: body.to_vec(),
            });
            Ok(())
        })
    }
}

pub(crate) mod clock {
    use std::time::{Duration, SystemTime};

    use super::with_sandbox;

    pub(crate) fn now() -> SystemTime {
        let now_ms = with_sandbox("the clock", |sandbox| sandbox.host.now_ms);
        SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms)
    }

    pub(crate) fn sleep(time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        with_sandbox("clock::sleep", |sandbox| sandbox.host.now_ms += ms);
    }
}
