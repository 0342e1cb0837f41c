//! What a guest may call: every import passes [`Gate::pass`], the one place
//! where calls are counted and limited, and where they will be recorded and
//! answered from recordings.
//!
//! The bindings below only carry arguments and answers across.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::kv::{CounterError, KvEffects, KvRead, KvWrite, Version, incremented};
use crate::run::{LogLevel, LogLine};

use super::limits::{
    CALLS_MAX, Exceeded, KV_BYTES_MAX, KV_KEY_MAX, KV_KEY_WEIGHT, KV_LIST_MAX, KV_LISTS_MAX,
    KV_READ_BYTES_MAX, KV_VALUE_MAX,
};
use super::log::Log;

/// A value and which write of its key it is.
pub type Seen = (Vec<u8>, Version);

/// Reads the committed state of one plugin: the store in a host, a table on the
/// bench.
pub trait StateReader: Send + Sync {
    /// The value of a key and which write of it that is.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Seen>, String>>;
    /// The keys under a prefix, in order.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<String>, String>>;
}

/// What an attempt is given to work with.
#[derive(Clone)]
pub struct Grants {
    /// What `config.get` answers.
    pub config: Arc<BTreeMap<String, String>>,
    /// The plugin's state.
    pub state: Arc<dyn StateReader>,
}

/// One call of an import.
#[derive(Debug)]
pub(super) enum Call {
    Log {
        level: LogLevel,
        message: String,
        fields: Vec<(String, String)>,
    },
    ConfigGet {
        key: String,
    },
    KvGet {
        key: String,
    },
    KvSet {
        key: String,
        value: Vec<u8>,
    },
    KvDelete {
        key: String,
    },
    KvList {
        prefix: String,
        limit: u32,
    },
    KvIncrement {
        key: String,
        by: i64,
    },
}

/// What a call answers.
#[derive(Debug)]
pub(super) enum Reply {
    Done,
    Text(Option<String>),
    Value(Option<Vec<u8>>),
    Keys(Vec<String>),
    Refused(Refusal),
}

/// What a call answers that could not be done.
#[derive(Debug)]
pub(super) enum Refusal {
    Limit(String),
    NotACounter(String),
    Unavailable(String),
}

/// What a key is for the rest of the attempt, by its own writes.
enum Own {
    Set(Vec<u8>),
    Deleted,
    Incremented(i64),
}

/// The choke point of one attempt.
pub(super) struct Gate {
    /// None while `describe` runs, which may call nothing.
    grants: Option<Grants>,
    clock: Clock,
    log: Log,
    n_calls: u32,
    kv_bytes: usize,
    kv_read_bytes: usize,
    n_lists: u32,
    own: BTreeMap<String, Own>,
    /// What was read stays what it is for the attempt.
    seen: HashMap<String, Option<Seen>>,
    effects: KvEffects,
}

impl Gate {
    pub(super) fn new(grants: Option<Grants>, clock: Clock, log: Log) -> Self {
        Self {
            grants,
            clock,
            log,
            n_calls: 0,
            kv_bytes: 0,
            kv_read_bytes: 0,
            n_lists: 0,
            own: BTreeMap::new(),
            seen: HashMap::new(),
            effects: KvEffects::default(),
        }
    }

    /// What was read and written, for the commit.
    pub(super) fn into_effects(self) -> KvEffects {
        self.effects
    }

    /// Answers one call, or ends the attempt.
    ///
    /// # Errors
    /// A trap: [`Exceeded`], or a call from `describe`.
    pub(super) async fn pass(&mut self, call: Call) -> wasmtime::Result<Reply> {
        let Some(grants) = self.grants.clone() else {
            return Err(wasmtime::Error::msg(format!(
                "`describe` may call nothing, but called {}",
                call.name()
            )));
        };
        self.n_calls += 1;
        if self.n_calls > CALLS_MAX {
            return Err(Exceeded::calls("calls of host functions", CALLS_MAX).into());
        }
        let answered = match call {
            Call::Log {
                level,
                message,
                fields,
            } => {
                let line = LogLine {
                    at: self.clock.now(),
                    level,
                    message,
                    fields,
                };
                self.log.write(line).map(|()| Reply::Done)?
            }
            Call::ConfigGet { key } => Reply::Text(grants.config.get(&key).cloned()),
            Call::KvGet { key } => self.kv_get(&grants, key).await?,
            Call::KvSet { key, value } => self.kv_set(key, value)?,
            Call::KvDelete { key } => self.kv_delete(key)?,
            Call::KvList { prefix, limit } => self.kv_list(&grants, prefix, limit).await?,
            Call::KvIncrement { key, by } => self.kv_increment(key, by)?,
        };
        Ok(answered)
    }

    async fn kv_get(&mut self, grants: &Grants, key: String) -> Result<Reply, Exceeded> {
        if let Some(refused) = unfit(&key) {
            return Ok(refused);
        }
        let added = match self.own.get(&key) {
            Some(Own::Set(value)) => return Ok(Reply::Value(Some(value.clone()))),
            Some(Own::Deleted) => return Ok(Reply::Value(None)),
            Some(Own::Incremented(by)) => Some(*by),
            None => None,
        };
        if !self.seen.contains_key(&key) {
            match grants.state.get(&key).await {
                Ok(found) => {
                    self.weigh_read(
                        key.len() + found.as_ref().map_or(0, |(value, _)| value.len()),
                    )?;
                    let version = found.as_ref().map(|(_, version)| *version);
                    self.effects.reads.push(KvRead::Key {
                        key: key.clone(),
                        version,
                    });
                    self.seen.insert(key.clone(), found);
                }
                Err(problem) => return Ok(Reply::Refused(Refusal::Unavailable(problem))),
            }
        }
        let kept = self
            .seen
            .get(&key)
            .and_then(Option::as_ref)
            .map(|(value, _)| value);
        Ok(match added {
            None => Reply::Value(kept.cloned()),
            Some(by) => match incremented(&key, kept.map(Vec::as_slice), by) {
                Ok(value) => Reply::Value(Some(value)),
                Err(error) => Reply::Refused(error.into()),
            },
        })
    }

    fn kv_set(&mut self, key: String, value: Vec<u8>) -> Result<Reply, Exceeded> {
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

    fn kv_delete(&mut self, key: String) -> Result<Reply, Exceeded> {
        if let Some(refused) = unfit(&key) {
            return Ok(refused);
        }
        self.weigh(key.len())?;
        self.own.insert(key.clone(), Own::Deleted);
        self.effects.writes.push(KvWrite::Delete { key });
        Ok(Reply::Done)
    }

    fn kv_increment(&mut self, key: String, by: i64) -> Result<Reply, Exceeded> {
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

    async fn kv_list(
        &mut self,
        grants: &Grants,
        prefix: String,
        limit: u32,
    ) -> Result<Reply, Exceeded> {
        let refuse = |what: String| Ok(Reply::Refused(Refusal::Limit(what)));
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
        let is_deleted = |key: &String| matches!(self.own.get(key), Some(Own::Deleted));
        let below = |key: &&String| key.starts_with(&prefix);
        // Keys that this attempt deleted make room for others behind them.
        let deleted = self
            .own
            .keys()
            .filter(below)
            .filter(|key| is_deleted(key))
            .count();
        let wanted = limit.saturating_add(u32::try_from(deleted).unwrap_or(u32::MAX));
        let kept = match grants.state.list(&prefix, wanted).await {
            Ok(keys) => keys,
            Err(problem) => return Ok(Reply::Refused(Refusal::Unavailable(problem))),
        };
        self.weigh_read(
            prefix.len()
                + kept
                    .iter()
                    .map(|key| key.len() + KV_KEY_WEIGHT)
                    .sum::<usize>(),
        )?;
        self.effects.reads.push(KvRead::List {
            prefix: prefix.clone(),
            limit: wanted,
            keys: kept.clone(),
        });
        let is_deleted = |key: &String| matches!(self.own.get(key), Some(Own::Deleted));
        let own = self
            .own
            .keys()
            .filter(|key| key.starts_with(&prefix) && !is_deleted(key));
        let kept = kept.into_iter().filter(|key| !is_deleted(key));
        let mut keys: Vec<String> = kept.chain(own.cloned()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Reply::Keys(keys))
    }

    fn weigh_read(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.kv_read_bytes += bytes;
        if self.kv_read_bytes > KV_READ_BYTES_MAX {
            return Err(Exceeded::output(
                "what the attempt reads of kv, in bytes,",
                KV_READ_BYTES_MAX,
            ));
        }
        Ok(())
    }

    fn weigh(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.kv_bytes += bytes;
        if self.kv_bytes > KV_BYTES_MAX {
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

impl Call {
    fn name(&self) -> &'static str {
        match self {
            Self::Log { .. } => "log.write",
            Self::ConfigGet { .. } => "config.get",
            Self::KvGet { .. } => "kv.get",
            Self::KvSet { .. } => "kv.set",
            Self::KvDelete { .. } => "kv.delete",
            Self::KvList { .. } => "kv.list",
            Self::KvIncrement { .. } => "kv.increment",
        }
    }
}
