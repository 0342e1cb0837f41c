//! What an attempt read and wrote of its plugin's state: the words that the
//! sandbox records and the store commits. Pure.

/// Which write of a key this is; changes with every write.
pub type Version = i64;

/// A look at the state, checked again when the run commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvRead {
    /// One key, and which write of it was seen.
    Key {
        /// The key.
        key: String,
        /// Its version; none if it was missing.
        version: Option<Version>,
    },
    /// The keys under a prefix.
    List {
        /// The prefix.
        prefix: String,
        /// How many were asked for.
        limit: u32,
        /// What was seen.
        keys: Vec<String>,
    },
}

/// A change to the state, applied in order when the run commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvWrite {
    /// Puts a value.
    Set {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Removes a value.
    Delete {
        /// The key.
        key: String,
    },
    /// Adds to a counter, merging with others.
    Increment {
        /// The key.
        key: String,
        /// How much.
        by: i64,
    },
}

/// Everything an attempt did to the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvEffects {
    /// What it saw.
    pub reads: Vec<KvRead>,
    /// What it changes.
    pub writes: Vec<KvWrite>,
}

impl KvEffects {
    /// Whether it neither read nor wrote.
    pub fn is_empty(&self) -> bool {
        self.reads.is_empty() && self.writes.is_empty()
    }

    /// The keys that were read or written, some of them more than once.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let read = self.reads.iter().filter_map(|read| match read {
            KvRead::Key { key, .. } => Some(key.as_str()),
            KvRead::List { .. } => None,
        });
        let written = self.writes.iter().map(|write| match write {
            KvWrite::Set { key, .. } | KvWrite::Delete { key } | KvWrite::Increment { key, .. } => {
                key.as_str()
            }
        });
        read.chain(written)
    }
}

/// A counter's value is not one: a signed 64-bit integer in decimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CounterError {
    /// Something else is kept there.
    #[error("the value under `{0}` is not a counter")]
    NotACounter(String),
    /// The sum does not fit.
    #[error("the counter under `{0}` would leave the range of 64 bits")]
    Overflow(String),
}

/// The text of a counter after an increment; a missing one is 0.
///
/// # Errors
/// [`CounterError`] names the key.
pub fn incremented(key: &str, value: Option<&[u8]>, by: i64) -> Result<Vec<u8>, CounterError> {
    let before = match value {
        None => 0,
        Some(bytes) => std::str::from_utf8(bytes)
            .ok()
            .filter(|text| !text.starts_with('+'))
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or_else(|| CounterError::NotACounter(key.to_owned()))?,
    };
    let after = before
        .checked_add(by)
        .ok_or_else(|| CounterError::Overflow(key.to_owned()))?;
    Ok(after.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::{CounterError, incremented};

    #[test]
    fn counters_add_up() {
        for (value, by, expected) in [
            (None, 1, "1"),
            (Some("41"), 1, "42"),
            (Some("-1"), 1, "0"),
            (Some("0"), i64::MIN, "-9223372036854775808"),
        ] {
            assert_eq!(
                incremented("k", value.map(str::as_bytes), by),
                Ok(expected.as_bytes().to_vec())
            );
        }
        for bad in ["", "one", "1.5", "+1", " 1", "9223372036854775808"] {
            let refused = incremented("k", Some(bad.as_bytes()), 1);
            assert_eq!(refused, Err(CounterError::NotACounter("k".into())), "{bad}");
        }
        let full = i64::MAX.to_string();
        assert_eq!(
            incremented("k", Some(full.as_bytes()), 1),
            Err(CounterError::Overflow("k".into()))
        );
    }
}
