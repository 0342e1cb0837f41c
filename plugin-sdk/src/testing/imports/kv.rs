//! The fake host's `kv`: a map whose writes stay if the attempt succeeds.

use std::collections::BTreeMap;

use super::with_sandbox;

pub(crate) use crate::bindings::hookbay::plugin::kv::Error;

/// What the attempt sees of the map.
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
