//! The contract's imports as the fake host answers them, in the shapes that
//! `wit-bindgen` gives them.

use super::{CURRENT, Line, Sandbox};

/// Lets an import work on the attempt that this thread is making.
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

pub(crate) mod kv {
    use std::collections::BTreeMap;

    use super::with_sandbox;

    pub(crate) use crate::bindings::hookbay::plugin::kv::Error;

    /// The attempt's copy of what is stored, which replaces it if the attempt succeeds.
    type Stored = BTreeMap<String, Vec<u8>>;

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        with_stored("kv::get", |stored| Ok(stored.get(key).cloned()))
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Error> {
        with_stored("kv::set", |stored| {
            stored.insert(key.to_owned(), value.to_vec());
            Ok(())
        })
    }

    pub(crate) fn delete(key: &str) -> Result<(), Error> {
        with_stored("kv::delete", |stored| {
            stored.remove(key);
            Ok(())
        })
    }

    pub(crate) fn list(prefix: &str, limit: u32) -> Result<Vec<String>, Error> {
        if !(1..=1_000).contains(&limit) {
            return Err(Error::Limit(format!(
                "list of {limit} keys, allowed are 1 to 1,000"
            )));
        }
        with_stored("kv::list", |stored| {
            let matching = stored.keys().filter(|key| key.starts_with(prefix));
            Ok(matching.zip(0..limit).map(|(key, _)| key.clone()).collect())
        })
    }

    pub(crate) fn increment(key: &str, by: i64) -> Result<(), Error> {
        with_stored("kv::increment", |stored| {
            let value = stored.get(key).map_or(&b"0"[..], Vec::as_slice);
            let sum = parse_counter(value).and_then(|number| number.checked_add(by));
            let sum = sum.ok_or_else(|| Error::NotACounter(format!("`{key}`")))?;
            stored.insert(key.to_owned(), sum.to_string().into_bytes());
            Ok(())
        })
    }

    fn parse_counter(value: &[u8]) -> Option<i64> {
        str::from_utf8(value).ok()?.parse().ok()
    }

    fn with_stored<T>(
        call: &str,
        work: impl FnOnce(&mut Stored) -> Result<T, Error>,
    ) -> Result<T, Error> {
        with_sandbox(call, |sandbox| {
            if sandbox.host.is_kv_unavailable {
                return Err(Error::Unavailable("the test made it so".to_owned()));
            }
            work(&mut sandbox.host.stored)
        })
    }
}
