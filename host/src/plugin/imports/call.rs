//! The words of the choke point: one call of an import and what it answers, in the
//! form in which a journal keeps them. Nothing is decided here.

use std::fmt;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::plugin::egress::{Fetch, FetchError, Fetched};
use crate::plugin::secrets::KeyEncoding;
use crate::run::LogLevel;

/// Bytes that read as text where they are text: in JSON a string, or
/// `{"base64": "…"}`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

/// One call of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", content = "request")]
pub(in crate::plugin) enum Call {
    #[serde(rename = "log.write")]
    Log {
        level: LogLevel,
        message: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<(String, String)>,
    },
    #[serde(rename = "config.get")]
    ConfigGet { key: String },
    #[serde(rename = "kv.get")]
    KvGet { key: String },
    #[serde(rename = "kv.set")]
    KvSet { key: String, value: Blob },
    #[serde(rename = "kv.delete")]
    KvDelete { key: String },
    #[serde(rename = "kv.list")]
    KvList { prefix: String, limit: u32 },
    #[serde(rename = "kv.increment")]
    KvIncrement { key: String, by: i64 },
    #[serde(rename = "http.fetch")]
    Fetch(Fetch),
    #[serde(rename = "crypto.hmac-sha256")]
    Hmac {
        secret: String,
        key_encoding: KeyEncoding,
        message: Blob,
    },
    #[serde(rename = "events.emit")]
    Emit { kind: String, body: Blob },
    /// Waits for the first of so many pollables; a sleep most often.
    #[serde(rename = "wasi.poll")]
    Poll { pollables: usize },
    /// Asks whether one pollable is ready.
    #[serde(rename = "wasi.ready")]
    Ready,
    /// Waits for one pollable.
    #[serde(rename = "wasi.block")]
    Block,
}

/// What a call answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::plugin) enum Reply {
    Done,
    Text(Option<String>),
    Value(Option<Blob>),
    Keys(Vec<String>),
    Fetched(Fetched),
    /// A fetch that has no answer.
    Failed(FetchError),
    Bytes(Blob),
    /// Which pollables are ready.
    Ready(Vec<u32>),
    Refused(Refusal),
    /// The call was one too many or too long: the attempt ended with this.
    Ended(String),
}

/// What a call answers that could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::plugin) enum Refusal {
    Limit(String),
    NotACounter(String),
    Unavailable(String),
    Denied(String),
    InvalidKey(String),
    Invalid(String),
    TooDeep(String),
}

impl Call {
    /// Its name, as in the contract: `kv.get`.
    pub(in crate::plugin) fn name(&self) -> &'static str {
        match self {
            Self::Log { .. } => "log.write",
            Self::ConfigGet { .. } => "config.get",
            Self::KvGet { .. } => "kv.get",
            Self::KvSet { .. } => "kv.set",
            Self::KvDelete { .. } => "kv.delete",
            Self::KvList { .. } => "kv.list",
            Self::KvIncrement { .. } => "kv.increment",
            Self::Fetch(_) => "http.fetch",
            Self::Hmac { .. } => "crypto.hmac-sha256",
            Self::Emit { .. } => "events.emit",
            Self::Poll { .. } => "wasi.poll",
            Self::Ready => "wasi.ready",
            Self::Block => "wasi.block",
        }
    }

    /// Whether `describe` may make it: WASI answers there, hookbay does not.
    pub(in crate::plugin) fn is_wasi(&self) -> bool {
        matches!(self, Self::Poll { .. } | Self::Ready | Self::Block)
    }

    /// What it weighs in a journal, in bytes, about.
    pub(in crate::plugin) fn weight(&self) -> usize {
        match self {
            Self::Log {
                message, fields, ..
            } => {
                let fields = fields.iter().map(|(name, value)| name.len() + value.len());
                message.len() + fields.sum::<usize>()
            }
            Self::ConfigGet { key } | Self::KvGet { key } | Self::KvDelete { key } => key.len(),
            Self::KvSet { key, value } => key.len() + value.0.len(),
            Self::KvList { prefix, .. } => prefix.len(),
            Self::KvIncrement { key, .. } => key.len() + 8,
            Self::Fetch(fetch) => fetch.weight(),
            Self::Hmac { message, .. } => message.0.len(),
            Self::Emit { kind, body } => kind.len() + body.0.len(),
            Self::Poll { .. } | Self::Ready | Self::Block => 8,
        }
    }
}

impl Reply {
    /// What it weighs in a journal, in bytes, about.
    pub(in crate::plugin) fn weight(&self) -> usize {
        match self {
            Self::Done | Self::Refused(_) | Self::Failed(_) | Self::Ended(_) => 64,
            Self::Text(text) => text.as_ref().map_or(0, String::len),
            Self::Value(value) => value.as_ref().map_or(0, |value| value.0.len()),
            Self::Keys(keys) => keys.iter().map(String::len).sum(),
            Self::Fetched(fetched) => fetched.weight(),
            Self::Bytes(bytes) => bytes.0.len(),
            Self::Ready(ready) => ready.len() * 4,
        }
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) => fmt::Debug::fmt(text, f),
            Err(_) => write!(f, "{} bytes", self.0.len()),
        }
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BlobText<'a> {
    Text(std::borrow::Cow<'a, str>),
    Base64 { base64: std::borrow::Cow<'a, str> },
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        match std::str::from_utf8(&self.0) {
            Ok(text) => BlobText::Text(text.into()),
            Err(_) => BlobText::Base64 {
                base64: base64::engine::general_purpose::STANDARD
                    .encode(&self.0)
                    .into(),
            },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        match BlobText::deserialize(deserializer)? {
            BlobText::Text(text) => Ok(Self(text.into_owned().into_bytes())),
            BlobText::Base64 { base64 } => base64::engine::general_purpose::STANDARD
                .decode(base64.as_bytes())
                .map(Self)
                .map_err(D::Error::custom),
        }
    }
}
