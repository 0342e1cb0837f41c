//! What answers an attempt from outside of its sandbox: the world, or a recording of
//! what the world once answered. The choke point calls both in the same way, so that a
//! recorded attempt runs through the code that it ran through before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::kv::Version;
use crate::plugin::egress::{Fetch, FetchError, Fetched, Fetcher};
use crate::plugin::journal::Recording;
use crate::plugin::secrets::{KeyEncoding, KeyError, Secrets};

use super::call::{Blob, Refusal, Reply};

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
    /// What sends its requests.
    pub http: Arc<dyn Fetcher>,
    /// The secrets that it may use.
    pub secrets: Arc<Secrets>,
    /// How many events led to this one: 0 for a webhook from outside.
    pub depth: u32,
}

/// The world, for one attempt.
pub(in crate::plugin) struct World {
    pub(in crate::plugin) grants: Grants,
    pub(in crate::plugin) clock: Clock,
    /// When the attempt began.
    pub(in crate::plugin) begun: Instant,
    /// How long it may take.
    pub(in crate::plugin) wall: Duration,
    pub(in crate::plugin) idempotency_key: String,
}

/// What answers an attempt.
pub(in crate::plugin) enum Outside {
    World(Box<World>),
    Recording(Box<Recording>),
}

impl Outside {
    pub(super) fn config(&self, key: &str) -> Option<String> {
        match self {
            Self::World(world) => world.grants.config.get(key).cloned(),
            Self::Recording(recording) => match recording.answer() {
                Some(Reply::Text(text)) => text.clone(),
                _ => None,
            },
        }
    }

    pub(super) async fn kv_get(&self, key: &str) -> Result<Option<Seen>, Refusal> {
        match self {
            Self::World(world) => world
                .grants
                .state
                .get(key)
                .await
                .map_err(Refusal::Unavailable),
            Self::Recording(recording) => match recording.answer() {
                Some(Reply::Value(value)) => Ok(value.clone().map(|Blob(value)| (value, 0))),
                other => Err(recorded_refusal(other)),
            },
        }
    }

    pub(super) async fn kv_list(&self, prefix: &str, limit: u32) -> Result<Vec<String>, Refusal> {
        match self {
            Self::World(world) => world
                .grants
                .state
                .list(prefix, limit)
                .await
                .map_err(Refusal::Unavailable),
            Self::Recording(recording) => match recording.answer() {
                Some(Reply::Keys(keys)) => Ok(keys.clone()),
                other => Err(recorded_refusal(other)),
            },
        }
    }

    pub(super) async fn fetch(&self, fetch: &Fetch) -> Result<Fetched, FetchError> {
        match self {
            Self::World(world) => {
                let left = world.wall.saturating_sub(world.begun.elapsed());
                world
                    .grants
                    .http
                    .fetch(fetch, &world.idempotency_key, left)
                    .await
            }
            Self::Recording(recording) => match recording.answer() {
                Some(Reply::Fetched(fetched)) => Ok(fetched.clone()),
                Some(Reply::Failed(error)) => Err(error.clone()),
                other => Err(FetchError::Unavailable(unlike(other))),
            },
        }
    }

    pub(super) fn hmac(
        &self,
        secret: &str,
        encoding: KeyEncoding,
        message: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::World(world) => world
                .grants
                .secrets
                .hmac_sha256(secret, encoding, message)
                .map(|bytes| bytes.to_vec())
                .map_err(Refusal::from),
            Self::Recording(recording) => match recording.answer() {
                Some(Reply::Bytes(Blob(bytes))) => Ok(bytes.clone()),
                other => Err(recorded_refusal(other)),
            },
        }
    }

    /// Nanoseconds since 1970, to the millisecond.
    pub(super) fn wall_ns(&mut self) -> Option<u64> {
        match self {
            Self::World(world) => {
                let ms = u64::try_from(world.clock.now().millis()).unwrap_or(0);
                Some(ms.saturating_mul(1_000_000))
            }
            Self::Recording(recording) => recording.wall_ns(),
        }
    }

    /// Nanoseconds since the attempt began.
    pub(super) fn monotonic_ns(&mut self) -> Option<u64> {
        match self {
            Self::World(world) => {
                let elapsed = world.begun.elapsed().as_nanos();
                Some(u64::try_from(elapsed).unwrap_or(u64::MAX))
            }
            Self::Recording(recording) => recording.monotonic_ns(),
        }
    }

    pub(super) fn depth(&self) -> u32 {
        match self {
            Self::World(world) => world.grants.depth,
            Self::Recording(recording) => recording.depth(),
        }
    }

    /// A text without the plugin's secrets.
    pub(super) fn scrub(&self, text: &mut String) {
        if let Self::World(world) = self
            && let std::borrow::Cow::Owned(clean) = world.grants.secrets.scrub_text(text)
        {
            *text = clean;
        }
    }
}

/// What a recording says where it holds no answer of the right kind.
fn recorded_refusal(reply: Option<&Reply>) -> Refusal {
    match reply {
        Some(Reply::Refused(refusal)) => refusal.clone(),
        other => Refusal::Unavailable(unlike(other)),
    }
}

fn unlike(reply: Option<&Reply>) -> String {
    format!("the recording answers {reply:?}")
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        let message = error.to_string();
        match error {
            KeyError::Denied(_) => Self::Denied(message),
            KeyError::Invalid { .. } => Self::InvalidKey(message),
        }
    }
}
