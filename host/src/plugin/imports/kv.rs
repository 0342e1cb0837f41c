//! The state as one attempt sees it: what was committed when it looked, under its own
//! writes. What it read and wrote is kept for the commit.

use std::collections::{BTreeMap, HashMap};

use crate::kv::{CounterError, KvEffects, KvRead, KvWrite, incremented};
use crate::plugin::limits::{
    Exceeded, KV_BYTES_MAX, KV_KEY_MAX, KV_KEY_WEIGHT, KV_LIST_MAX, KV_LISTS_MAX,
    KV_READ_BYTES_MAX, KV_VALUE_MAX,
};

use super::Seen;
use super::call::{Blob, Refusal, Reply};

/// What a key is for the rest of the attempt, by its own writes.
enum Own {
    Set(Vec<u8>),
    Deleted,
    Incremented(i64),
}

/// One attempt's view of its plugin's state.
#[derive(Default)]
pub(super) struct View {
    written_bytes: usize,
    read_bytes: usize,
    n_lists: u32,
    own: BTreeMap<String, Own>,
    /// What was read stays what it is for the attempt.
    seen: HashMap<String, Option<Seen>>,
    effects: KvEffects,
}

/// What a look at a key needs first.
pub(super) enum Look {
    /// Nothing more.
    Known(Reply),
    /// What is committed under the key.
    Committed,
}

impl View {
    pub(super) fn into_effects(self) -> KvEffects {
        self.effects
    }

    /// What can be said of a key without the store.
    pub(super) fn look(&self, key: &str) -> Look {
        if let Some(refused) = unfit(key) {
            return Look::Known(refused);
        }
        match self.own.get(key) {
            Some(Own::Set(value)) => Look::Known(Reply::Value(Some(Blob(value.clone())))),
            Some(Own::Deleted) => Look::Known(Reply::Value(None)),
            _ if self.seen.contains_key(key) => Look::Known(self.value(key)),
            _ => Look::Committed,
        }
    }

    /// Takes in what is committed under a key, and says what it is to the attempt.
    pub(super) fn saw(&mut self, key: String, found: Option<Seen>) -> Result<Reply, Exceeded> {
        self.weigh_read(key.len() + found.as_ref().map_or(0, |(value, _)| value.len()))?;
        let version = found.as_ref().map(|(_, version)| *version);
        self.effects.reads.push(KvRead::Key {
            key: key.clone(),
            version,
        });
        self.seen.insert(key.clone(), found);
        Ok(self.value(&key))
    }

    fn value(&self, key: &str) -> Reply {
        let kept = self.seen.get(key).and_then(Option::as_ref);
        let kept = kept.map(|(value, _)| value);
        match self.own.get(key) {
            Some(Own::Incremented(by)) => match incremented(key, kept.map(Vec::as_slice), *by) {
                Ok(value) => Reply::Value(Some(Blob(value))),
                Err(error) => Reply::Refused(error.into()),
            },
            _ => Reply::Value(kept.cloned().map(Blob)),
        }
    }

    pub(super) fn set(&mut self, key: String, value: Vec<u8>) -> Result<Reply, Exceeded> {
        if let Some(refused) = unfit(&key) {
            return Ok(refused);
        }
        if value.len() > KV_VALUE_MAX {
            return Err(Exceeded::output(
                &format!("the value for key `{key}` ({} bytes)", value.len()),
                KV_VALUE_MAX,
            ));
        }
        self.weigh(key.len() + value.len())?;
        self.own.insert(key.clone(), Own::Set(value.clone()));
        self.effects.writes.push(KvWrite::Set { key, value });
        Ok(Reply::Done)
    }

    pub(super) fn delete(&mut self, key: String) -> Result<Reply, Exceeded> {
        if let Some(refused) = unfit(&key) {
            return Ok(refused);
        }
        self.weigh(key.len())?;
        self.own.insert(key.clone(), Own::Deleted);
        self.effects.writes.push(KvWrite::Delete { key });
        Ok(Reply::Done)
    }

    pub(super) fn increment(&mut self, key: String, by: i64) -> Result<Reply, Exceeded> {
        if let Some(refused) = unfit(&key) {
            return Ok(refused);
        }
        self.weigh(key.len() + 8)?;
        let after = match self.own.get(&key) {
            Some(Own::Set(value)) => incremented(&key, Some(value), by).map(Own::Set),
            Some(Own::Deleted) => incremented(&key, None, by).map(Own::Set),
            Some(Own::Incremented(before)) => before
                .checked_add(by)
                .map(Own::Incremented)
                .ok_or_else(|| CounterError::Overflow(key.clone())),
            None => Ok(Own::Incremented(by)),
        };
        match after {
            Ok(own) => {
                self.own.insert(key.clone(), own);
                self.effects.writes.push(KvWrite::Increment { key, by });
                Ok(Reply::Done)
            }
            Err(error) => Ok(Reply::Refused(error.into())),
        }
    }

    /// How many committed keys a list needs, or why there is none.
    pub(super) fn list(
        &mut self,
        prefix: &str,
        limit: u32,
    ) -> Result<Result<u32, Reply>, Exceeded> {
        let refuse = |what: String| Ok(Err(Reply::Refused(Refusal::Limit(what))));
        if !(1..=KV_LIST_MAX).contains(&limit) {
            return refuse(format!("a list has 1 to {KV_LIST_MAX} keys, not {limit}"));
        }
        if prefix.len() > KV_KEY_MAX {
            return refuse(format!(
                "a prefix has {} bytes, at most {KV_KEY_MAX} are allowed",
                prefix.len()
            ));
        }
        self.n_lists += 1;
        if self.n_lists > KV_LISTS_MAX {
            return Err(Exceeded::calls("calls of kv.list", KV_LISTS_MAX));
        }
        // Keys that this attempt deleted make room for others behind them.
        let below = self.own.keys().filter(|key| key.starts_with(prefix));
        let deleted = below.filter(|key| self.is_deleted(key)).count();
        Ok(Ok(limit.saturating_add(
            u32::try_from(deleted).unwrap_or(u32::MAX),
        )))
    }

    /// Takes in the committed keys under a prefix, and says which the attempt sees.
    pub(super) fn listed(
        &mut self,
        prefix: String,
        limit: u32,
        wanted: u32,
        kept: Vec<String>,
    ) -> Result<Reply, Exceeded> {
        let weights = kept.iter().map(|key| key.len() + KV_KEY_WEIGHT);
        self.weigh_read(prefix.len() + weights.sum::<usize>())?;
        self.effects.reads.push(KvRead::List {
            prefix: prefix.clone(),
            limit: wanted,
            keys: kept.clone(),
        });
        let own = self
            .own
            .keys()
            .filter(|key| key.starts_with(&prefix) && !self.is_deleted(key));
        let kept = kept.into_iter().filter(|key| !self.is_deleted(key));
        let mut keys: Vec<String> = kept.chain(own.cloned()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Reply::Keys(keys))
    }

    fn is_deleted(&self, key: &String) -> bool {
        matches!(self.own.get(key), Some(Own::Deleted))
    }

    fn weigh_read(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.read_bytes += bytes;
        if self.read_bytes > KV_READ_BYTES_MAX {
            return Err(Exceeded::output(
                "what the attempt reads of kv, in bytes,",
                KV_READ_BYTES_MAX,
            ));
        }
        Ok(())
    }

    fn weigh(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.written_bytes += bytes;
        if self.written_bytes > KV_BYTES_MAX {
            return Err(Exceeded::output(
                "what the attempt writes to kv, in bytes,",
                KV_BYTES_MAX,
            ));
        }
        Ok(())
    }
}

/// Refuses what cannot be a key.
fn unfit(key: &str) -> Option<Reply> {
    let problem = if key.is_empty() {
        "a key is empty".to_owned()
    } else if key.len() > KV_KEY_MAX {
        format!(
            "a key has {} bytes, at most {KV_KEY_MAX} are allowed",
            key.len()
        )
    } else if key.contains(['\0', '\u{10FFFF}']) {
        "a key contains U+0000 or U+10FFFF".to_owned()
    } else {
        return None;
    };
    Some(Reply::Refused(Refusal::Limit(problem)))
}

impl From<CounterError> for Refusal {
    fn from(error: CounterError) -> Self {
        Self::NotACounter(error.to_string())
    }
}
