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

/// Keys that a plugin may keep.
pub const KEYS_MAX: i64 = 100_000;
/// Bytes that a plugin may keep, keys and values together.
pub const BYTES_MAX: i64 = 64 << 20;

/// How much of its quota a plugin uses, or by how much that changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvUsage {
    /// Keys.
    pub keys: i64,
    /// Bytes of keys and values.
    pub bytes: i64,
}

/// A plugin would keep more than its quota.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// Too many keys.
    #[error("its kv would hold {0} keys, over the plugin's quota of {KEYS_MAX}")]
    Keys(i64),
    /// Too many bytes.
    #[error("its kv would hold {0} bytes, over the plugin's quota of {BYTES_MAX} (64 MiB)")]
    Bytes(i64),
}

impl KvUsage {
    /// What a key takes with its value, or nothing without one.
    pub fn of(key: &str, value: Option<&[u8]>) -> Self {
        let length = |bytes: &[u8]| i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        value.map_or(Self::default(), |value| Self {
            keys: 1,
            bytes: length(key.as_bytes()).saturating_add(length(value)),
        })
    }

    /// The difference that it makes to have `after` where `self` was.
    pub fn to(self, after: Self) -> Self {
        Self {
            keys: after.keys - self.keys,
            bytes: after.bytes - self.bytes,
        }
    }

    /// Both together.
    pub fn plus(self, more: Self) -> Self {
        Self {
            keys: self.keys + more.keys,
            bytes: self.bytes + more.bytes,
        }
    }

    /// The usage after a change. One that takes no more than before is always allowed.
    ///
    /// # Errors
    /// [`QuotaError`] names the quota that the change would go beyond.
    pub fn change(self, by: Self) -> Result<Self, QuotaError> {
        let after = self.plus(by);
        if by.keys > 0 && after.keys > KEYS_MAX {
            return Err(QuotaError::Keys(after.keys));
        }
        if by.bytes > 0 && after.bytes > BYTES_MAX {
            return Err(QuotaError::Bytes(after.bytes));
        }
        Ok(after)
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
    use super::{BYTES_MAX, CounterError, KEYS_MAX, KvUsage, QuotaError, incremented};

    #[test]
    fn a_quota_is_reached_and_not_exceeded() {
        let usage = |keys, bytes| KvUsage { keys, bytes };
        let full = usage(KEYS_MAX, BYTES_MAX);
        for (before, by, after) in [
            (usage(0, 0), full, Ok(full)),
            (full, usage(1, 0), Err(QuotaError::Keys(KEYS_MAX + 1))),
            (full, usage(0, 1), Err(QuotaError::Bytes(BYTES_MAX + 1))),
            (full, usage(-1, 0), Ok(usage(KEYS_MAX - 1, BYTES_MAX))),
            (
                usage(1, 2 * BYTES_MAX),
                usage(0, -1),
                Ok(usage(1, 2 * BYTES_MAX - 1)),
            ),
            (
                usage(2 * KEYS_MAX, 1),
                usage(0, 1),
                Ok(usage(2 * KEYS_MAX, 2)),
            ),
        ] {
            assert_eq!(before.change(by), after, "{before:?} {by:?}");
        }
        assert_eq!(KvUsage::of("é", Some(b"abc")), usage(1, 5));
        assert_eq!(KvUsage::of("gone", None), usage(0, 0));
        assert!(
            QuotaError::Keys(KEYS_MAX + 1)
                .to_string()
                .contains("100000")
        );
        assert!(QuotaError::Bytes(1).to_string().contains("64 MiB"));
    }

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
